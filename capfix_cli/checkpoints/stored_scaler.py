"""Scalers beside the weights: what the features of training were standardised by."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from capfix_cli.checkpoints.formats.checkpoint_content import Content, key_name
from capfix_cli.checkpoints.formats.checkpoint_folder import read_whole
from capfix_cli.checkpoints.formats.tensor_info import TensorInfo
from capfix_cli.checkpoints.formats.tensor_values import read_values
from capfix_cli.checkpoints.safe_pickle.safe_unpickler import Stub
from capfix_cli.checkpoints.safe_pickle.stub_arrays import plain_numbers
from capfix_cli.checkpoints.safe_pickle.stub_contents import attributes_of, class_of, mapping_of
from capfix_cli.core.errors import CapfixError
from capfix_cli.schemas.inspection_record import Fact

if TYPE_CHECKING:  # inspecting loads no torch: it would take more memory than the file
    from torch import Tensor

Numbers = NDArray[np.float64]

DEEPEST = 6  # levels below which none is sought
MOST_NUMBERS = 2**16  # of one scaler: mel bands, VGGish's 128, an fc7's 4096
# A mean and what is divided by, wherever they stand in a name: mel_mean, std_, feature.sigma.
_MEAN = re.compile(r"(?<![a-z])(mean|mu|avg)(?![a-z])|(?<=[a-z])(?<!running)(Mean)$")
_PARTNERS = ("std", "stds", "stddev", "sigma", "std_dev", "deviation", "scale", "Std")
_SKLEARN = {"StandardScaler", "MinMaxScaler", "RobustScaler", "MaxAbsScaler"}


@dataclass(frozen=True)
class StoredScaler:
    """``(features - mean) / scale``, as training did it.

    Attributes:
        place: where in the checkpoint it lies.
        kind: its class, or ``mean and deviation``.
        mean: [F], or [1] for all numbers of a frame together.
        scale: [F] or [1], what is divided by.
    """

    place: str
    kind: str
    mean: Numbers
    scale: Numbers

    def __call__(self, features: Tensor) -> Tensor:
        """Scale features [..., F]."""
        mean, scale = (features.new_tensor(part) for part in (self.mean, self.scale))
        return (features - mean) / scale

    def __str__(self) -> str:
        """Say what it is: ``StandardScaler of 64 numbers``."""
        count = len(self.mean)
        return f"{self.kind} of {count:,} number{'s' if count > 1 else ''}"


def load_scaler(checkpoint: str, place: str | None = None) -> StoredScaler:
    """Read the scaler that lies beside the weights; nothing in the file is executed.

    Args:
        checkpoint: a checkpoint, or a pickled scaler.
        place: which one, where there are several; ``capfix inspect`` shows their places.

    Raises:
        CapfixError: unreadable, none there, or several and no place.
    """
    found = find_scalers(read_whole(checkpoint))
    chosen = [one for one in found if place is None or one.place == place]
    if len(chosen) == 1:
        return chosen[0]
    places = ", ".join(one.place for one in found)
    if not found:
        raise CapfixError(
            f"{checkpoint} holds no scaler that can be read.",
            "Scale the features as training did: (features - mean) / deviation.",
        )
    raise CapfixError(f"{checkpoint} holds scalers at {places}.", "Name one: place=...")


def scaler_facts(content: Content) -> dict[str, Fact]:
    """State ``features.scaler`` where something scales features; nothing where nothing does."""
    found = find_scalers(content)
    if not found:
        return {}
    first = found[0]
    low, high = float(first.mean.min()), float(first.mean.max())
    least, most = float(first.scale.min()), float(first.scale.max())
    why = (
        f"{first.place}: mean {low:.3g} to {high:.3g}, divided by {least:.3g} to {most:.3g}",
        *(f"{one} at {one.place} too" for one in found[1:3]),
    )
    return {"features.scaler": Fact(str(first), 0.9, why)}


def find_scalers(content: Content) -> list[StoredScaler]:
    """Find every scaler of a checkpoint, in its settings and among its tensors."""
    beside = list(_in_settings(content.value, "", 0, set()))
    tensors = {name: t for name, t in content.tensors.items() if t.elements <= MOST_NUMBERS}
    pairs = _pairs(tensors, lambda tensor: read_values(tensor, MOST_NUMBERS))
    return beside + [StoredScaler(*pair) for pair in pairs]


def _in_settings(value: Any, place: str, depth: int, met: set[int]) -> Iterator[StoredScaler]:
    if depth > DEEPEST or id(value) in met:
        return
    met.add(id(value))
    if isinstance(value, Stub) and class_of(value).rpartition(".")[2] in _SKLEARN:
        scaler = _of_sklearn(value, place)
        if scaler is not None:
            yield scaler
        return
    held = mapping_of(value)
    if held is None:
        return
    plain = {key_name(k): item for k, item in held.items() if not isinstance(item, TensorInfo)}
    for found, kind, mean, scale in _pairs(plain, plain_numbers):
        yield StoredScaler(f"{place}.{found}".strip("."), kind, mean, scale)
    for key, item in list(held.items())[:1000]:
        yield from _in_settings(item, f"{place}.{key_name(key)}".strip("."), depth + 1, met)


def _pairs(named: Mapping[str, Any], read: Any) -> Iterator[tuple[str, str, Numbers, Numbers]]:
    """Find a mean beside a deviation of its own name and size."""
    for name, item in named.items():
        match = list(_MEAN.finditer(name))
        if not match or "running" in name:
            continue
        start, end = match[-1].span()
        partners = [name[:start] + partner + name[end:] for partner in _PARTNERS]
        partner = next((p for p in partners if p in named), None)
        if partner is None:
            continue
        mean, scale = read(item), read(named[partner])
        made = None if mean is None or scale is None else _scaler(mean, scale)
        if made is not None:
            yield (f"{name} and {partner}", "mean and deviation", *made)


def _of_sklearn(stub: Stub, place: str) -> StoredScaler | None:
    kind = class_of(stub).rpartition(".")[2]
    fields = attributes_of(stub)
    scale = plain_numbers(fields.get("scale_"))
    if scale is None:
        return None
    mean = plain_numbers(fields.get("center_" if kind == "RobustScaler" else "mean_"))
    if kind == "MinMaxScaler":  # it multiplies, and adds min_
        least = plain_numbers(fields.get("min_"))
        if least is None or not np.all(scale):
            return None
        mean, scale = -least / scale, 1 / scale
    made = _scaler(np.zeros_like(scale) if mean is None else mean, scale)
    return None if made is None else StoredScaler(place or "the file", kind, *made)


def _scaler(mean: Numbers, scale: Numbers) -> tuple[Numbers, Numbers] | None:
    mean, scale = mean.reshape(-1), scale.reshape(-1)
    sound = np.all(np.isfinite(mean)) and np.all(np.isfinite(scale)) and np.all(scale > 0)
    if not len(mean) or mean.shape != scale.shape or not sound:
        return None
    return mean.astype(np.float64), scale.astype(np.float64)
