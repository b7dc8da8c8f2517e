"""What a file is that holds no tensors: a vocabulary, settings, a scaler, arrays of features."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from capfix_cli.checkpoints.formats.checkpoint_content import Content
from capfix_cli.checkpoints.safe_pickle.stub_arrays import array_of, shown_array
from capfix_cli.checkpoints.safe_pickle.stub_contents import list_of, mapping_of
from capfix_cli.checkpoints.stored_scaler import find_scalers
from capfix_cli.checkpoints.word_maps import find_any, find_named, words_of
from capfix_cli.schemas.inspection_record import Fact

FEWEST_WORDS = 20  # of a map without special tokens: settings have fewer whole numbers in a row
LOOKED_AT = 200  # values of one file


def tensorless(content: Content) -> dict[str, Fact]:
    """State ``content`` of a file without tensors: what it is, and what to do with it."""
    value = content.value
    scalers = find_scalers(content)
    if scalers:
        return _told(str(scalers[0]), "it scales features: capfix_cli.load_scaler reads it")
    named = find_named(value)
    words = named[1] if named else _whole_words(words_of(value) or find_any(value))
    if words:
        kind = "list" if list_of(value) is not None else "map"
        return _told(f"a word {kind} of {len(words):,} words", "give it with --vocabulary")
    arrays = _arrays(value)
    if arrays:
        return _told(arrays, "give a folder or file of features with --features")
    held = mapping_of(value)
    if held:
        return _told(f"settings: {len(held):,} values", "give the checkpoint that they belong to")
    why = "neither tensors, words, settings nor arrays of numbers were found"
    return {"content": Fact(None, 0.0, (why,))}


def _whole_words(words: dict[str, int] | None) -> dict[str, int] | None:
    """Take words whose ids leave no gaps, and too many or too special to be numbers with names."""
    if not words:
        return None
    ids = set(words.values())
    whole = len(ids) == len(words) and min(ids) in {0, 1} and max(ids) - min(ids) == len(ids) - 1
    special = any(re.match(r"[<\[].+[>\]]$|startseq$|eos$", word, re.I) for word in words)
    return words if whole and (special or len(words) >= FEWEST_WORDS) else None


def _told(what: str, to_do: str) -> dict[str, Fact]:
    return {"content": Fact(f"no tensors: {what}", 0.95, (to_do,))}


def _arrays(value: Any) -> str | None:
    """Say how many arrays a file names or lists, and what the first of them is."""
    shown = shown_array(value)
    if shown is not None:
        return _one(value)
    held = mapping_of(value)
    rows = list(held.values()) if isinstance(held, Mapping) else list(list_of(value) or ())
    some = rows[:LOOKED_AT]
    if not some or not all(shown_array(item) is not None for item in some):
        return None
    return f"{len(rows):,} arrays, the first {_one(some[0])}"


def _one(value: Any) -> str:
    array = array_of(value)
    if array is None:
        return str(shown_array(value)).strip("<>")
    return f"an array {list(array.shape)} of {array.dtype}"
