"""What the checks of the contract share: clauses, calls that are told with their place, scores."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from capfix_cli.captioners.base import Captioner
from capfix_cli.core.thresholds import BATCH_TOLERANCE


@dataclass(frozen=True)
class Clause:
    """One clause of the contract and how it went.

    Attributes:
        name: of the clause.
        kept: whether the captioner keeps it.
        what: what was found, in words.
        note: kept, yet worth reading.
        refuses: whether a captioner that breaks it cannot be diagnosed.
    """

    name: str
    kept: bool
    what: str
    note: bool = False
    refuses: bool = True


class Broken(Exception):  # noqa: N818 - a clause is broken, the program is not
    """A clause without which the later ones cannot be tried."""


def called(name: str, call: Callable[[], Any]) -> Any:
    """Call a method of the captioner; what it raises is told with its place.

    Raises:
        Broken: it raised.
    """
    try:
        return call()
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        last = frames[-1]
        # The user's own line helps more than a line inside PyTorch.
        own = [f for f in frames[1:] if "site-packages" not in f.filename]
        place = own[-1] if own else last
        text = " ".join(str(error).split())[:200]
        raise Broken(
            f"{name}: {name}() raised {type(error).__name__}: {text} "
            f"(at {place.filename}:{place.lineno})"
        ) from error


def tensors(value: Any, place: str = "memory") -> Iterator[tuple[str, Tensor]]:
    """Give every tensor of a nesting with its place."""
    if isinstance(value, Tensor):
        yield place, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from tensors(inner, f"{place}[{key!r}]")
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from tensors(inner, f"{place}[{number}]")


def check_scores(name: str, logits: Any, captioner: Captioner, count: int) -> Clause:
    """Check shape, dtype and numbers of next-token scores."""
    size = len(captioner.vocabulary)
    wrong = None
    if not isinstance(logits, Tensor):
        wrong = f"{name}() gave a {type(logits).__name__}, not a tensor"
    elif logits.ndim == 3:
        wrong = (
            f"{name}() gave {list(logits.shape)}, not [{count}, {size}]: give the last place "
            "alone, scores[:, -1]"
        )
    elif logits.ndim == 2 and logits.shape[0] == count and logits.shape[1] != size:
        wrong = (
            f"{name}() scores {logits.shape[1]} tokens, the vocabulary has {size}: they are not "
            "of the same training"
        )
    elif list(logits.shape) != [count, size]:
        wrong = f"{name}() gave {list(logits.shape)}, not [{count}, {size}] (clips, tokens)"
    elif not logits.is_floating_point():
        wrong = f"{name}() gave {logits.dtype}, not floating-point scores: no argmax in it"
    elif bool(torch.isnan(logits).any() or torch.isposinf(logits).any()):
        wrong = f"{name}() holds NaN or infinity: the weights or the features are broken"
        return Clause(name, False, wrong, refuses=False)
    return Clause(name, wrong is None, wrong or f"[{count}, {size}], finite")


def apart_by(one: Tensor, other: Tensor) -> float:
    """Largest difference of two sets of scores as a share of their spread over words."""
    one, other = one.double().nan_to_num(neginf=0.0), other.double().nan_to_num(neginf=0.0)
    spread = one.std(dim=-1).mean().clamp_min(1e-12)
    return float((one - other).abs().max() / spread)


def moved(name: str, apart: float, broken: str, kept: str) -> Clause:
    """Make a clause of how far scores that should be equal are apart."""
    fine = apart <= BATCH_TOLERANCE.value
    return Clause(name, fine, kept if fine else f"{broken} ({apart:.2g} of their spread)")
