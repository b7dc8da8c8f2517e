"""Reading sections of a recipe against the fields of a dataclass, every error noted."""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any, TypeVar

Options = TypeVar("Options")

_WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def read_options(
    kind: type[Options], section: Any, place: str, errors: list[str]
) -> Options | None:
    """Make options of a mapping; None where something is wrong, which is added to ``errors``.

    Args:
        kind: a dataclass whose fields all have defaults.
        section: what the file has there.
        place: the section's name.
        errors: gets one line a mistake.
    """
    if not isinstance(section, dict):
        errors.append(f"{place} must be a mapping, not {section!r:.40}")
        return None
    before = len(errors)
    fields = {row.name: row for row in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name, value in section.items():
        if name not in fields:
            near = difflib.get_close_matches(str(name), fields, n=1)
            meant = f"did you mean {near[0]}?" if near else f"known: {', '.join(fields)}"
            errors.append(f"{place}.{name} is not a field ({meant})")
            continue
        wrong = _wrong(value, fields[name])
        if wrong:
            errors.append(f"{place}.{name} is {value!r:.40}, not {wrong}")
    return kind(**section) if len(errors) == before else None


def _wrong(value: Any, row: dataclasses.Field[Any]) -> str:
    """Say what a field takes where ``value`` is not that; empty where it is."""
    if "choices" in row.metadata:
        choices = row.metadata["choices"]
        return "" if value in choices else f"one of {', '.join(choices)}"
    kind = type(row.default)
    # YAML reads 1 as a whole number where 1.0 is meant, and true as neither.
    accepted: tuple[type, ...] = (int, float) if kind is float else (kind,)
    right = isinstance(value, accepted) and (kind is bool or not isinstance(value, bool))
    if "low" not in row.metadata:
        return "" if right else _WORDS[kind]
    low, high = row.metadata["low"], row.metadata["high"]
    fits = right and low <= value <= high
    return "" if fits else f"{_WORDS[kind]} in {low:g}..{high:g}"
