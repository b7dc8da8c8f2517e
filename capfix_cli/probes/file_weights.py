"""The running network against its file, tensor by tensor, by value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.checkpoints.weights import load_weights
from capfix_cli.core.errors import CapfixError
from capfix_cli.core.thresholds import FILE_MATCHED


@dataclass(frozen=True)
class FileMatch:
    """What a file and a running network have in common.

    Attributes:
        used: tensors of the file that the network holds, by value.
        unused: names of those that are nowhere in it.
        belonging: of these, the ones that lie in a part of the network whose other tensors are
            used, or stand under a name that the network has: they were meant for it.
        foreign: names of the network's parameters that came from no tensor of the file.
        resized: of these, the ones that the file has by name, in another shape.
    """

    used: int
    unused: tuple[str, ...]
    belonging: tuple[str, ...]
    foreign: tuple[str, ...]
    resized: tuple[str, ...]


def match_file(module: nn.Module, checkpoint: str) -> FileMatch:
    """Compare every tensor of a file with every tensor of a network.

    Raises:
        ProbeFailed: the file holds no weights, or those of another network.
    """
    try:
        return match_tensors(module, load_weights(checkpoint))
    except (CapfixError, OSError, ValueError) as error:
        raise ProbeFailed("a file of weights that can be compared") from error


def match_tensors(module: nn.Module, found: Mapping[str, Tensor]) -> FileMatch:
    """Compare the tensors of a file with a network's.

    Args:
        module: the running network.
        found: name -> tensor, as the file has them.

    Raises:
        ProbeFailed: too few of the network's tensors are in the file to speak of it.
    """
    own = {name: tensor.detach().cpu() for name, tensor in module.state_dict().items()}
    parameters = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    by_shape: dict[tuple[int, ...], list[tuple[str, Tensor]]] = {}
    for name, tensor in own.items():
        by_shape.setdefault(tuple(tensor.shape), []).append((name, tensor))
    held: set[str] = set()
    used: list[str] = []
    unused: list[str] = []
    for name, tensor in found.items():
        if not tensor.is_floating_point() or tensor.numel() < 2:
            continue
        equal = [n for n, t in by_shape.get(tuple(tensor.shape), []) if _equal(t, tensor)]
        held.update(equal)
        (used if equal else unused).append(name)
    judged = [name for name in parameters if own[name].numel() > 1]
    foreign = [name for name in own if name in judged and name not in held]
    if not judged or 1 - len(foreign) / len(judged) < FILE_MATCHED.value:
        raise ProbeFailed("a file of weights of which the network holds a good part unchanged")
    layers = _layers(used)
    belonging = [n for n in unused if _lies_in(n, layers) or any(_ends(n, o) for o in own)]
    resized = [n for n in foreign if any(_ends(n, o) for o in unused)]
    return FileMatch(len(used), tuple(unused), tuple(belonging), tuple(foreign), tuple(resized))


def _equal(one: Tensor, other: Tensor) -> bool:
    """Equal by value, at the precision of the coarser of the two."""
    if one.dtype == other.dtype:
        return bool(torch.equal(one, other))
    if not one.is_floating_point():
        return False
    coarser = min((one, other), key=lambda t: torch.finfo(t.dtype).bits).dtype
    return bool(torch.equal(one.to(coarser), other.to(coarser)))


def _layers(names: Sequence[str]) -> set[str]:
    """The layers that tensors lie in, and the tensors themselves: ``rnn`` and ``rnn.weight_ih``.

    A part that has layers below it is none: what else lies in it may be another head.
    """
    homes = {name.rpartition(".")[0] for name in names}
    whole = {home for home in homes if not any(other.startswith(f"{home}.") for other in homes)}
    return (whole | set(names)) - {""}


def _lies_in(name: str, layers: set[str]) -> bool:
    """Whether a tensor lies in a layer, at any depth, as ``fc.lora_A.default`` lies in ``fc``."""
    parts = name.split(".")
    return any(".".join(parts[:depth]) in layers for depth in range(1, len(parts)))


def _ends(one: str, other: str) -> bool:
    return one == other or one.endswith(f".{other}") or other.endswith(f".{one}")
