"""Building a network of a user's class: its settings from the checkpoint, or read off its shapes.

A number that no setting tells is found by experiment: the network is built with two values of it,
and the sizes that changed say what it must be for the checkpoint's tensors to fit.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from capfix_cli.captioners.derived.roles import guessed_role
from capfix_cli.captioners.derived.settings_values import (
    SETTINGS_NAMES,
    as_object,
    flattened,
    look_up,
)
from capfix_cli.core.errors import CapfixError

Shapes = Mapping[str, tuple[int, ...]]
# Values that a number is tried with: divisible by usual numbers of heads, and of one another's
# sums and products no two alike.
TRIED = (48, 80, 112, 176, 208, 272, 304, 368)
STEP = 16  # between two trials of one number
MOST_LAYERS = 12
_WORDS = ("vocab", "word2", "2word", "to_word", "to_token", "tokenizer", "itos", "word_list")
_NO_WORDS = ("size", "num", "len", "dim", "n_", "file", "path", "dir")  # of a vocabulary
ROUNDS = 4  # of solving: a number may need another first


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of a network before it is built.

    Attributes:
        settings: saved beside the weights.
        shapes: tensor name -> sizes in the checkpoint; empty where there is none.
        vocabularies: forms of the vocabulary that a constructor may take, the likeliest first.
        given: arguments that the user gave, by name.
        words: how many words there are; None where no vocabulary was found.
        special: ids of the tokens that open (``start``), ``end`` and ``pad`` captions.
        folder: of the checkpoint, beside which files may lie that arguments name.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    shapes: Shapes = field(default_factory=dict)
    vocabularies: Sequence[Any] = ()
    given: Mapping[str, Any] = field(default_factory=dict)
    words: int | None = None
    special: Mapping[str, int] = field(default_factory=dict)
    folder: Path = Path()


@dataclass(frozen=True, kw_only=True)
class Built:
    """A network and how its arguments were found.

    Attributes:
        network: with weights as its constructor left them.
        found: argument -> where its value comes from, in words.
    """

    network: nn.Module
    found: Mapping[str, str]


def build_network(make: Callable[..., Any], name: str, known: Known) -> Built:
    """Call a class or a function that builds a network.

    Args:
        make: the class or function.
        name: of it, for messages.
        known: settings, shapes and what the user gave.

    Raises:
        CapfixError: an argument that nothing tells, which the message names; or a constructor that
            failed, with its line.
    """
    parameters = _parameters(make)
    unknown = [one for one in known.given if one not in parameters and not _takes_any(make)]
    if unknown:
        raise CapfixError(
            f"{name} takes no argument {unknown[0]!r}.", f"It takes {', '.join(parameters)}."
        )
    tried: list[str] = []
    for choice in _vocabulary_choices(parameters, known):
        arguments = _from_settings(parameters, known) | choice
        try:
            built = _Search(make, name, known, parameters, arguments).solve()
        except CapfixError as error:
            tried.append(str(error))
            kept = error
            continue
        if not known.shapes or _fits(_shapes(built.network), known.shapes):
            return built
        tried.append("")
        kept_built = built
    if tried and tried[0]:
        raise kept
    return kept_built  # what does not fit is told tensor by tensor where the weights are loaded


def _parameters(make: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        signature = inspect.signature(make)
    except (TypeError, ValueError):
        return {}
    kinds = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    return {name: one for name, one in signature.parameters.items() if one.kind in kinds}


def _takes_any(make: Callable[..., Any]) -> bool:
    with contextlib.suppress(TypeError, ValueError):
        return any(
            one.kind is inspect.Parameter.VAR_KEYWORD
            for one in inspect.signature(make).parameters.values()
        )
    return False


def _from_settings(
    parameters: Mapping[str, inspect.Parameter], known: Known
) -> dict[str, tuple[Any, str]]:
    """Give what the user said, then what the settings say by the same name."""
    found: dict[str, tuple[Any, str]] = {}
    for name, parameter in parameters.items():
        if name in known.given:
            found[name] = (known.given[name], "given")
            continue
        there, value = look_up(known.settings, name)
        if there and not (isinstance(value, Mapping) and not value):
            shown = as_object(value) if isinstance(value, Mapping) else value
            found[name] = (shown, "the checkpoint's settings")
        elif (id_ := known.special.get(str(guessed_role(name)))) is not None and (
            parameter.default is parameter.empty or type(parameter.default) is int
        ):
            found[name] = (id_, "the vocabulary")
        elif name.lower().strip("_") in SETTINGS_NAMES and parameter.default is parameter.empty:
            found[name] = (flattened(known.settings), "the checkpoint's settings")
    for name, parameter in parameters.items():
        value = found[name][0] if name in found else parameter.default
        beside = _file_beside(value, known.folder)
        if beside is not None:
            found[name] = (beside, "a file beside the checkpoint")
    return found


def _file_beside(value: Any, folder: Path) -> str | None:
    """Find a file that an argument names by where it lay in training."""
    if not isinstance(value, str) or not 0 < len(value) < 255 or Path(value).is_file():
        return None
    beside = folder / Path(value).name
    return str(beside) if Path(value).suffix and beside.is_file() else None


def _vocabulary_choices(
    parameters: Mapping[str, inspect.Parameter], known: Known
) -> Iterator[dict[str, tuple[Any, str]]]:
    """Offer each form of the vocabulary to the argument that looks as if it took one."""
    names = [
        name
        for name, one in parameters.items()
        if name not in known.given
        and (guessed_role(name) == "vocabulary" or any(w in name.lower() for w in _WORDS))
        and not any(
            part in name.lower()
            for part in ("size", "num", "len", "dim", "n_", "file", "path", "dir")
        )
        and one.annotation not in {int, "int"}
    ]
    if not names:
        yield {}
        return
    for form in known.vocabularies:
        yield {names[0]: (form, "the vocabulary")}
    if not known.vocabularies or parameters[names[0]].default is not inspect.Parameter.empty:
        yield {}


class _Search:
    """The search for the arguments of one constructor."""

    def __init__(
        self,
        make: Callable[..., Any],
        name: str,
        known: Known,
        parameters: Mapping[str, inspect.Parameter],
        arguments: dict[str, tuple[Any, str]],
    ) -> None:
        self.make, self.name, self.known = make, name, known
        self.parameters = parameters
        self.values = {key: value for key, (value, _) in arguments.items()}
        self.found = {key: where for key, (_, where) in arguments.items()}

    def solve(self) -> Built:
        """Build it with what is known; else find what is not.

        Raises:
            CapfixError: an argument cannot be found, or the constructor fails.
        """
        open_ = [
            name
            for name, one in self.parameters.items()
            if one.default is one.empty and name not in self.values
        ]
        if not open_:
            network = self._build({})
            if not self.known.shapes or _fits(_shapes(network), self.known.shapes):
                return Built(network=network, found=self.found)
        if self.known.shapes:
            self._read_off(open_)
            open_ = [name for name in open_ if name not in self.values]
        for name in open_:
            lower = name.lower()
            if "drop" in lower:  # does nothing in eval mode, and has no tensor
                self._set(name, 0.0, "does nothing when captioning")
            elif self.known.words is not None and "vocab" in lower:
                self._set(name, self.known.words, "the vocabulary")
        open_ = [name for name in open_ if name not in self.values]
        if open_:
            raise CapfixError(
                f"{self.name} takes {_listed(open_)}, which neither a setting beside the weights"
                " nor a shape tells.",
                f"Give it: --network-args {','.join(f'{name}=...' for name in open_)}",
            )
        return Built(network=self._build({}), found=self.found)

    def _set(self, name: str, value: Any, where: str) -> None:
        self.values[name], self.found[name] = value, where

    def _read_off(self, open_: Sequence[str]) -> None:
        """Find numbers by the sizes that they change, in rounds, the required ones first."""
        defaulted = [
            name
            for name, one in self.parameters.items()
            if type(one.default) is int
            and name not in self.values
            and not isinstance(one.default, bool)
        ]
        names = [*open_, *defaulted]
        for _ in range(ROUNDS):
            start = dict(self._trials(names))
            solved = [name for name in names if name not in self.values and self._one(name, start)]
            if not solved:
                break

    def _trials(self, names: Sequence[str]) -> Iterator[tuple[str, Any]]:
        waiting = iter(TRIED)
        for name in names:
            if name in self.values:
                continue
            default = self.parameters[name].default
            if type(default) is int:
                yield name, default
            elif _counts(name):
                yield name, 1
            elif "drop" in name.lower():
                yield name, 0.0
            else:
                yield name, next(waiting, 16)

    def _one(self, name: str, start: Mapping[str, Any]) -> bool:
        """Find one number: by how sizes change with it, or by which tensors there are."""
        before = start.get(name)
        if type(before) is not int:
            return False
        step = STEP if before >= STEP else 1
        first, other = self._try(start), self._try({**start, name: before + step})
        if first is None or other is None:
            return False
        if first.keys() != other.keys():
            return self._by_count(name, start)
        best = self._by_sizes(before, step, first, other)
        if best is None:
            return False
        where = "the default" if best == before else "the shapes of the weights"
        self._set(name, best, where)
        return True

    def _by_sizes(self, before: int, step: int, first: Shapes, other: Shapes) -> int | None:
        """Solve for the number that gives the checkpoint's sizes; most sizes must say the same."""
        wanted = self.known.shapes
        guesses = []
        for key in first.keys() & wanted.keys():
            if len(first[key]) != len(wanted[key]):
                continue
            for one, two, want in zip(first[key], other[key], wanted[key], strict=True):
                if one != two:
                    guesses.append(before + (want - one) * step / (two - one))
        # Sizes that other unknown numbers change too give other guesses: the commonest is right.
        whole = [int(guess) for guess in guesses if guess > 0 and guess == int(guess)]
        if not whole:
            return None
        return max(sorted(set(whole)), key=whole.count)

    def _by_count(self, name: str, start: Mapping[str, Any]) -> bool:
        for count in range(1, MOST_LAYERS + 1):
            shapes = self._try({**start, name: count})
            if shapes is not None and shapes.keys() == self.known.shapes.keys():
                self._set(name, count, "the names of the weights")
                return True
        return False

    def _try(self, extra: Mapping[str, Any]) -> Shapes | None:
        try:
            return _shapes(self._build(extra))
        except CapfixError:
            return None

    def _build(self, extra: Mapping[str, Any]) -> nn.Module:
        arguments = {**extra, **self.values}
        # What a constructor prints belongs to no result, and its random numbers are not ours.
        with contextlib.redirect_stdout(sys.stderr), torch.random.fork_rng(devices=[]):
            try:
                network = self.make(**arguments)
            except (Exception, SystemExit) as error:
                raise CapfixError(
                    f"{self.name}({', '.join(f'{k}={_short(v)}' for k, v in arguments.items())})"
                    f" failed: {type(error).__name__}: {' '.join(str(error).split())[:200]}.",
                    _place(error),
                ) from error
        if not isinstance(network, nn.Module):
            raise CapfixError(
                f"{self.name} gave a {type(network).__name__}, which is no nn.Module.",
                "Name the class of the network, or a function that returns it.",
            )
        return network


def _place(error: BaseException) -> str:
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__ and "site-packages" not in frame.filename
    ]
    where = f"It was raised at {frames[-1].filename}:{frames[-1].lineno}. " if frames else ""
    return f"{where}Give arguments with --network-args NAME=VALUE,..."


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 30 else f"{text[:27]}..."


def _counts(name: str) -> bool:
    return any(part in name.lower() for part in ("layer", "depth", "block", "num_l", "n_l"))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1]


def _shapes(network: nn.Module) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def _fits(own: Shapes, wanted: Shapes) -> bool:
    return own.keys() <= wanted.keys() and all(wanted[key] == own[key] for key in own)
