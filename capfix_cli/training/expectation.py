"""What a recipe promises, in a form that can be checked when it was run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from capfix_cli.core.thresholds import LISTENING_SHARE
from capfix_cli.schemas.diagnosis_record import Diagnosis
from capfix_cli.schemas.retraining_record import Expected

OPERATORS = (">=", "<=", ">", "<", "in")
MEASURES = (
    *("listening", "identification", "verdict"),
    *("distinct_captions", "caption_entropy", "vocabulary"),
)
# Sentences of recipes that were written before promises could be checked.
_SENTENCES: Mapping[str, tuple[str, Any]] = {
    "at least 3 times the bits, on clips it never saw": (">=", "3 x before"),
    "healthy or generic": ("in", "healthy generic"),
    "more than now": (">", "1 x before"),
}
_FACTOR = re.compile(r"\s*([\d.]+)\s*x before\s*")


def promise(operator: str, value: Any, sentence: str) -> dict[str, Any]:
    """Write a promise as a recipe has it."""
    return {"operator": operator, "value": value, "sentence": sentence}


USUAL: Mapping[str, Any] = {
    "listening": promise(
        ">=", "3 x before", "at least 3 times the bits and enough to decide, on clips it never saw"
    ),
    "verdict": promise("in", "healthy generic", "healthy or generic"),
    "distinct_captions": promise(">", "1 x before", "more than now"),
}


def check_promises(section: Any, errors: list[str]) -> dict[str, Any]:
    """Read a recipe's ``expect``; a sentence that cannot be checked stays a sentence."""
    if not isinstance(section, Mapping):
        errors.append("expect must be a mapping of measures")
        return {}
    found: dict[str, Any] = {}
    for measure, row in section.items():
        if isinstance(row, str):
            known = _SENTENCES.get(row)
            found[str(measure)] = promise(*known, row) if known else row
            continue
        place = f"expect.{measure}"
        if measure not in MEASURES:
            errors.append(f"{place} is not a measure (known: {', '.join(MEASURES)})")
        if not isinstance(row, Mapping) or "operator" not in row or "value" not in row:
            errors.append(f"{place} needs an operator and a value")
            continue
        operator, value = row["operator"], row["value"]
        if operator not in OPERATORS:
            errors.append(f"{place}.operator is {operator!r}, not one of {', '.join(OPERATORS)}")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if operator != "in" and not number and not _FACTOR.fullmatch(str(value)):
            errors.append(f"{place}.value is {value!r:.40}, not a number or '3 x before'")
        found[str(measure)] = dict(row)
    return found


def hold_to_promises(
    expect: Mapping[str, Any], before: Diagnosis | None, after: Diagnosis
) -> tuple[Expected, ...]:
    """Check every promise against the diagnosis of the trained captioner."""
    rows = []
    for measure, row in expect.items():
        if isinstance(row, str):
            rows.append(Expected(measure, row, None, None, None, "written in words only"))
            continue
        operator, value = row["operator"], row["value"]
        sentence = str(row.get("sentence") or f"{operator} {value}")
        old, now = (None if d is None else _value(d, measure) for d in (before, after))
        least = _least(measure, after)
        rows.append(_judge(measure, sentence, operator, value, old=old, now=now, least=least))
    return tuple(rows)


def _least(measure: str, after: Diagnosis) -> float:
    """Give what a multiple of before comes to at least: three times nothing is no promise."""
    heard = after.listening
    if measure != "listening" or heard is None:
        return 0.0
    return LISTENING_SHARE.value * heard.ceiling_bits


def _judge(
    measure: str, sentence: str, operator: str, value: Any, *, old: Any, now: Any, least: float
) -> Expected:
    factor = _FACTOR.fullmatch(str(value))
    if now is None or (factor and old is None):
        return Expected(measure, sentence, now, None, None, "could not be measured")
    if operator == "in":
        wanted: Any = str(value).split()
        return Expected(measure, sentence, now, str(value), now in wanted, "")
    rising = operator.startswith(">")
    wanted = float(factor.group(1)) * old if factor else float(value)
    wanted = max(wanted, least) if factor and rising else wanted
    met = {
        ">=": now >= wanted,
        "<=": now <= wanted,
        ">": now > wanted,
        "<": now < wanted,
    }[operator]
    return Expected(measure, sentence, now, wanted, met, "")


def _value(diagnosis: Diagnosis, measure: str) -> float | str | None:
    if measure == "verdict":
        return diagnosis.verdict
    if measure in {"listening", "identification"}:
        heard = diagnosis.listening
        if heard is None:
            return None
        return heard.deciding_bits if measure == "listening" else heard.identification
    found = diagnosis.measures.get(measure)
    return None if found is None else found.value
