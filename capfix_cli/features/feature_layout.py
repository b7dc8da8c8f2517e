"""How a clip's arrays become one tensor for capfix's experiments, and arrays for the network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from capfix_cli.features.feature_entries import Arrays, NoFeatures

STRAYS = 0.1  # of the clips, that may have another width than all others

Item = TypeVar("Item")


@dataclass(frozen=True)
class FieldLayout:
    """One of a clip's arrays.

    Attributes:
        name: of the field; empty where there is one.
        width: D of [T, D].
        integer: whether it holds codes.
        vector: whether it is one vector a clip, [D].
        time: the axis of the stored array that counts frames, 0 or 1.
        rest: what stands behind the first axis in the stored array where that is no single D.
    """

    name: str
    width: int
    integer: bool = False
    vector: bool = False
    time: int = 0
    rest: tuple[int, ...] = ()


@dataclass(frozen=True)
class FeatureLayout:
    """The arrays of every clip of a set.

    What experiments cut, pad, exchange and mix is one tensor a clip, [T, W]: the field itself where
    there is one; else all fields beside each other, each followed by a column that says which of
    its frames are there.

    Attributes:
        fields: in their order.
    """

    fields: tuple[FieldLayout, ...]

    @property
    def single(self) -> bool:
        """Whether each clip has one array."""
        return len(self.fields) == 1

    @property
    def plain(self) -> bool:
        """Whether each clip has one array of measured values, which experiments may change."""
        return self.single and not self.fields[0].integer

    @property
    def width(self) -> int:
        """W of the tensor that experiments work on."""
        if self.single:
            return self.fields[0].width
        return sum(one.width + 1 for one in self.fields)

    def pack(self, arrays: Arrays) -> Tensor:
        """Give a clip's arrays as [T, W] float32.

        Raises:
            NoFeatures: an array is missing, or of another width.
        """
        parts = [_frames(arrays, one) for one in self.fields]
        if self.single:
            return parts[0]
        most = max(
            (len(part) for part, one in zip(parts, self.fields, strict=True) if not one.vector),
            default=1,
        )
        columns = []
        for part, one in zip(parts, self.fields, strict=True):
            frames = part.expand(most, -1) if one.vector else part
            there = torch.ones(len(frames), 1)
            whole = torch.cat([frames, there], dim=1)
            columns.append(torch.nn.functional.pad(whole, (0, 0, 0, most - len(frames))))
        return torch.cat(columns, dim=1)

    def unpack(
        self, packed: Tensor, lengths: Tensor, *, floating: bool = False, turned: bool = False
    ) -> tuple[Tensor | dict[str, Tensor], Tensor | dict[str, Tensor]]:
        """Give a network its features again.

        Args:
            packed: [B, T, W], as :meth:`pack` gives it, zero-padded.
            lengths: [B] frames.
            floating: give codes as numbers with a fraction.
            turned: give [B, D, T].

        Returns:
            Features [B, T, D] and lengths [B]; dicts by field where there are several.
        """
        if self.single:
            return _shaped(packed, self.fields[0], floating=floating, turned=turned), lengths
        found, counts, start = {}, {}, 0
        for one in self.fields:
            part = packed[..., start : start + one.width]
            there = packed[..., start + one.width] > 0.5
            start += one.width + 1
            if one.vector:
                part, count = part[:, :1], torch.ones_like(lengths)
            else:
                inside = torch.arange(packed.shape[1], device=packed.device) < lengths.unsqueeze(1)
                count = (there & inside).sum(dim=1).clamp_min(1)
                part = part[:, : int(count.max())]
            found[one.name] = _shaped(part, one, floating=floating, turned=turned)
            counts[one.name] = count
        return found, counts


def _shaped(frames: Tensor, one: FieldLayout, *, floating: bool, turned: bool) -> Tensor:
    if one.integer and not floating:
        frames = frames.round().long()
    if one.rest:
        frames = frames.reshape(*frames.shape[:2], *one.rest)
    return frames.transpose(1, 2).contiguous() if turned and frames.ndim == 3 else frames


def squeezed(shape: Sequence[int]) -> tuple[int, ...]:
    """Take off leading axes of size one: [1, T, D] is [T, D].

    >>> squeezed((1, 31, 768)), squeezed((1, 5)), squeezed((4,))
    ((31, 768), (1, 5), (4,))
    """
    found = tuple(shape)
    while len(found) > 2 and found[0] == 1:
        found = found[1:]
    return found


def _frames(arrays: Arrays, one: FieldLayout) -> Tensor:
    """Give one of a clip's arrays as [T, D] float32.

    Raises:
        NoFeatures: it is not there, or of another width.
    """
    array = arrays.get(one.name)
    if array is None:
        raise NoFeatures(f"has no field {one.name}")
    array = np.asarray(array)
    array = array.reshape(squeezed(array.shape))
    if array.ndim == 1:
        array = array[None]
    if one.time == 1 and array.ndim == 2:
        array = array.T
    flat = np.array(array.reshape(len(array), -1), dtype=np.float32, order="C")  # a copy, to change
    if not flat.size:
        raise NoFeatures("is empty")
    if flat.shape[1] != one.width:
        name = f" {one.name}" if one.name else ""
        raise NoFeatures(f"has{name} frames of {flat.shape[1]} numbers, the others of {one.width}")
    return torch.from_numpy(flat)


def layout_of(shapes: Mapping[str, Sequence[tuple[tuple[int, ...], str]]]) -> FeatureLayout:
    """Tell the layout of a set from the shapes and kinds of its clips' arrays.

    The width is what most clips have; where the first axis is the same for all and the second is
    not, time is the second.

    Args:
        shapes: field -> the shape and kind of number of every clip.
    """
    return FeatureLayout(tuple(_field(name, found) for name, found in shapes.items()))


def _field(name: str, found: Sequence[tuple[tuple[int, ...], str]]) -> FieldLayout:
    sizes = [squeezed(shape) for shape, _ in found]
    integer = all(kind[:1] in "biu" for _, kind in found)
    usual = _most([len(size) for size in sizes])
    sizes = [size for size in sizes if len(size) == usual]
    if usual == 1:
        return FieldLayout(name, _most([size[0] for size in sizes]), integer, vector=True)
    firsts = {size[0] for size in sizes}
    if usual == 2 and len(firsts) == 1 and _varies([size[1] for size in sizes]):
        return FieldLayout(name, next(iter(firsts)), integer, time=1)
    rest = _most([size[1:] for size in sizes])
    width = int(np.prod(rest))
    vector = firsts == {1}
    return FieldLayout(name, width, integer, vector=vector, rest=rest if len(rest) > 1 else ())


def _varies(sizes: Sequence[int]) -> bool:
    """Say whether an axis counts frames: a few clips of another width are a mistake of theirs."""
    counts = Counter(sizes)
    return len(counts) > 2 or len(sizes) - max(counts.values()) > STRAYS * len(sizes)


def _most(items: Sequence[Item]) -> Item:
    return Counter(items).most_common(1)[0][0]
