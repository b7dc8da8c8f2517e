"""Which layers still hold the values that they were created with.

A layer that was never trained, or whose weights were not loaded, is exactly as its constructor left
it: norms at 1 and 0, running statistics at 0 and 1, weights at a known distribution. Uniform ones
have a sharp edge, which the first step of training blurs; normal ones have none, so they count only
beside biases at exactly 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from capfix_cli.checkpoints.formats.tensor_info import TensorInfo
from capfix_cli.checkpoints.formats.tensor_values import (
    MOST_VALUES,
    PRECISION,
    Values,
    sample_values,
)
from capfix_cli.checkpoints.xray.initial_distributions import (
    FEWEST_VALUES,
    ROUND_DEVIATIONS,
    is_normal,
    is_uniform,
    normal_deviations,
    own_bound,
    spread,
    uniform_bounds,
)

Tensors = Mapping[str, TensorInfo]
State = Literal["initial", "changed", "unjudged"]
STATES: tuple[State, ...] = ("initial", "changed", "unjudged")

MOST_DRY_RUNS = 3  # batches that constructors run to learn a shape; an epoch of training has more
ALL_VALUES = 2**24  # of all layers together: 128 MB read in turn, seconds

_NORM = re.compile(r"norm|(^|[._])(bn|ln)[\d_]*$", re.IGNORECASE)
_TABLE = re.compile(r"emb|wte|wpe|shared$|lookup|pos_|position", re.IGNORECASE)
# Fixed by formulas, not trained: spectrograms, mel filters.
FRONT_END = re.compile(
    r"stft|spectrogram|logmel|mel_?scale|mel_?spec|melw|mel_basis|filter_?bank", re.IGNORECASE
)
_WEIGHT = re.compile(
    r"^(weight|weight_[ih]h(_l\d+)?(_reverse)?|in_proj_weight|[qkv]_proj_weight|gamma)$"
)
_BIASES = {"weight": "bias", "in_proj_weight": "in_proj_bias", "gamma": "beta"}


@dataclass(frozen=True)
class Layer:
    """What the values of one layer say.

    Attributes:
        name: dotted place of the module.
        kind: ``norm``, ``weights``, or ``table`` for embeddings, whose rare rows training may
            leave as they were.
        state: ``initial``, ``changed``, or ``unjudged`` where there are too few values.
        why: in words.
    """

    name: str
    kind: Literal["norm", "weights", "table"]
    state: State
    why: str


def read_layers(tensors: Tensors) -> list[Layer]:
    """Judge every layer whose values can be read.

    Args:
        tensors: name -> description.

    Returns:
        layers in the order of the file; shared weights once, spectrogram and mel filters left out.

    Raises:
        CapfixError: the file cannot be read.
    """
    modules: dict[str, dict[str, TensorInfo]] = {}
    seen: set[object] = set()
    for name, tensor in tensors.items():
        module, _, leaf = name.rpartition(".")
        tied = tensor.location is not None and tensor.elements > 1 and tensor.location in seen
        if FRONT_END.search(name) or tied:
            continue
        seen.add(tensor.location)
        modules.setdefault(module, {})[leaf] = tensor
    weights = sum(any(map(_WEIGHT.match, leaves)) for leaves in modules.values())
    most = min(MOST_VALUES, ALL_VALUES // max(1, weights))
    layers = []
    for module, leaves in modules.items():
        layer = _layer(module, leaves, most)
        if layer is not None:
            layers.append(layer)
    return layers


def _layer(module: str, leaves: Mapping[str, TensorInfo], most: int) -> Layer | None:
    if "running_mean" in leaves or "running_var" in leaves:
        return _batch_norm(module, leaves, most)
    matrices = {n: t for n, t in leaves.items() if _WEIGHT.match(n) and len(t.shape) > 1}
    if matrices:
        return _weights(module, leaves, matrices, most)
    return _norm(module, leaves, most)


def _constant(tensor: TensorInfo | None, value: float, most: int) -> bool | None:
    """Say whether all values are one number; None where they cannot be read or there are none."""
    values = None if tensor is None else sample_values(tensor, most)
    return None if values is None or not len(values) else bool(np.all(values == value))


def _batch_norm(module: str, leaves: Mapping[str, TensorInfo], most: int) -> Layer | None:
    mean, variance = leaves.get("running_mean"), leaves.get("running_var")
    unmoved = _constant(mean, 0.0, most), _constant(variance, 1.0, most)
    if None in unmoved:
        return None
    scale = _constant(leaves.get("weight"), 1.0, most)
    shift = _constant(leaves.get("bias"), 0.0, most)
    batches = leaves.get("num_batches_tracked")
    if not all(unmoved) and scale and shift and _at_most(batches, MOST_DRY_RUNS):
        return Layer(module, "norm", "initial", "exactly 1 and 0, after a dry run or two")
    none = ", no batch tracked" if _constant(batches, 0.0, most) else ""
    if all(unmoved) and scale is not False and shift is not False:
        return Layer(module, "norm", "initial", f"running mean 0 and variance 1{none}")
    if all(unmoved):
        why = f"scale and shift were trained, but no running statistics taken{none}"
        return Layer(module, "norm", "changed", why)
    return Layer(module, "norm", "changed", "running statistics were taken")


def _at_most(tensor: TensorInfo | None, most: float) -> bool:
    values = None if tensor is None else sample_values(tensor, 1)
    return values is not None and len(values) == 1 and 0 < values[0] <= most


def _norm(module: str, leaves: Mapping[str, TensorInfo], most: int) -> Layer | None:
    scale = leaves.get("weight", leaves.get("gamma"))
    shift = leaves.get("bias", leaves.get("beta"))
    if scale is None or len(scale.shape) != 1 or scale.elements < 2:
        return None
    if not _NORM.search(module) and (shift is None or shift.shape != scale.shape):
        return None
    return _scale_and_shift(module, scale, shift, most)


def _scale_and_shift(
    module: str, scale: TensorInfo, shift: TensorInfo | None, most: int
) -> Layer | None:
    ones, zeros = _constant(scale, 1.0, most), _constant(shift, 0.0, most)
    if ones is None:
        return None
    if zeros is None and ones and PRECISION.get(scale.dtype, 1.0) > PRECISION["float32"]:
        # Small steps from 1 round to 1, and there is no shift to show them.
        return Layer(module, "norm", "unjudged", f"1 in {scale.dtype}, without a shift")
    if zeros is not False and ones:
        return Layer(module, "norm", "initial", "exactly 1" + (" and 0" if zeros else ""))
    if zeros and _constant(scale, 0.0, most):
        return Layer(module, "norm", "initial", "exactly 0, as the last norm of a residual path")
    return Layer(module, "norm", "changed", "away from 1 and 0")


def _weights(
    module: str,
    leaves: Mapping[str, TensorInfo],
    matrices: Mapping[str, TensorInfo],
    most: int,
) -> Layer | None:
    table = all(len(t.shape) == 2 for t in matrices.values()) and (
        bool(_TABLE.search(module)) or _is_fresh_table(leaves, most)
    )
    kind: Literal["weights", "table"] = "table" if table else "weights"
    reasons: dict[State, str] = {}
    for leaf, tensor in matrices.items():
        values = sample_values(tensor, most)
        if values is None or not len(values):
            continue
        state = _plain_state(tensor, values)
        if state is None and table:
            state = _table_state(values)
        elif state is None:
            bias = leaves.get(_BIASES.get(leaf, leaf.replace("weight", "bias")))
            biases = None if bias is None else sample_values(bias, most)
            state = _weights_state(tensor, values, biases)
        reasons.setdefault(*state)
    # All matrices of a layer are trained together: one that was not says that none was.
    best = next((s for s in STATES if s in reasons), None)
    return None if best is None else Layer(module, kind, best, reasons[best])


def _plain_state(tensor: TensorInfo, values: Values) -> tuple[State, str] | None:
    """Say what needs no distribution; None where one must be looked at."""
    if not np.all(np.isfinite(values)):
        return "changed", "not all values are finite"
    if not np.any(values):
        return "initial", "all 0"
    if len(values) < FEWEST_VALUES.value:
        return "unjudged", f"only {len(values)} values"
    return None if tensor.dtype in PRECISION else ("unjudged", f"values are {tensor.dtype}")


def _is_fresh_table(leaves: Mapping[str, TensorInfo], most: int) -> bool:
    """Say whether a lone matrix is normal with deviation 1: PyTorch makes only embeddings so."""
    values = sample_values(leaves["weight"], most) if set(leaves) == {"weight"} else None
    return values is not None and is_normal(np.sort(values[values != 0]), 1.0)


def _table_state(values: Values) -> tuple[State, str]:
    ordered = np.sort(values[values != 0])  # the row of padding is 0
    for deviation in (1.0, *ROUND_DEVIATIONS):
        if is_normal(ordered, deviation):
            return "initial", f"normal with deviation {deviation:g}"
    return "changed", "no usual initial distribution"


def _weights_state(tensor: TensorInfo, values: Values, biases: Values | None) -> tuple[State, str]:
    ordered = np.sort(values)
    precision = PRECISION[tensor.dtype]
    zero = biases is not None and not np.any(biases)
    largest_bias = 0.0 if biases is None else float(np.max(np.abs(biases), initial=0.0))
    for bound, what in uniform_bounds(tensor):
        # Where only the weights were set by hand, the bias keeps PyTorch's own bound.
        widest = max(bound, own_bound(tensor)) * (1 + precision)
        if largest_bias <= widest and is_uniform(ordered, bound, precision):
            return "initial", f"uniform within {bound:.3g}, {what}"
    largest = float(max(-ordered[0], ordered[-1]))
    changed: tuple[State, str] = "changed", f"no usual initial distribution, largest {largest:.3g}"
    if largest_bias > own_bound(tensor) * (1 + precision):
        return changed
    for deviation, what in normal_deviations(tensor):
        if is_normal(ordered, deviation):
            if zero:
                return "initial", f"normal with deviation {deviation:.3g}, {what}, and bias 0"
            return "unjudged", f"normal with deviation {deviation:.3g}, {what}, but no bias at 0"
    measured = spread(ordered)
    if (biases is None or zero) and is_normal(ordered, measured):
        # Trained weights can look so as well, and there is no bias that moved.
        return "unjudged", f"normal with deviation {measured:.3g}, and no bias that moved"
    return changed
