"""Initial distributions of weights, and whether a sample comes from one."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from capfix_cli.checkpoints.formats.tensor_info import TensorInfo
from capfix_cli.checkpoints.formats.tensor_values import Values
from capfix_cli.core.thresholds import Threshold

FEWEST_VALUES = Threshold(
    512,
    "values",
    "ours, calibrated by benchmarks/calibration/untrained_weights.py: of n values, training "
    "that moves weights by a share d of their bound pushes n d / 2 past it; of 512, at d = "
    "0.05, none once in e^12",
)
EDGE = Threshold(
    20.0,
    "expected values between a sample's largest and the bound",
    "of n uniform values the largest falls short of the bound by 20/n of it once in e^20",
)
DISTANCE = Threshold(
    2.69,
    "Kolmogorov distance times sqrt(n)",
    "P(sqrt(n) D > c) <= 2 exp(-2 c^2) for every n (P. Massart, 1990): one in a million",
)
SPREAD = Threshold(
    6.0,
    "standard errors of a standard deviation, 1/sqrt(2 n) of it each",
    "a normal sample lies further from it twice in a billion; it only spares the slower test",
)
ROUND_BOUNDS = (0.1, 0.08, 0.05)  # of hand-written init_weights methods
ROUND_DEVIATIONS = (0.02, 0.01)  # 0.02: BERT's, and Hugging Face's initializer_range


def kolmogorov_distance(values: Values, cumulative: Values) -> float:
    """Largest distance between a sample's distribution and a given one (A. Kolmogorov, 1933).

    Args:
        values: [n], sorted.
        cumulative: [n], the given distribution function at each value.

    Returns:
        in [0, 1].
    """
    count = len(values)
    steps = np.arange(count + 1) / count
    above = np.max(steps[1:] - cumulative, initial=0.0)
    below = np.max(cumulative - steps[:-1], initial=0.0)
    return float(max(above, below))


def uniform_cumulative(values: Values, bound: float) -> Values:
    """P(X <= x) for X uniform within ``bound`` of 0."""
    cumulative: Values = np.clip((values / bound + 1) / 2, 0, 1)
    return cumulative


def normal_cumulative(values: Values, deviation: float) -> Values:
    """P(X <= x) for X normal around 0."""
    scaled = values / (deviation * math.sqrt(2))
    return np.array([0.5 * (1 + math.erf(x)) for x in scaled])


def spread(values: Values) -> float:
    """Root of the mean square: the standard deviation around 0. [n] -> a number."""
    largest = float(np.max(np.abs(values), initial=0.0))
    if not 0 < largest < math.inf:
        return largest
    # Squares of what float64 can hold overflow; those of shares of the largest do not.
    return largest * math.sqrt(float(np.mean(np.square(values / largest))))


def is_uniform(ordered: Values, bound: float, precision: float) -> bool:
    """Say whether a sample is uniform within ``bound`` of 0, edge and shape both.

    Args:
        ordered: [n], ascending.
        bound: in the unit of the values.
        precision: of the kind of number that they were stored in, relative.
    """
    count = len(ordered)
    largest = float(max(-ordered[0], ordered[-1])) / bound
    if not 1 - EDGE.value / count - precision <= largest <= 1 + precision:
        return False
    distance = kolmogorov_distance(ordered, uniform_cumulative(ordered, bound))
    return distance * math.sqrt(count) <= DISTANCE.value


def is_normal(ordered: Values, deviation: float) -> bool:
    """Say whether a sample, ascending, is normal around 0 with that standard deviation."""
    count = len(ordered)
    measured = spread(ordered)
    if count < FEWEST_VALUES.value or not 0 < deviation < math.inf:
        return False
    if abs(measured / deviation - 1) > SPREAD.value / math.sqrt(2 * count):
        return False
    distance = kolmogorov_distance(ordered, normal_cumulative(ordered, deviation))
    return distance * math.sqrt(count) <= DISTANCE.value


def fans(tensor: TensorInfo) -> tuple[int, int]:
    """Inputs and outputs of one unit, as torch.nn.init counts them: the kernel's size included."""
    kernel = math.prod(tensor.shape[2:])
    return tensor.shape[1] * kernel, tensor.shape[0] * kernel


def own_bound(tensor: TensorInfo) -> float:
    """PyTorch's own bound of Linear, Conv and their biases: 1 / sqrt(fan_in)."""
    return 1 / math.sqrt(fans(tensor)[0])


def uniform_bounds(tensor: TensorInfo) -> Iterator[tuple[float, str]]:
    """Bounds of the usual uniform initialisations, with what they are."""
    inputs, outputs = fans(tensor)
    leaf = tensor.name.rpartition(".")[2]
    if leaf.startswith(("weight_ih", "weight_hh")):
        # Gates are stacked: three in a GRU, four in an LSTM, one in a plain RNN.
        for gates in (3, 4, 1):
            if tensor.shape[0] % gates == 0:
                yield 1 / math.sqrt(tensor.shape[0] // gates), "PyTorch's recurrent default"
    else:
        yield 1 / math.sqrt(inputs), "PyTorch's default"
    yield math.sqrt(6 / (inputs + outputs)), "Xavier's (Glorot and Bengio, 2010)"
    yield math.sqrt(6 / inputs), "Kaiming's (He et al., 2015)"
    yield math.sqrt(6 / outputs), "Kaiming's (He et al., 2015)"
    for bound in ROUND_BOUNDS:
        yield bound, "set by hand"


def normal_deviations(tensor: TensorInfo) -> Iterator[tuple[float, str]]:
    """Deviations of the usual normal initialisations, with what they are."""
    inputs, outputs = fans(tensor)
    for deviation in ROUND_DEVIATIONS:
        yield deviation, "as in BERT" if deviation == 0.02 else "set by hand"
    yield math.sqrt(2 / (inputs + outputs)), "Xavier's (Glorot and Bengio, 2010)"
    yield math.sqrt(2 / inputs), "Kaiming's (He et al., 2015)"
    yield math.sqrt(2 / outputs), "Kaiming's (He et al., 2015)"
