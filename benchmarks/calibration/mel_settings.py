"""How well mel settings are read from a stored filter bank, and log scales from band statistics.

    python -m benchmarks.calibration.mel_settings [FOLDER]

Banks come from torchaudio, and from librosa where it is installed: the largest difference to ours
of the same settings, and the smallest to ours of any other usual settings. With a folder of
recordings, how much each mel band varies in each log scale.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import torchaudio

from capfix_cli.checkpoints.xray.mel_bank import (
    HIGHEST,
    LOWEST,
    SAMPLE_RATES,
    SCALES,
    MelSettings,
    fit_mel_bank,
    mel_bank,
)

# (n_fft, n_mels, settings) of published front ends: PANNs, Whisper, AST-like, HTSAT, BEATs-like,
# torchaudio's defaults, and librosa's.
FRONT_ENDS = (
    (1024, 64, MelSettings(32_000, 50, 14_000, "slaney", True)),
    (400, 80, MelSettings(16_000, 0, 8_000, "slaney", True)),
    (400, 128, MelSettings(16_000, 0, 8_000, "slaney", True)),
    (1024, 64, MelSettings(48_000, 50, 14_000, "slaney", True)),
    (1024, 128, MelSettings(16_000, 20, 8_000, "htk", False)),
    (400, 128, MelSettings(16_000, 0, 8_000, "htk", False)),
    (2048, 128, MelSettings(22_050, 0, 11_025, "slaney", True)),
    (1024, 64, MelSettings(44_100, 0, 22_050, "htk", False)),
    (2048, 128, MelSettings(44_100, 20, 16_000, "htk", False)),
    (1024, 80, MelSettings(22_050, 0, 8_000, "slaney", True)),
    (512, 64, MelSettings(16_000, 125, 7_500, "htk", False)),
    (512, 64, MelSettings(16_000, 60, 7_800, "slaney", True)),
)
FRONTS = (
    # sample rate, n_fft, hop, bands, power, least value
    (32_000, 1024, 320, 64, 2, 1e-10),
    (16_000, 400, 160, 80, 2, 1e-10),
    (44_100, 2048, 512, 128, 2, 1e-10),
    (16_000, 400, 160, 64, 2, 1e-5),
    (32_000, 1024, 320, 64, 1, 1e-5),
)


def banks(n_fft: int, n_mels: int, settings: MelSettings) -> Iterator[tuple[str, Any]]:
    """Compute the bank, [bins, bands], with each library that is here."""
    yield (
        "torchaudio",
        torchaudio.functional.melscale_fbanks(
            n_fft // 2 + 1,
            settings.f_min,
            settings.f_max,
            n_mels,
            settings.sample_rate,
            "slaney" if settings.by_area else None,
            settings.scale,
        ).numpy(),
    )
    if importlib.util.find_spec("librosa") is not None:
        librosa: Any = importlib.import_module("librosa")
        yield (
            "librosa",
            librosa.filters.mel(
                sr=settings.sample_rate,
                n_fft=n_fft,
                n_mels=n_mels,
                fmin=settings.f_min,
                fmax=settings.f_max,
                htk=settings.scale == "htk",
                norm="slaney" if settings.by_area else None,
            ).T,
        )


def difference(bank: Any, n_fft: int, n_mels: int, settings: MelSettings) -> float:
    """Largest difference to ours, relative to each filter's peak."""
    ours = mel_bank(n_fft // 2 + 1, n_mels, settings)
    peaks = ours.max(axis=0)
    return float(np.max(np.abs(bank - ours) / np.where(peaks > 0, peaks, np.inf)))


def others(settings: MelSettings) -> Iterator[MelSettings]:
    """Give every usual setting that changes one thing."""
    for rate in SAMPLE_RATES:
        if settings.f_max <= rate / 2:
            yield dataclasses.replace(settings, sample_rate=rate)
    for low in LOWEST:
        yield dataclasses.replace(settings, f_min=low)
    for high in {*HIGHEST, settings.sample_rate / 2}:
        if high <= settings.sample_rate / 2:
            yield dataclasses.replace(settings, f_max=high)
    for scale in SCALES:
        yield dataclasses.replace(settings, scale=scale)
    yield dataclasses.replace(settings, by_area=not settings.by_area)


def compare() -> None:
    """Print both differences of every front end, and whether the fit finds its settings."""
    for n_fft, n_mels, settings in FRONT_ENDS:
        for library, bank in banks(n_fft, n_mels, settings):
            own = difference(bank, n_fft, n_mels, settings)
            false = [o for o in others(settings) if o != settings]
            near = min(false, key=lambda other: difference(bank, n_fft, n_mels, other))
            away = difference(bank, n_fft, n_mels, near)
            fits = fit_mel_bank(np.asarray(bank, dtype=np.float64))
            found = "found" if fits == [settings] else f"NOT FOUND: {fits}"
            print(f"{library:10} {n_fft} {n_mels} {settings}")
            print(f"           own {own:.1e}, nearest other {away:.1e} ({near}): {found}")


def variation(folder: Path) -> None:
    """Print how much bands vary over all frames, in each log scale: least, median, most."""
    files = sorted(p for p in folder.rglob("*") if p.suffix in {".ogg", ".wav", ".flac"})
    for rate, n_fft, hop, bands, power, least in FRONTS:
        to_mel = torchaudio.transforms.MelSpectrogram(
            rate, n_fft, hop_length=hop, n_mels=bands, power=power
        )
        heard = []
        for file in files[::4]:
            wave, given = soundfile.read(file, dtype="float32", always_2d=True)
            audio = torchaudio.functional.resample(torch.tensor(wave[:, 0]), given, rate)
            heard.append(to_mel(audio).clamp_min(least).log())
        deviation = torch.cat(heard, dim=1).std(dim=1).numpy()
        ends = np.percentile(deviation, [0, 50, 100])
        print(f"{rate} Hz, n_fft {n_fft}, {bands} bands, power {power}, at least {least:g}:")
        for name, unit in (("ln", 1.0), ("log10", math.log(10)), ("dB", math.log(10) * power / 20)):
            print(f"  {name:6}" + "  ".join(f"{end / unit:6.2f}" for end in ends))


def main() -> None:
    """Compare banks; measure a folder of recordings where one is given."""
    compare()
    if len(sys.argv) > 1:
        variation(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
