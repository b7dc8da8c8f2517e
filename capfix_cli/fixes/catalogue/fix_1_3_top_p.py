"""Fix 1.3: Top-p (nucleus) sampling."""

from __future__ import annotations

from capfix_cli.fixes.fix_spec import DecodingFix, FixSetting, FixSpec
from capfix_cli.fixes.sampling_options import sampling
from capfix_cli.fixes.shared_measurements import OURS, SAMPLING_CAUTION

FIX = FixSpec(
    id="1.3",
    title="Top-p (nucleus) sampling",
    aliases=("top-p", "topp", "nucleus", "nucleus sampling", "top-p sampling", "p"),
    what=(
        "Samples from the smallest set of likeliest words whose probabilities together reach p, "
        "so the set is small where the model is sure and large where it is not."
    ),
    when="First, with temperature 0.8; also the usual choice for captions in production.",
    settings=(
        FixSetting(
            name="top_p",
            value="0.9",
            recommended="0.9-0.95",
            ranges=(
                ("0.8-0.85", "conservative"),
                ("0.9-0.95", "recommended"),
                ("0.95-0.99", "more varied"),
            ),
        ),
    ),
    pros=(
        "Adapts to the moment: 5 words here, 50 there",
        "Beats top-k on most tasks",
        "What the industry uses",
    ),
    cons=("More to implement than top-k", "A little slower, as it sorts the words"),
    impact="medium-high",  # no words in the document; 5 stars in its summary table
    effort="10 min",
    retrain=False,
    priority=1,
    order=20,
    snippet="""\
import torch


def keep_nucleus(logits: torch.Tensor, p: float = 0.9) -> torch.Tensor:
    # [..., words]: all but the smallest set of likeliest words that reaches p become -inf.
    ranked, order = logits.softmax(dim=-1).sort(dim=-1, descending=True)
    # A word stays while those ranked before it hold less than p; so the first always stays.
    held_before = ranked.cumsum(dim=-1) - ranked
    stays = torch.zeros_like(logits, dtype=torch.bool)
    stays.scatter_(-1, order, held_before < p)
    return logits.masked_fill(~stays, -torch.inf)
""",
    caution=SAMPLING_CAUTION + f"only .35 of the true events were named {OURS}.",
    source="the document, 1.3; Holtzman et al. 2020 (arXiv 1904.09751)",
    trials=(
        DecodingFix(
            fix="1.3", name="top-p-0.9", options=sampling(top_p=0.9), asked=("other-decoding",)
        ),
    ),
)
