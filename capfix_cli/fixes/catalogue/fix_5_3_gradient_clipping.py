"""Fix 5.3: gradient clipping."""

from __future__ import annotations

from capfix_cli.fixes.fix_spec import AblatedForm, FixSetting, FixSpec, Switch
from capfix_cli.fixes.setting_rule import SWITCHES, SettingRule, words

FIX = FixSpec(
    id="5.3",
    title="Gradient clipping",
    aliases=("clipping", "clip", "clip-grad", "grad-clip"),
    what="Scales the gradient down wherever its norm exceeds a limit, against unstable training.",
    when="With any recurrent decoder, and whenever the loss jumps or turns to NaN.",
    settings=(
        FixSetting(
            name="gradient_clip",
            value="5.0",
            recommended="5.0",
            ranges=(
                ("1", "the DCASE 2024 baseline"),
                ("5.0", "recommended"),
            ),
        ),
    ),
    pros=("One line before the optimizer's step", "Prevents training from blowing up"),
    cons=("Needs retraining", "Too low a limit slows learning down"),
    impact="medium",
    effort="1 line",
    retrain=True,
    priority=3,
    order=80,
    snippet="""\
import torch
from torch import nn


def clipped_step(loss: torch.Tensor, model: nn.Module, optimizer, max_norm: float = 5.0) -> float:
    # One training step; gives the gradient's norm before clipping, which is worth logging.
    optimizer.zero_grad()
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), max_norm, error_if_nonfinite=True)
    optimizer.step()
    return float(norm)
""",
    caution=(
        "A norm above the limit at every step can mean a learning rate that is too high, a "
        "confirmed cause of one caption for everything in public threads; clipping hides it, so "
        "log the norm."
    ),
    source="the document, 5.3; Pascanu et al. 2013 (arXiv 1211.5063)",
    setting=SettingRule(
        names=words(
            "gradient_clip_val gradient_clip gradient_clipping clip_grad grad_clip max_grad_norm "
            "clip_grad_norm grad_clip_norm clip_norm grad_norm_clip max_norm gradient_clip_norm "
            "grad_clip_val clip_gradient clip_value gradclip grad_norm"
        ),
        low=1e-3,
        high=10.0,
        wanted="5 (the document, 5.3), to twice that; published baselines clip at 1",
        blocks=words("grad_norm clip_grad grad_clip gradient_clip gradient_clipping"),
        block_keys=SWITCHES | words("value max_norm clip_value"),
    ),
    switch=Switch(
        lambda setup: setup.change("training", gradient_clip=setup.training.gradient_clip or 5.0),
        lambda setup: setup.training.gradient_clip > 0,
        "training.gradient_clip",
        told=("`training.gradient_clip`; `early_stopping`: epochs without better listening"),
        start="5.0",
    ),
    ablated=(AblatedForm("gradient clipping"),),
)
