"""Checkpoints of more than one file: folders, indexes of shards, files given together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from capfix_cli.checkpoints.formats.file_format import Content, read_content
from capfix_cli.core.errors import CapfixError

INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
SINGLE = ("model.safetensors", "pytorch_model.bin")
TOKENIZER = "tokenizer.json"
PREPROCESSOR = "preprocessor_config.json"
LARGEST_INDEX = 32 * 2**20  # bytes; the indexes of the largest models have some ten million


def weight_files(checkpoint: str) -> list[tuple[str, Path]]:
    """List the files of a checkpoint, each with the name under which its tensors stand.

    Args:
        checkpoint: a file, a folder, an index, or several files joined by commas.

    Returns:
        (name, file) pairs; the name is empty where a file's own names are whole.

    Raises:
        CapfixError: a folder without weights, a shard that is missing or outside the folder.
    """
    if not checkpoint:  # its path would be the current folder
        raise CapfixError(
            "No checkpoint was given.", "Name one: capfix adapter check FILE.py MODEL"
        )
    path = Path(checkpoint)
    try:
        if "," in checkpoint and not path.exists():
            return _together(checkpoint)
        if path.is_dir():
            return [("", file) for file in _of_folder(path)]
        if path.name.endswith(".index.json"):
            return [("", file) for file in shards(path)]
    except (OSError, ValueError) as error:  # a name too long, a folder without permission
        why = getattr(error, "strerror", None) or error
        raise CapfixError(f"{checkpoint:.200} cannot be read: {why}.", "Check the path.") from error
    return [("", path)]


def _together(checkpoint: str) -> list[tuple[str, Path]]:
    named = []
    for text in filter(None, (part.strip() for part in checkpoint.split(","))):
        file = Path(text)
        lower = file.stem.lower()
        part = next((p for p in ("encoder", "decoder") if p[:3] in lower), file.stem)
        named.append((part, file))
    if len({name for name, _ in named}) < len(named):
        raise CapfixError(
            f"Of {checkpoint} two files go by the same name.", "Name one encoder, one decoder."
        )
    return named


def _of_folder(folder: Path) -> list[Path]:
    for name in INDEXES:
        if (folder / name).is_file():
            return shards(folder / name)
    for name in SINGLE:
        if (folder / name).is_file():
            return [folder / name]
    foreign = {
        "tf_model.h5": "TensorFlow",
        "flax_model.msgpack": "Flax",
        "model.onnx": "ONNX",
        "saved_model.pb": "TensorFlow",
    }
    for name, kind in foreign.items():
        if (folder / name).is_file():
            raise CapfixError(
                f"{folder} holds {kind} weights alone ({name}).", "Export them to PyTorch first."
            )
    raise CapfixError(
        f"{folder} is a folder without {' or '.join(SINGLE)}.",
        "Give the checkpoint file inside it.",
    )


def shards(index: Path) -> list[Path]:
    """List the files of an index of shards, each once; every one must be in the index's folder.

    Raises:
        CapfixError: no such mapping, a path that leads elsewhere, a missing file.
    """
    data = read_json(index)
    places = data.get("weight_map")
    if not isinstance(places, dict) or not places:
        raise CapfixError(f"{index} has no weight_map.", "Copy or save the model again.")
    folder = index.parent.resolve()
    found: dict[Path, None] = {}
    for name, file in places.items():
        if not isinstance(file, str) or not file or "\0" in file or Path(file).name != file:
            raise CapfixError(
                f"{index} puts {name!r:.60} into {file!r:.80}, which is not a file beside it.",
                "Shards must lie in the index's own folder: this one was refused.",
            )
        # Stores of models keep files elsewhere and link to them; those that a user's own folder
        # names are the user's to give, a path in the index is not.
        found[folder / file] = None
    missing = [file.name for file in found if not file.is_file()]
    if missing:
        named = ", ".join(missing[:3])
        raise CapfixError(
            f"{index.parent} lacks {len(missing)} of {len(found)} shards: {named}.",
            "Download or copy the missing files.",
        )
    return list(found)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON mapping.

    Raises:
        CapfixError: unreadable, too large, or none.
    """
    try:
        if path.stat().st_size > LARGEST_INDEX:
            raise CapfixError(f"{path} claims to be JSON of over 32 MB.", "Give a real index.")
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CapfixError(f"{path} cannot be read as JSON: {error}.", "Copy it again.") from error
    if not isinstance(data, dict):
        raise CapfixError(f"{path} is no JSON mapping.", "Copy or save the model again.")
    return data


def read_whole(checkpoint: str) -> Content:
    """Read the structure of a checkpoint of any number of files.

    Raises:
        CapfixError: as :func:`weight_files` and :func:`read_content`.
    """
    files = weight_files(checkpoint)
    path = Path(checkpoint)
    if len(files) == 1 and files[0] == ("", path):
        return read_content(path)
    whole = Content("folder" if path.is_dir() else "files", {})
    for name, file in files:
        content = read_content(file)
        prefix = f"{name}." if name else ""
        whole.tensors |= {prefix + _bare(key): t for key, t in content.tensors.items()}
        whole.imports += [i for i in content.imports if i not in whole.imports]
        if content.refused:
            whole.refused = whole.refused or f"{file.name}: {content.refused}"
    if path.is_dir():
        for name in ("config.json", "generation_config.json", PREPROCESSOR):
            if (path / name).is_file():
                whole.value["config" if name == "config.json" else name] = read_json(path / name)
        words = _tokenizer_words(path / TOKENIZER)
        if words:
            whole.value[TOKENIZER] = {"vocab": words}
        whole.format = "huggingface" if "model_type" in whole.value.get("config", {}) else "folder"
        auto = whole.value.get("config", {}).get("auto_map")
        if isinstance(auto, dict):
            whole.imports += [str(name) for name in auto.values()]
    return whole


def _tokenizer_words(path: Path) -> dict[str, int] | None:
    """Read a tokenizer's words with those that were added to it; None where that cannot be done.

    The weights are what is inspected: a broken tokenizer beside them is not their fault.
    """
    try:
        data = read_json(path) if path.is_file() else {}
    except CapfixError:
        return None
    model, added = data.get("model"), data.get("added_tokens")
    words = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(words, list):  # a unigram model's pairs of piece and score, in order of ids
        pieces = [row[0] for row in words if isinstance(row, list) and row]
        words = {piece: number for number, piece in enumerate(pieces) if isinstance(piece, str)}
    if not isinstance(words, dict):
        return None
    rows = [row for row in added if isinstance(row, dict)] if isinstance(added, list) else []
    words = words | {row.get("content"): row.get("id") for row in rows}
    return {word: id_ for word, id_ in words.items() if isinstance(word, str) and type(id_) is int}


def _bare(name: str) -> str:
    return name.removeprefix("state_dict.")
