"""``capfix inspect``: everything that can be read from a checkpoint without running it."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from capfix_cli.checkpoints.formats.checkpoint_content import Content, key_name
from capfix_cli.checkpoints.formats.checkpoint_folder import PREPROCESSOR, read_whole, weight_files
from capfix_cli.checkpoints.formats.plain_values import PlainValues
from capfix_cli.checkpoints.formats.tensor_info import TensorInfo
from capfix_cli.checkpoints.safe_pickle.safe_unpickler import Stub
from capfix_cli.checkpoints.xray.decoder_xray import read_architecture
from capfix_cli.checkpoints.xray.feature_facts import read_features
from capfix_cli.checkpoints.xray.huggingface_families import family_facts
from capfix_cli.checkpoints.xray.untrained_model import read_training
from capfix_cli.core.errors import CapfixError
from capfix_cli.schemas.inspection_record import Inspection, TensorSummary, VocabularySummary

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
MOST_SAID = 50  # single values beside the weights
FEW = 12  # named values that are shown together
DEEPEST = 8  # levels below which no vocabulary is searched


def inspect_checkpoint(path: str) -> Inspection:
    """Read a checkpoint statically; nothing in it is executed.

    Of tensors' values only a sample is read, as raw bytes at the places that the file gives.

    Raises:
        CapfixError: missing, damaged, or no checkpoint.
    """
    content = read_whole(path)
    sha256 = sha256_of([file for _, file in weight_files(path)])
    tensors = plain_names(weights_of(content))
    beside = content.value if isinstance(content.value, dict) else {}
    preprocessor = beside.get(PREPROCESSOR)
    facts = {
        **read_architecture(tensors),
        **read_training(tensors),
        **read_features(tensors, preprocessor if isinstance(preprocessor, dict) else None),
        **(family_facts(beside.get("config")) if content.format == "huggingface" else {}),
    }
    once = {t.location or (name,): t for name, t in tensors.items()}.values()
    return Inspection(
        path=path,
        format=content.format,
        sha256=sha256,
        tensors=tuple(
            TensorSummary(name, t.shape, t.dtype, t.elements, t.bytes)
            for name, t in tensors.items()
        ),
        elements=sum(t.elements for t in once),
        bytes=sum(t.bytes or 0 for t in once),
        config=_config(content.value),
        vocabulary=find_vocabulary(content.value),
        imports=tuple(content.imports),
        refused=content.refused,
        facts=dict(sorted(facts.items())),
    )


def settings_beside(path: str) -> dict[str, Any] | None:
    """Give the settings found beside the weights, and nothing that needs their bytes.

    Raises:
        CapfixError: as :func:`inspect_checkpoint`.
    """
    return _config(read_whole(path).value)


def sha256_of(files: Sequence[Path]) -> str:
    """Hash a file's bytes; of several files, their digests in order.

    Raises:
        CapfixError: a file cannot be read.
    """
    digests = []
    for file in files:
        try:
            with file.open("rb") as handle:
                digests.append(hashlib.file_digest(handle, "sha256").hexdigest())
        except OSError as error:
            raise CapfixError(
                f"{file} cannot be read: {error.strerror or error}.", "Check the file."
            ) from error
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
        name: dataclasses.replace(old, name=name)
        for name, old in zip(names, tensors.values(), strict=True)
    }


def _config(value: Any) -> dict[str, Any] | None:
    """Give settings and what else is said beside the weights: epochs, scores, losses."""
    if not isinstance(value, Mapping):
        return None
    plain = PlainValues()
    named = [row for row in value.items() if _is_config(row[0])]
    said = (row for row in value.items() if not _is_config(row[0]) and _is_said(*row))
    kept = [*named, *itertools.islice(said, MOST_SAID)]
    found = {
        key_name(key): plain.of(item, 0) for key, item in kept if not isinstance(item, TensorInfo)
    }
    return found | _optimizer(value, plain) or None


def _is_said(key: Any, item: Any) -> bool:
    """Say whether a value is one number or a few with their names: bleu-4, a monitor's best."""
    if (
        isinstance(item, Mapping)
        and 0 < len(item) <= FEW
        and not VOCABULARY_KEYS.match(key_name(key))
    ):
        return all(isinstance(inner, bool | int | float | str) for inner in item.values())
    return isinstance(item, bool | int | float | str)


def _optimizer(value: Mapping[Any, Any], plain: PlainValues) -> dict[str, Any]:
    """Give an optimiser's settings, learning rate among them, without its moments."""
    for key in ("optimizer", "optimizer_state_dict", "optimizer_states", "optim"):
        state = value.get(key)
        state = state[0] if isinstance(state, list) and state else state
        groups = state.get("param_groups") if isinstance(state, Mapping) else None
        if isinstance(groups, list) and groups and isinstance(groups[0], Mapping):
            rows = {k: v for k, v in groups[0].items() if k not in {"params", "param_names"}}
            return {"optimizer": plain.of(rows, 0)}
    return {}


def find_vocabulary(value: Any) -> VocabularySummary | None:
    """Find a word list or word map and its special tokens, by their usual names."""
    found = _find(value, 0)
    if found is None:
        return None
    source, words = found
    special = {word: place for word, place in words.items() if SPECIAL.match(word)}
    return VocabularySummary(len(words), source, special)


def find_words(value: Any) -> dict[str, int] | None:
    """Find the same as word -> id."""
    found = _find(value, 0)
    return None if found is None else found[1]


def _find(value: Any, depth: int) -> tuple[str, dict[str, int]] | None:
    if isinstance(value, Stub):
        value = value.__dict__.get("state")
    if not isinstance(value, Mapping) or depth > DEEPEST:
        return None
    for key, item in value.items():
        words = words_of(item) if VOCABULARY_KEYS.match(key_name(key)) else None
        if words:
            return key_name(key), words
    # Settings last: Lightning keeps what its module was made with there, a vocabulary too.
    for key, item in sorted(value.items(), key=lambda pair: _is_config(pair[0])):
        if not isinstance(item, TensorInfo):
            found = _find(item, depth + 1)
            if found is not None:
                return f"{key_name(key)}.{found[0]}", found[1]
    return None


def _is_config(key: Any) -> bool:
    return bool(CONFIG_KEYS.match(key_name(key)))


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
