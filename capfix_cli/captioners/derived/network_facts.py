"""What stands beside a network: words, special tokens and sample rate, looked for by their names.

These are single numbers and lists, of which no experiment tells what they are for: where two
places differ, none is taken, and the option that decides is named.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from torch import Tensor, nn

from capfix_cli.captioners.derived.network_source import own_classes, own_functions
from capfix_cli.captioners.derived.roles import guessed_role
from capfix_cli.captioners.derived.settings_values import named_values, plain_name
from capfix_cli.checkpoints.formats.checkpoint_folder import read_whole
from capfix_cli.checkpoints.inspection import words_of
from capfix_cli.checkpoints.model_options import given
from capfix_cli.checkpoints.vocabulary import NAMES, Vocabulary, load_vocabulary
from capfix_cli.checkpoints.word_files import read_words
from capfix_cli.core.errors import CapfixError

MOST_INSIDE = 3  # levels of a checkpoint that words are sought in
RATES = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000)  # Hz that audio comes in
_RATE = re.compile(
    r"^(sr|fs|rate|(target_?)?sample_?rate|sampling_?rate|target_?sr|hz|sample_?freq\w*|abtastrate)$",
    re.I,
)
_WORD_FILES = re.compile(r"vo[ck]ab|word|token|itos|stoi|lexi[ck]on|dictionary|woert|wort", re.I)
_WORD_SUFFIXES = {".json", ".txt", ".pkl", ".pickle", ".csv", ".model"}
START = re.compile(
    r"^\W*(bos|sos|start|go|begin|cls|anfang|beginn|debut|inicio)(_?(token|id|idx|index|ix))*\W*$",
    re.I,
)
END = re.compile(
    r"^\W*(eos|end|stop|sep|ende|schluss|fin)(_?(token|id|idx|index|ix))*\W*$",
    re.I,
)
PAD = re.compile(
    r"^\W*(pad|blank|padding|fuell|leer|vide)(_?(token|id|idx|index|ix))*\W*$",
    re.I,
)


def find_sample_rate(network: nn.Module, module: ModuleType | None, settings: Any) -> int:
    """Find the sample rate: a setting, a constant beside the network, or its own spectrogram.

    Raises:
        CapfixError: none is there, or two differ.
    """
    found: dict[int, str] = {}
    for where, name, value in _named(network, module, settings):
        if _RATE.match(name) and type(value) in {int, float} and int(value) in RATES:
            found.setdefault(int(value), f"{where}{name}")
    beside = {} if module is None else vars(module)
    holders = [one for one in (network, *beside.values()) if isinstance(one, nn.Module)]
    for holder in holders:
        for name, part in holder.named_modules():
            rate = getattr(part, "sample_rate", None)
            if type(rate) is int and rate in RATES:
                found.setdefault(rate, f"{name or type(holder).__name__}.sample_rate")
    if not found and module is not None:
        found = dict.fromkeys(_rates_in_code(module), f"the code of {module.__name__}")
    if len(found) == 1:
        return next(iter(found))
    if found:
        shown = ", ".join(f"{rate} ({where})" for rate, where in found.items())
        raise CapfixError(
            f"Several sample rates stand beside {type(network).__name__}: {shown}.",
            "Give the one of training: --sample-rate HZ",
        )
    raise CapfixError(
        f"No setting and no constant beside {type(network).__name__} tells the sample rate.",
        "Give the one of training: --sample-rate HZ",
    )


def named_limits(network: nn.Module, module: ModuleType | None, settings: Any) -> dict[str, int]:
    """Give the numbers beside a network by the names that a limit of words may go by."""
    return {
        plain_name(name): value
        for _, name, value in _named(network, module, settings)
        if type(value) is int and value > 0 and guessed_role(name) == "limit"
    }


def _rates_in_code(module: ModuleType) -> set[int]:
    """Give the numbers in a module's functions that are usual sample rates."""
    waiting: list[Any] = [one.__code__ for one in own_functions(module).values()]
    for kind in own_classes(module).values():
        waiting += [one.__code__ for one in vars(kind).values() if isinstance(one, FunctionType)]
    found = {v for v in vars(module).values() if type(v) is int and v in RATES}
    while waiting:
        code = waiting.pop()
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                waiting.append(constant)
            elif type(constant) in {int, float} and constant in RATES:
                found.add(int(constant))
    return found


def _named(
    network: nn.Module, module: ModuleType | None, settings: Any
) -> Iterator[tuple[str, str, Any]]:
    """Yield numbers by name: of the checkpoint, of the network, of the module that it stands in."""
    for name, value in named_values(settings):
        yield "the checkpoint's ", name, value
    for name, value in _plain_attributes(network):
        yield "self.", name, value
        for inner, one in named_values(_as_mapping(value)):
            yield f"self.{name}.", inner, one
    if module is not None:
        for name, value in vars(module).items():
            yield f"{module.__name__}.", name, value
            if name != "__builtins__":
                for inner, one in named_values(_as_mapping(value)):
                    yield f"{module.__name__}.{name}.", inner, one
        for name, made in (own_functions(module) | own_classes(module)).items():
            for inner, one in _defaults(made):
                yield f"{name}'s ", inner, one


def _as_mapping(value: Any) -> Mapping[str, Any]:
    """See settings in a map, a namespace or another plain object."""
    if isinstance(value, Mapping):
        return value
    plain = not callable(value) and not isinstance(value, ModuleType | nn.Module | Tensor)
    return getattr(value, "__dict__", {}) if plain else {}


def _defaults(made: Any) -> Iterator[tuple[str, Any]]:
    """Yield the values that parameters have where nothing is given."""
    with contextlib.suppress(TypeError, ValueError):
        for name, one in inspect.signature(made).parameters.items():
            if one.default is not one.empty:
                yield name, one.default


def _plain_attributes(thing: Any) -> Iterator[tuple[str, Any]]:
    for name, value in list(getattr(thing, "__dict__", {}).items()):
        if name.startswith("_") or isinstance(value, Tensor | nn.Module):
            continue
        yield name, value


def find_vocabulary(
    network: nn.Module,
    module: ModuleType | None,
    settings: Any,
    checkpoint: str | None,
    given_words: Any = None,
) -> tuple[Vocabulary, frozenset[str]]:
    """Find the words of a network and the tokens that open and end a caption.

    In this order: what was given, the checkpoint, a file beside it, the network's own attributes,
    the module that it stands in.

    Returns:
        The words, and which of ``bos`` and ``eos`` nothing tells: these have the id 0.

    Raises:
        CapfixError: no words are found, or none that can be read; the message names the option.
    """
    special = _special_ids(network, module, settings)
    if isinstance(given_words, Vocabulary):
        return given_words, frozenset()
    sources = [given_words] if given_words is not None else []
    if given().vocabulary is not None:
        return make_vocabulary(read_words(Path(str(given().vocabulary))) or {}, special)
    rows = {tensor.shape[0] for tensor in network.state_dict().values() if tensor.ndim > 0}
    sources += _fitting(_words(network, module, settings, checkpoint), rows)
    if not sources:
        raise CapfixError(
            f"No vocabulary stands in {checkpoint or 'the network'} or beside it.",
            "Give the word list or word map of training: --vocabulary FILE",
        )
    return make_vocabulary(sources[0], special)


def candidate_words(
    module: ModuleType | None, settings: Any, checkpoint: str | None, rows: Collection[int]
) -> dict[str, int] | None:
    """Give the words that are found before the network itself is built.

    Args:
        module: that its class stands in.
        settings: saved beside the weights.
        checkpoint: path.
        rows: how many rows the checkpoint's tensors have: a vocabulary has as many as one of them.
    """
    option = given().vocabulary
    if option is not None:
        return read_words(Path(option))
    return next(iter(_fitting(_words(None, module, settings, checkpoint), rows)), None)


def _fitting(found: Iterable[dict[str, int]], rows: Collection[int]) -> list[dict[str, int]]:
    """Put word lists first that have as many words as some tensor has rows; of others the longest.

    Lists of special tokens, of classes or of a part of the words lie about as well.
    """
    listed = list(found)
    fits = [words for words in listed if len(words) in rows]
    return fits or sorted(listed, key=len, reverse=True)


def _words(
    network: nn.Module | None, module: ModuleType | None, settings: Any, checkpoint: str | None
) -> Iterator[dict[str, int]]:
    if checkpoint:
        found = _readable(Path(checkpoint))
        if found:
            yield found
        yield from _inside(read_whole(checkpoint).value)
        yield from _files_beside(Path(checkpoint), settings)
    for name, value in _plain_attributes(network):
        yield from _of_object(name, value)
    if module is not None:
        for name, value in vars(module).items():
            if not name.startswith("_") and not isinstance(value, type | ModuleType):
                yield from _of_object(name, value)


def _inside(value: Any, depth: int = 0) -> Iterator[dict[str, int]]:
    """Yield words under whatever key of a checkpoint, written as JSON among them."""
    if isinstance(value, str) and value[:1] in "{[":
        with contextlib.suppress(ValueError):
            yield from _of_object("", json.loads(value))
    if not isinstance(value, Mapping) or depth > MOST_INSIDE:
        return
    for inner in value.values():
        if isinstance(inner, Mapping | list | tuple):
            yield from _of_object("", inner)
        yield from _inside(inner, depth + 1)


def _of_object(name: str, value: Any) -> Iterator[dict[str, int]]:
    """Yield the words of a list, a map, or of an object that holds one."""
    del name
    if isinstance(value, Mapping | list | tuple):
        found = words_of(value)
        if found and len(found) > 3:
            yield found
    elif hasattr(value, "__dict__") and not callable(value):
        for _, inner in _plain_attributes(value):
            if isinstance(inner, Mapping | list | tuple):
                found = words_of(inner)
                if found and len(found) > 3:
                    yield found


def _files_beside(checkpoint: Path, settings: Any) -> Iterator[dict[str, int]]:
    folder = checkpoint if checkpoint.is_dir() else checkpoint.parent
    named = [
        folder / value
        for name, value in named_values(settings)
        if isinstance(value, str) and _WORD_FILES.search(name) and len(value) < 200
    ]
    try:
        beside = sorted(
            file
            for file in folder.iterdir()
            if _WORD_FILES.search(file.stem) and file.suffix.lower() in _WORD_SUFFIXES
        )
    except OSError:
        beside = []
    for file in [*named, *beside]:
        if file.is_file() and (found := _readable(file)):
            yield found


def _readable(file: Path) -> dict[str, int] | None:
    try:
        return read_words(file)
    except (CapfixError, OSError):
        return None


def _special_ids(network: nn.Module, module: ModuleType | None, settings: Any) -> dict[str, Any]:
    """Give special tokens that numbers or names beside the network tell, where they agree."""
    found: dict[str, set[Any]] = {"bos": set(), "eos": set(), "pad": set()}
    for _, name, value in _named(network, module, settings):
        for kind, pattern in (("bos", START), ("eos", END), ("pad", PAD)):
            if pattern.match(name) and (type(value) is int or isinstance(value, str)):
                found[kind].add(value)
    return {kind: values.pop() for kind, values in found.items() if len(values) == 1}


def make_vocabulary(
    words: Mapping[str, int], special: Mapping[str, Any]
) -> tuple[Vocabulary, frozenset[str]]:
    """Make a vocabulary; numbers beside the network help where the words' names do not tell."""
    known: dict[str, Any] = {}
    for kind, pattern in (("bos", START), ("eos", END), ("pad", PAD)):
        named = next((word for word in words if pattern.match(word)), None)
        told = special.get(kind)
        if type(told) is int or told in words:
            known[kind] = told
        elif named is not None:
            known[kind] = named
    lower = {word.lower() for word in words}
    open_ = set()
    for kind in ("bos", "eos"):
        if getattr(given(), kind) is not None or not lower.isdisjoint(NAMES[kind]):
            known.pop(kind, None)  # the usual names come first, and options before all
        elif kind not in known:
            open_.add(kind)
            known[kind] = 0
    return load_vocabulary(words, **known), frozenset(open_)
