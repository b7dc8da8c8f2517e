"""``weights.unused``: the file has tensors of this network that are nowhere in it."""

from __future__ import annotations

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.diagnosis.causes.cause_spec import FRONT_END, MODEL, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import Finding, not_tested
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.schemas.measured_values import Evidence

ID = "weights.unused"
SHOWN = 3  # names


def find(case: DiagnosisContext) -> Finding:
    """Look for every tensor of the file in the running network, by value."""
    try:
        found = case.probes.file_match
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    names = found.belonging
    shown = ", ".join(names[:SHOWN]) + f" and {len(names) - SHOWN} more" * (len(names) > SHOWN)
    evidence = (
        Evidence(
            "tensors of the file that belong to parts of the network and are nowhere in it",
            float(len(names)),
            "tensors",
            0.0,
            "a file that is loaded whole leaves none",
        ),
        *((Evidence("the first of these tensors", shown),) if names else ()),
        Evidence("tensors of the file that are in the network", float(found.used), "tensors"),
    )
    # Where the network lacks a tensor that the file has in another shape, that is the fault.
    left = bool(names) and not found.foreign
    return Finding(
        ID,
        0.95 if left and case.ill else 0.0,
        evidence,
        mend=f"Load all of the file: {shown} are in it and nowhere in the running network",
        proved=True,
    )


CAUSE = CauseSpec(
    id=ID,
    order=15,
    gate=True,
    find=find,
    needs=("file_match",),
    explains=(*MODEL, *FRONT_END, "vocabulary.*", "wiring.*"),
    mend="Load all tensors of the file: some that belong to the network are nowhere in it",
    docs=CauseDocs(
        symptom="a fine-tuned captioner that speaks as its base did.",
        experiment=(
            "every tensor of the file is looked for in the running network, by value; those that "
            "lie beside tensors that are used belong to it."
        ),
        read="tensors of other parts, such as a second model or another head, are no cause.",
        mend=(
            "load strictly; adapters such as LoRA must be put into the network before loading, or "
            "merged."
        ),
        sources="public threads (SCIENCE section 8).",
    ),
)
