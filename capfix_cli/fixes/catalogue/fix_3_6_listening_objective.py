"""Fix 3.6: listening objective."""

from __future__ import annotations

from capfix_cli.fixes.fix_spec import AblatedForm, FixSetting, FixSpec, training_switch

FIX = FixSpec(
    id="3.6",
    title="Listening objective",
    aliases=("listening loss", "contrastive loss", "contrastive training", "infonce"),
    what=(
        "Adds to the loss that each caption must be likelier with its own audio than with that of "
        "other clips of the batch: what capfix measures as listening becomes what is trained."
    ),
    when="When captions differ or the loss falls and the audio still does not decide them.",
    settings=(
        FixSetting(
            name="listening_weight",
            value="0.3",
            recommended="0.1-1",
            ranges=(
                ("0", "off"),
                ("0.1-1", "beside the words' own loss"),
                ("10+", "captions tell clips apart and are no sentences any more"),
            ),
        ),
        FixSetting(
            name="listening_negatives",
            value="3",
            recommended="2-5",
            ranges=(
                ("1", "one other clip; at most .69 nats to learn from"),
                ("2-5", "recommended; each costs one more pass of the decoder"),
            ),
        ),
    ),
    pros=("Trains what is missing, by name", "No change to the model"),
    cons=(
        "Needs retraining",
        "As many more passes of the decoder as negatives",
        "Clips that sound alike push each other apart",
    ),
    # Ours, until benchmarks/accuracy/ablation.py is in.
    impact="medium-high",
    effort="30 min",
    retrain=True,
    priority=3,
    order=40,
    snippet="""\
import torch
from torch.nn import functional


def listening_loss(scores: torch.Tensor) -> torch.Tensor:
    # scores [batch, 1 + others]: ln p(caption | clip), the caption's own clip first.
    own = torch.zeros(len(scores), dtype=torch.long, device=scores.device)
    return functional.cross_entropy(scores, own)
""",
    caution=(
        "It cannot give a decoder what its encoder has thrown away: with time pooled it learns to "
        "tell clips apart by what is left (fix 2.1 first)."
    ),
    source="ours, by InfoNCE (arXiv 1807.03748) over captions",
    cures=("conditioning.ignored",),
    switch=training_switch(
        "listening_weight",
        0.3,
        told="`training.listening_weight`, `listening_negatives`",
        start="0.3, 3",
    ),
    ablated=(AblatedForm("listening objective"),),
)
