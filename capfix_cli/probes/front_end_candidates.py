"""The usual front ends, as changes that undo having used another: what a search tries."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator

import torch
from torch import Tensor

from capfix_cli.probes.front_ends import Change, FrontEnd, Statistics

RATES = (16_000, 32_000, 44_100, 48_000, 22_050, 24_000, 8_000)  # Hz, the usual first
FULL_SCALE = 32_768.0  # of 16-bit audio read as integers
FLOOR = 1e-10  # below which power counts as silence where logarithms are taken
LN10 = math.log(10)
# Between logarithms (.76 at most) and magnitudes (1.6 at least; power 3.4) of 64 clips of ESC-10.
SKEWED = 1.2
MOST_LOGARITHM = 200.0  # no logarithm of power is larger, not even in dB of 16-bit samples


# Deviations per deviation of the ln of power.
_WHISPER = "log10 of power normalised as Whisper's"
UNITS = {
    "ln of power": 1.0,
    "log10 of power": 1 / LN10,
    "dB": 10 / LN10,
    "ln of magnitude": 0.5,
    _WHISPER: 0.25 / LN10,
}
# The nearest two, log10 of power and ln of magnitude, are .14 apart in ln.
NEAR, FAR = 0.07, 0.35


def _told(slope: float | None) -> Collection[str]:
    """Name the units that features of this slope may have; where none is near, those not far."""
    if slope is None or slope <= 0:
        return UNITS
    off = {name: abs(math.log(slope / unit)) for name, unit in UNITS.items()}
    least = NEAR if min(off.values()) < NEAR else FAR
    return [name for name, value in off.items() if value < least]


def _scaled(factor: float) -> Change:
    return lambda x: factor * x


# expected, used, factor: units of the logarithm per unit of it.
_RATIOS = (
    ("ln of power", "log10 of power", LN10),
    ("log10 of power", "ln of power", 1 / LN10),
    ("dB", "ln of power", 10 / LN10),
    ("ln of power", "dB", LN10 / 10),
    ("dB", "log10 of power", 10.0),
    ("log10 of power", "dB", 0.1),
    ("ln of power", "ln of magnitude", 2.0),
    ("ln of magnitude", "ln of power", 0.5),
    ("dB", "ln of magnitude", 20 / LN10),
    ("ln of magnitude", "dB", LN10 / 20),
    ("log10 of power", "ln of magnitude", 2 / LN10),
    ("ln of magnitude", "log10 of power", LN10 / 2),
)


def feature_candidates(known: Statistics) -> Iterator[FrontEnd]:
    """List the changes of features that undo a usual mistake, the simplest first.

    What the features are now is told by the clips themselves, where their ln-mel could be had:
    mistakes that would have made other features of them are left out.
    """
    if known.least < 0 or known.most < MOST_LOGARITHM:
        for front in (*_between_logarithms(), *_whispers(), *_to_power()):
            if front.used not in UNITS or front.used in _told(known.slope):
                yield front
    if known.least >= 0:
        yield from _from_power()
    yield from standardised_candidates(known)
    yield from _logarithm_before(known)


def _logarithm_before(known: Statistics) -> Iterator[FrontEnd]:
    """Undo a normalisation of power, take the logarithm that was left out, and normalise again.

    Power and magnitude are skewed, logarithms hardly, however they are normalised.
    """
    if known.least >= 0 or known.skew < SKEWED:
        return

    def again(floor: float, over: tuple[int, ...]) -> Change:
        def change(x: Tensor) -> Tensor:
            power = x - x.amin(over, keepdim=True)
            found = (power + floor * power.mean() + 1e-12).log()
            return (found - found.mean(over, keepdim=True)) / found.std().clamp_min(1e-6)

        return change

    for over, where in (((0, 1), "over the training set"), ((1,), "over each clip")):
        for floor in (1e-2, 1e-4):
            yield _scale(
                f"ln of power, then normalised {where}",
                "power normalised without a logarithm",
                f"features = normalise(mel.clamp_min(1e-6).log())  # each band {where}",
                again(floor, over),
            )


def _scale(
    expected: str, used: str, line: str, change: Change | None, waveform: float = 1.0
) -> FrontEnd:
    return FrontEnd("input.feature-scale", expected, used, line, waveform, change)


def _between_logarithms() -> Iterator[FrontEnd]:
    for loud, words in ((1.0, ""), (FULL_SCALE, "x32768"), (1 / FULL_SCALE, "/32768")):
        hint = f"scale the samples first (waveform {words}: {_RANGE[words]})" if words else ""
        if words:
            more = {"x32768": ("samples up to 32768", "samples up to 1")}
            expected, used = more.get(words, ("samples up to 1", "samples up to 32768"))
            yield _scale(expected, used, hint, None, loud)
        for expected, used, factor in _RATIOS:
            line = f"features = {factor:.6g} * features  # {expected} instead of {used}"
            if words:
                name = f"{expected} of samples {words}"
                yield _scale(name, used, f"{hint}; {line}", _scaled(factor), loud)
            else:
                yield _scale(expected, used, line, _scaled(factor))


# Features per unit of log10 of power.
_LOGARITHMS = (("ln of power", LN10), ("log10 of power", 1.0), ("dB", 10.0))


def _whispers() -> Iterator[FrontEnd]:
    """Whisper's normalised log10: at most eight below a clip's loudest, then (x + 4) / 4."""

    def normalised(unit: float) -> Change:
        def change(x: Tensor) -> Tensor:
            found = x / unit
            return (torch.maximum(found, found.amax((1, 2), keepdim=True) - 8) + 4) / 4

        return change

    def plain(unit: float) -> Change:
        return lambda x: unit * (4 * x - 4)

    for name, unit in _LOGARITHMS:
        part = f"features / {unit:.6g}" if unit != 1 else "features"
        yield _scale(
            _WHISPER,
            name,
            f"features = ({part} + 4) / 4  # at most 8 below each clip's largest {part}",
            normalised(unit),
        )
    for name, unit in _LOGARITHMS:
        factor = f"{unit:.6g} * " if unit != 1 else ""
        yield _scale(
            name,
            _WHISPER,
            f"features = {factor}(4 * features - 4)  # {name}",
            plain(unit),
        )


_RANGE = {"x32768": "int16 range, as training had it", "/32768": "[-1, 1], as training had it"}


def _to_power() -> Iterator[FrontEnd]:
    yield _scale(
        "power, no logarithm",
        "ln of power",
        "features = mel  # leave torch.log away",
        torch.exp,
    )
    yield _scale(
        "power, no logarithm",
        "log10 of power",
        "features = mel  # leave torch.log10 away",
        lambda x: torch.exp(LN10 * x),
    )
    yield _scale(
        "power, no logarithm",
        "dB",
        "features = mel  # leave the conversion to dB away",
        lambda x: torch.exp(LN10 / 10 * x),
    )
    yield _scale(
        "magnitude, no logarithm",
        "ln of power",
        "features = mel.sqrt()  # leave torch.log away",
        lambda x: torch.exp(x / 2),
    )
    yield _scale(
        "power, no logarithm",
        "ln of magnitude",
        "features = mel ** 2  # leave torch.log away",
        lambda x: torch.exp(2 * x),
    )
    for words, loud in (("x32768", FULL_SCALE), ("/32768", 1 / FULL_SCALE)):
        yield _scale(
            f"power of samples {words}, no logarithm",
            "ln of power",
            f"waveform {words} ({_RANGE[words]}); features = mel  # leave torch.log away",
            torch.exp,
            loud,
        )


def _from_power() -> Iterator[FrontEnd]:
    def log(factor: float, floor: float) -> Change:
        return lambda x: factor * x.clamp_min(floor).log()

    for floor in (FLOOR, 1e-6, 1e-5):
        for loud, words in ((1.0, ""), (FULL_SCALE, " of samples x32768")):
            of = f".clamp_min({floor:g})"
            yield _scale(
                f"ln of power{words}",
                "power, no logarithm",
                f"features = mel{of}.log()",
                log(1.0, floor),
                loud,
            )
            yield _scale(
                f"log10 of power{words}",
                "power, no logarithm",
                f"features = mel{of}.log10()",
                log(1 / LN10, floor),
                loud,
            )
            yield _scale(
                f"dB{words}",
                "power, no logarithm",
                f"features = 10 * mel{of}.log10()",
                log(10 / LN10, floor),
                loud,
            )
            yield _scale(
                f"ln of magnitude{words}",
                "power, no logarithm",
                f"features = mel{of}.sqrt().log()",
                log(0.5, floor),
                loud,
            )
    yield _scale(
        "magnitude, no logarithm",
        "power, no logarithm",
        "features = mel.sqrt()  # power=1 in the spectrogram",
        lambda x: x.clamp_min(0).sqrt(),
    )
    yield _scale(
        "power, no logarithm",
        "magnitude, no logarithm",
        "features = mel ** 2  # power=2 in the spectrogram",
        lambda x: x**2,
    )
    yield _scale(
        "samples up to 32768", "samples up to 1", "waveform = 32768 * waveform", None, FULL_SCALE
    )


def standardised_candidates(known: Statistics) -> Iterator[FrontEnd]:
    """List the ways of standardising features by their own moments."""
    mean, deviation = known.mean, known.deviation
    logarithm: Change = lambda x: x  # noqa: E731
    if known.least >= 0:
        logarithm = lambda x: x.clamp_min(1e-6).log()  # noqa: E731
    else:
        yield _scale(
            "standardised features",
            "features as they are",
            f"features = (features - {mean:.4g}) / {deviation:.4g}  # the training set's own",
            lambda x: (x - mean) / deviation,
        )
        yield _scale(
            "standardised features, halved",
            "features as they are",
            f"features = (features - {mean:.4g}) / (2 * {deviation:.4g})",
            lambda x: (x - mean) / (2 * deviation),
        )
        yield _scale(
            "features standardised band by band",
            "features as they are",
            "features = (features - mean) / deviation  # of each band, over the training set",
            lambda x: (x - x.mean((0, 1), True)) / x.std((0, 1), keepdim=True).clamp_min(1e-6),
        )
        yield _scale(
            "features standardised clip by clip",
            "features as they are",
            "features = (features - features.mean((1, 2), True)) / features.std((1, 2), True)",
            lambda x: (x - x.mean((1, 2), True)) / x.std((1, 2), keepdim=True).clamp_min(1e-6),
        )
    if known.least >= 0:
        yield _scale(
            "standardised ln of power",
            "power, no logarithm",
            "features = mel.clamp_min(1e-6).log(); features = (features - mean) / deviation",
            lambda x: (logarithm(x) - logarithm(x).mean()) / logarithm(x).std(),
        )
    elif known.ln_mel is not None:
        centre, width = known.ln_mel
        yield _scale(
            "power, no logarithm",
            "standardised features",
            "features = mel  # leave the logarithm and the standardisation away",
            lambda x: torch.exp((x - mean) / deviation * width + centre),
        )
    if known.expected is not None and known.most < MOST_LOGARITHM:
        to, by = known.expected
        factor = by / deviation
        yield FrontEnd(
            "input.feature-scale",
            f"features of mean {to:.3g} and deviation {by:.3g}",
            f"features of mean {mean:.3g} and deviation {deviation:.3g} (standardised?)",
            f"features = {factor:.4g} * features + {to - factor * mean:.4g}"
            "  # as the first BatchNorm remembers them",
            features=lambda x: factor * (x - mean) + to,
            fitted=True,
        )


def waveform_candidates() -> Iterator[FrontEnd]:
    """List the changes of samples, for captioners whose features cannot be had apart."""
    yield _scale(
        "samples up to 32768", "samples up to 1", "waveform = 32768 * waveform", None, FULL_SCALE
    )
    yield _scale(
        "samples up to 1",
        "samples up to 32768",
        "waveform = waveform / 32768",
        None,
        1 / FULL_SCALE,
    )


def rate_candidates(rate: int) -> Iterator[FrontEnd]:
    """List the other usual sample rates."""
    for other in RATES:
        if other != rate:
            yield FrontEnd(
                "input.sample-rate",
                f"audio at {other} Hz",
                f"audio at {rate} Hz",
                f"sample_rate = {other}  # instead of {rate}",
                rate=other,
            )
