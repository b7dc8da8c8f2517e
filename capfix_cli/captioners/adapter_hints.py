"""What a checkpoint's own objects and settings say of the adapter that would load it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from capfix_cli.checkpoints.formats.checkpoint_content import Content, key_name
from capfix_cli.checkpoints.formats.network_keys import is_whole, part_name
from capfix_cli.checkpoints.safe_pickle.safe_unpickler import Stub
from capfix_cli.checkpoints.safe_pickle.stub_contents import attributes_of, class_of, mapping_of
from capfix_cli.checkpoints.stored_scaler import find_scalers
from capfix_cli.schemas.inspection_record import Inspection

# Keys under which scripts keep what their network was built with, the surest first.
_BUILT_WITH = ("hyper_parameters", "model_config", "model_args", "network_config", "hparams")
_WORDS = re.compile(r"vocab|tokenizer|word_?(map|list|dict)", re.IGNORECASE)
_FILE = re.compile(r"[\w./~ -]+\.(json|txt|csv|tsv|pkl|pickle|pt|pth|p|model|joblib|vocab)$")
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")
MOST_SETTINGS = 12  # of a constructor
DEEPEST = 5  # levels of settings in which a path is sought


@dataclass(frozen=True)
class Hints:
    """What the file has that a scaffold can use.

    Attributes:
        classes: part, or an empty name for the whole network -> dotted class.
        settings: what the network was built with, as names and plain values.
        settings_from: the key that holds them.
        words: path of a vocabulary, as the settings name it.
        words_from: the key that names it.
        scaler: what scales features, in words; empty where nothing does.
    """

    classes: Mapping[str, str]
    settings: Mapping[str, Any]
    settings_from: str = ""
    words: str = ""
    words_from: str = ""
    scaler: str = ""


NO_HINTS = Hints({}, {})


def hints_of(content: Content, found: Inspection) -> Hints:
    """Read them from an inert reading and its inspection; nothing of the file is imported."""
    held = mapping_of(content.value) or {}
    settings, source = _built_with(found.config or {})
    words, words_from = _words_path(found.config or {}, "", 0)
    scalers = find_scalers(content)
    scaler = str(scalers[0]) if len(scalers) == 1 else ""
    return Hints(_classes(content.value, held), settings, source, words, words_from, scaler)


def _classes(value: Any, held: Mapping[Any, Any]) -> dict[str, str]:
    """Name the classes of pickled modules, those of PyTorch's own aside."""
    if _is_module(value):
        return {"": class_of(value)} if _own(value) else {}
    found = {}
    for key, item in held.items():
        part = "" if is_whole(key) else part_name(key)
        if part is not None and _is_module(item) and _own(item):
            found[part] = class_of(item)
    return found


def _is_module(value: Any) -> bool:
    return isinstance(value, Stub) and "_modules" in attributes_of(value)


def _own(stub: Stub) -> bool:
    name = class_of(stub)
    return bool(_DOTTED.match(name)) and not name.startswith("torch.")


def _built_with(config: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    for key in _BUILT_WITH:
        held = config.get(key)
        if isinstance(held, Mapping):
            plain = {
                str(name): value
                for name, value in held.items()
                if str(name).isidentifier()
                and isinstance(value, bool | int | float | str | None)
                and not str(value).startswith("<")
            }
            if plain and len(plain) <= MOST_SETTINGS:
                return plain, key
    return {}, ""


def _words_path(value: Any, place: str, depth: int) -> tuple[str, str]:
    """Find a path of a vocabulary among settings: ``vocab_file``, ``data.tokenizer.path``."""
    if not isinstance(value, Mapping) or depth > DEEPEST:
        return "", ""
    for key, item in value.items():
        name = f"{place}.{key_name(key)}".strip(".")
        if isinstance(item, str) and _WORDS.search(name) and _FILE.match(item):
            return item, name
    for key, item in value.items():
        found = _words_path(item, f"{place}.{key_name(key)}".strip("."), depth + 1)
        if found[0]:
            return found
    return "", ""


def imported(classes: Sequence[str]) -> list[str]:
    """``models.net.Encoder`` -> ``from models.net import Encoder``; what ran as a script is a gap.

    Args:
        classes: dotted names.
    """
    lines = []
    for name in dict.fromkeys(classes):
        module, _, last = name.rpartition(".")
        if module == "__main__":
            lines.append(f"from your_project import {last}  # GAP: the script that was run")
        else:
            lines.append(f"from {module} import {last}")
    return lines
