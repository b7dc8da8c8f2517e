"""``encoder.untrained``: beside a trained decoder, the encoder is as its constructor left it."""

from __future__ import annotations

import contextlib

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.diagnosis.causes.cause_spec import DECODER, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import Finding, not_tested
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.schemas.measured_values import Evidence

ID = "encoder.untrained"


def find(case: DiagnosisContext) -> Finding:
    """Judge the layers that run while clips are encoded, and the others, as ``inspect`` does."""
    try:
        weights, encoder = case.probes.weights, case.probes.encoder_layers
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    mine = [layer for layer in weights.initial if _within(layer.name, encoder)]
    # Norms keep statistics, and change without a gradient.
    trained = [
        layer for layer in weights.changed if layer.kind != "norm" and _within(layer.name, encoder)
    ]
    others = [layer for layer in weights.changed if not _within(layer.name, encoder)]
    heavy = [layer for layer in mine if layer.kind != "norm"]
    evidence = (
        Evidence(
            "layers of the encoder as their constructor left them", float(len(mine)), "layers"
        ),
        Evidence(
            "layers of the encoder that were trained",
            float(len(trained)),
            "layers",
            0.0,
            "a gradient changes every layer that it reaches",
        ),
        Evidence("other layers that were trained", float(len(others)), "layers"),
        *(
            (
                Evidence(
                    "the first of the layers as their constructor left them",
                    f"{heavy[0].name}: {heavy[0].why}",
                ),
            )
            if heavy
            else ()
        ),
    )
    found = bool(heavy) and not trained and bool(others)
    with contextlib.suppress(ProbeFailed):
        # A layer that came from no file was not loaded; that is another cause.
        found = found and not case.probes.file_match.foreign
    return Finding(ID, 0.95 if found and case.ill else 0.0, evidence, proved=True)


def _within(layer: str, encoder: frozenset[str]) -> bool:
    """Whether a layer of the weights, such as ``encoder.conv``, ran while clips were encoded."""
    return any(name == layer or name.startswith(f"{layer}.") for name in encoder)


CAUSE = CauseSpec(
    id=ID,
    order=12,
    gate=True,
    find=find,
    needs=("weights", "encoder_layers", "file_match"),
    explains=("encoder.*", "conditioning.*", *DECODER, "input.*", "weights.missing"),
    mend=(
        "Train the encoder: no gradient reached it; look for torch.no_grad(), detach(),"
        " requires_grad=False or parameters that the optimizer was not given"
    ),
    accounts_for=("differ", "decides"),
    docs=CauseDocs(
        symptom="one caption, or few; the decoder's loss fell all the same.",
        experiment=(
            "layers that run while clips are encoded are held to their initial distributions, as "
            "`capfix inspect` does, and so are the others."
        ),
        read="all of the encoder as it was created, and a trained decoder beside it.",
        mend="let gradients through, and give all parameters to the optimizer.",
        sources="public threads (SCIENCE section 8).",
    ),
)
