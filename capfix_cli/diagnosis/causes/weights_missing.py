"""``weights.missing``: a part of the network was never loaded, or holds no numbers."""

from __future__ import annotations

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.diagnosis.causes.finding import DiagnosisContext, Finding, not_tested
from capfix_cli.schemas.records import Evidence

ID = "weights.missing"
_FINITE = "a sound network computes with finite numbers only"


def find(case: DiagnosisContext) -> Finding:
    """Look for tensors that are no numbers, and for layers as created beside trained ones."""
    try:
        weights = case.probes.weights
    except ProbeFailed as reason:
        if case.finite:
            return not_tested(ID, reason.needs)
        weights = None
    if weights is not None and weights.damaged:
        where = ", ".join(weights.damaged[:3])
        evidence = Evidence(
            "tensors with NaN or infinity", float(len(weights.damaged)), 0.0, _FINITE
        )
        return Finding(ID, 1.0, (evidence,), mend=_restore(f"weights ({where})"))
    if not case.finite:
        evidence = Evidence("scores of the next word are finite", False, True, _FINITE)
        return Finding(ID, 1.0, (evidence,), mend=_restore("scores"))
    if weights is None:
        return not_tested(ID, "weights")
    initial, changed = weights.initial, weights.changed
    evidence = Evidence(
        "layers as their constructor left them",
        float(len(initial)),
        0.0,
        "norms at 1 and 0, weights at an initial distribution (capfix inspect)",
    )
    if not initial or not changed:
        return Finding(ID, 0.0, (evidence,))
    unused = len(initial) < 0.05 * len(weights.layers) or all(r.kind == "norm" for r in initial)
    # In a captioner that works, a layer as created is one that is never called.
    sure = 0.9 if case.ill and not unused else 0.55 if case.faint and case.ill else 0.2
    names = ", ".join(layer.name for layer in initial[:4])
    return Finding(
        ID,
        sure,
        (evidence, Evidence("the first of them", f"{initial[0].name}: {initial[0].why}")),
        mend=f"Load the weights of {names}: compare the checkpoint's names with the network's"
        " (prefixes such as module. or model.), and do not ignore missing keys",
    )


def _restore(what: str) -> str:
    return (
        f"Restore a sound checkpoint: the {what} are not finite numbers, so the training diverged"
        " or the file is damaged"
    )
