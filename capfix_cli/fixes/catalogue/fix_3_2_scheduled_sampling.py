"""Fix 3.2: scheduled sampling."""

from __future__ import annotations

from capfix_cli.fixes.fix_spec import AblatedForm, FixSetting, FixSpec, training_switch
from capfix_cli.fixes.setting_rule import SWITCHES, TEACHER_FORCING, SettingRule, words

FIX = FixSpec(
    id="3.2",
    title="Scheduled sampling",
    aliases=("scheduled", "exposure bias", "teacher forcing"),
    what=(
        "Feeds the model some of its own predictions in training, as it must do in use, where "
        "teacher forcing always feeds the true words (exposure bias)."
    ),
    when="When captions start well and drift: free-running loss well above teacher-forced loss.",
    settings=(
        FixSetting(
            name="scheduled_sampling",
            value="0% to 40%",
            recommended="from 0% to 30-50%, rising over the epochs",
            ranges=(
                ("0%", "at the start: true words only"),
                ("30-50%", "at the end: that share of predicted words"),
            ),
        ),
    ),
    pros=("Trains for the conditions of use", "No change to the model"),
    cons=("Needs retraining", "Two passes a batch, or word-by-word training", "A schedule to tune"),
    impact="medium-high",
    effort="1 hour",
    retrain=True,
    priority=3,
    order=20,
    snippet="""\
import torch


def sampling_share(epoch: int, epochs: int, final: float = 0.4) -> float:
    # Share of predicted words in this epoch (from 0): nothing at first, then evenly to final.
    return final * epoch / max(1, epochs - 1)


def mix_inputs(words: torch.Tensor, logits: torch.Tensor, share: float) -> torch.Tensor:
    # words [batch, T] are the true inputs, logits [batch, T, vocabulary] a first pass on them;
    # the prediction at one place is the input of the next, and the begin token always stays.
    predicted = torch.cat([words[:, :1], logits[:, :-1].argmax(dim=-1)], dim=1)
    swapped = torch.rand(words.shape, device=words.device) < share
    return torch.where(swapped, predicted, words)
""",
    caution=(
        "Its objective is biased: pushed far, it favours words that fit their position over words "
        "that fit the caption (arXiv 1511.05101), which is no way to make a decoder listen."
    ),
    source="the document, 3.2; Bengio et al. 2015 (arXiv 1506.03099)",
    cures=("training.exposure-bias",),
    setting=SettingRule(
        names=words(
            "scheduled_sampling scheduled_sampling_prob scheduled_sampling_rate ss_prob "
            "scheduled_sampling_ratio scheduled_sampling_final ss_rate scheduled_sampling_max_prob"
        )
        | TEACHER_FORCING,
        low=0.3,
        high=0.5,
        wanted="30 to 50 % at the end (the document, 3.2)",
        blocks=words("scheduled_sampling"),
        # Whether a "ratio" is of true or of predicted words differs by program: the switch counts.
        block_keys=SWITCHES | words("final_share prob rate"),
    ),
    switch=training_switch(
        "scheduled_sampling",
        0.4,
        told=(
            "`training.scheduled_sampling`: the share at the end; "
            "`sampling_schedule: linear` or `inverse-sigmoid`"
        ),
        start="0.3 to 0.5",
    ),
    ablated=(
        AblatedForm("scheduled sampling, linear"),
        AblatedForm(
            "scheduled sampling, inverse sigmoid",
            {"training": {"sampling_schedule": "inverse-sigmoid"}},
        ),
    ),
    asked_for_degenerate="captions are no sentences: it trains on the captioner's own words",
)
