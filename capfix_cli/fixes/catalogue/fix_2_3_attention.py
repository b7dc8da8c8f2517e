"""Fix 2.3: attention mechanism."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capfix_cli.fixes.fix_spec import (
    AblatedForm,
    Facts,
    FixSetting,
    FixSpec,
    NetworkRewrite,
    Switch,
)
from capfix_cli.fixes.rewrites.inspection_values import ATTENDING, Done, compared, fact_value

if TYPE_CHECKING:
    from capfix_cli.fixes.rewrites.architecture_names import ArchitectureNames
    from capfix_cli.fixes.rewrites.code_writing import Written
    from capfix_cli.schemas.inspection_record import Inspection


def _built_in(facts: Facts) -> str:
    how = facts.get("conditioning")
    return f"conditioning is {how}" if how in ATTENDING else ""


def _write(found: ArchitectureNames) -> Written:
    from capfix_cli.fixes.rewrites.decoder_rewrites import attention

    return attention(found)


def _was_done(before: Inspection, after: Inspection) -> Done:
    kind = fact_value(after, "conditioning")
    done = None if kind is None else kind in ATTENDING
    return Done(done, (compared("conditioning", before, after),))


FIX = FixSpec(
    id="2.3",
    title="Attention mechanism",
    aliases=("attention", "bahdanau", "bahdanau attention", "additive attention"),
    what=(
        "Lets the decoder weigh the audio's frames afresh for each word and hear their weighted "
        "mean, so that each word can follow its own sound."
    ),
    when="When the simpler fixes did not suffice, or captions differ but are bland.",
    settings=(
        FixSetting(
            name="conditioning",
            value="attention",
            recommended="attention",
            ranges=(
                ("every-step", "one summary of the clip for all words (fix 2.2)"),
                ("attention", "a summary of its own for each word"),
            ),
        ),
    ),
    pros=("Each word can listen elsewhere", "Its weights show what was listened to"),
    cons=("Has to be implemented", "Of no use on frames that were pooled away (fix 2.1 first)"),
    impact="medium-high",
    effort="2 hours",
    retrain=True,
    priority=3,
    order=10,
    snippet="""\
import torch
from torch import nn


class FrameAttention(nn.Module):
    # frames [batch, T, F], state [batch, H] -> heard [batch, F] and its weights [batch, T].
    def __init__(self, frame: int, state: int, width: int = 128) -> None:
        super().__init__()
        self.of_frame, self.of_state = nn.Linear(frame, width), nn.Linear(state, width, bias=False)
        self.score = nn.Linear(width, 1, bias=False)

    def forward(self, frames: torch.Tensor, state: torch.Tensor, real: torch.Tensor):
        # real [batch, T]: True at frames of the clip, False at padding.
        match = torch.tanh(self.of_frame(frames) + self.of_state(state)[:, None])
        weights = self.score(match)[..., 0].masked_fill(~real, -torch.inf).softmax(dim=-1)
        return (weights[:, None] @ frames)[:, 0], weights
""",
    caution=(
        "Attention can be there and idle: entropy near log T, or the same weights for every word "
        "and clip, is a mean over time in disguise."
    ),
    source="the document, 2.3; Bahdanau et al. 2015 (arXiv 1409.0473)",
    cures=("conditioning.constant-attention",),
    asked_for_bland="captions are right but bland: attention hears more of each clip",
    built_in=_built_in,
    switch=Switch(
        lambda setup: setup.change("model", conditioning="attention"),
        lambda setup: setup.model.conditioning == "attention",
        "model.conditioning",
        architecture=True,
        told="`model.conditioning: attention`",
    ),
    rewrite=NetworkRewrite(
        write=_write,
        was_done=_was_done,
        code="the same, by what it attends to among the frames",
        trace="an attention beside the layer",
    ),
    ablated=(AblatedForm("attention"),),
)
