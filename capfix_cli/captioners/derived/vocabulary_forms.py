"""The words as a user's code wants them: its own vocabulary class, a map, a list, or all of it."""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from torch import nn

from capfix_cli.captioners.derived.network_facts import END, PAD, START, make_vocabulary
from capfix_cli.captioners.derived.network_source import own_classes
from capfix_cli.checkpoints.vocabulary import Vocabulary
from capfix_cli.core.errors import CapfixError

_KEEPS_WORDS = re.compile(r"vo[ck]ab|^lang|tokeni[sz]er|dictionary|lexicon|wort|word", re.I)
_TO_WORD = re.compile(r"(i|id|idx|index|ix)\w*(2|to)_?(w|word|token|str|s)\w*$|index_word")


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
            (START, self._vocabulary.bos_id),
            (END, self._vocabulary.eos_id),
            (PAD, self._vocabulary.pad_id),
        ):
            if pattern.match(lower):
                return id_
        if lower in {"n_words", "size", "vocab_size", "num_words"}:
            return len(self._words)
        raise AttributeError(name)


def own_vocabulary(module: ModuleType | None, words: Sequence[str]) -> Any:
    """Fill an object of the user's own vocabulary class with the words of the checkpoint.

    Args:
        module: that the class stands in.
        words: in the order of their ids.

    Returns:
        None where there is no such class, or none that is made of nothing.
    """
    for name, kind in {} if module is None else own_classes(module).items():
        if not _KEEPS_WORDS.search(name) or issubclass(kind, nn.Module):
            continue
        with contextlib.suppress(Exception):
            made = kind() if not _needed(kind) else kind(*["" for _ in _needed(kind)])
            if _filled(made, words):
                return made
    return None


def _needed(kind: type) -> list[str]:
    parameters = inspect.signature(kind).parameters.values()
    return [one.name for one in parameters if one.default is one.empty]


def _filled(made: Any, words: Sequence[str]) -> bool:
    """Write the words into the lists and maps of an object that hold some already."""
    ids = {word: i for i, word in enumerate(words)}
    filled = False
    for name, value in list(vars(made).items()):
        known: Any = None
        if isinstance(value, list) and all(isinstance(word, str) for word in value):
            known = list(words)
        elif isinstance(value, dict) and (not value or _maps(value, str, int)):
            inverse = not value and bool(_TO_WORD.match(name.lower()))
            known = dict(enumerate(words)) if inverse else dict(ids)
        elif isinstance(value, dict) and _maps(value, int, str):
            known = dict(enumerate(words))
        elif type(value) is int and re.search(r"^n_|num|size|count|idx|len", name):
            setattr(made, name, len(words))
        if known is not None:
            setattr(made, name, known)
            filled = True
    return filled


def _maps(value: dict[Any, Any], key: type, item: type) -> bool:
    return all(isinstance(k, key) and isinstance(v, item) for k, v in value.items())


def vocabulary_forms(
    words: Mapping[str, int] | None, module: ModuleType | None = None
) -> list[Any]:
    """Give the words as constructors take them: the user's own object, ours, map, list, inverse."""
    if not words:
        return []
    inverse = {id_: word for word, id_ in words.items()}
    listed = [inverse[i] for i in sorted(inverse)]
    own = own_vocabulary(module, listed)
    forms: list[Any] = [] if own is None else [own]
    with contextlib.suppress(CapfixError):
        forms.append(VocabularyObject(make_vocabulary(words, {})[0]))
    return [*forms, dict(words), listed, inverse]
