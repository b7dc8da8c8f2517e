"""Fix 1.1: temperature sampling."""

from __future__ import annotations

from capfix_cli.fixes.fix_spec import DecodingFix, FixSetting, FixSpec
from capfix_cli.fixes.sampling_options import NATURAL, sampling
from capfix_cli.fixes.shared_measurements import OURS, SAMPLING_CAUTION

FIX = FixSpec(
    id="1.1",
    title="Temperature sampling",
    aliases=("temperature", "temp"),
    what=(
        "Draws each word from the model's distribution where greedy decoding takes the likeliest. "
        "The logits are divided by the temperature first: above 1 flattens the odds, below 1 "
        "sharpens them."
    ),
    when="First, to learn in minutes whether the distribution holds more than its top word.",
    settings=(
        FixSetting(
            name="temperature",
            value="0.8",
            recommended="0.7-1.0",
            ranges=(
                ("0.1-0.5", "very conservative, close to greedy"),
                ("0.7-1.0", "recommended for captions; 0.7 where captions are merely bland"),
                ("1.0-1.5", "more inventive, more mistakes"),
                (">2.0", "mostly too random to read"),
            ),
        ),
    ),
    pros=(
        "Takes effect at once, without training",
        "A line of code",
        "Can be set clip by clip",
    ),
    cons=(
        "Turns to nonsense when set too high",
        "Leaves whatever is wrong inside the model as it is",
    ),
    impact="medium",  # no words in the document; 3 stars in its summary table
    effort="5 min",
    retrain=False,
    priority=1,
    order=10,
    snippet="""\
import torch


def sample_word(logits: torch.Tensor, temperature: float = 0.8) -> torch.Tensor:
    # [batch, words] logits -> [batch] word ids; temperature 0 is greedy.
    if temperature == 0:
        return logits.argmax(dim=-1)
    return torch.distributions.Categorical(logits=logits / temperature).sample()
""",
    caution=SAMPLING_CAUTION + f"temperature 1.5 gave word salad at .04 bits {OURS}.",
    source="the document, 1.1",
    trials=(
        DecodingFix(
            fix="1.1+1.3",
            name="temperature-0.8-top-p-0.9",
            options=sampling(0.8, top_p=0.9),
            asked=("first-decoding",),
        ),
        DecodingFix(
            fix="1.1", name="temperature-0.7", options=sampling(0.7), asked=("generic-decoding",)
        ),
        DecodingFix(fix="1.1", name="temperature-1.0", options=NATURAL, asked=("other-decoding",)),
        DecodingFix(
            fix="1.1", name="temperature-1.5", options=sampling(1.5), asked=("other-decoding",)
        ),
    ),
    searched=(
        *(DecodingFix(fix="1.1+1.3", options=sampling(t, top_p=0.9)) for t in (0.4, 0.6, 1.0)),
        DecodingFix(fix="1.1", options=sampling(0.5)),
        DecodingFix(fix="1.1", options=sampling(0.3)),
        DecodingFix(fix="1.1", options=sampling(1.0, min_p=0.1)),
        DecodingFix(fix="1.1", options=sampling(0.8, typical_p=0.9)),
    ),
)
