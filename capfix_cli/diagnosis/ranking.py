"""Findings put in order: what is shown by experiment first, what merely follows from it after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from capfix_cli.core.thresholds import CAUSE_FROM
from capfix_cli.diagnosis.causes import discover
from capfix_cli.diagnosis.causes.cause_spec import matches
from capfix_cli.diagnosis.causes.finding import Finding
from capfix_cli.schemas.diagnosis_record import Cause, NotTested
from capfix_cli.schemas.measured_values import Evidence


@dataclass(frozen=True)
class Causes:
    """What was found of some causes.

    Attributes:
        findings: of every cause that was looked for, in the order of the path.
        ranked: causes found, the likeliest and most upstream first.
    """

    findings: tuple[Finding, ...]
    ranked: tuple[Cause, ...]

    @property
    def first_step(self) -> str:
        """How to mend the first of them; empty where none was found."""
        return self.mend_of(self.ranked[0]) if self.ranked else ""

    def mend_of(self, cause: Cause) -> str:
        """How to mend a cause that was found, as exactly as its finding says it."""
        finding = next(finding for finding in self.findings if finding.id == cause.id)
        return finding.mend or discover()[cause.id].mend

    @property
    def not_tested(self) -> tuple[NotTested, ...]:
        """Causes that could not be looked for, with what that needs."""
        return tuple(NotTested(f.id, f.needs) for f in self.findings if f.needs)

    @property
    def ruled_out(self) -> Mapping[str, Finding]:
        """Causes that were looked for and not found."""
        return {
            f.id: f
            for f in self.findings
            if f.confidence is not None and f.confidence < CAUSE_FROM.value and not f.needs
        }


def rank(findings: Sequence[Finding]) -> Causes:
    """Keep what is likelier than not, and put what another cause explains behind it."""
    specs = discover()
    found = [f for f in findings if (f.confidence or 0.0) >= CAUSE_FROM.value]
    explained = _explained(found)
    order = {id_: place for place, id_ in enumerate(specs)}

    def key(finding: Finding) -> tuple[bool, bool, float, int]:
        sure = finding.confidence or 0.0
        gate = specs[finding.id].gate
        return (finding.id in explained, not gate, -round(sure, 2), order[finding.id])

    ranked = [_cause(f, explained.get(f.id)) for f in sorted(found, key=key)]
    return Causes(tuple(findings), tuple(ranked))


def _explained(found: Sequence[Finding]) -> dict[str, str]:
    """Say which causes follow from which: their id -> that of the cause that explains them."""
    specs = discover()
    explained: dict[str, str] = {}
    for finding in found:
        patterns = finding.explains or specs[finding.id].explains
        for other in found:
            # Of two that explain each other the first one does.
            free = finding.id not in explained and other.id not in explained
            if free and other.id != finding.id and matches(other.id, patterns):
                explained[other.id] = finding.id
    return explained


def _cause(finding: Finding, by: str | None) -> Cause:
    cause = finding.cause
    if by is None:
        return cause
    row = Evidence("explained by", by, None, "a cause found before it on the audio's path")
    return replace(cause, confidence=cause.confidence / 2, evidence=(*cause.evidence, row))
