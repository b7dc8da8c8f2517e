"""``evaluation.train-mode``: dropout and batch statistics are at work while captions are made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.captioners.base import Captioner
from capfix_cli.core.thresholds import MOVED, MOVED_NATS
from capfix_cli.diagnosis.causes.cause_spec import FRONT_END, MODEL, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import (
    Finding,
    against_threshold,
    linear_confidence,
    not_tested,
)
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.diagnosis.repairs.repair import Repair
from capfix_cli.probes.captioner_variants import derive
from capfix_cli.probes.network_modules import eval_forced
from capfix_cli.schemas.measured_values import Evidence

ID = "evaluation.train-mode"


def find(case: DiagnosisContext) -> Finding:
    """Compare as given with every layer held in eval mode."""
    try:
        found = case.probes.invariance
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    if found.training is None:
        return not_tested(ID, "a captioner that runs with every layer held in eval mode")
    share = found.training / max(found.clip, found.training, MOVED_NATS.value)
    evidence = (
        against_threshold("how far eval mode moves the next word", share, MOVED),
        Evidence("how far eval mode moves the next word", found.training, "nats"),
        Evidence("how far asking the same twice moves the next word", found.repeat, "nats"),
        Evidence(
            "layers in training mode", ", ".join(found.noisy[:4]) or "none that can be watched"
        ),
    )
    return Finding(
        ID,
        linear_confidence(share, 0.0, 2 * MOVED.value)
        if found.training > MOVED_NATS.value
        else 0.0,
        evidence,
        # Where nothing is wrong with the captions there is nothing that a mend could restore: the
        # test itself is then all there is to show.
        proved=not case.ill,
    )


_METHODS = ("encode", "features", "encode_features", "logits", "sequence_logits")
_STEPS = ("prepare", "open", "start", "step")


def _in_eval_mode(case: DiagnosisContext, checkpoint: str) -> Iterator[Repair]:
    captioner = case.captioner

    def held(name: str) -> Callable[..., Any]:
        method = getattr(captioner, name)

        def call(self: Captioner, *given: Any) -> Any:
            with eval_forced(captioner):
                return method(*given)

        return call

    changed = derive(captioner, **{name: held(name) for name in (*_METHODS, *_STEPS)})
    yield Repair(ID, "every layer in eval mode", "model.eval()", changed)


CAUSE = CauseSpec(
    id=ID,
    order=50,
    gate=True,
    find=find,
    needs=("invariance",),
    explains=(
        *MODEL,
        *FRONT_END,
        "vocabulary.*",
        "evaluation.batch-dependence",
        "evaluation.padding",
    ),
    mend="Call model.eval() before captioning, and give F.dropout training=self.training",
    repair=_in_eval_mode,
    docs=CauseDocs(
        symptom="captions change from run to run, or with the batch.",
        experiment=(
            "every layer held in eval mode, functional dropout included, against the captioner as "
            "it is; layers that ran in training mode are named."
        ),
        read=(
            "noise that eval mode does not take away is none of this cause; what it hides is then "
            "listed as not tested. capfix itself puts `module` into eval mode when it loads it, "
            "and a note says so where that made a difference (`evaluation.handed_in_train_mode` "
            "among the facts): what is found here is switched on by the captioner's own code."
        ),
        mend="`model.eval()`; `training=self.training` in `F.dropout`.",
        sources="the document; public threads (SCIENCE).",
    ),
)
