"""Fix 2.1: better audio encoder (keep time)."""

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
from capfix_cli.fixes.rewrites.inspection_values import Done, compared, config_value

if TYPE_CHECKING:
    from capfix_cli.fixes.rewrites.architecture_names import ArchitectureNames
    from capfix_cli.fixes.rewrites.code_writing import Written
    from capfix_cli.schemas.inspection_record import Inspection


def _built_in(facts: Facts) -> str:
    kept = facts.get("encoder.pooling") == "frequency"
    return "the encoder pools frequency only" if kept else ""


def _write(found: ArchitectureNames) -> Written:
    from capfix_cli.fixes.rewrites.encoder_rewrites import keep_time

    return keep_time(found)


def _was_done(before: Inspection, after: Inspection) -> Done:
    pooling = config_value(after, "config", "encoder", "pooling") or config_value(
        after, "encoder", "pooling"
    )
    if pooling in {"time", "frequency"}:
        return Done(pooling == "frequency", (f"its settings say encoder.pooling: {pooling}",))
    return Done(
        None,
        (
            "pooling leaves no trace in weights: `capfix diagnose` puts frames in another order"
            " and says whether the encoder hears it",
            compared("encoder.conv-layers", before, after),
        ),
    )


FIX = FixSpec(
    id="2.1",
    title="Better audio encoder (keep time)",
    aliases=("better encoder", "better audio encoder", "keep time", "pooling", "encoder"),
    what=(
        "Pools over frequency only and keeps every frame. Each 2x2 max-pooling with stride 2 "
        "throws away half of the frames, and with them what happened when."
    ),
    when="When sampling did not help and the encoder pools time away.",
    settings=(
        FixSetting(
            name="encoder.pooling",
            value="frequency",
            recommended="frequency",
            ranges=(
                ("time", "50% of the frames lost in each block"),
                ("frequency", "stride (2, 1): mel bands shrink, frames stay"),
            ),
        ),
        FixSetting(
            name="encoder.downsampling",
            value="pool",
            recommended="pool or stride",
            ranges=(
                ("pool", "max-pooling after each convolution"),
                ("stride", "the convolution's own stride: nearly twice as fast"),
            ),
        ),
    ),
    pros=("A few changed lines", "Gives every later fix, attention above all, frames to work on"),
    cons=("Needs retraining", "More frames, so more memory and time"),
    impact="high",
    effort="10 min",
    retrain=True,
    priority=2,
    order=10,
    snippet="""\
from torch import nn


class FrequencyPooledEncoder(nn.Module):
    # [batch, 1, mels, frames] -> [batch, frames, width]: a stride over mels, never over frames.
    def __init__(self, width: int = 128, depth: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for block in range(depth):
            layers += [nn.Conv2d(width if block else 1, width, 3, stride=(2, 1), padding=1)]
            layers += [nn.BatchNorm2d(width), nn.ReLU()]
        self.blocks = nn.Sequential(*layers)

    def forward(self, mels):
        return self.blocks(mels).mean(dim=2).transpose(1, 2)
""",
    caution=(
        "Check before rewriting: if shuffling a clip's frames leaves the encoder's output "
        "unchanged, time is lost. The wrong mel scale gives the same caption everywhere from a "
        "sound encoder (log10 for natural log: 2 % distinct captions, .09 bits; our measurement)."
    ),
    source="the document, 2.1",
    cures=(
        "encoder.time-pooling",
        "encoder.collapsed",
    ),
    asked_for="decoding did not make it listen: keep time in the encoder",
    built_in=_built_in,
    switch=Switch(
        lambda setup: change_encoder(setup, pooling="frequency"),
        lambda setup: setup.model.encoder.pooling == "frequency",
        "model.encoder.pooling",
        architecture=True,
        told="`model.encoder.pooling: frequency`",
        start="[captioners.md](captioners.md) has all of `model`",
    ),
    rewrite=NetworkRewrite(
        write=_write,
        was_done=_was_done,
        code="your convolutions, shrinking mel bands and never frames",
        trace=(
            "not in weights; `capfix diagnose` shuffles frames. Settings that say `pooling` count"
        ),
    ),
    ablated=(AblatedForm("frequency pooling"),),
)
