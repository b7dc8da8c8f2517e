"""Findings put in order: what was proved by an intervention first, and by what it restored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from capfix_cli.core.thresholds import (
    CAUSE_FROM,
    EXPLAINED_MOST,
    PROVED_FROM,
    PROVED_RIGHT,
    REFUTED_MOST,
    SUSPECTED_MOST,
)
from capfix_cli.diagnosis.causes import discover
from capfix_cli.diagnosis.causes.cause_spec import matches
from capfix_cli.diagnosis.causes.finding import Finding
from capfix_cli.diagnosis.repairs.repair_trial import RepairTrial
from capfix_cli.schemas.diagnosis_record import Cause, NotTested
from capfix_cli.schemas.measured_values import Evidence

UNKNOWN = "unknown"
MENDED = 0.9  # how clearly a cause showed whose mend restored what was missing, at least
BEFORE = ("input", "weights", "evaluation")  # stages whose faults make audio be lost anywhere


@dataclass(frozen=True)
class Causes:
    """What was found of some causes.

    Attributes:
        findings: of every cause that was looked for, in the order of the path.
        ranked: causes found, those proved first, then by what their mend restored.
    """

    findings: tuple[Finding, ...]
    ranked: tuple[Cause, ...]

    @property
    def proved(self) -> tuple[Cause, ...]:
        """Those that an intervention proved."""
        return tuple(cause for cause in self.ranked if cause.status == "proved")

    @property
    def first_step(self) -> str:
        """How to mend the first that was proved; empty where none was."""
        return self.proved[0].mend if self.proved else ""

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


def rank(
    findings: Sequence[Finding],
    repairs: Sequence[RepairTrial] = (),
    *,
    pairs_fit: bool = False,
) -> Causes:
    """Keep what is likelier than not, and put what was proved first.

    Args:
        findings: of every cause that was looked for.
        repairs: that were tried: one that works proves its cause, and one that does not leaves it a
            suspicion.
        pairs_fit: whether the training captions are known to belong to their clips, and the
            features to fit what the network remembers.
    """
    specs = discover()
    found = [f for f in findings if (f.confidence or 0.0) >= CAUSE_FROM.value]
    causes = {f.id: _cause(f, [r for r in repairs if r.cause == f.id]) for f in found}
    # What does not fit, though no usual mend mends it, may be why audio is lost anywhere.
    doubted = any(specs[c.id].stage in BEFORE and c.status == "suspected" for c in causes.values())
    broken = any(specs[c.id].gate and c.status == "proved" for c in causes.values())
    if pairs_fit and not doubted and not broken:
        for finding in found:
            if specs[finding.id].located:
                causes[finding.id] = replace(
                    causes[finding.id],
                    status="proved",
                    confidence=min(finding.most, PROVED_RIGHT.value),
                    evidence=finding.evidence,
                )
    explained = _explained(found, causes, repairs)
    order = {id_: place for place, id_ in enumerate(specs)}

    def key(finding: Finding) -> tuple[bool, bool, float, float, bool, int]:
        cause = causes[finding.id]
        return (
            cause.status != "proved",
            finding.id in explained,
            -_restored(cause),
            -round(_strength(finding, cause), 2),
            not specs[finding.id].gate,
            order[finding.id],
        )

    ranked = [_told(causes[f.id], explained.get(f.id)) for f in sorted(found, key=key)]
    return Causes(tuple(findings), tuple(ranked))


def _strength(finding: Finding, cause: Cause) -> float:
    """How clearly a cause showed, by which those are told apart that are equally often right."""
    if cause.status != "proved":
        return cause.confidence
    sure = finding.confidence or 0.0
    return sure if cause.restored is None else max(sure, MENDED)


def _restored(cause: Cause) -> float:
    """The share of what is missing that undoing the cause brought back; 1 where that is certain."""
    return 1.0 if cause.restored is None else round(cause.restored.share, 1)


def _cause(finding: Finding, tried: Sequence[RepairTrial]) -> Cause:
    """Say whether a finding is proved, by its own test or by a mend that works."""
    spec = discover()[finding.id]
    confidence = finding.confidence or 0.0
    kept = max(
        (trial for trial in tried if trial.kept), key=lambda trial: trial.share, default=None
    )
    evidence = finding.evidence
    restored = None
    if kept is not None and kept.share >= PROVED_FROM.value:
        status = "proved"
        restored = kept.restored
        confidence = PROVED_RIGHT.value
        evidence = (*evidence, Evidence("its mend, tried", kept.reason, "", None, kept.name))
    elif finding.proved:
        status = "proved"
        confidence = min(finding.most, PROVED_RIGHT.value)
    else:
        status = "suspected"
        confidence = min(confidence, SUSPECTED_MOST.value)
        if tried:
            confidence = min(confidence, REFUTED_MOST.value)
            told = tried[-1]
            row = Evidence("its mend, tried, did not work", told.reason, "", None, told.name)
            evidence = (*evidence, row)
        if spec.decided_by:
            evidence = (*evidence, Evidence("what would decide", spec.decided_by))
    return Cause(
        id=finding.id,
        stage=spec.stage,
        confidence=confidence,
        evidence=evidence,
        status="proved" if status == "proved" else "suspected",
        restored=restored,
        mend=finding.mend or spec.mend,
    )


def _explained(
    found: Sequence[Finding], causes: Mapping[str, Cause], repairs: Sequence[RepairTrial]
) -> dict[str, str]:
    """Say which causes follow from a proved one: their id -> that of the cause that explains them.

    Where a mend proved it, the others are looked for again with the mend in place: those that are
    then gone followed from it. What cannot be undone explains what its kind brings about.
    """
    specs = discover()
    explained: dict[str, str] = {}
    kept = {trial.cause: trial for trial in repairs if trial.kept}
    patterns = {f.id: f.explains or specs[f.id].explains for f in found}
    for finding in found:
        own = causes[finding.id]
        if own.status != "proved" or finding.id in explained:
            continue
        for other in found:
            if other.id == finding.id or other.id in explained:
                continue
            rival = causes[other.id]
            undone = other.id not in kept or _restored(rival) < _restored(own)
            if finding.id in kept:
                # What a test showed to bring this one about here stands, though this mend hides it.
                shown = rival.status == "proved" and matches(finding.id, other.explains)
                shown = shown and other.id not in kept
                follows = undone and not shown and kept[finding.id].undoes(specs[other.id])
            else:
                # What a mend proved stands, and so does what would explain this one as well.
                mutual = rival.status == "proved" and matches(finding.id, patterns[other.id])
                follows = (
                    other.id not in kept and not mutual and matches(other.id, patterns[finding.id])
                )
            if follows:
                explained[other.id] = finding.id
    return explained


def _told(cause: Cause, by: str | None) -> Cause:
    if by is None:
        return cause
    row = Evidence(
        "explained by", by, "", None, "undoing that cause makes this one's evidence go away"
    )
    return replace(
        cause,
        status="suspected",
        confidence=min(cause.confidence / 2, EXPLAINED_MOST.value),
        evidence=(*cause.evidence, row),
    )
