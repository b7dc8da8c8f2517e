"""Hearing which word a user's own captioning would choose, and choosing another in its place.

However a loop over words is written, it must choose: by ``argmax``, ``max``, ``topk``, by drawing,
or in NumPy. Each choice among as many things as there are words is met here: its scores are kept,
and the word that is wanted is handed back. So the user's code itself scores any caption.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

CHOICES = {"argmax", "max", "topk", "multinomial", "numpy", "tolist"}
_FAR = 1e4  # above every other score: a score in NumPy is chosen by its height


class Enough(BaseException):
    """All scores that were asked for are known; nothing of a user's catches this by accident."""


class ForcedChoices(TorchFunctionMode):
    """While it is entered, words are chosen as they are given.

    Args:
        words: how many words there are.
        rows: clips that are captioned together.
        forced: [rows, places] the words to choose; after them the network chooses itself.
        enough: after so many choices :class:`Enough` is raised; never where None.

    Attributes:
        scores: one [rows, words] for each choice so far, logits or log-probabilities.
        whole: [rows, places, words] where all words were chosen at once.
    """

    def __init__(
        self, words: int, rows: int, forced: Tensor | None = None, enough: int | None = None
    ) -> None:
        super().__init__()
        self.words, self.rows, self.forced, self.enough = words, rows, forced, enough
        self.scores: list[Tensor] = []
        self.whole: Tensor | None = None
        self._busy = False

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Meet every operation; what is no choice of a word goes on as it is."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if self._busy or name not in CHOICES or not args or not isinstance(args[0], Tensor):
            return func(*args, **kwargs)
        given: Tensor = args[0]
        flat = _is_flat(name, args, kwargs)
        dim = _dim(name, args, kwargs)
        if not _is_choice(given, dim, self.words, flat=flat) or _elementwise(name, args, kwargs):
            return func(*args, **kwargs)
        self._busy = True
        try:
            scores = self._seen(given, dim)
            if scores is None:
                return func(*args, **kwargs)
            place = len(self.scores)
            self.scores.append(scores)
            if self.enough is not None and len(self.scores) >= self.enough:
                raise Enough
            result = func(*args, **kwargs)
            if self.forced is None or place >= self.forced.shape[1]:
                return result
            return self._instead(name, given, result, self.forced[:, place], dim)
        finally:
            self._busy = False

    def _seen(self, given: Tensor, dim: int) -> Tensor | None:
        """[..., words] -> [rows, words] of the place that is chosen now."""
        last = given.detach().movedim(dim, -1)
        lead = last.numel() // self.words
        if lead == self.rows:
            chosen = last.reshape(self.rows, self.words)
        elif last.ndim == 3 and last.shape[0] == self.rows:
            if not self.scores:
                self.whole = _as_logits(last)
            chosen = last[:, -1]
        elif last.ndim == 2 and self.rows == 1:
            if not self.scores:
                self.whole = _as_logits(last.unsqueeze(0))
            chosen = last[-1:]
        else:
            return None
        return _as_logits(chosen)

    def _instead(self, name: str, given: Tensor, result: Any, wanted: Tensor, dim: int) -> Any:
        """Give what the choice would have given, had it been the wanted words."""
        wanted = wanted.to(given.device)
        if name in {"numpy", "tolist"}:
            forced = given.detach().clone().movedim(dim, -1)
            flat = forced.reshape(-1, self.words)[-self.rows :]
            flat[torch.arange(self.rows), wanted[: len(flat)]] = flat.max() + _FAR
            forced.reshape(-1, self.words)[-self.rows :] = flat
            return getattr(forced.movedim(-1, dim), name)()
        newest = name not in {"topk", "multinomial"}  # those give several words of one place
        if isinstance(result, Tensor):
            return _put(result, wanted, newest=newest)
        values, indices = result
        places = _put(indices, wanted, newest=newest)
        if places.ndim == given.ndim:
            values = given.gather(dim, places)
        return type(result)((values, places))


def _put(result: Tensor, wanted: Tensor, *, newest: bool) -> Tensor:
    """Write words into the places of a choice: the whole of it, its newest, or its first."""
    if result.numel() == wanted.numel():
        return wanted.reshape(result.shape)
    out = result.clone()
    at = -1 if newest else 0
    if out.ndim >= 2 and out.shape[0] == len(wanted):
        out[:, at] = wanted.reshape(len(wanted), *([1] * (out.ndim - 2)))
    elif len(wanted) == 1 and out.ndim >= 1:
        out.reshape(-1)[at] = wanted[0]
    return out


def _is_flat(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Say whether a choice is made over all numbers of a tensor at once."""
    return name == "argmax" and len(args) < 2 and kwargs.get("dim") is None


def _elementwise(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Say whether ``max`` compares two tensors, or gives a value without its place."""
    if name != "max":
        return False
    second = args[1] if len(args) > 1 else kwargs.get("dim")
    return not isinstance(second, int)


def _dim(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """Give the axis of a choice."""
    if name in {"argmax", "max"}:
        second = args[1] if len(args) > 1 else kwargs.get("dim")
        return second if isinstance(second, int) else -1
    if name == "topk":
        third = args[2] if len(args) > 2 else kwargs.get("dim", -1)
        return third if isinstance(third, int) else -1
    return -1


def _is_choice(given: Tensor, dim: int, words: int, *, flat: bool) -> bool:
    if not given.is_floating_point() or given.ndim == 0:
        return False
    if flat:
        return given.numel() == words
    return -given.ndim <= dim < given.ndim and given.shape[dim] == words


def _as_logits(scores: Tensor) -> Tensor:
    """Make log-probabilities of probabilities; logits stay as they are."""
    scores = scores.float()
    total = scores.sum(dim=-1)
    if bool((scores >= 0).all()) and bool(((total - 1).abs() < 1e-3).all()):
        return scores.clamp_min(torch.finfo(torch.float32).tiny).log()
    return scores
