"""Training settings wherever they are kept: a user's YAML, a checkpoint's facts and its config."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from capfix_cli.core.errors import CapfixError

DEEPEST = 12  # levels that are read
MOST = 20_000  # settings; anchors that share their parts can unfold without end
LARGEST = 5_000_000  # bytes of a settings file
# Word maps stand among settings, too, and any word may be spelled like a setting.
WORDS = {"vocab", "vocabulary", "word2idx", "word_map", "idx2word", "words_list", "itos", "stoi"}
OFF = {"", "none", "null", "off", "no", "false", "n/a", "disabled"}
ON = {"yes", "on", "true", "enabled"}


@dataclass(frozen=True)
class TrainingSetting:
    """One value, and where it stands.

    Attributes:
        path: dotted, from the file's top.
        value: a number, text, bool or None.
        where: the file, or ``the checkpoint``.
    """

    path: str
    value: Any
    where: str

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the path, spelled alike: ``gradientClipVal`` as ``gradient_clip_val``."""
        return tuple(spelled_alike(part) for part in self.path.split("."))

    @property
    def number(self) -> float | None:
        """The value as a number; YAML reads ``1e-4`` as text. None where it is none."""
        if isinstance(self.value, bool) or self.value is None:
            return None
        try:
            return float(self.value)
        except (TypeError, ValueError):
            return None

    @property
    def off(self) -> bool:
        """Whether the value says that something is not used."""
        if self.value is None or self.value is False:
            return True
        text = str(self.value).strip().lower()
        return text in OFF or self.number == 0

    @property
    def on(self) -> bool:
        """Whether the value says that something is used, without saying how much."""
        return self.value is True or str(self.value).strip().lower() in ON

    def __str__(self) -> str:
        return f"{self.path} = {self.value} in {self.where}"


def spelled_alike(key: str) -> str:
    """Give one spelling of a key.

    >>> [spelled_alike(key) for key in ("gradientClipVal", "Label-Smoothing", "lr")]
    ['gradient_clip_val', 'label_smoothing', 'lr']
    """
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key)
    return re.sub(r"[^a-z0-9]+", "_", parted.lower()).strip("_")


def read_settings(path: str | Path) -> list[TrainingSetting]:
    """Read a YAML (or JSON) file of training settings; tags of programs give what they hold.

    Raises:
        CapfixError: unreadable, not YAML, or not a mapping; one line says where.
    """
    path = Path(path)
    hint = "Give the training's settings as a YAML mapping, such as label_smoothing: 0.1."
    try:
        if path.stat().st_size > LARGEST:
            raise CapfixError(f"{path} is too large for a file of settings.", hint)
        body = yaml.load(path.read_text(encoding="utf-8-sig"), Loader=_Inert)
    except FileNotFoundError as error:
        raise CapfixError(f"There is no file of training settings {path}.", hint) from error
    except OSError as error:
        raise CapfixError(f"{path} cannot be read: {error.strerror or error}.", hint) from error
    except UnicodeDecodeError as error:
        raise CapfixError(f"{path} is not UTF-8 text.", hint) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CapfixError(f"{path} is not YAML: {_reason(error)}.", hint) from error
    if not isinstance(body, dict) or not body:
        what = "is empty" if body in (None, {}) else f"holds a {_kind(body)}, not a mapping"
        raise CapfixError(f"{path} {what}.", hint)
    return flatten(body, str(path))


def flatten(body: Mapping[Any, Any], where: str) -> list[TrainingSetting]:
    """List every value of nested mappings and lists with its dotted path."""
    found: list[TrainingSetting] = []
    for path, value in _walk(body, "", 0):
        if len(found) >= MOST:
            break
        found.append(TrainingSetting(path, value, where))
    return found


def _walk(value: Any, path: str, depth: int) -> Iterator[tuple[str, Any]]:
    if depth > DEEPEST:
        return
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if str(key).lower() in WORDS or _unused(str(key), value):
                continue
            yield from _walk(inner, f"{path}.{key}" if path else str(key), depth + 1)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for place, inner in enumerate(value):
            yield from _walk(inner, f"{path}.{place}", depth + 1)
    elif value is None or isinstance(value, str | bool | int | float):
        yield path, value


def _unused(key: str, among: Mapping[Any, Any]) -> bool:
    """Say whether a setting is one that transformers keeps and does not use: masks switched off."""
    masks = key.startswith(("mask_time_", "mask_feature_"))
    return masks and among.get("apply_spec_augment") is False


class _Inert(yaml.SafeLoader):
    """Reads tags that it does not know as what they are written around; builds nothing."""


def _plainly(loader: _Inert, _suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode) else None


_Inert.add_multi_constructor("!", _plainly)
_Inert.add_multi_constructor("tag:", _plainly)


def _reason(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
    return f"line {mark.line + 1}, {problem:.100}" if mark is not None else f"{problem:.100}"


def _kind(body: Any) -> str:
    return "list" if isinstance(body, list) else "text" if isinstance(body, str) else "single value"
