"""Findings put in order: what is shown by experiment first, what merely follows from it after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from capfix_cli.core.thresholds import CAUSE_FROM
from capfix_cli.diagnosis.causes.cause_table import INTEGRITY, MODEL, Finder
from capfix_cli.diagnosis.causes.finding import DiagnosisContext, Finding
from capfix_cli.schemas.records import Cause, Evidence, NotTested

_DECODER = frozenset(
    {"decoder.undertrained", "decoder.overconfident", "training.exposure-bias", "decoding.search"}
)
_CONDITIONING = frozenset(name for name in MODEL if name.startswith("conditioning."))
_ENCODER = frozenset(name for name in MODEL if name.startswith("encoder."))
_INPUT = frozenset({"input.feature-scale", "input.sample-rate"})
_WORDS = frozenset({"vocabulary.mismatch", "vocabulary.special-tokens"})
_MODEL = frozenset(MODEL)
_DATA = _CONDITIONING | _ENCODER | _DECODER

# A cause -> what it brings about by itself. This is the whole order of precedence: a cause that
# another one found explains comes after it, at half its confidence.
EXPLAINS: Mapping[str, frozenset[str]] = {
    "input.silent-audio": _MODEL | _INPUT | _WORDS,
    "input.duplicate-audio": _MODEL | _INPUT | _WORDS,
    "weights.missing": _MODEL | _INPUT | _WORDS | {"weights.untrained"},
    "weights.untrained": _MODEL | _INPUT | _WORDS,
    "evaluation.train-mode": (
        _MODEL | _INPUT | _WORDS | {"evaluation.batch-dependence", "evaluation.padding"}
    ),
    "evaluation.batch-dependence": _MODEL | _INPUT | {"evaluation.padding"},
    "evaluation.padding": _MODEL | _INPUT,
    "input.sample-rate": _MODEL | _WORDS | {"input.feature-scale"},
    "input.feature-scale": _MODEL | _WORDS,
    "vocabulary.mismatch": _DECODER | {"vocabulary.special-tokens"},
    "vocabulary.special-tokens": _DECODER | {"conditioning.first-step-only"},
    "data.shifted-pairs": _DATA,
    "data.imbalanced": _DATA,
    "data.generic-captions": _DATA | _WORDS,
    "data.single-caption": _DECODER,
    "encoder.collapsed": _CONDITIONING | _DECODER | {"encoder.time-pooling"},
    "encoder.time-pooling": _DECODER | {"conditioning.constant-attention"},
    "decoder.prefix-blind": (_DECODER | _CONDITIONING | _WORDS | {"encoder.time-pooling"}),
    "decoder.undertrained": (
        _CONDITIONING | _ENCODER | {"decoder.overconfident", "training.exposure-bias"}
    ),
    "conditioning.ignored": (
        _DECODER - {"decoder.undertrained"}
        | {"conditioning.first-step-only"}
        | {"conditioning.constant-attention"}
    ),
    "conditioning.constant-attention": _DECODER | {"encoder.time-pooling"},
    "conditioning.first-step-only": _DECODER | {"encoder.time-pooling"},
    "training.exposure-bias": frozenset({"decoder.overconfident"}),
}
# A decoding that works explains every symptom in the model; what the training data are they are.
_RESCUED = frozenset(
    name for name in MODEL if name != "decoding.search" and not name.startswith("data.")
)


@dataclass(frozen=True)
class Causes:
    """What the finders of one table found.

    Attributes:
        findings: of every finder, in the table's order.
        ranked: causes found, the likeliest and most upstream first.
    """

    findings: tuple[Finding, ...]
    ranked: tuple[Cause, ...]

    @property
    def first_step(self) -> str:
        """How to mend the first of them; empty where none was found."""
        if not self.ranked:
            return ""
        return next(f.mend for f in self.findings if f.id == self.ranked[0].id)

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


def look(case: DiagnosisContext, table: Mapping[str, Finder]) -> list[Finding]:
    """Ask every finder of a table."""
    return [finder(case) for finder in table.values()]


def rank(findings: Sequence[Finding]) -> Causes:
    """Keep what is likelier than not, and put what another cause explains behind it."""
    found = [f for f in findings if (f.confidence or 0.0) >= CAUSE_FROM.value]
    ids = {f.id for f in found}
    explained: dict[str, str] = {}
    for finding in found:
        follows = EXPLAINS.get(finding.id, frozenset())
        if finding.id == "decoding.search" and (finding.confidence or 0.0) >= 0.9:
            follows = _RESCUED
        for other in follows & ids:
            # Of two that explain each other the surer one does.
            if finding.id not in explained and other not in explained:
                explained[other] = finding.id
    order = {name: place for place, name in enumerate((*INTEGRITY, *MODEL))}

    def key(finding: Finding) -> tuple[bool, bool, float, int]:
        sure = finding.confidence or 0.0
        return (
            finding.id in explained,
            finding.id not in INTEGRITY,
            -round(sure, 2),
            order[finding.id],
        )

    ranked = [_cause(f, explained.get(f.id)) for f in sorted(found, key=key)]
    return Causes(tuple(findings), tuple(ranked))


def _cause(finding: Finding, by: str | None) -> Cause:
    cause = finding.cause
    if by is None:
        return cause
    row = Evidence("explained by", by, None, "a cause found before it on the audio's path")
    return replace(cause, confidence=cause.confidence / 2, evidence=(*cause.evidence, row))
