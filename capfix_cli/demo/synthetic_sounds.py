"""Sixteen kinds of sound, synthesised so that two clips of a kind differ and two kinds differ more.

Every function takes a generator and a length in seconds (> 0) and gives mono float32 samples at
``RATE``, peak ``PEAK``. Pitch, rate and timbre are drawn anew at each call and from nowhere else,
so the same generator state gives the same samples.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

RATE = 16_000  # Hz
PEAK = 0.9

Samples = NDArray[np.float32]
Wave = NDArray[np.float64]  # before normalisation
Sound = Callable[[Generator, float], Samples]


def siren(generator: Generator, seconds: float) -> Samples:
    """A sine whose pitch wails up and down over an octave or more."""
    time = _time(seconds)
    low, ratio = generator.uniform(450, 650), generator.uniform(2.0, 2.6)
    swing = np.sin(2 * np.pi * generator.uniform(0.7, 1.4) * time + generator.uniform(0, 6.28))
    frequency = low * ratio ** (0.5 + 0.5 * swing)
    return _finish(_harmonics(frequency, [1.0, 0.3, 0.1]))


def bell(generator: Generator, seconds: float) -> Samples:
    """Inharmonic partials struck together, the high ones dying first."""
    strike_tone = generator.uniform(380, 560)
    # Partials of a church bell: hum, prime, tierce, quint, nominal, and two above.
    partials = [0.5, 1.0, 1.2, 1.5, 2.0, 2.67, 4.2]
    decay = generator.uniform(2.5, 4.5)

    def strike() -> Wave:
        time = _time(1.2)
        tones = [
            np.sin(2 * np.pi * strike_tone * partial * time) * np.exp(-decay * partial**0.7 * time)
            for partial in partials
        ]
        return np.asarray(np.sum(tones, axis=0), dtype=np.float64)

    return _finish(_repeat(generator, seconds, generator.uniform(0.55, 0.9), strike))


def drum(generator: Generator, seconds: float) -> Samples:
    """Low thumps whose pitch falls within each hit."""
    pitch = generator.uniform(65, 110)

    def hit() -> Wave:
        time = _time(0.3)
        tone = _harmonics(pitch * (1 + 1.2 * np.exp(-30 * time)), [1.0, 0.25]) * np.exp(-11 * time)
        skin = _band(generator, time.size, 80, 500) * np.exp(-50 * time)
        return tone + 0.5 * skin

    return _finish(_repeat(generator, seconds, generator.uniform(0.22, 0.42), hit))


def rain(generator: Generator, seconds: float) -> Samples:
    """Steady hiss, strewn with drops."""
    size = _time(seconds).size
    hiss = _band(generator, size, generator.uniform(900, 1500), 7_900)

    def drop() -> Wave:
        time = _time(0.006)
        return (
            generator.uniform(0.5, 3)
            * _band(generator, time.size, 2_000, 7_500)
            * np.exp(-700 * time)
        )

    return _finish(hiss + _repeat(generator, seconds, generator.uniform(0.008, 0.02), drop, 0.9))


def dog(generator: Generator, seconds: float) -> Samples:
    """Short harsh barks: a falling buzz through a throat resonance, with breath."""
    pitch, throat = generator.uniform(230, 420), generator.uniform(900, 1400)
    length = generator.uniform(0.12, 0.19)

    def bark() -> Wave:
        time = _time(length)
        shape = np.sin(np.pi * time / length) ** 0.6
        frequency = pitch * (1 + 0.5 * np.sin(np.pi * (time / length) ** 0.7))
        loudness = [1 / (1 + ((pitch * k - throat) / 450) ** 2) for k in range(1, 13)]
        buzz = _harmonics(frequency, loudness)
        return shape * (buzz / _rms(buzz) + 0.5 * _band(generator, time.size, 500, 3_000))

    return _finish(_repeat(generator, seconds, generator.uniform(0.3, 0.55), bark, 0.25))


def engine(generator: Generator, seconds: float) -> Samples:
    """A low hum of many harmonics, throbbing, with a rumble beneath."""
    time = _time(seconds)
    idle = generator.uniform(38, 75)
    drift = 1 + 0.04 * np.sin(2 * np.pi * generator.uniform(0.2, 0.6) * time)
    tilt = generator.uniform(0.9, 1.3)
    loudness = [k**-tilt * generator.uniform(0.6, 1.4) for k in range(1, 15)]
    throb = 1 + 0.35 * np.sin(2 * np.pi * idle / 4 * time)
    hum = _harmonics(idle * drift, loudness) * throb
    return _finish(hum / _rms(hum) + 0.25 * _band(generator, time.size, 30, 700))


def whistle(generator: Generator, seconds: float) -> Samples:
    """A tune of pure high notes that glide into one another."""
    time = _time(seconds)
    root = generator.uniform(1_400, 2_000)
    note = generator.uniform(0.22, 0.4)
    scale = 2 ** (np.array([0, 2, 4, 5, 7, 9]) / 12)
    tune = root * generator.choice(scale, size=int(seconds / note) + 2)
    place = time / note
    index = place.astype(int)
    glide = np.clip((place - index) * 5, 0, 1)  # the first fifth of a note slides in
    frequency = tune[index] + (tune[index + 1] - tune[index]) * glide
    vibrato = 1 + 0.008 * np.sin(2 * np.pi * generator.uniform(4.5, 6.5) * time)
    return _finish(
        _harmonics(frequency * vibrato, [1.0, 0.03]) + 0.02 * _band(generator, time.size, 1e3, 5e3)
    )


def clock(generator: Generator, seconds: float) -> Samples:
    """Dry clicks at a steady rate, tick and tock of different pitch."""
    pitches = [pitch := generator.uniform(3_000, 4_200), pitch * generator.uniform(0.75, 0.88)]
    count = 0

    def tick() -> Wave:
        nonlocal count
        time, count = _time(0.02), count + 1
        ring = np.sin(2 * np.pi * pitches[count % 2] * time) * np.exp(-350 * time)
        return ring + 0.3 * _band(generator, time.size, 2_500, 7_500) * np.exp(-900 * time)

    return _finish(_repeat(generator, seconds, generator.uniform(0.2, 0.33), tick, 0.01))


def bird(generator: Generator, seconds: float) -> Samples:
    """Bursts of very high, very quick sweeps."""
    pitch, depth = generator.uniform(4_000, 5_200), generator.uniform(0.15, 0.35)
    upward = generator.choice([-1.0, 1.0])
    length = generator.uniform(0.05, 0.09)

    def chirp() -> Wave:
        time = _time(length)
        sweep = pitch * generator.uniform(0.9, 1.15) * (1 + upward * depth * (time / length - 0.5))
        return np.sin(np.pi * time / length) ** 2 * _harmonics(sweep, [1.0, 0.1])

    return _finish(_repeat(generator, seconds, generator.uniform(0.11, 0.2), chirp, 0.4))


def footsteps(generator: Generator, seconds: float) -> Samples:
    """Two dull scrapes a step, heel and then toe."""
    low, high = generator.uniform(180, 260), generator.uniform(900, 1_400)
    gap = round(generator.uniform(0.07, 0.11) * RATE)

    def step() -> Wave:
        time = _time(0.09)
        heel, toe = (
            _band(generator, time.size, low * k, high * k) * np.exp(-rate * time)
            for k, rate in ((1.0, 60.0), (1.6, 40.0))
        )
        return np.pad(heel, (0, gap)) + 0.45 * np.pad(toe, (gap, 0))

    return _finish(_repeat(generator, seconds, generator.uniform(0.42, 0.6), step, 0.05))


def alarm(generator: Generator, seconds: float) -> Samples:
    """Hard square-wave beeps, on and off in equal parts."""
    time = _time(seconds)
    pitch, rate = generator.uniform(950, 1_300), generator.uniform(3.0, 5.0)
    # Odd harmonics below half the sampling rate: a square wave that does not alias.
    square = _harmonics(np.full(time.size, pitch), [k % 2 / k for k in range(1, 6)])
    phase = (time * rate + generator.uniform()) % 1.0
    gate = np.clip(np.minimum(phase, 0.5 - phase) * 40, 0, 1)  # edges that do not click
    return _finish(square * gate)


def water(generator: Generator, seconds: float) -> Samples:
    """Bubbles: a crowd of short tones, each rising as its bubble nears the surface."""
    low, high = generator.uniform(350, 500), generator.uniform(900, 1_300)

    def bubble() -> Wave:
        length = generator.uniform(0.03, 0.07)
        time = _time(length)
        rise = generator.uniform(low, high) * (1 + 0.6 * time / length)
        return _harmonics(rise, [1.0]) * np.exp(-45 * time) * np.sin(np.pi * time / length)

    gurgle = _repeat(generator, seconds, generator.uniform(0.025, 0.045), bubble, 0.8)
    return _finish(gurgle + 0.01 * _band(generator, gurgle.size, 200, 3_000))


def wind(generator: Generator, seconds: float) -> Samples:
    """Low and middling noise that swells and sinks in gusts."""
    time = _time(seconds)
    gusts = np.sin(2 * np.pi * generator.uniform(0.3, 0.8) * time + generator.uniform(0, 6.28))
    rumble = _band(generator, time.size, 40, generator.uniform(250, 400))
    pitch = generator.uniform(500, 800)
    howl = _band(generator, time.size, pitch, pitch * 1.35)
    return _finish(rumble * (0.7 + 0.3 * gusts) + 0.45 * howl * (0.5 + 0.5 * gusts) ** 2)


def horn(generator: Generator, seconds: float) -> Samples:
    """Two brassy tones a third apart, held for long blasts."""
    low = generator.uniform(300, 390)
    time = _time(seconds)
    tilt = generator.uniform(0.4, 0.7)
    loudness = [k**-tilt for k in range(1, 11)]
    chord = sum(
        (_harmonics(np.full(time.size, low * k), loudness) for k in (1.0, 1.26)),
        start=np.zeros(time.size),
    )
    blast = generator.uniform(0.6, 1.1)
    phase = (time + generator.uniform(0, 0.2)) % (blast + 0.15)
    return _finish(chord * np.clip(np.minimum(phase, blast - phase) * 60, 0, 1))


def hammer(generator: Generator, seconds: float) -> Samples:
    """Blows on metal: a wideband crack and a clang that rings briefly."""
    base = generator.uniform(1_000, 1_400)
    partials = [1.0, 1.63, 2.41, 3.37, 4.3]

    def blow() -> Wave:
        time = _time(0.25)
        clang = np.sum([np.sin(2 * np.pi * base * k * time) for k in partials], axis=0)
        crack = 3.0 * _band(generator, time.size, 300, 7_900) * np.exp(-180 * time)
        return np.asarray(clang * np.exp(-22 * time) + crack, dtype=np.float64)

    return _finish(_repeat(generator, seconds, generator.uniform(0.3, 0.5), blow, 0.06))


def phone(generator: Generator, seconds: float) -> Samples:
    """Two high bell tones struck in turn some twenty times a second, in bursts."""
    time = _time(seconds)
    pitch = generator.uniform(1_900, 2_300)
    trill = (time * generator.uniform(16, 22)) % 1.0
    tones = [np.sin(2 * np.pi * pitch * k * time) for k in (1.0, 1.25)]
    over = [0.4 * np.sin(2 * np.pi * pitch * k * 1.5 * time) for k in (1.0, 1.25)]
    struck = np.exp(-2.5 * (trill * 2 % 1.0))
    ring = np.where(trill < 0.5, tones[0] + over[0], tones[1] + over[1]) * struck
    burst = generator.uniform(0.5, 0.8)
    phase = (time + generator.uniform(0, 0.2)) % (burst + 0.2)
    return _finish(ring * np.clip(np.minimum(phase, burst - phase) * 60, 0, 1))


SOUNDS: dict[str, Sound] = {
    "siren": siren,
    "bell": bell,
    "drum": drum,
    "rain": rain,
    "dog": dog,
    "engine": engine,
    "whistle": whistle,
    "clock": clock,
    "bird": bird,
    "footsteps": footsteps,
    "alarm": alarm,
    "water": water,
    "wind": wind,
    "horn": horn,
    "hammer": hammer,
    "phone": phone,
}


def _time(seconds: float) -> Wave:
    """Give the moment of each sample, in seconds; at least one sample."""
    return np.arange(max(1, round(seconds * RATE))) / RATE


def _rms(wave: Wave) -> float:
    return float(np.sqrt(np.mean(wave**2))) or 1.0


def _harmonics(frequency: Wave, loudness: list[float]) -> Wave:
    """Add sines at 1, 2, 3 … times a frequency (Hz, one a sample), each with its loudness."""
    phase = 2 * np.pi * np.cumsum(frequency) / RATE
    out = np.zeros(frequency.size)
    for number, weight in enumerate(loudness, start=1):
        if weight:
            out += weight * np.sin(number * phase)
    return out


def _band(generator: Generator, size: int, low: float, high: float) -> Wave:
    """Give noise between two frequencies in Hz, of RMS 1."""
    spectrum = np.fft.rfft(generator.standard_normal(size))
    frequency = np.fft.rfftfreq(size, 1 / RATE)
    spectrum *= (frequency >= low) & (frequency <= high)
    wave = np.fft.irfft(spectrum, size)
    return wave / _rms(wave)


def _repeat(
    generator: Generator,
    seconds: float,
    period: float,
    hit: Callable[[], Wave],
    jitter: float = 0.1,
) -> Wave:
    """Strike ``hit`` every ``period`` seconds, give or take ``jitter`` of it."""
    out = np.zeros(_time(seconds).size)
    onset = generator.uniform(0, 0.25 * period)
    while (start := int(onset * RATE)) < out.size:
        wave = hit()[: out.size - start]
        out[start : start + wave.size] += generator.uniform(0.7, 1.0) * wave
        onset += period * generator.uniform(1 - jitter, 1 + jitter)
    return out


def _finish(wave: Wave) -> Samples:
    peak = float(np.max(np.abs(wave)))
    return (wave * (PEAK / peak) if peak else wave).astype(np.float32)
