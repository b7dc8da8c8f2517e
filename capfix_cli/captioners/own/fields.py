"""Reading nested dataclasses from plain dicts, every mistake noted with its dotted place."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


def read_fields(
    kind: type,
    data: Any,
    place: str,
    errors: list[str],
    sections: Mapping[str, type],
    choices: Mapping[str, tuple[Any, ...]],
) -> Any:
    """Build ``kind`` from a dict; None where anything in it is wrong.

    Args:
        kind: a dataclass whose fields have defaults.
        data: what should be a mapping.
        place: of ``data`` in the whole, with a dot at its end; empty for the whole itself.
        errors: every mistake is added here.
        sections: dotted place -> dataclass of the fields that are mappings themselves.
        choices: dotted place -> values of the fields that allow a few only.
    """
    if not isinstance(data, Mapping):
        errors.append(f"{place.rstrip('.') or 'config'} must be a mapping, not {data!r:.60}")
        return None
    fields = {f.name: f for f in dataclasses.fields(kind)}
    values: dict[str, Any] = {}
    before = len(errors)
    for name, value in data.items():
        full = f"{place}{name}"
        if name not in fields:
            errors.append(f"{full} is not a field (known: {', '.join(fields)})")
        elif full in sections:
            values[name] = read_fields(sections[full], value, f"{full}.", errors, sections, choices)
        elif full in choices:
            if value not in choices[full]:
                errors.append(f"{full} is {value!r:.40}, not one of {', '.join(choices[full])}")
            values[name] = value
        elif not _right_type(value, str(fields[name].type)):
            errors.append(f"{full} is {value!r:.40}, not of type {fields[name].type}")
        else:
            values[name] = value
    return None if len(errors) > before else kind(**values)


def _right_type(value: Any, annotation: str) -> bool:
    if annotation.endswith(" | None"):
        return value is None or _right_type(value, annotation.removesuffix(" | None"))
    if annotation == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    if annotation == "float":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, bool) if annotation == "bool" else isinstance(value, str)
