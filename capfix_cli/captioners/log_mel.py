"""From waveforms to features for a user's own encoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from capfix_cli.core.errors import CapfixError

# Waveforms [B, samples] and lengths [B] -> features [B, frames, F] and lengths in frames [B].
FrontEnd = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
LOGARITHMS = ("ln", "log10", "db", "none")


class LogMelFrontEnd(nn.Module):
    """Mel spectrogram on a logarithmic scale, with torchaudio.

    Every default is a choice that training made: wrong features look exactly like a collapsed
    model, so none of them is guessed. ``mel`` takes what torchaudio's MelSpectrogram takes.

    Args:
        sample_rate: Hz.
        n_fft: samples a window.
        hop_length: samples between frames.
        n_mels: mel bands.
        log: ``ln``, ``log10``, ``db`` (10 log10 of power), or ``none``.
        floor: smallest value before the logarithm.
        mel: more of torchaudio's MelSpectrogram: power, f_min, f_max, norm, mel_scale, ...

    Raises:
        CapfixError: a setting that is no number, or no such logarithm.
    """

    def __init__(
        self,
        sample_rate: int,
        n_fft: int,
        hop_length: int,
        n_mels: int,
        log: Literal["ln", "log10", "db", "none"] = "ln",
        *,
        floor: float = 1e-10,
        **mel: Any,
    ) -> None:
        from torchaudio.transforms import MelSpectrogram

        sizes = {"sample_rate": sample_rate, "n_fft": n_fft}
        _hold_to_numbers({**sizes, "hop_length": hop_length, "n_mels": n_mels}, log)
        super().__init__()
        self.sample_rate, self.hop_length, self.log, self.floor = (
            sample_rate,
            hop_length,
            log,
            floor,
        )
        self.mel = MelSpectrogram(sample_rate, n_fft, hop_length=hop_length, n_mels=n_mels, **mel)

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """[B, samples] and [B] -> [B, frames, n_mels] and [B] frames; padding is zero."""
        # Clip by clip: the last frames mirror a clip's end, which padding would put out of reach.
        clips = [
            self._scaled(self.mel(row[:length])).T
            for row, length in zip(waveforms, lengths.tolist(), strict=True)
        ]
        frames = torch.tensor([len(clip) for clip in clips], device=lengths.device)
        return pad_sequence(clips, batch_first=True), frames

    def _scaled(self, mel: Tensor) -> Tensor:
        if self.log == "none":
            return mel
        mel = mel.clamp_min(self.floor)
        mel = mel.log() if self.log == "ln" else mel.log10()
        return 10 * mel if self.log == "db" else mel


def _hold_to_numbers(sizes: dict[str, Any], log: Any) -> None:
    """Say which setting is none: an adapter's gaps are dots until they are filled in.

    Raises:
        CapfixError: one that is no number above 0, or no such logarithm.
    """
    for name, value in sizes.items():
        if type(value) is not int or value < 1:
            told = "not filled in" if value is ... else f"{value!r}, not a whole number above 0"
            raise CapfixError(
                f"{name} of LogMelFrontEnd is {told}.", "Take it from the training code."
            )
    if log not in LOGARITHMS:
        raise CapfixError(
            f"log of LogMelFrontEnd is {'not filled in' if log is ... else repr(log)}.",
            f"It is one of {', '.join(LOGARITHMS)}: take it from the training code.",
        )
