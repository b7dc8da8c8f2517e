"""Fix 2.2: audio at every step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capfix_cli.fixes.fix_spec import (
    AblatedForm,
    Facts,
    FixSetting,
    FixSpec,
    NetworkRewrite,
    Setup,
    Switch,
)
from capfix_cli.fixes.rewrites.inspection_values import ATTENDING, Done, compared, fact_value

if TYPE_CHECKING:
    from capfix_cli.fixes.rewrites.architecture_names import ArchitectureNames
    from capfix_cli.fixes.rewrites.code_writing import Written
    from capfix_cli.schemas.inspection_record import Inspection

HEARS_EVERY_STEP = "decoder.hears_every_step"  # a fact that a probe adds: True or False


def _turn_on(setup: Setup) -> Setup:
    if setup.model.conditioning != "initial-state":
        return setup
    return setup.change("model", conditioning="every-step")


def _built_in(facts: Facts) -> str:
    how = facts.get("conditioning")
    if how in {"every-step", "attention", "concatenated"}:
        return f"conditioning is {how}"
    if facts.get(HEARS_EVERY_STEP) is True:
        return "every step hears the audio already: another clip's memory moves it, its state kept"
    return ""


def _write(found: ArchitectureNames) -> Written:
    from capfix_cli.fixes.rewrites.decoder_rewrites import every_step

    return every_step(found)


def _was_done(before: Inspection, after: Inspection) -> Done:
    said = compared("conditioning", before, after)
    kind = fact_value(after, "conditioning")
    if kind == "concatenated":
        from capfix_cli.fixes.rewrites.architecture_names import find

        one, two = find(before).recurrence, find(after).recurrence
        grown = []
        if one is not None and two is not None:
            grown = [f"{two.weight} takes {two.inputs}, was {one.inputs}"]
            if two.inputs <= one.inputs:
                return Done(None, (*grown, "it was as wide before: what is beside words is open"))
        return Done(True, (said, *grown))
    if kind in ATTENDING:
        return Done(True, (said, "attention gives the audio at every word, too"))
    return Done(None if kind is None else False, (said,))


FIX = FixSpec(
    id="2.2",
    title="Audio at every step",
    aliases=("audio injection", "audio injection strategy", "every step", "conditioning"),
    what=(
        "Gives the decoder the audio beside every word, where a first hidden state alone is "
        "forgotten after a few words."
    ),
    when="When sampling did not help and the audio matters for the first words at most.",
    settings=(
        FixSetting(
            name="conditioning",
            value="every-step",
            recommended="every-step",
            ranges=(
                ("initial-state", "audio once, before the first word"),
                ("every-step", "audio joined to each word's embedding"),
                ("attention", "audio chosen anew for each word (fix 2.3)"),
            ),
        ),
    ),
    pros=("Audio cannot be forgotten along the caption", "Little code, little extra cost"),
    cons=("Needs retraining", "The same summary for every word; attention lifts that"),
    impact="high",
    effort="20 min",
    retrain=True,
    priority=2,
    order=20,
    snippet="""\
import torch
from torch import nn


class EveryStepDecoder(nn.Module):
    # words [batch, T] and audio [batch, A] -> next-word logits [batch, T, vocabulary].
    def __init__(self, vocabulary: int, audio: int, embedding: int = 128, hidden: int = 192):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, embedding)
        self.rnn = nn.GRU(embedding + audio, hidden, batch_first=True)
        self.head = nn.Linear(hidden, vocabulary)

    def forward(self, words: torch.Tensor, audio: torch.Tensor) -> torch.Tensor:
        at_each_word = audio[:, None].expand(-1, words.shape[1], -1)
        states, _ = self.rnn(torch.cat([self.embed(words), at_each_word], dim=-1))
        return self.head(states)
""",
    caution=(
        "An input as wide as the embedding says that the audio is not concatenated; whether it "
        "arrives otherwise only a probe shows: swap the memory and follow the change in the "
        "next-word odds along the caption."
    ),
    source="the document, 2.2",
    cures=(
        "conditioning.ignored",
        "conditioning.first-step-only",
    ),
    asked_for="decoding did not make it listen: give the audio to every step",
    built_in=_built_in,
    switch=Switch(
        _turn_on,
        lambda setup: setup.model.conditioning != "initial-state",
        "model.conditioning",
        architecture=True,
        told="`model.conditioning: every-step`",
    ),
    rewrite=NetworkRewrite(
        write=_write,
        was_done=_was_done,
        code="your recurrent layer, its input wider by the audio",
        trace="the layer takes more than a word",
    ),
    ablated=(AblatedForm("audio at every step"),),
)
