"""What the finders of a wrong front end share: scale and sample rate are searched together."""

from __future__ import annotations

from collections.abc import Iterator

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.core.thresholds import FIT_MISFIT, FRONT_END_TIE, LISTENING_SHARE
from capfix_cli.diagnosis.causes.finding import (
    Finding,
    against_threshold,
    not_tested,
)
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.diagnosis.repairs.repair import Repair
from capfix_cli.probes.front_end_search import Recovery, Tried
from capfix_cli.probes.normalisation import Unsettled
from capfix_cli.schemas.measured_values import Evidence


def find_front_end(case: DiagnosisContext, cause: str) -> Finding:
    """Say whether another front end of this kind is the one that training had.

    Searched where the features do not fit what BatchNorm remembers, and where the captioner listens
    wrongly; elsewhere the present front end is right.
    """
    if _untrained(case):
        return not_tested(cause, "a network that was trained")
    evidence: list[Evidence] = []
    misfit = None
    try:
        first = case.probes.fit[0]
        misfit = first.misfit
        evidence += [
            against_threshold(f"misfit of the features to {first.layer}", misfit, FIT_MISFIT),
            Evidence(
                "how far the variance of the features is off what that layer expects",
                first.variance,
                "natural logarithms",
            ),
            Evidence(
                "how far the mean of the features is off what that layer expects",
                first.shift,
                "standard deviations",
            ),
        ]
    except ProbeFailed as reason:
        # Hardly trained: no front end would make it listen.
        unsettled = isinstance(reason, Unsettled)
        if unsettled or (case.ill and not case.probes.sample.names):
            return not_tested(cause, reason.needs)
        if not case.ill:
            return Finding(cause, 0.0, (Evidence("verdict", case.decision.verdict),))
    if not _asked(case, misfit):
        return Finding(cause, 0.0, tuple(evidence))
    try:
        found = case.probes.recovery
    except ProbeFailed as reason:
        return not_tested(cause, reason.needs)
    return _judge(case, cause, found, misfit, evidence)


def _asked(case: DiagnosisContext, misfit: float | None) -> bool:
    """Say whether to search.

    Without statistics whoever is ill is searched. With them, what does not fit; and what fits but
    listens wrongly, since other rates leave the statistics nearly as they were.
    """
    wrongly = case.deaf and case.own_listening_share >= LISTENING_SHARE.value / 2
    return case.ill if misfit is None else _misfits(misfit) or wrongly


def _untrained(case: DiagnosisContext) -> bool:
    """Say whether no front end can be right, since training had none."""
    try:
        return case.probes.weights.untrained.value is True
    except ProbeFailed:
        return False


def _misfits(misfit: float | None) -> bool:
    return misfit is not None and misfit >= FIT_MISFIT.value


def _judge(
    case: DiagnosisContext,
    cause: str,
    found: Recovery,
    misfit: float | None,
    evidence: list[Evidence],
) -> Finding:
    best = found.best
    evidence.append(Evidence("what told front ends apart", found.by))
    by_ear = best is not None and best.share > found.current.share + FRONT_END_TIE.value
    if best is None or best.front_end is None or not (by_ear or _misfits(misfit)):
        # Something is off, and it is none of the usual mistakes: said of the scale alone.
        unknown = _misfits(misfit) and case.deaf and cause == "input.feature-scale"
        mend = "Compute the features as training did: none of the usual front ends fits"
        return Finding(cause, 0.6 if unknown else 0.0, tuple(evidence), mend=mend)
    front = best.front_end
    if front.cause != cause:
        evidence.append(Evidence("front end that fits and listens instead", front.name))
        return Finding(cause, 0.0, tuple(evidence))
    evidence.append(Evidence("front end that fits", front.name, "", None, found.by))
    if best.misfit is not None:
        evidence.append(against_threshold("misfit of that front end", best.misfit, FIT_MISFIT))
    evidence.append(
        Evidence(
            "listening with that front end",
            best.share,
            "share of the ceiling",
            found.current.share,
            "against the input as it is, on the same clips",
        )
    )
    rival = _rival(found, best)
    if rival and case.probes.trained_on is None:
        evidence.append(
            Evidence(
                "front end that fits nearly as well",
                rival,
                "",
                None,
                "--train-audio DIR tells them apart",
            )
        )
    better = by_ear or best.misfit is None or best.misfit < (misfit or 0.0) / 2
    sure = 0.95 if better and best.share >= LISTENING_SHARE.value else 0.6 if better else 0.4
    return Finding(cause, sure, tuple(evidence), mend=f"Mend the input: {front.line}")


def _rival(found: Recovery, best: Tried) -> str:
    """Name a usual front end that other clips than those of training cannot tell from the best."""
    for one in found.tried:
        if one is best or one.front_end is None or one.front_end.fitted:
            continue
        if one.misfit is None or best.misfit is None:
            continue
        fits = one.misfit < best.misfit + FIT_MISFIT.value / 2
        if fits and abs(one.share - best.share) <= FRONT_END_TIE.value:
            return one.front_end.name
    return ""


def best_front_end(case: DiagnosisContext, checkpoint: str) -> Iterator[Repair]:
    """Apply the front end that the search found."""
    best = case.probes.recovery.best
    if best is not None and best.front_end is not None:
        front = best.front_end
        changed = front.apply(case.captioner)
        yield Repair(
            front.cause, front.name, front.line, changed, searched=case.probes.sample.names
        )
