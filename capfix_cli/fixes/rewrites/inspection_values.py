"""What two inspections tell of a network, as the traces of fixes are read from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from capfix_cli.schemas.inspection_record import Inspection

ATTENDING = {"additive-attention", "cross-attention", "attention"}


class Done(NamedTuple):
    """Whether a fix is in the newer checkpoint.

    Attributes:
        done: None where weights and settings cannot tell.
        evidence: what was compared, or why it cannot be told.
    """

    done: bool | None
    evidence: tuple[str, ...]


def config_value(inspection: Inspection, *place: str) -> Any:
    """Give a value of capfix's own settings, None where the checkpoint has none."""
    value: Any = inspection.config
    for name in place:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def fact_value(inspection: Inspection, fact: str) -> Any:
    """Give a fact's value, None where it was not found."""
    found = inspection.facts.get(fact)
    return None if found is None else found.value


def compared(fact: str, before: Inspection, after: Inspection) -> str:
    """``conditioning: concatenated, was not-concatenated``, and what it rests on."""
    found = after.facts.get(fact)
    why = "" if found is None or not found.evidence else f" ({found.evidence[0]})"
    return f"{fact}: {fact_value(after, fact)}, was {fact_value(before, fact)}{why}"
