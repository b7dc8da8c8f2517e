"""What there is to say of one cause, in one record: each module of this package holds one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from capfix_cli.diagnosis.causes.finding import Finding
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.diagnosis.repairs.repair import Repair
from capfix_cli.diagnosis.text.text_context import TextContext

# Kinds of causes that many others bring about, as patterns of ids.
MODEL = ("encoder.*", "conditioning.*", "decoder.*", "decoding.*", "training.*", "data.*")
DECODER = (
    "decoder.undertrained",
    "decoder.overconfident",
    "training.exposure-bias",
    "decoding.search",
)
FRONT_END = ("input.feature-scale", "input.sample-rate")

# Stages of the path that audio takes, in the order in which the docs describe their causes.
STAGES = (
    "input",
    "weights",
    "evaluation",
    "vocabulary",
    "wiring",
    "encoder",
    "conditioning",
    "decoder",
    "decoding",
    "data",
    "training",
)


@dataclass(frozen=True, kw_only=True)
class CauseDocs:
    """The cause's section of the docs, in Markdown; an empty part is left out.

    Attributes:
        symptom: what its owner sees.
        experiment: what is done to find it.
        read: how to read the figures.
        mend: what to do about it.
        sources: where that comes from.
    """

    symptom: str
    experiment: str
    read: str = ""
    mend: str
    sources: str = ""


@dataclass(frozen=True, kw_only=True)
class CauseSpec:
    """One cause: how it is found, what follows from it, what mends it, and how it is told.

    Attributes:
        id: ``stage.name``.
        order: its place on the path of the audio; the gate's causes are counted apart.
        gate: looked for before the verdict; a fault of input, weights, evaluation or vocabulary.
        find: looks for it.
        from_text: looks for it where the captioner gives text alone; None where that shows nothing
            of it.
        needs: the probes that it runs (names of ``ProbeCache``), so that its cost is seen.
        explains: patterns of the ids that it brings about by itself, such as ``encoder.*``: where
            it is found those come after it, at half their confidence.
        mend: what to do about it, in words; a finding may say it more exactly.
        repair: lists what can be tried against it without training, given the context and the
            checkpoint's path.
        final: where it is found nothing can be said of any other cause.
        breaks: no fix is tried before it is mended.
        data_first: what to do before any fix where the training captions show it; empty where
            they cannot, or where a fix is what it needs.
        located: it says where the audio is lost, which shuffled pairs or a wrong input may bring
            about as well: proved only where the training pairs are known to fit and no fault of the
            input, weights or evaluation is suspected.
        decided_by: the experiment that would decide where it is only suspected, in words.
        accounts_for: axes of the verdict whose failing it can bring about.
        docs: its section of the docs.
    """

    id: str
    order: int
    gate: bool = False
    find: Callable[[DiagnosisContext], Finding]
    from_text: Callable[[TextContext], Finding] | None = None
    needs: tuple[str, ...] = ()
    explains: tuple[str, ...] = ()
    mend: str
    repair: Callable[[DiagnosisContext, str], Iterator[Repair]] | None = None
    final: bool = False
    breaks: bool = True
    data_first: str = ""
    located: bool = False
    decided_by: str = ""
    accounts_for: tuple[str, ...] = ("differ", "decides", "sentences")
    docs: CauseDocs

    @property
    def stage(self) -> str:
        """The place on the path that it belongs to."""
        return self.id.partition(".")[0]


def matches(cause: str, patterns: tuple[str, ...]) -> bool:
    """Say whether a cause's id is one of the patterns.

    >>> matches("encoder.collapsed", ("encoder.*",)), matches("data.imbalanced", DECODER)
    (True, False)
    """
    return any(fnmatchcase(cause, pattern) for pattern in patterns)
