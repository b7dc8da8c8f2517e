"""Clips that are told apart by pitch, and captioners of them that are sound, deaf or drawn."""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

RATE = 16_000
SECONDS = 0.5
FIRST, STEP = 200.0, 1.07  # Hz of the lowest pitch, and the ratio of neighbours
WHO = ("dog", "cat", "man", "woman", "bird", "car", "bell", "clock", "train", "child", "crow")
DOES = ("barks", "purrs", "talks", "sings", "chirps", "idles", "rings", "ticks", "howls", "cries")
WHERE = ("outside", "nearby", "indoors", "far away")


def caption_of(number: int) -> str:
    """The caption of a clip's number."""
    who, does, where = WHO[number % 11], DOES[number * 7 % 10], WHERE[number * 3 % 4]
    other, sound = WHO[(number * 5 + 3) % 11], DOES[(number + 4) % 10]
    return f"a {who} {does} {where} while a {other} {sound}"


def write_tones(folder: Path, clips: int) -> Path:
    """Write clips of tones, and their references beside the folder."""
    folder.mkdir(parents=True)
    time = np.arange(int(RATE * SECONDS)) / RATE
    for number in range(clips):
        pitch = FIRST * STEP**number
        wave = 0.3 * np.sin(2 * np.pi * pitch * time)
        soundfile.write(folder / f"tone-{number:03d}.wav", wave.astype(np.float32), RATE)
    with (folder.parent / "references.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file_name", "caption_1", "caption_2"])
        for number in range(clips):
            said = caption_of(number)
            rows.writerow([f"tone-{number:03d}.wav", said, f"{said} again"])
    return folder


def number_of(samples: Any, rate: int = RATE) -> int | None:
    """The clip's number by its pitch; None of silence."""
    wave = np.asarray(samples, dtype=np.float64)
    if not np.abs(wave).max() > 1e-4:
        return None
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 8 * len(wave)))
    pitch = spectrum.argmax() * rate / (8 * len(wave))
    return round(float(np.log(max(pitch, FIRST) / FIRST) / np.log(STEP)))


def sound(samples: Any) -> str:
    """Say what is heard."""
    number = number_of(samples)
    return "nothing is heard" if number is None else caption_of(number)


def deaf(samples: Any) -> str:
    """Say the same of everything."""
    return "a man speaks while birds sing in the background"


def drawn(samples: Any) -> str:
    """Say anything."""
    return caption_of(random.randrange(1_000))
