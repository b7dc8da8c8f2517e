"""From waveforms to frames of mel bands: capfix's own, PANNs' and the AST's."""

from __future__ import annotations

import torch
import torchaudio
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from capfix_cli.captioners.own.config_sections import FrontEndConfig

LOG_FLOOR = 1e-6  # power below which a mel band counts as silent; keeps the logarithm finite
PANNS_BANDS = (50.0, 14_000.0)  # Hz, lowest and highest of PANNs' filters (arXiv 1912.10211)
PANNS_FLOOR = 1e-10  # power that PANNs take for silence
PANNS_SILENCE = -100.0  # dB, what that floor becomes
# Mean and deviation of AudioSet's filter banks, of which the AST takes twice (arXiv 2104.01778).
AST_MEAN, AST_DEVIATION = -4.2677393, 4.5689974
AST_SILENCE = (0.0 - AST_MEAN) / (2 * AST_DEVIATION)  # the AST pads with 0 before it scales


class LogMel(nn.Module):
    """Waveforms to natural-log mel frames.

    Shape: [B, samples] and [B] samples -> [B, frames, n_mels] and [B] frames; frames beyond a
    clip's length are those of silence.
    """

    def __init__(self, config: FrontEndConfig) -> None:
        super().__init__()
        self.hop_length = config.hop_length
        self.mel = torchaudio.transforms.MelSpectrogram(
            config.sample_rate,
            n_fft=config.n_fft,
            hop_length=config.hop_length,
            n_mels=config.n_mels,
            pad_mode="constant",  # reflection fails on clips shorter than half a window
        )

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the frames; every clip has at least one."""
        power: Tensor = self.mel(waveforms)
        frames = power.clamp_min(LOG_FLOOR).log().transpose(1, 2)
        return frames, (lengths // self.hop_length + 1).clamp(max=frames.shape[1])


class PannsLogMel(nn.Module):
    """Waveforms to the decibels of mel bands that PANNs hear: 32 kHz, Slaney's filters.

    Each clip is reflected at its own end, not at its batch's, so that it sounds the same beside
    longer ones. ``window`` and ``mel`` are what a published file calls ``stft`` and ``melW``.

    Shape: [B, samples] and [B] samples -> [B, frames, n_mels] and [B] frames.
    """

    window: Tensor
    mel: Tensor

    def __init__(self, config: FrontEndConfig) -> None:
        super().__init__()
        self.n_fft, self.hop_length = config.n_fft, config.hop_length
        low, high = PANNS_BANDS
        mel = torchaudio.functional.melscale_fbanks(
            config.n_fft // 2 + 1,
            low,
            high,
            config.n_mels,
            config.sample_rate,
            norm="slaney",
            mel_scale="slaney",
        )
        self.register_buffer("window", torch.hann_window(config.n_fft))
        self.register_buffer("mel", mel)

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the frames; every clip has at least one."""
        spectrum = torch.stft(
            _reflected(waveforms, lengths, self.n_fft // 2),
            self.n_fft,
            self.hop_length,
            window=self.window,
            center=False,
            return_complex=True,
        )
        power = spectrum.abs().square().transpose(1, 2) @ self.mel
        frames = 10 * power.clamp_min(PANNS_FLOOR).log10()
        return frames, (lengths // self.hop_length + 1).clamp(max=frames.shape[1])

    def kernels(self) -> tuple[Tensor, Tensor]:
        """Give the two convolutions that a published file has in place of a Fourier transform.

        Shape: [n_fft // 2 + 1, 1, n_fft] each, the real and the imaginary part.
        """
        place = torch.arange(self.n_fft, dtype=torch.float64)
        turn = 2 * torch.pi * place[: self.n_fft // 2 + 1].outer(place) / self.n_fft
        window = self.window.double().cpu()
        real, imaginary = turn.cos() * window, -turn.sin() * window
        return real.float().unsqueeze(1), imaginary.float().unsqueeze(1)


def _reflected(waveforms: Tensor, lengths: Tensor, margin: int) -> Tensor:
    """Mirror each clip at both of its ends by ``margin`` samples; beyond that is silence.

    Shape: [B, samples] -> [B, samples + 2 * margin]. Clips shorter than the margin are mirrored
    back and forth.
    """
    place = torch.arange(-margin, waveforms.shape[1] + margin, device=waveforms.device)
    period = (2 * (lengths - 1)).clamp_min(1).unsqueeze(1)
    inside = place.unsqueeze(0).remainder(period)
    index = torch.minimum(inside, period - inside).clamp_max(waveforms.shape[1] - 1)
    return waveforms.gather(1, index) * (place.unsqueeze(0) < lengths.unsqueeze(1) + margin)


class AstFilterBank(nn.Module):
    """Waveforms to Kaldi's log filter banks, scaled as the AST was trained on them.

    Shape: [B, samples] and [B] samples -> [B, frames, n_mels] and [B] frames.
    """

    def __init__(self, config: FrontEndConfig) -> None:
        super().__init__()
        self.sample_rate, self.n_mels = config.sample_rate, config.n_mels
        self.window, self.hop_length = config.n_fft, config.hop_length

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the frames; every clip has at least one."""
        missing = max(0, self.window - waveforms.shape[1])
        waveforms = F.pad(waveforms, (0, missing))
        clips = []
        for waveform, length in zip(waveforms, lengths.tolist(), strict=True):
            frames: Tensor = torchaudio.compliance.kaldi.fbank(
                waveform[None, : max(length, self.window)],
                sample_frequency=self.sample_rate,
                window_type="hanning",
                num_mel_bins=self.n_mels,
                frame_length=1000 * self.window / self.sample_rate,
                frame_shift=1000 * self.hop_length / self.sample_rate,
            )
            clips.append(frames)
        count = torch.tensor([clip.shape[0] for clip in clips], device=lengths.device)
        frames = pad_sequence(clips, batch_first=True)
        return (frames - AST_MEAN) / (2 * AST_DEVIATION), count


def make_front_end(config: FrontEndConfig) -> nn.Module:
    """Give the front end of a config: (waveforms, lengths) -> (frames, lengths)."""
    if config.kind == "panns":
        return PannsLogMel(config)
    return AstFilterBank(config) if config.kind == "ast" else LogMel(config)
