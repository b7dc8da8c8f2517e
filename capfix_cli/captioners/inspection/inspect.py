"""``capfix inspect``: everything that can be read from a checkpoint without running it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from capfix_cli.captioners.inspection.folders import read_whole, weight_files
from capfix_cli.captioners.inspection.formats import Content
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
    content = read_whole(path)
    sha256 = sha256_of([file for _, file in weight_files(path)])
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


def sha256_of(files: Sequence[Path]) -> str:
    """Hash a file's bytes; of several files, their digests in order."""
    digests = []
    for file in files:
        with file.open("rb") as handle:
            digests.append(hashlib.file_digest(handle, "sha256").hexdigest())
    return (
        digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
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
    found = _find(value)
    if found is None:
        return None
    source, words = found
    special = {word: place for word, place in words.items() if SPECIAL.match(word)}
    return VocabularySummary(len(words), source, special)


def find_words(value: Any) -> dict[str, int] | None:
    """Find the same as word -> id."""
    found = _find(value)
    return None if found is None else found[1]


def _find(value: Any) -> tuple[str, dict[str, int]] | None:
    if isinstance(value, Stub):
        value = value.__dict__.get("state")
    if not isinstance(value, Mapping):
        return None
    for key, item in value.items():
        words = words_of(item) if VOCABULARY_KEYS.match(str(key)) else None
        if words:
            return str(key), words
    for key, item in value.items():
        if not CONFIG_KEYS.match(str(key)):
            found = _find(item)
            if found is not None:
                return f"{key}.{found[0]}", found[1]
    return None


def words_of(item: Any) -> dict[str, int] | None:
    """Read a word list, a word map, or its inverse as word -> id."""
    if isinstance(item, Stub):
        state = item.__dict__.get("state") or item.__dict__.get("items")
        return find_words(state) if isinstance(state, Mapping) else None
    if isinstance(item, list | tuple) and item and all(isinstance(word, str) for word in item):
        return {word: place for place, word in enumerate(item)}
    if isinstance(item, Mapping) and item:
        if all(isinstance(k, str) and type(v) is int for k, v in item.items()):
            return dict(item)
        if all(type(k) is int and isinstance(v, str) for k, v in item.items()):
            return {word: place for place, word in item.items()}
    return None
