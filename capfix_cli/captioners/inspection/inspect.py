"""``capfix inspect``: everything that can be read from a checkpoint without running it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from capfix_cli.captioners.inspection.formats import Content, read_content
from capfix_cli.captioners.inspection.inert import Stub
from capfix_cli.captioners.inspection.tensors import TensorInfo
from capfix_cli.captioners.inspection.xray import read_architecture
from capfix_cli.records import Fact, Inspection, TensorSummary, VocabularySummary

VOCABULARY_KEYS = re.compile(
    r"^(vocab|vocabulary|word2idx|word_map|idx2word|words_list|itos|stoi|tokenizer)$", re.IGNORECASE
)
SPECIAL = re.compile(
    r"^[<\[](s|/s|bos|eos|sos|pad|unk|start|end|cls|sep|mask)[>\]]$", re.IGNORECASE
)
CONFIG_KEYS = re.compile(
    r"^(config|cfg|args|hparams|hyper_parameters|settings|params|opt|training|epoch|epochs|"
    r"global_step|step|iteration|format)$",
    re.IGNORECASE,
)
DEEPEST = 6


def inspect_checkpoint(path: str) -> Inspection:
    """Read a checkpoint statically; nothing in it is executed and no tensor's values are loaded.

    Raises:
        CapfixError: missing, damaged, or no checkpoint.
    """
    file = Path(path)
    content = read_content(file)
    with file.open("rb") as handle:
        sha256 = hashlib.file_digest(handle, "sha256").hexdigest()
    tensors = plain_names(weights_of(content))
    facts = read_architecture(tensors)
    facts["weights.untrained"] = Fact(None, 0.0, ("the values of weights are not read here",))
    return Inspection(
        path=path,
        format=content.format,
        sha256=sha256,
        tensors=tuple(
            TensorSummary(name, tensor.shape, tensor.dtype) for name, tensor in tensors.items()
        ),
        config=_config(content.value),
        vocabulary=find_vocabulary(content.value),
        imports=tuple(content.imports),
        refused=content.refused,
        facts=facts,
    )


def weights_of(content: Content) -> dict[str, TensorInfo]:
    """Give the model's tensors, an optimiser's moments left out."""
    return {
        name: tensor
        for name, tensor in content.tensors.items()
        if not re.search(r"(^|\.)(optim\w*|scheduler|ema_state)\b|exp_avg", name)
    }


def plain_names(tensors: Mapping[str, TensorInfo]) -> dict[str, TensorInfo]:
    """Drop what wrappers put before every name: ``state_dict.``, ``model.``, ``module.``."""
    names = list(tensors)
    while names:
        first = names[0].partition(".")[0]
        wrapper = re.fullmatch(r"\w*state_?dict\w*|model|module|net|params|weights", first)
        if not wrapper or not all(name.startswith(f"{first}.") for name in names):
            break
        names = [name[len(first) + 1 :] for name in names]
    return {
        name: TensorInfo(name, old.shape, old.dtype, old.storage, old.offset)
        for name, old in zip(names, tensors.values(), strict=True)
    }


def _config(value: Any) -> dict[str, Any] | None:
    if not isinstance(value, Mapping):
        return None
    found = {
        str(key): _plain(item, 0)
        for key, item in value.items()
        if CONFIG_KEYS.match(str(key)) and not isinstance(item, TensorInfo)
    }
    return found or None


def _plain(value: Any, depth: int) -> Any:
    """Give settings as plain values; what is none is named by its type."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if depth >= DEEPEST:
        return "..."
    if isinstance(value, Mapping):
        return {str(key): _plain(item, depth + 1) for key, item in list(value.items())[:200]}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, depth + 1) for item in list(value)[:200]]
    if isinstance(value, Stub):
        state = value.__dict__.get("state") or value.__dict__.get("items")
        inner = _plain(state, depth + 1) if state else None
        return inner if isinstance(inner, dict) else f"<{type(value)._name}>"
    return f"<{type(value).__name__}>"


def find_vocabulary(value: Any) -> VocabularySummary | None:
    """Find a word list or word map and its special tokens, by their usual names."""
    if not isinstance(value, Mapping):
        return None
    for key, item in value.items():
        words = _words(item) if VOCABULARY_KEYS.match(str(key)) else None
        if words:
            special = {word: place for word, place in words.items() if SPECIAL.match(word)}
            return VocabularySummary(len(words), str(key), special)
    for key, item in value.items():
        inner = item
        if isinstance(item, Stub):
            inner = item.__dict__.get("state")
        if isinstance(inner, Mapping) and not CONFIG_KEYS.match(str(key)):
            found = find_vocabulary(inner)
            if found is not None:
                return VocabularySummary(found.size, f"{key}.{found.source}", found.special)
    return None


def _words(item: Any) -> dict[str, int] | None:
    """Read a word list, a word map, or its inverse as word -> id."""
    if isinstance(item, Stub):
        state = item.__dict__.get("state") or item.__dict__.get("items")
        if isinstance(state, Mapping):
            found = find_vocabulary(state)
            return None if found is None else _first_words(state)
        return None
    if isinstance(item, list | tuple) and item and all(isinstance(word, str) for word in item):
        return {word: place for place, word in enumerate(item)}
    if isinstance(item, Mapping) and item:
        if all(isinstance(k, str) and isinstance(v, int) for k, v in item.items()):
            return dict(item)
        if all(isinstance(k, int) and isinstance(v, str) for k, v in item.items()):
            return {word: place for place, word in item.items()}
    return None


def _first_words(state: Mapping[Any, Any]) -> dict[str, int] | None:
    for key, item in state.items():
        words = _words(item) if VOCABULARY_KEYS.match(str(key)) else None
        if words:
            return words
    return None
