"""What a checkpoint says of the features that it was trained on: mel settings and log scale."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from capfix_cli.checkpoints.formats.tensor_info import TensorInfo
from capfix_cli.checkpoints.formats.tensor_values import Values, read_values
from capfix_cli.checkpoints.xray.initial_distributions import spread
from capfix_cli.checkpoints.xray.initial_layers import FRONT_END
from capfix_cli.checkpoints.xray.mel_bank import MelSettings, fit_mel_bank
from capfix_cli.core.thresholds import Threshold
from capfix_cli.schemas.inspection_record import Fact

Tensors = Mapping[str, TensorInfo]

LARGEST_BANK = 2**21  # numbers; 4097 bins by 256 bands is half of it
MOST_BANDS = 512
_BANK = re.compile(
    r"(^|\.)(melw|mel_?basis|mel_?fb|mel_?filters?|mel_?bank|mel_?matrix|mel_weights?"
    r"|mel_?scale\.fb|fb|fbanks?|filter_?banks?)$",
    re.IGNORECASE,
)
_KERNEL = re.compile(r"stft.*\.?(conv_real\.weight|forward_basis|weight)$", re.IGNORECASE)
_WINDOW = re.compile(r"(spec\w*|stft)\.window$", re.IGNORECASE)
# The norm over mel bands that stands before the first convolution: PANNs, HTSAT and their kin.
_BAND_NORM = re.compile(
    r"(^|\.)(bn0|bn_?mel|mel_?bn|(audio_encoder\.)?batch_norm|(in|input|spec)_?(bn|norm))"
    r"\.running_mean$",
    re.IGNORECASE,
)
DECIBELS = Threshold(
    12.8,
    "standard deviation of a band over time",
    "ours, calibrated by benchmarks/calibration/mel_settings.py: 4.2 to 9.3 in ln, 18 to 40 in "
    "dB on ESC-10; AudioSet has 4.57 in ln, 19.8 in dB (Gong et al., AST, 2021)",
)
NATURAL = Threshold(
    4.1,
    "standard deviation of a band over time",
    "ours, calibrated by benchmarks/calibration/mel_settings.py: at least 4.2 in ln of power, "
    "at most 4.0 in log10; below it several scales are possible",
)
LARGEST_MEAN = 1e30
LOUDEST = 60.0  # dB of deviation: no log scale of real sounds varies more


def read_features(
    tensors: Tensors, preprocessor: Mapping[str, Any] | None = None
) -> dict[str, Fact]:
    """State mel settings that stored filters, kernels and norms show; nothing where none is stored.

    Args:
        tensors: name -> description.
        preprocessor: the settings of a Hugging Face feature extractor, where they lie beside.

    Raises:
        CapfixError: the file cannot be read.
    """
    facts = _norm_facts(tensors)
    facts |= _kernel_facts(tensors)
    facts |= _bank_facts(tensors)
    facts |= _preprocessor_facts(preprocessor or {})
    return facts


def _shown(tensor: TensorInfo) -> str:
    return f"{tensor.name} {list(tensor.shape)}"


def _bank_facts(tensors: Tensors) -> dict[str, Fact]:
    """Facts of the first stored mel filter bank, from its shape and from its values."""
    banks = [
        tensor
        for name, tensor in tensors.items()
        if _BANK.search(name) and len(tensor.shape) == 2 and _is_bank(tensor.shape)
    ]
    if not banks:
        return {}
    bank = banks[0]
    bins, bands = max(bank.shape), min(bank.shape)
    shape = _shown(bank)
    facts = {
        "features.n_mels": Fact(bands, 0.95, (shape,)),
        "features.n_fft": Fact(2 * (bins - 1), 0.95, (f"{shape}: n_fft / 2 + 1 bins",)),
    }
    values = read_values(bank, LARGEST_BANK)
    if values is None:
        return facts | _unfitted(f"the values of {bank.name} cannot be read")
    fits = fit_mel_bank(values if bank.shape[0] == bins else values.T)
    if not fits:
        return facts | _unfitted(f"no usual settings give the values of {bank.name}")
    return facts | _fitted(bank.name, fits)


def _is_bank(shape: tuple[int, ...]) -> bool:
    bins, bands = max(shape), min(shape)
    return 2 <= bands <= MOST_BANDS and bins > bands and bins % 2 == 1


def _unfitted(why: str) -> dict[str, Fact]:
    ids = ("features.sample-rate", "features.f_min", "features.f_max", "features.mel-scale")
    return {name: Fact(None, 0.0, (why,)) for name in ids}


def _fitted(name: str, fits: list[MelSettings]) -> dict[str, Fact]:
    def fact(values: list[str | int | float], *more: str) -> Fact:
        distinct = list(dict.fromkeys(values))
        if len(distinct) == 1:
            return Fact(distinct[0], 0.95, (f"the values of {name}", *more))
        several = " or ".join(map(str, distinct[:4]))
        return Fact(None, 0.0, (f"{name} fits {several}",))

    area = {fit.by_area for fit in fits}
    norm = [] if len(area) > 1 else ["filters of equal area" if True in area else "peaks of 1"]
    return {
        "features.sample-rate": fact([fit.sample_rate for fit in fits]),
        "features.f_min": fact([fit.f_min for fit in fits]),
        "features.f_max": fact([fit.f_max for fit in fits]),
        "features.mel-scale": fact([fit.scale for fit in fits], *norm),
    }


def _kernel_facts(tensors: Tensors) -> dict[str, Fact]:
    """The length of the transform, from a spectrogram computed as a convolution."""
    windows = [t for n, t in tensors.items() if _WINDOW.search(n) and len(t.shape) == 1]
    window = [f"{_shown(t)}: the window" for t in windows[:1]]
    for name, tensor in tensors.items():
        if not _KERNEL.search(name) or len(tensor.shape) != 3 or tensor.shape[1] != 1:
            continue
        length = tensor.shape[2]
        # Real and imaginary parts lie in two kernels or, one below the other, in one.
        if length > 1 and tensor.shape[0] in {length // 2 + 1, length + 2}:
            return {"features.n_fft": Fact(length, 0.95, (_shown(tensor), *window))}
    return {}


def _norm_facts(tensors: Tensors) -> dict[str, Fact]:
    """What the running statistics of a norm over mel bands say of the features."""
    name = next((n for n, t in tensors.items() if _BAND_NORM.search(n) and len(t.shape) == 1), None)
    if name is None:
        return {}
    if _is_late(tensors, name):
        return {}
    mean, variance = tensors[name], tensors.get(name.replace("running_mean", "running_var"))
    if variance is None or variance.shape != mean.shape or not 2 <= mean.elements <= MOST_BANDS:
        return {}
    facts = {"features.n_mels": Fact(mean.elements, 0.6, (f"{_shown(mean)}, if it is over bands",))}
    means, variances = read_values(mean, MOST_BANDS), read_values(variance, MOST_BANDS)
    if means is None or variances is None or not _updated(means, variances):
        return facts
    centre, deviation = float(np.mean(means)), spread(np.sqrt(variances))
    why = f"{mean.name} and running_var, over {mean.elements} bands"
    return facts | {
        "features.bn-mean": Fact(round(centre, 3), 0.9, (why,)),
        "features.bn-std": Fact(round(deviation, 3), 0.9, (why,)),
        "features.log-scale": _log_scale(deviation),
    }


def _is_late(tensors: Tensors, name: str) -> bool:
    """Say whether layers stand before a norm of any name: it is over what they give, not bands."""
    if "batch_norm" not in name:
        return False
    before = itertools.takewhile(lambda other: other != name, tensors)
    return any(
        len(tensors[other].shape) > 1 and not FRONT_END.search(other) and not _BANK.search(other)
        for other in before
    )


def _updated(means: Values, variances: Values) -> bool:
    finite = np.all(np.isfinite(means)) and np.all(np.isfinite(variances))
    fresh = not np.any(means) and np.all(variances == 1)
    # Sums of larger numbers than these need not be finite, and are no features.
    sane = finite and np.all(variances >= 0) and np.max(np.abs(means)) < LARGEST_MEAN
    return bool(sane and not fresh)


def _log_scale(deviation: float) -> Fact:
    found = f"bands vary by {deviation:.3g}"
    if DECIBELS.value <= deviation <= LOUDEST:
        return Fact("dB", 0.8, (found, "real sounds by 18 to 40 in dB, 9.3 at most in ln"))
    if NATURAL.value <= deviation < DECIBELS.value:
        return Fact("ln", 0.6, (found, "real sounds by 4.2 to 9.3 in ln, 4.0 at most in log10"))
    why = "no log scale of real sounds does"
    if deviation < NATURAL.value:
        why = "log10, ln of magnitudes and standardised features may vary so"
    return Fact(None, 0.0, (found, why))


_PREPROCESSOR = {
    "features.n_mels": ("num_mel_bins", "n_mels", "feature_size"),
    "features.n_fft": ("n_fft", "fft_window_size"),
    "features.sample-rate": ("sampling_rate",),
    "features.f_min": ("frequency_min",),
    "features.f_max": ("frequency_max",),
}


def _preprocessor_facts(settings: Mapping[str, Any]) -> dict[str, Fact]:
    """What a Hugging Face feature extractor is set to; a size of 1 is the waveform's."""
    facts = {}
    for fact, keys in _PREPROCESSOR.items():
        key = next((key for key in keys if type(settings.get(key)) in {int, float}), None)
        if key is not None and (fact != "features.n_mels" or settings[key] > 1):
            why = f"{key} in preprocessor_config.json"
            facts[fact] = Fact(settings[key], 0.95, (why,))
    return facts
