"""Records from plain data, checked by pydantic: every mistake at once, each with its place."""

from __future__ import annotations

import dataclasses
import json
import math
import typing
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from capfix_cli.core.suggest import nearest

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from pydantic_core import ErrorDetails

Record = TypeVar("Record")
# Pydantic's names of a field that a dataclass has not, and of one that the data has not.
UNKNOWN, MISSING = "unexpected_keyword_argument", "missing"
WHOLE = (UNKNOWN, MISSING)  # messages that need no value beside them


class RecordError(ValueError):
    """Data that is not such a record.

    Attributes:
        problems: one line each, ``run: Input should be a valid string, not 3``.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)

    def first(self, count: int = 3) -> str:
        """Give the first few problems in one line, and how many more there are."""
        more = len(self.problems) - count
        return "; ".join(self.problems[:count]) + (f"; and {more} more" if more > 0 else "")


def read_record(kind: type[Record], data: Any, *, null_is_nan: bool = False) -> Record:
    """Make a record, and those that it holds, of what JSON or YAML had.

    Nothing is converted: a number in quotes is no number, and unknown fields are refused.

    Args:
        kind: a dataclass; ``annotated_types`` of its fields are held to.
        data: a mapping.
        null_is_nan: whether null stands for a number that is not finite, which JSON cannot write.

    Raises:
        RecordError: not such a record.
    """
    from pydantic import ValidationError

    reader = _reader(cast(Any, kind))
    try:
        text = json.dumps([data], default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise RecordError([f"not plain data ({error})"]) from error
    try:
        return cast(Record, reader.validate_json(text)[0])
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)
    filled = json.loads(text)
    if not null_is_nan or not _fill_not_finite(filled, details):
        raise RecordError(_problems(kind, filled, details))
    try:
        return cast(Record, reader.validate_json(json.dumps(filled))[0])
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)
        raise RecordError(_problems(kind, filled, details)) from None


def json_schema(kind: type) -> dict[str, Any]:
    """Give the JSON Schema of a record."""
    schema = _reader(kind).json_schema()
    return {**schema.pop("items"), **schema} if "$ref" not in schema["items"] else _inlined(schema)


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    definitions = schema["$defs"]
    name = schema["items"]["$ref"].rpartition("/")[2]
    whole = definitions[name] if _refers(definitions, name) else definitions.pop(name)
    return {**whole, "$defs": definitions} if definitions else whole


def _refers(definitions: Mapping[str, Any], name: str) -> bool:
    return f'"#/$defs/{name}"' in json.dumps(definitions)


@cache
def _reader(kind: Any) -> TypeAdapter[Any]:
    from pydantic import ConfigDict, TypeAdapter

    # A list around it: pydantic takes no settings for a bare dataclass.
    # A trailing underscore is Python's alone, as in plain_data.
    config = ConfigDict(extra="forbid", strict=True, alias_generator=lambda name: name.rstrip("_"))
    return TypeAdapter(list[kind], config=config)


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else repr(value)


def _fill_not_finite(data: Any, details: list[ErrorDetails]) -> bool:
    """Put NaN where a number is null; whether there was such a place."""
    places = [row["loc"] for row in details if row["type"] == "float_type" and row["input"] is None]
    for *path, last in places:
        inner = data
        for key in path:
            inner = inner[key]
        inner[last] = math.nan
    return bool(places)


def _problems(kind: type, data: Any, details: list[ErrorDetails]) -> list[str]:
    """One line a place; a field of several kinds has a message of each."""
    lines: dict[str, list[str]] = {}
    ends: dict[str, str] = {}
    for row in details:
        loc = row["loc"] if row["type"] in WHOLE else tuple(_reached(data, row["loc"]))
        place = ".".join(map(str, loc[1:]))
        lines.setdefault(place, []).append(_message(kind, row))
        ends[place] = "" if row["type"] in WHOLE else f", not {row['input']!r:.40}"
    return [
        f"{place}: {text}" if place else text
        for place, found in lines.items()
        if (text := _either(found) + ends[place])
    ]


def _either(messages: list[str]) -> str:
    first, *others = dict.fromkeys(messages)
    return " or ".join([first, *(other.removeprefix("Input should be ") for other in others)])


def _reached(data: Any, loc: tuple[int | str, ...]) -> Iterator[int | str]:
    """The part of a place that is in the data; pydantic adds which kind of a union it tried."""
    for key in loc:
        try:
            data = data[key]
        except (LookupError, TypeError):
            return
        yield key


def _message(kind: type, row: ErrorDetails) -> str:
    if row["type"] == UNKNOWN:
        return f"not a field ({_meant(kind, row['loc'][1:])})"
    return "must be a mapping" if row["type"] == "dataclass_type" else row["msg"]


def _meant(kind: type, loc: tuple[int | str, ...]) -> str:
    """Name the nearest field to the last of a place, or all that are there."""
    for key in loc[:-1]:
        inner = typing.get_type_hints(kind).get(str(key))
        kind = next(_dataclasses_in(inner), kind)
    names = [row.name for row in dataclasses.fields(kind)]
    near = nearest(str(loc[-1]), names)
    return f"did you mean {near}?" if near else f"known: {', '.join(names)}"


def _dataclasses_in(hint: Any) -> Iterator[type]:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        yield hint
    for part in typing.get_args(hint):
        yield from _dataclasses_in(part)
