"""The few clips that experiments work on, with their waveforms."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from capfix_cli.audio.audio_batches import read_waveform
from capfix_cli.audio.audio_files import Clip
from capfix_cli.schemas.clip_records import SkippedClip

PROBED = 32  # clips whose waveforms are kept: an experiment on them costs a 15th of 500
MOST_SECONDS = 10.0  # of a clip that experiments hear: AudioCaps' length, so that none is dear


class ProbeFailed(Exception):  # noqa: N818 - it is an answer, not a failure
    """An experiment that cannot be made, and what it needs.

    Attributes:
        needs: in words, as they follow "not tested:".
    """

    def __init__(self, needs: str) -> None:
        super().__init__(needs)
        self.needs = needs


@dataclass(frozen=True)
class Sample:
    """Clips with their waveforms, in an order that the seed drew.

    Attributes:
        names: of the clips.
        waveforms: [samples] each, float32, at ``sample_rate``.
        sample_rate: Hz.
        clips: the files, for reading them at another rate.
    """

    names: tuple[str, ...]
    waveforms: tuple[Tensor, ...]
    sample_rate: int
    clips: tuple[Clip, ...] = ()

    def cropped(self, count: int, seconds: float = MOST_SECONDS) -> tuple[Tensor, Tensor]:
        """Give [n, samples] of ``count`` clips at most, all of one length and none padded.

        Clips of the longer half are taken, cut to the shortest of them, so that a difference
        between two clips is never one of length.

        Raises:
            Untestable: there are fewer than four clips.
        """
        if len(self.waveforms) < 4:
            raise ProbeFailed("the waveforms of at least four clips")
        sizes = sorted(len(waveform) for waveform in self.waveforms)
        size = min(sizes[len(sizes) // 2], int(seconds * self.sample_rate))
        chosen = [waveform[:size] for waveform in self.waveforms if len(waveform) >= size][:count]
        return torch.stack(chosen), torch.full((len(chosen),), size, dtype=torch.long)

    def first(self, count: int) -> Sample:
        """Give the first so many clips; the order being drawn, they are a sample of all."""
        if count >= len(self.names):
            return self
        few = self.names[:count], self.waveforms[:count]
        return Sample(*few, self.sample_rate, self.clips[:count])

    def padded(self, count: int) -> tuple[Tensor, Tensor, tuple[str, ...]]:
        """Give [n, samples], their lengths and names, as an evaluation would batch them."""
        chosen = self.waveforms[:count]
        lengths = torch.tensor([len(waveform) for waveform in chosen])
        return pad_sequence(list(chosen), batch_first=True), lengths, self.names[:count]

    def at_rate(self, rate: int) -> Sample:
        """Read the same clips from their files at another rate.

        Raises:
            Untestable: the files are not known or cannot be read any more.
        """
        if rate == self.sample_rate:
            return self
        read = [read_waveform(clip, rate) for clip in self.clips]
        waveforms = [one.samples for one in read if not isinstance(one, SkippedClip)]
        if not waveforms or len(waveforms) < len(self.names):
            raise ProbeFailed("the files of the clips, to read them at other rates")
        return Sample(self.names, tuple(waveforms), rate, self.clips)
