"""Fix 2.5: Transformer architecture."""

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
from capfix_cli.fixes.rewrites.inspection_values import Done, compared, fact_value

if TYPE_CHECKING:
    from capfix_cli.fixes.rewrites.architecture_names import ArchitectureNames
    from capfix_cli.fixes.rewrites.code_writing import Written
    from capfix_cli.schemas.inspection_record import Inspection


def _built_in(facts: Facts) -> str:
    return "the decoder is a Transformer" if facts.get("decoder.kind") == "transformer" else ""


def _write(found: ArchitectureNames) -> Written:
    from capfix_cli.fixes.rewrites.model_rewrites import transformer

    return transformer(found)


def _was_done(before: Inspection, after: Inspection) -> Done:
    kind = fact_value(after, "decoder.kind")
    done = None if kind is None else kind == "transformer"
    return Done(
        done, (compared("decoder.kind", before, after), compared("conditioning", before, after))
    )


FIX = FixSpec(
    id="2.5",
    title="Transformer architecture",
    aliases=("transformer", "transformers"),
    what="Replaces convolution and recurrence with a full transformer.",
    when="When nothing else worked and there is enough data.",
    settings=(
        FixSetting(
            name="decoder",
            value="transformer",
            recommended="transformer, given enough data",
            ranges=(
                ("gru", "learns from little"),
                ("transformer", "wants a large data set; Clotho might be too small"),
            ),
        ),
        FixSetting(
            name="encoder.kind",
            value="cnn",
            recommended="cnn, or transformer for a full one",
            ranges=(
                ("cnn", "a Transformer decoder over a CNN's frames, the smaller step"),
                ("transformer", "no convolution but the first, no recurrence"),
            ),
        ),
    ),
    pros=("Highest ceiling, given enough data", "Every word reaches every frame"),
    cons=(
        "Wants a large data set; Clotho might be too small",
        "More compute",
        "Sensitive to its hyperparameters",
        "A rewrite of the model",
    ),
    impact="high",
    effort="1 day",
    retrain=True,
    priority=4,
    order=10,
    snippet="""\
import torch
from torch import nn


class TransformerCaptioner(nn.Module):
    # mels [batch, frames, mels] and words [batch, T] -> next-word logits [batch, T, vocabulary].
    def __init__(self, vocabulary: int, mels: int = 64, width: int = 128, longest: int = 4096):
        super().__init__()
        self.of_mels, self.of_word = nn.Linear(mels, width), nn.Embedding(vocabulary, width)
        self.place = nn.Embedding(longest, width)
        self.body = nn.Transformer(width, 4, 3, 3, 4 * width, batch_first=True)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, mels: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        places = [self.place(torch.arange(x.shape[1], device=x.device)) for x in (mels, words)]
        causal = torch.ones(words.shape[1], words.shape[1], device=words.device).triu(1).bool()
        sound, text = self.of_mels(mels) + places[0], self.of_word(words) + places[1]
        return self.head(self.body(sound, text, tgt_mask=causal))
""",
    caution=(
        "A transformer can learn to ignore audio like any other: one trained with its audio "
        "silenced answered to real audio with 1.34 bits and named 11 % of the events (a sound "
        "one: 4.03 bits, 59 %; our measurement). A positional code indexed by batch row, in "
        "place of time, is a defect we met in public code."
    ),
    source="the document, 2.5; Vaswani et al. 2017 (arXiv 1706.03762)",
    built_in=_built_in,
    switch=Switch(
        lambda setup: setup.change("model", decoder="transformer", conditioning="attention"),
        lambda setup: str(setup.model.decoder) == "transformer",
        "model.decoder",
        architecture=True,
        told="`model.decoder: transformer`",
    ),
    rewrite=NetworkRewrite(
        write=_write,
        was_done=_was_done,
        code="a whole captioner about as wide as yours",
        trace="attention over the audio",
    ),
    ablated=(AblatedForm("Transformer decoder"),),
)
