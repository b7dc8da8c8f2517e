"""Fix 5.2: weight decay."""

from __future__ import annotations

from capfix_cli.fixes.fix_spec import AblatedForm, FixSetting, FixSpec, Switch
from capfix_cli.fixes.setting_rule import SettingRule, words

FIX = FixSpec(
    id="5.2",
    title="Weight decay",
    aliases=("decay", "adamw", "l2"),
    what="Pulls every weight a little towards zero at each step.",
    when="With any retraining, as a mild guard against overfitting.",
    settings=(
        FixSetting(
            name="weight_decay",
            value="1e-4",
            recommended="1e-4",
            ranges=(
                ("0", "off"),
                ("1e-4", "recommended, with AdamW"),
                ("2", "the DCASE 2024 baseline, at learning rate 5e-4 and 400 epochs"),
            ),
        ),
    ),
    pros=("One parameter of the optimizer", "No cost in time"),
    cons=("Needs retraining", "Small effect"),
    impact="low-medium",
    effort="1 parameter",
    retrain=True,
    priority=3,
    order=100,
    snippet="""\
import torch
from torch import nn


def make_optimizer(model: nn.Module, lr: float = 5e-4, decay: float = 1e-4) -> torch.optim.AdamW:
    # Matrices and kernels decay; biases and normalisation scales, which are vectors, do not.
    weights = [w for w in model.parameters() if w.requires_grad and w.ndim > 1]
    vectors = [w for w in model.parameters() if w.requires_grad and w.ndim <= 1]
    groups = [{"params": weights, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=lr)
""",
    caution=(
        "The useful size depends on the learning rate and the length of training: the DCASE 2024 "
        "baseline uses 2, twenty thousand times the recommended value, at SPIDEr-FL .294."
    ),
    source="the document, 5.2; Loshchilov and Hutter 2019 (arXiv 1711.05101)",
    setting=SettingRule(
        names=words("weight_decay wd l2 l2_reg weightdecay l2_penalty"),
        low=1e-5,
        high=2.0,
        wanted="1e-4 (the document, 5.2), from a tenth of it to the DCASE 2024 baseline's 2",
    ),
    switch=Switch(
        lambda setup: setup.change("training", weight_decay=setup.training.weight_decay or 1e-4),
        lambda setup: setup.training.weight_decay > 0,
        "training.weight_decay",
        told="`training.weight_decay`",
        start="1e-4",
    ),
    ablated=(AblatedForm("weight decay"),),
)
