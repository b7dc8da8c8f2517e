"""Fix 3.1: label smoothing."""

from __future__ import annotations

from capfix_cli.fixes.fix_spec import AblatedForm, FixSetting, FixSpec, training_switch
from capfix_cli.fixes.setting_rule import SettingRule, words

SMOOTHING = 0.1  # the document, 3.1 and its tree

FIX = FixSpec(
    id="3.1",
    title="Label smoothing",
    aliases=("smoothing", "label-smoothing"),
    what=(
        "Spreads a little of each target's probability over the other words, so that the model "
        "is not rewarded for ever more certainty."
    ),
    when="With any retraining; it costs nothing.",
    settings=(
        FixSetting(
            name="label_smoothing",
            value="0.1",
            recommended="0.05-0.15",
            ranges=(
                ("0.0", "off"),
                ("0.05-0.15", "recommended"),
                ("0.2+", "too much"),
            ),
        ),
    ),
    pros=("One argument of the loss", "Tempers overconfident predictions"),
    cons=("Needs retraining", "Loss values no longer compare with those of earlier runs"),
    impact="medium",
    effort="1 min",
    retrain=True,
    priority=2,
    order=30,
    snippet="""\
import torch
from torch.nn import functional


def caption_loss(logits: torch.Tensor, targets: torch.Tensor, pad: int, smoothing: float = 0.1):
    # logits [batch, T, words], targets [batch, T] -> the mean loss over words, padding left out.
    return functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=pad, label_smoothing=smoothing
    )
""",
    caution=(
        "The DCASE 2024 baseline trains with 0.2 (SPIDEr-FL .294), so the upper limit depends on "
        "the system. Smoothing does not make a decoder listen."
    ),
    source="the document, 3.1; Szegedy et al. 2016 (arXiv 1512.00567)",
    cures=("decoder.overconfident",),
    asked_for="the tree sets label smoothing 0.1 beside 2.1 and 2.2",
    setting=SettingRule(
        names=words(
            "label_smoothing label_smoothing_factor label_smooth smoothing ls ls_eps lsr "
            "smooth_eps label_smoothing_eps smoothing_eps label_smoothing_epsilon "
            "label_smoothing_ratio"
        ),
        low=0.05,
        high=0.2,
        wanted="0.05 to 0.15 (the document, 3.1), or the DCASE 2024 baseline's 0.2",
    ),
    switch=training_switch(
        "label_smoothing",
        SMOOTHING,
        told="`training.label_smoothing`",
        start="0.1",
    ),
    ablated=(AblatedForm("label smoothing"),),
)
