"""What stands beside a network: words, special tokens and sample rate, looked for by their names.

These are single numbers and lists, of which no experiment tells what they are for: where two
places differ, none is taken, and the option that decides is named.
"""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from torch import Tensor, nn

from capfix_cli.captioners.derived.network_source import own_classes, own_functions
from capfix_cli.captioners.derived.settings_values import named_values
from capfix_cli.checkpoints.inspection import words_of
from capfix_cli.checkpoints.model_options import given
from capfix_cli.checkpoints.vocabulary import NAMES, Vocabulary, load_vocabulary
from capfix_cli.checkpoints.word_files import read_words
from capfix_cli.core.errors import CapfixError

RATES = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000)  # Hz that audio comes in
_RATE = re.compile(
    r"^(sr|fs|rate|(target_?)?sample_?rate|sampling_?rate|target_?sr|hz|sample_?freq\w*|abtastrate)$",
    re.I,
)
_TO_WORD = re.compile(r"(i|id|idx|index|ix)\w*(2|to)_?(w|word|token|str|s)\w*$|index_word")
_WORD_FILES = re.compile(r"vo[ck]ab|word|token|itos|stoi|lexi[ck]on|dictionary|woert|wort", re.I)
_WORD_SUFFIXES = {".json", ".txt", ".pkl", ".pickle", ".csv", ".model"}
_START = re.compile(
    r"^\W*(bos|sos|start|go|begin|cls|anfang|beginn|debut|inicio)(_?(token|id|idx|index|ix))*\W*$",
    re.I,
)
_END = re.compile(
    r"^\W*(eos|end|stop|sep|ende|schluss|fin)(_?(token|id|idx|index|ix))*\W*$",
    re.I,
)
_PAD = re.compile(
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
    for name, part in network.named_modules():
        rate = getattr(part, "sample_rate", None)
        if type(rate) is int and rate in RATES:
            found.setdefault(rate, f"{name or 'the network'}.sample_rate")
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


def _rates_in_code(module: ModuleType) -> set[int]:
    """Give the numbers in a module's functions that are usual sample rates."""
    waiting: list[Any] = [one.__code__ for one in own_functions(module).values()]
    for kind in own_classes(module).values():
        waiting += [one.__code__ for one in vars(kind).values() if isinstance(one, FunctionType)]
    found: set[int] = set()
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
        if isinstance(value, Mapping):
            for inner, one in named_values(value):
                yield f"self.{name}.", inner, one
    if module is not None:
        for name, value in vars(module).items():
            yield f"{module.__name__}.", name, value
            if isinstance(value, Mapping) and name != "__builtins__":
                for inner, one in named_values(value):
                    yield f"{module.__name__}.{name}.", inner, one
        for name, made in (own_functions(module) | own_classes(module)).items():
            for inner, one in _defaults(made):
                yield f"{name}'s ", inner, one


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
        return _made(read_words(Path(str(given().vocabulary))) or {}, special)
    rows = {tensor.shape[0] for tensor in network.state_dict().values() if tensor.ndim > 0}
    sources += _fitting(_words(network, module, settings, checkpoint), rows)
    if not sources:
        raise CapfixError(
            f"No vocabulary stands in {checkpoint or 'the network'} or beside it.",
            "Give the word list or word map of training: --vocabulary FILE",
        )
    return _made(sources[0], special)


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
        yield from _files_beside(Path(checkpoint), settings)
    for name, value in _plain_attributes(network):
        yield from _of_object(name, value)
    if module is not None:
        for name, value in vars(module).items():
            if not name.startswith("_") and not isinstance(value, type | ModuleType):
                yield from _of_object(name, value)


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
        for kind, pattern in (("bos", _START), ("eos", _END), ("pad", _PAD)):
            if pattern.match(name) and (type(value) is int or isinstance(value, str)):
                found[kind].add(value)
    return {kind: values.pop() for kind, values in found.items() if len(values) == 1}


def _made(
    words: Mapping[str, int], special: Mapping[str, Any]
) -> tuple[Vocabulary, frozenset[str]]:
    """Make a vocabulary; numbers beside the network help where the words' names do not tell."""
    known: dict[str, Any] = {}
    for kind, pattern in (("bos", _START), ("eos", _END), ("pad", _PAD)):
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


class VocabularyObject:
    """The words, in whatever way a user's method asks a vocabulary for them."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._words = list(vocabulary.words)
        self._ids = {word: i for i, word in enumerate(self._words)}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._words)

    def __getitem__(self, key: Any) -> Any:
        """A word's id, or an id's word."""
        if isinstance(key, str):
            return self._ids.get(key, self._vocabulary.unk_id)
        return self._words[int(key)]

    def __call__(self, word: str) -> Any:
        """A word's id."""
        return self[word]

    def __contains__(self, key: Any) -> bool:
        """Whether a word or an id is there."""
        return key in self._ids or (isinstance(key, int) and 0 <= key < len(self._words))

    def __iter__(self) -> Iterator[str]:
        """The words in the order of their ids."""
        return iter(self._words)

    def keys(self) -> Iterator[str]:
        """As of a map from words to ids."""
        return iter(self._ids)

    def values(self) -> list[int]:
        """As of a map from words to ids."""
        return list(self._ids.values())

    def items(self) -> list[tuple[str, int]]:
        """As of a map from words to ids."""
        return list(self._ids.items())

    def get(self, key: Any, default: Any = None) -> Any:
        """As of a map, either way round."""
        return self[key] if key in self else default  # noqa: SIM401 - it is this very method

    def index(self, word: str) -> int:
        """As of a list of words."""
        return self._words.index(word)

    def decode(self, ids: Any) -> str:
        """Write ids as text, special tokens left out."""
        special = {self._vocabulary.bos_id, self._vocabulary.eos_id, self._vocabulary.pad_id}
        return " ".join(self._words[int(i)] for i in ids if int(i) not in special)

    def __getattr__(self, name: str) -> Any:
        """Give ``word2idx``, ``itos``, ``bos_id`` and the like, by what their names say."""
        if name.startswith("__"):
            raise AttributeError(name)
        lower = name.lower()
        if re.match(
            r"(w|word|token|str|s|wort|t)\w*(2|to)_?(i|id|idx|index|ix)\w*$|stoi|word_index|vocab$",
            lower,
        ):
            return self._ids
        if _TO_WORD.match(lower):
            return dict(enumerate(self._words)) if lower != "itos" else self._words
        if lower in {"itos", "words", "tokens", "vocabulary"}:
            return self._words
        for pattern, id_ in (
            (_START, self._vocabulary.bos_id),
            (_END, self._vocabulary.eos_id),
            (_PAD, self._vocabulary.pad_id),
        ):
            if pattern.match(lower):
                return id_
        if lower in {"n_words", "size", "vocab_size", "num_words"}:
            return len(self._words)
        raise AttributeError(name)


def vocabulary_forms(words: Mapping[str, int] | None) -> list[Any]:
    """Give the words in the forms that constructors take: map, list, inverse map, object."""
    if not words:
        return []
    inverse = {id_: word for word, id_ in words.items()}
    listed = [inverse[i] for i in sorted(inverse)]
    forms: list[Any] = []
    with contextlib.suppress(CapfixError):
        forms.append(VocabularyObject(_made(words, {})[0]))
    return [*forms, dict(words), listed, inverse]
