"""Records as plain dicts and lists, as they are written to JSON."""

from __future__ import annotations

import dataclasses
from typing import Any


def to_dict(record: Any) -> Any:
    """Turn a record into JSON-ready dicts and lists.

    Raises:
        TypeError: for anything that is not a record, container or plain value.
    """
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        # A trailing underscore is Python's alone: ``from_`` is ``from`` in JSON.
        names = [f.name for f in dataclasses.fields(record)]
        return {name.rstrip("_"): to_dict(getattr(record, name)) for name in names}
    if isinstance(record, dict):
        return {str(key): to_dict(value) for key, value in record.items()}
    if isinstance(record, list | tuple):
        return [to_dict(value) for value in record]
    if record is None or isinstance(record, str | int | float | bool):
        return record
    raise TypeError(f"not JSON-ready: {type(record).__name__}")
