"""Word lists and word maps in whatever objects people keep them, as word -> id."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Any

from capfix_cli.checkpoints.formats.checkpoint_content import key_name
from capfix_cli.checkpoints.formats.tensor_info import TensorInfo
from capfix_cli.checkpoints.safe_pickle.safe_unpickler import Stub
from capfix_cli.checkpoints.safe_pickle.stub_contents import class_of, list_of, mapping_of

_UNIT = r"(word|token|tok|w|s|str|string|char|term|symbol|piece)s?"
_ID = r"(idx|ix|id|index|indices|int|i|num|number|label)(s|es)?"
_TO = r"(2|_?to_?|_)"
# The field's names of a map and of its inverse: word2idx, stoi, token_to_id, index_word.
WORD_TO_ID = re.compile(rf"^_?(vocab_?|{_UNIT}{_TO}{_ID}|stoi|w2i|word_?map|vocab_dict)$", re.I)
ID_TO_WORD = re.compile(rf"^_?({_ID}{_TO}{_UNIT}|itos|i2w|{_UNIT}_?list|id_?map)$", re.I)
VOCABULARY_KEYS = re.compile(
    r"^(vocab|vocabulary|word2idx|word_map|idx2word|words_list|itos|stoi|tokenizer|lang"
    r"|vocab_obj|idx_to_word|ix_to_word|word_to_idx|word_index|index_word)$",
    re.IGNORECASE,
)
_COUNTS = re.compile(r"count|freq|num_|docs", re.IGNORECASE)
CONFIG_KEYS = re.compile(
    r"^(config|cfg|args|hparams|hyper_parameters|settings|params|opt|training|epoch|epochs|"
    r"global_step|step|iteration|format)$",
    re.IGNORECASE,
)
DEEPEST = 8  # levels below which no vocabulary is searched
FEWEST = 3  # words below which a map without a telling name is no vocabulary
Words = dict[str, int]


def is_config(key: Any) -> bool:
    """Say whether a key is named as settings are."""
    return bool(CONFIG_KEYS.match(key_name(key)))


def words_of(item: Any) -> Words | None:
    """Read one thing as word -> id: a list of words, a map, its inverse, an object of both, a pair.

    Returns:
        None where it is none of them, or where its two maps contradict each other.
    """
    if isinstance(item, Stub):
        return _words_of_object(item)
    if isinstance(item, list | tuple) and item:
        if all(isinstance(word, str) for word in item):
            return {word: place for place, word in enumerate(item)}
        if 2 <= len(item) <= 3 and all(mapping_of(part) is not None for part in item[:2]):
            return _agreed(plain_map(part) for part in item[:2])
        return None
    if isinstance(item, Mapping):
        return plain_map(item) or _by_names(item)
    return None


def _words_of_object(item: Stub) -> Words | None:
    listed = list_of(item)
    if listed is not None:
        return words_of(listed)
    state = item.__dict__.get("state")
    if isinstance(state, tuple) and "vocab" in class_of(item).lower():  # torchtext's, made in C++
        lists = [part for part in state if isinstance(part, list) and part]
        texts = [part for part in lists if all(isinstance(word, str) for word in part)]
        return words_of(texts[0]) if len(texts) == 1 else None
    held = mapping_of(item)
    if held is None:
        return None
    found = plain_map(held) or _by_names(held)
    return None if found is None else _kept_by_keras(found, held)


def _kept_by_keras(words: Words, held: Mapping[Any, Any]) -> Words:
    """Leave out what a Keras tokenizer of ``num_words`` leaves out: ids from there on."""
    most = held.get("num_words")
    if type(most) is not int or most < 2 or "word_index" not in held:
        return words
    return {word: id_ for word, id_ in words.items() if id_ < most}


def plain_map(item: Any) -> Words | None:
    """Read a map of words to ids, or of ids to words; ids may be numbers as text in JSON."""
    held = mapping_of(item)
    if not held:
        return None
    if all(isinstance(k, str) and type(v) is int for k, v in held.items()):
        return dict(held)
    if all(isinstance(v, str) for v in held.values()):
        keys = [k if type(k) is int else _as_id(k) for k in held]
        if all(key is not None for key in keys):
            pairs = zip(keys, held.values(), strict=True)
            return {word: key for key, word in pairs if key is not None}
    return None


def _as_id(key: Any) -> int | None:
    plain = isinstance(key, str) and key.isascii() and key.isdigit() and len(key) < 10
    return int(key) if plain else None


def _by_names(held: Mapping[Any, Any]) -> Words | None:
    """Join the map and its inverse by their usual names; the fuller one leads."""
    found = []
    for names in (ID_TO_WORD, WORD_TO_ID):
        for key, item in held.items():
            if names.match(key_name(key)) and not isinstance(item, TensorInfo):
                read = _read(item)
                found += [read] if read else []
    return _agreed(found)


def _read(item: Any) -> Words | None:
    return words_of(item) if isinstance(item, list | tuple) else plain_map(item)


def _agreed(maps: Iterable[Words | None]) -> Words | None:
    """Give the fullest of several maps where no other says otherwise.

    The seq2seq tutorial of PyTorch leaves its special tokens out of one map of two.
    """
    read = [words for words in maps if words]
    if not read:
        return None
    fullest = max(read, key=len)
    by_id = {id_: word for word, id_ in fullest.items()}
    for words in read:
        for word, id_ in words.items():
            known = fullest.get(word)
            if known is not None and known != id_:
                return None
            if known is None and id_ in by_id:
                return None  # two words of one id: which of them is right cannot be told
    return fullest


def find_named(value: Any, depth: int = 0) -> tuple[str, Words] | None:
    """Find a vocabulary by the usual names, wherever it is nested.

    Returns:
        its place and word -> id.
    """
    held = mapping_of(value)
    if held is None or depth > DEEPEST:
        return None
    both = _by_names({k: v for k, v in held.items() if not isinstance(v, TensorInfo)})
    for key, item in held.items():
        name = key_name(key)
        if not VOCABULARY_KEYS.match(name):
            continue
        words = words_of(item)
        mapped = WORD_TO_ID.match(name) or ID_TO_WORD.match(name)
        if both is None and mapped and _read(item):
            continue  # its inverse beside it says otherwise
        if words and both and len(both) >= len(words) and words.keys() <= both.keys():
            words = both
        if words:
            return name, words
    # Settings last: Lightning keeps what its module was made with there, a vocabulary too.
    for key, item in sorted(held.items(), key=lambda pair: is_config(pair[0])):
        if not isinstance(item, TensorInfo):
            found = find_named(item, depth + 1)
            if found is not None:
                return f"{key_name(key)}.{found[0]}", found[1]
    return None


def find_any(value: Any) -> Words | None:
    """Find the words of a file that holds a vocabulary and little else, whatever their name.

    Only maps without gaps count, and where two differ, none does.
    """
    found: list[Words] = []
    for words in itertools.islice(_maps(value, 0), 64):
        ids = set(words.values())
        whole = len(ids) == len(words) and max(ids) - min(ids) + 1 == len(ids)
        sentences = sum(" " in word.strip() for word in words)
        if sentences * 10 > len(words):
            continue
        if whole and min(ids) in {0, 1} and len(words) >= FEWEST and words not in found:
            found.append(words)
    return _agreed(found) if found else None


def _maps(value: Any, depth: int) -> Iterable[Words]:
    if depth > DEEPEST:
        return
    words = words_of(value)
    if words:
        yield words
        return
    held = mapping_of(value)
    listed = None if held is not None else list_of(value)
    rows = held.items() if held is not None else enumerate(listed or ())
    for key, item in itertools.islice(rows, 1000):
        if not _COUNTS.search(key_name(key)):
            yield from _maps(item, depth + 1)
