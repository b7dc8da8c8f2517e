"""What the finders of a wrong front end share: scale and sample rate are searched together."""

from __future__ import annotations

from capfix_cli.diagnosis.finders.case import Case, Finding, beside, not_tested
from capfix_cli.probes.recovery import Recovery
from capfix_cli.probes.sample import Untestable
from capfix_cli.records import Evidence
from capfix_cli.thresholds import FIT_MISFIT, LISTENING_SHARE


def find_front_end(case: Case, cause: str) -> Finding:
    """Say whether another front end of this kind is the one that training had.

    Searched where the features do not fit what BatchNorm remembers, and where the captioner is
    deaf; elsewhere the present front end is right.
    """
    evidence: list[Evidence] = []
    misfit = None
    try:
        first = case.experiments.fit[0]
        misfit = first.misfit
        evidence += [
            beside(f"misfit of the features to {first.layer}", misfit, FIT_MISFIT),
            Evidence("of it, |ln variance ratio|", first.variance),
            Evidence("of it, shift in deviations", first.shift),
        ]
    except Untestable as reason:
        if not case.ill:
            return Finding(cause, 0.0, (Evidence("verdict", case.decision.verdict),))
        if not case.experiments.sample.names:
            return not_tested(cause, reason.needs)
    fits = misfit is not None and misfit < FIT_MISFIT.value / 2
    if fits or (misfit is None and not case.deaf) or not (case.ill or _misfits(misfit)):
        return Finding(cause, 0.0, tuple(evidence))
    try:
        found = case.experiments.recovery
    except Untestable as reason:
        return not_tested(cause, reason.needs)
    return _judge(case, cause, found, misfit, evidence)


def _misfits(misfit: float | None) -> bool:
    return misfit is not None and misfit >= FIT_MISFIT.value


def _judge(
    case: Case, cause: str, found: Recovery, misfit: float | None, evidence: list[Evidence]
) -> Finding:
    best = found.best
    evidence.append(Evidence("searched by", found.by))
    if best is None or best.front_end is None:
        # Something is off, and it is none of the usual mistakes: said of the scale alone.
        unknown = _misfits(misfit) and case.deaf and cause == "input.feature-scale"
        mend = "Compute the features as training did: none of the usual front ends fits"
        return Finding(cause, 0.6 if unknown else 0.0, tuple(evidence), mend=mend)
    front = best.front_end
    if front.cause != cause:
        evidence.append(Evidence("what fits and listens instead", front.name))
        return Finding(cause, 0.0, tuple(evidence))
    evidence.append(Evidence("front end that fits", front.name, None, found.by))
    if best.misfit is not None:
        evidence.append(beside("its misfit", best.misfit, FIT_MISFIT))
    evidence.append(
        Evidence(
            "listening with it, share of the ceiling",
            best.share,
            found.current.share,
            "against the input as it is, on the same clips",
        )
    )
    better = best.misfit is None or best.misfit < (misfit or 0.0) / 2
    sure = 0.95 if better and best.share >= LISTENING_SHARE.value else 0.6 if better else 0.4
    return Finding(cause, sure, tuple(evidence), mend=f"Mend the input: {front.line}")
