"""Whether every step hears the audio, by how the decoder is built."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.captioners.base import Captioner
from capfix_cli.captioners.own.own_captioner import SPECIAL, OwnCaptioner
from capfix_cli.captioners.own.own_config import BASELINE
from capfix_cli.fixes.catalogue.fix_2_2_audio_every_step import FIX, HEARS_EVERY_STEP
from capfix_cli.probes.step_hearing import every_step_hears

CAPTION = (4, 5, 6, 2)


@pytest.mark.parametrize(
    ("conditioning", "hears"),
    [("initial-state", False), ("every-step", True), ("attention", True)],
)
def test_steps_are_told_apart_though_nothing_was_learnt(conditioning, hears):
    torch.manual_seed(0)
    config = replace(BASELINE, conditioning=conditioning)
    captioner = OwnCaptioner(config, [*SPECIAL, "one", "two", "three"])
    captioner.module.eval()
    waveforms = torch.randn(4, 16_000)
    with torch.inference_mode():
        memory = captioner.encode(waveforms, torch.full((4,), 16_000))
    assert every_step_hears(captioner, memory, CAPTION, 4) is hears


class Whole(Captioner):
    """Scores whole prefixes and has no state; the audio joins the words or opens the state."""

    sample_rate, max_length, bos_id, eos_id = 8_000, 8, 1, 2
    vocabulary = ("<pad>", "<bos>", "<eos>", "a", "b", "c", "d")

    def __init__(self, joined: bool) -> None:
        torch.manual_seed(1)
        self.joined = joined
        self.module = nn.ModuleDict(
            {
                "embed": nn.Embedding(7, 6),
                "rnn": nn.GRU(10 if joined else 6, 4, batch_first=True),
                "head": nn.Linear(4, 7),
            }
        )

    def encode(self, waveforms, lengths):
        return waveforms[:, :4]

    def logits(self, prefix, memory):
        words = self.module["embed"](prefix)
        if self.joined:
            beside = memory[:, None].expand(-1, prefix.shape[1], -1)
            out, _ = self.module["rnn"](torch.cat([words, beside], 2))
        else:
            out, _ = self.module["rnn"](words, memory[None].contiguous())
        return self.module["head"](out[:, -1])


@pytest.mark.parametrize("joined", [True, False])
def test_a_captioner_of_whole_prefixes_tells_by_its_recurrent_layer(joined):
    captioner = Whole(joined)
    memory = captioner.encode(torch.randn(4, 8), None)
    assert every_step_hears(captioner, memory, CAPTION, 4) is joined


def test_what_nothing_tells_is_not_known():
    class Bag(Whole):
        def logits(self, prefix, memory):
            return self.module["head"](self.module["embed"](prefix).mean(1)[:, :4] + memory)

    captioner = Bag(True)
    with pytest.raises(ProbeFailed):
        every_step_hears(captioner, torch.randn(4, 4), CAPTION, 4)
    with pytest.raises(ProbeFailed):
        every_step_hears(captioner, torch.randn(4, 4), (4,), 4)


def test_the_plan_never_asks_for_what_every_step_has():
    assert FIX.built_in is not None
    assert FIX.built_in({HEARS_EVERY_STEP: True})
    assert not FIX.built_in({HEARS_EVERY_STEP: False})
    assert not FIX.built_in({})
