"""What a network computes of the audio alone: found by watching, kept, and not computed again.

Every module whose output stays the same whatever the words are, and moves with the audio, is the
encoder or hangs on it. Their outputs are a captioner's memory: while words are scored they are
handed back in place of being computed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

Outputs = dict[str, list[tuple[list[Any], Any]]]  # module -> (leaves, form) of each call


@dataclass(frozen=True, kw_only=True)
class HeldModule:
    """A module whose output is kept.

    Attributes:
        name: in the network.
        form: how the leaves of its output stand together.
        rows: of each leaf the axis that counts clips; None for a leaf that is kept as it is.
        fixed: leaves that are the same for all audio, by their place.
    """

    name: str
    form: Any
    rows: tuple[int | None, ...]
    fixed: Mapping[int, Any]

    @property
    def kept_leaves(self) -> dict[int, int]:
        """The leaves that differ from clip to clip: their place, and their axis of clips."""
        return {place: axis for place, axis in enumerate(self.rows) if axis is not None}


@contextlib.contextmanager
def recorded(network: nn.Module) -> Iterator[Outputs]:
    """While entered, keep what every module below the network gives."""
    outputs: Outputs = {}
    handles = []
    for name, module in network.named_modules():
        if not name:
            continue

        def keep(_module: nn.Module, _args: Any, output: Any, name: str = name) -> None:
            leaves, form = pytree.tree_flatten(output)
            outputs.setdefault(name, []).append(
                ([x.detach() if isinstance(x, Tensor) else x for x in leaves], form)
            )

        handles.append(module.register_forward_hook(keep))
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def handed_back(
    network: nn.Module, kept: Mapping[str, Any], *, copied: bool = True
) -> Iterator[None]:
    """While entered, modules give what was kept of them instead of computing it.

    Args:
        network: whose modules they are.
        kept: name -> the module's output.
        copied: whether each call gets a copy, where something is written into it in place.
    """
    changed = []
    try:
        for name, output in kept.items():
            module = network.get_submodule(name)
            module.forward = _gives(output, copied=copied)
            changed.append(module)
        yield
    finally:
        for module in changed:
            del module.forward


def _gives(output: Any, *, copied: bool) -> Callable[..., Any]:
    def forward(*_args: Any, **_kwargs: Any) -> Any:
        if not copied:
            return output
        return pytree.tree_map(lambda x: x.clone() if isinstance(x, Tensor) else x, output)

    return forward


def find_word_free(
    network: nn.Module,
    run: Callable[[Tensor, Tensor], Tensor],
    audio: Tensor,
    tokens: Tensor,
    *,
    alone: bool,
) -> list[HeldModule]:
    """Find the outermost modules whose output the audio decides and no word does.

    Args:
        network: that ``run`` runs.
        run: clips [B, *features] and words [B, T] -> scores.
        audio: of three clips that differ.
        tokens: [3, T] words that differ from row to row.
        alone: whether clips are run one at a time; then only the first is.
    """
    clips = audio[:1] if alone else audio
    rows = len(clips)
    turned = tokens.flip(1).roll(1, dims=0)
    plain = _watch(network, run, clips, tokens[:rows])
    words = _watch(network, run, clips, torch.cat([tokens[:rows, :1], turned[:rows, 1:]], 1))
    longer = _watch(network, run, clips, torch.cat([tokens, turned[:, 1:]], 1)[:rows])
    sound = _watch(network, run, audio.roll(1, dims=0)[:rows], tokens[:rows])
    fewer = None if alone else _watch(network, run, audio[:2], tokens[:2])
    held: list[HeldModule] = []
    for name, calls in plain.items():
        if any(name.startswith(f"{one.name}.") for one in held):
            continue
        same = [calls, words.get(name), longer.get(name)]
        if not all(_all_alike(one, calls[0]) for one in same):
            continue
        other = sound.get(name)
        if not other or _alike(other[0], calls[0]):
            continue
        found = _held(name, calls[0], None if fewer is None else fewer.get(name), other[0])
        if found is not None:
            held.append(found)
    return [one for one in held if not any(_inside(one.name, other.name) for other in held)]


def _inside(name: str, other: str) -> bool:
    return name.startswith(f"{other}.")


def _watch(
    network: nn.Module, run: Callable[[Tensor, Tensor], Tensor], audio: Tensor, tokens: Tensor
) -> Outputs:
    with recorded(network) as outputs:
        run(audio, tokens)
    return outputs


def _all_alike(calls: Sequence[tuple[list[Any], Any]] | None, first: tuple[list[Any], Any]) -> bool:
    return bool(calls) and all(_alike(call, first) for call in calls or ())


def _alike(one: tuple[list[Any], Any], other: tuple[list[Any], Any]) -> bool:
    if one[1] != other[1] or len(one[0]) != len(other[0]):
        return False
    return all(_same(a, b) for a, b in zip(one[0], other[0], strict=True))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.shape == other.shape and torch.equal(one.nan_to_num(), other.nan_to_num())
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        return False
    return type(one) is type(other)


def _held(
    name: str,
    call: tuple[list[Any], Any],
    fewer: Sequence[tuple[list[Any], Any]] | None,
    other: tuple[list[Any], Any],
) -> HeldModule | None:
    leaves, form = call
    rows: list[int | None] = []
    fixed: dict[int, Any] = {}
    for place, leaf in enumerate(leaves):
        if not isinstance(leaf, Tensor) or _same(leaf, other[0][place]):
            rows.append(None)
            fixed[place] = leaf
            continue
        if fewer is None:  # clip by clip: each clip's output is kept whole
            rows.append(-1)
            continue
        small = fewer[0][0][place] if len(fewer[0][0]) == len(leaves) else None
        axis = _row_axis(leaf, small)
        if axis is None:
            return None
        rows.append(axis)
    return HeldModule(name=name, form=form, rows=tuple(rows), fixed=fixed)


def _row_axis(three: Tensor, two: Any) -> int | None:
    """Find the axis that counts clips: it is 3 long for three clips and 2 long for two."""
    if not isinstance(two, Tensor) or two.ndim != three.ndim:
        return None
    axes = [a for a in range(three.ndim) if three.shape[a] == 3 and two.shape[a] == 2]
    return axes[0] if len(axes) == 1 else None
