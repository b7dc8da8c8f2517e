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
from capfix_cli.checkpoints.no_tensors import tensorless
from capfix_cli.checkpoints.safe_pickle.stub_contents import mapping_of
from capfix_cli.checkpoints.stored_scaler import scaler_facts
from capfix_cli.checkpoints.word_maps import VOCABULARY_KEYS, find_named, is_config
from capfix_cli.checkpoints.word_maps import words_of as words_of  # noqa: PLC0414 - others take it here
from capfix_cli.checkpoints.xray.decoder_xray import read_architecture
from capfix_cli.checkpoints.xray.feature_facts import read_features
from capfix_cli.checkpoints.xray.huggingface_families import family_facts
from capfix_cli.checkpoints.xray.untrained_model import read_training
from capfix_cli.core.errors import CapfixError
from capfix_cli.schemas.inspection_record import Inspection, TensorSummary, VocabularySummary

SPECIAL = re.compile(
    r"^[<\[](s|/s|bos|eos|sos|pad|unk|start|end|cls|sep|mask)[>\]]$"
    r"|^(startseq|endseq)$",
    re.IGNORECASE,
)
PART = re.compile(r"^([a-z\d]+_)*(enc|dec)(oder)?s?\d*$|^(cnn|rnn|gru|lstm|head|layers?)$", re.I)
MOST_SAID = 50  # single values beside the weights
FEW = 12  # named values that are shown together


def inspect_checkpoint(path: str) -> Inspection:
    """Read a checkpoint statically; nothing in it is executed.

    Of tensors' values only a sample is read, as raw bytes at the places that the file gives.

    Raises:
        CapfixError: missing, damaged, or no checkpoint.
    """
    content = read_whole(path)
    sha256 = sha256_of([file for _, file in weight_files(path)])
    tensors = plain_names(weights_of(content))
    beside = mapping_of(content.value) or {}
    preprocessor = beside.get(PREPROCESSOR)
    facts = {
        **({**read_architecture(tensors), **read_training(tensors)} if tensors else {}),
        **({} if tensors or content.value is None else tensorless(content)),
        **read_features(tensors, preprocessor if isinstance(preprocessor, dict) else None),
        **(scaler_facts(content) if tensors else {}),
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
    """Drop what wrappers put before every name: ``state_dict.``, ``model.``, ``captioner.``.

    A part's own name stays where it is all that the file holds: ``encoder.``.
    """
    names = list(tensors)
    while len(names) > 1:
        first = names[0].partition(".")[0]
        if first.isdigit() or not all(name.startswith(f"{first}.") for name in names):
            break
        wrapper = re.fullmatch(r"\w*state_?dict\w*|model|module|net|params|weights", first)
        parts = {name.split(".")[1] for name in names if name.count(".") > 1}
        if not wrapper and (len(parts) < 2 or PART.match(first)):
            break
        names = [name[len(first) + 1 :] for name in names]
    return {
        name: dataclasses.replace(old, name=name)
        for name, old in zip(names, tensors.values(), strict=True)
    }


def _config(value: Any) -> dict[str, Any] | None:
    """Give settings and what else is said beside the weights: epochs, scores, losses."""
    value = mapping_of(value)
    if value is None:
        return None
    plain = PlainValues()
    named = [row for row in value.items() if is_config(row[0])]
    said = (row for row in value.items() if not is_config(row[0]) and _is_said(*row))
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
        state = mapping_of(value.get(key)) or value.get(key)
        state = state[0] if isinstance(state, list) and state else state
        groups = state.get("param_groups") if isinstance(state, Mapping) else None
        if isinstance(groups, list) and groups and isinstance(groups[0], Mapping):
            rows = {k: v for k, v in groups[0].items() if k not in {"params", "param_names"}}
            return {"optimizer": plain.of(rows, 0)}
    return {}


def find_vocabulary(value: Any) -> VocabularySummary | None:
    """Find a word list or word map and its special tokens, by their usual names."""
    found = find_named(value)
    if found is None:
        return None
    source, words = found
    special = {word: place for word, place in words.items() if SPECIAL.match(word)}
    return VocabularySummary(len(words), source, special)
