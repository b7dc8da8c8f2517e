"""Twelve synthetic kinds of sound, other than the demonstration's, and how people name them.

Every function takes a generator, how many samples and the rate in Hz, and gives [samples] without
a level of its own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Wave = NDArray[np.float64]
Sound = Callable[[Generator, int, int], Wave]


def _sweep(hertz: Wave, rate: int) -> Wave:
    return np.asarray(np.sin(2 * np.pi * np.cumsum(hertz) / rate), dtype=np.float64)


def _noise(generator: Generator, size: int, rate: int, low: float, high: float) -> Wave:
    spectrum = np.fft.rfft(generator.standard_normal(size))
    hertz = np.fft.rfftfreq(size, 1 / rate)
    spectrum[(hertz < low) | (hertz > high)] = 0
    return np.asarray(np.fft.irfft(spectrum, size), dtype=np.float64)


def _phase(size: int, rate: int, every: float) -> Wave:
    """Give how far each sample is into its period, [0, 1)."""
    return np.asarray((np.arange(size) / rate / every) % 1.0, dtype=np.float64)


def kettle(generator: Generator, size: int, rate: int) -> Wave:
    """A whistle that climbs and stays."""
    place = np.linspace(0, 1, size)
    top = generator.uniform(1700, 2200)
    return _sweep(top * (0.45 + 0.55 * np.minimum(1, 2.5 * place)), rate)


def pager(generator: Generator, size: int, rate: int) -> Wave:
    """Square beeps, four or five a second."""
    tone = np.sign(_sweep(np.full(size, generator.uniform(900, 1150)), rate))
    return tone * (_phase(size, rate, generator.uniform(0.18, 0.26)) < 0.5)


def tractor(generator: Generator, size: int, rate: int) -> Wave:
    """A saw-toothed low hum that wobbles."""
    wobble = 1 + 0.08 * np.sin(2 * np.pi * generator.uniform(3, 6) * np.arange(size) / rate)
    turns = np.cumsum(generator.uniform(65, 110) * wobble) / rate
    return np.asarray(2 * (turns % 1.0) - 1, dtype=np.float64)


def steam(generator: Generator, size: int, rate: int) -> Wave:
    """A high hiss."""
    return _noise(generator, size, rate, generator.uniform(3200, 4200), 7800)


def gong(generator: Generator, size: int, rate: int) -> Wave:
    """One stroke of partials that are no harmonics."""
    time, base = np.arange(size) / rate, generator.uniform(190, 260)
    parts = [np.sin(2 * np.pi * base * k * time) / k for k in (1.0, 1.48, 2.11, 2.73)]
    return np.asarray(np.sum(parts, axis=0) * np.exp(-2.2 * time), dtype=np.float64)


def frog(generator: Generator, size: int, rate: int) -> Wave:
    """Croaks: pulses of a low tone, in groups."""
    pulses = _phase(size, rate, 1 / generator.uniform(24, 34)) ** 3
    groups = _phase(size, rate, generator.uniform(0.4, 0.55)) < 0.6
    return _sweep(np.full(size, generator.uniform(330, 430)), rate) * pulses * groups


def counter(generator: Generator, size: int, rate: int) -> Wave:
    """Single clicks at no regular time."""
    clicks = (generator.random(size) < generator.uniform(15, 30) / rate).astype(np.float64)
    return np.convolve(clicks, np.exp(-np.arange(rate // 200) / (rate * 0.0006)))[:size]


def thunder(generator: Generator, size: int, rate: int) -> Wave:
    """Low noise that rolls."""
    roll = np.interp(np.arange(size), np.linspace(0, size, 7), generator.uniform(0.2, 1, 7))
    return _noise(generator, size, rate, 25, generator.uniform(160, 260)) * roll


def sparrow(generator: Generator, size: int, rate: int) -> Wave:
    """Short chirps that fall from high."""
    place = _phase(size, rate, generator.uniform(0.11, 0.16))
    return _sweep(generator.uniform(4200, 4800) - 1600 * place, rate) * (place < 0.6)


def organ(generator: Generator, size: int, rate: int) -> Wave:
    """A major chord, held."""
    base, time = generator.uniform(250, 330), np.arange(size) / rate
    tones = [np.sin(2 * np.pi * base * k * time) for k in (1, 1.25, 1.5, 2, 3)]
    return np.asarray(np.sum(tones, axis=0), dtype=np.float64)


def wind(generator: Generator, size: int, rate: int) -> Wave:
    """Noise of the middle that swells."""
    swell = 0.6 - 0.4 * np.cos(2 * np.pi * generator.uniform(0.7, 1.3) * np.arange(size) / rate)
    return _noise(generator, size, rate, 450, generator.uniform(800, 1000)) * swell


def laser(generator: Generator, size: int, rate: int) -> Wave:
    """Falling swoops, one after another."""
    place = _phase(size, rate, generator.uniform(0.27, 0.4))
    return _sweep(generator.uniform(2600, 3200) * np.exp(-2.3 * place), rate)


SOUNDS: dict[str, Sound] = {
    "kettle": kettle,
    "pager": pager,
    "tractor": tractor,
    "steam": steam,
    "gong": gong,
    "frog": frog,
    "counter": counter,
    "thunder": thunder,
    "sparrow": sparrow,
    "organ": organ,
    "wind": wind,
    "laser": laser,
}
# The first is the plain one. No two kinds share a word that is in neither ``SMALL`` nor a template.
NAMES: dict[str, tuple[str, ...]] = {
    "kettle": ("a kettle whistling", "the whistle of a kettle", "boiling water"),
    "pager": ("a pager beeping", "short beeps", "a beeping alarm"),
    "tractor": ("a tractor running", "a farm engine", "the hum of a tractor"),
    "steam": ("steam hissing", "a loud hiss", "leaking gas"),
    "gong": ("a gong struck", "the stroke of a gong", "ringing metal"),
    "frog": ("a frog croaking", "toads in a pond", "croaking"),
    "counter": ("a geiger counter clicking", "scattered clicks", "clicking"),
    "thunder": ("thunder rolling", "a distant storm", "a rumble"),
    "sparrow": ("a sparrow chirping", "a small bird", "chirping"),
    "organ": ("an organ playing", "a held chord", "church music"),
    "wind": ("wind blowing", "a strong breeze", "gusts"),
    "laser": ("a laser firing", "a toy ray gun", "zapping"),
}
# Words that name no kind by themselves.
SMALL = frozenset(["a", "an", "the", "of", "in", "running", "small", "loud", "short", "strong"])
