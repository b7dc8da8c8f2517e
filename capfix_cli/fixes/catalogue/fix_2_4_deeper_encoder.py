"""Fix 2.4: deeper encoder (residual)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capfix_cli.fixes.fix_spec import (
    AblatedForm,
    Facts,
    FixSetting,
    FixSpec,
    NetworkRewrite,
    Switch,
    change_encoder,
)
from capfix_cli.fixes.rewrites.inspection_values import Done, compared, fact_value

if TYPE_CHECKING:
    from capfix_cli.fixes.rewrites.architecture_names import ArchitectureNames
    from capfix_cli.fixes.rewrites.code_writing import Written
    from capfix_cli.schemas.inspection_record import Inspection


DEEP = 3  # blocks (the document, 2.4: 3-4)


def _built_in(facts: Facts) -> str:
    depth = int(facts.get("encoder.depth") or 0)
    done = depth >= DEEP and bool(facts.get("encoder.residual"))
    return f"{depth} blocks with residual paths" if done else ""


def _write(found: ArchitectureNames) -> Written:
    from capfix_cli.fixes.rewrites.encoder_rewrites import deeper

    return deeper(found)


def _was_done(before: Inspection, after: Inspection) -> Done:
    old, new = (fact_value(i, "encoder.conv-layers") for i in (before, after))
    said = (
        compared("encoder.conv-layers", before, after),
        compared("encoder.residual", before, after),
    )
    if not isinstance(old, int) or not isinstance(new, int):
        return Done(None, said)
    residual = fact_value(after, "encoder.residual")
    deep_enough = new > old or (new >= DEEP and new == old)
    if not deep_enough:
        return Done(False, said)
    # A sum without a layer of its own leaves no trace.
    return Done(True if residual else None, said)


FIX = FixSpec(
    id="2.4",
    title="Deeper encoder (residual)",
    aliases=("deeper", "deeper encoder", "residual", "residual connections", "depth"),
    what=(
        "Adds convolution blocks for richer features, each with a residual connection so that "
        "the added depth still trains."
    ),
    when="When the encoder has 2 layers and its features hardly tell clips apart.",
    settings=(
        FixSetting(
            name="encoder.depth",
            value="3",
            recommended="3-4",
            ranges=(("2", "too shallow"), ("3-4", "recommended, with residual connections")),
        ),
    ),
    pros=("Better features", "Little work"),
    cons=("More parameters", "Slower training"),
    impact="medium",
    effort="low",
    retrain=True,
    priority=3,
    order=50,
    snippet="""\
import torch
from torch import nn


class ResidualBlock(nn.Module):
    # [batch, channels, mels, frames] -> the same shape: the input plus what two layers add.
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.added = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.added(x))
""",
    caution=(
        "Depth does not help a decoder that ignores its memory: follow the share of variance "
        "between clips layer by layer and mend the place where it vanishes."
    ),
    source="the document, 2.4; He et al. 2016 (arXiv 1512.03385)",
    built_in=_built_in,
    switch=Switch(
        lambda setup: change_encoder(
            setup, residual=True, depth=max(DEEP, setup.model.encoder.depth)
        ),
        lambda setup: setup.model.encoder.residual and setup.model.encoder.depth >= DEEP,
        "model.encoder.residual",
        architecture=True,
        told="`model.encoder.residual: true`, `depth`",
        start="3",
    ),
    rewrite=NetworkRewrite(
        write=_write,
        was_done=_was_done,
        code="three or four of your convolutions, a shortcut around each",
        trace="more convolutions, shortcuts",
    ),
    ablated=(AblatedForm("residual encoder"),),
)
