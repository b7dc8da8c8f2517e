"""``weights.missing``: a part of the network was never loaded, or holds no numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.checkpoints.weights import load_weights
from capfix_cli.core.errors import CapfixError
from capfix_cli.diagnosis.causes.cause_spec import FRONT_END, MODEL, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import Finding, not_tested
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.diagnosis.repairs.repair import Repair
from capfix_cli.schemas.measured_values import Evidence

if TYPE_CHECKING:
    from torch import Tensor, nn

    from capfix_cli.probes.initial_weights import Weights

ID = "weights.missing"
SHOWN = 3  # names
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
            "tensors with NaN or infinity", float(len(weights.damaged)), "tensors", 0.0, _FINITE
        )
        mend = _restore(f"weights ({where})")
        return Finding(ID, 1.0, (evidence,), mend=mend, proved=True)
    if not case.finite and not _overflows(case):
        evidence = Evidence("scores of the next word are finite numbers", False, "", True, _FINITE)
        return Finding(ID, 1.0, (evidence,), mend=_restore("scores"), proved=True)
    if weights is None:
        return not_tested(ID, "weights")
    return _from_no_file(case) or _as_created(case, weights)


def _as_created(case: DiagnosisContext, weights: Weights) -> Finding:
    """Judge by the values alone, where there is no file to compare with."""
    initial, changed = weights.initial, weights.changed
    evidence = Evidence(
        "layers as their constructor left them",
        float(len(initial)),
        "layers",
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
        (evidence, Evidence("the first of these layers", f"{initial[0].name}: {initial[0].why}")),
        mend=f"Load the weights of {names}: compare the checkpoint's names with the network's"
        " (prefixes such as module. or model.), and do not ignore missing keys",
    )


def _overflows(case: DiagnosisContext) -> bool:
    """Whether the same clips give numbers when they are quieter: then the weights are sound."""
    try:
        return bool(case.probes.overflow.freed)
    except ProbeFailed:
        return False


def _from_no_file(case: DiagnosisContext) -> Finding | None:
    """Look for the network's parameters in the file, by value; None where that cannot be done."""
    try:
        found = case.probes.file_match
    except ProbeFailed:
        return None
    names = found.foreign
    evidence = [
        Evidence(
            "parameters of the network that came from no tensor of the file",
            float(len(names)),
            "parameters",
            0.0,
            "a network that is loaded whole has none",
        )
    ]
    if not names:
        return Finding(ID, 0.0, tuple(evidence))
    shown = ", ".join(names[:SHOWN]) + f" and {len(names) - SHOWN} more" * (len(names) > SHOWN)
    evidence.append(Evidence("the first of these parameters", shown))
    if found.resized:
        evidence.append(
            Evidence(
                "parameters that the file has in another shape", ", ".join(found.resized[:SHOWN])
            )
        )
    # In a captioner that works, a parameter of its own making is no fault, unless the file has it.
    return Finding(
        ID,
        0.95 if case.ill or found.resized else 0.0,
        tuple(evidence),
        mend=f"Load the weights of {shown}: they came from no tensor of the file"
        + (", which has them in another shape" if found.resized else "")
        + "; compare names and shapes, and load strictly",
        proved=True,
    )


def _restore(what: str) -> str:
    return (
        f"Restore a sound checkpoint: the {what} are not finite numbers, so the training diverged"
        " or the file is damaged"
    )


def _matched_names(case: DiagnosisContext, checkpoint: str) -> Iterator[Repair]:
    """Load the weights again, names matched by their ends: ``module.`` and ``model.`` aside."""
    import torch

    module = case.captioner.module
    if module is None:
        return
    try:
        found = load_weights(checkpoint)
    except (CapfixError, OSError, ValueError):
        return
    matched = match_names(module, found)
    own = module.state_dict()
    fresh = [n for n, tensor in matched.items() if not torch.equal(tensor, own[n].cpu())]
    if not fresh:
        return

    @contextlib.contextmanager
    def applied() -> Iterator[None]:
        before = {name: own[name].detach().clone() for name in fresh}
        with torch.no_grad():
            for name in fresh:
                own[name].copy_(matched[name])
        try:
            yield
        finally:
            with torch.no_grad():
                for name, tensor in before.items():
                    own[name].copy_(tensor)

    yield Repair(
        ID,
        f"{len(fresh)} tensors loaded by the ends of their names",
        f"load them by name: {fresh[0]} and {len(fresh) - 1} more are in the file under a prefix"
        " (strip module., model., or the part's name), with strict=True",
        case.captioner,
        applied=applied,
    )


def match_names(module: nn.Module, found: dict[str, Tensor]) -> dict[str, Tensor]:
    """Match a network's names with a file's where one ends in the other and shapes agree.

    A name that two of the file's end in is left alone.
    """
    matched: dict[str, Tensor] = {}
    for name, tensor in module.state_dict().items():
        near = [
            key
            for key, value in found.items()
            if value.shape == tensor.shape
            and (key == name or key.endswith(f".{name}") or name.endswith(f".{key}"))
        ]
        exact = [key for key in near if key == name]
        if len(exact or near) == 1:
            matched[name] = found[(exact or near)[0]]
    return matched


CAUSE = CauseSpec(
    id=ID,
    order=10,
    gate=True,
    find=find,
    needs=("weights", "file_match"),
    explains=(*MODEL, *FRONT_END, "vocabulary.*", "weights.untrained"),
    mend="Load the missing weights: compare the checkpoint's names with the network's, strictly",
    repair=_matched_names,
    docs=CauseDocs(
        symptom="as an untrained model, though a checkpoint was given.",
        experiment=(
            "NaN or infinity in the tensors; layers exactly as their constructor left them (norms "
            "at 1 and 0, no batch tracked, weights at an initial distribution) beside trained "
            "ones."
        ),
        read=(
            "one layer of many, or norms alone, may be parts that are never called: a hint, no "
            "cause, in a captioner that works."
        ),
        mend=(
            "strict loading. capfix loads the file again, names matched by their ends (`module.`, "
            "`model.`), and re-measures. A clip whose scores are not finite, where most are, is "
            "left out and named."
        ),
        sources="SCIENCE section 4; the X-ray of `capfix inspect`.",
    ),
)
