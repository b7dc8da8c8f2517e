"""The document's decision tree as data, and the one function that walks it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from capfix_cli.diagnosis.repairs.repair_trial import RepairTrial
from capfix_cli.diagnosis.verdict import Decision
from capfix_cli.fixes.decoding_fixes import asked_by
from capfix_cli.schemas.diagnosis_record import TreeStep, Trial
from capfix_cli.schemas.measured_values import Evidence

Answer = tuple[str, tuple[Evidence, ...]]


@dataclass(frozen=True)
class Node:
    """A question of the tree.

    Attributes:
        id: its name.
        question: as asked of the user's captioner.
        ask: the name of the test that answers it.
        edges: answer -> the next node's id, or the end in words.
    """

    id: str
    question: str
    ask: str
    edges: Mapping[str, str]


@dataclass(frozen=True)
class Leaf:
    """An end of the tree.

    Attributes:
        id: its name.
        advice: what it says to do.
        retrain: whether a recipe belongs to it.
    """

    id: str
    advice: str
    retrain: bool = False


# The answer where a captioner that is only asked cannot be asked for all that a question tries.
NOT_ASKED = "not asked"

_NODES = (
    Node(
        "integrity",
        "Is the input, the checkpoint or the evaluation broken?",
        "integrity",
        {"yes": "repair", "no": "same-caption"},
    ),
    Node(
        "repair",
        "Does a repair without training mend it?",
        "repair",
        {"yes": "keep-repair", "no": "repair-first"},
    ),
    Node(
        "same-caption",
        "Does the model say the same about every clip, what no clip decides, or no sentences?",
        "same-caption",
        {
            "yes": "first-decoding",
            "generic": "generic-decoding",
            "degenerate": "degenerate-decoding",
            "no": "healthy",
        },
    ),
    Node(
        "first-decoding",
        "Does temperature 0.8 with top-p 0.9 work?",
        "first-decoding",
        {"yes": "keep-and-tune", "no": "other-decoding", NOT_ASKED: "other-decoding"},
    ),
    Node(
        "other-decoding",
        "Does another way of decoding work, audio-contrastive among them?",
        "other-decoding",
        {"yes": "keep-other", "no": "retrain", NOT_ASKED: "look-inside"},
    ),
    Node(
        "generic-decoding",
        "Does temperature 0.7 or beam search, size 5, work?",
        "generic-decoding",
        {"yes": "keep-other", "no": "attention", NOT_ASKED: "look-inside"},
    ),
    Node(
        "degenerate-decoding",
        "Do limits on repetition and length give sentences that the audio decides?",
        "degenerate-decoding",
        {"yes": "keep-other", "no": "sentences", NOT_ASKED: "look-inside"},
    ),
)
_LEAVES = (
    Leaf("keep-repair", "Change that line for good, then diagnose again"),
    Leaf("repair-first", "Mend what is broken, then diagnose again"),
    Leaf("healthy", "Nothing to fix"),
    Leaf("keep-and-tune", "Keep it, and tune the temperature around it"),
    Leaf("keep-other", "Keep that decoding"),
    Leaf("retrain", "Retrain by the recipe: priority 2, then 3, then 4", retrain=True),
    Leaf(
        "sentences",
        "Mend how captions end and repeat in training: 3.3, 3.2 and the end token as a target",
        retrain=True,
    ),
    Leaf(
        "look-inside",
        "Text alone does not tell what mends it: give the model itself (--network, --adapter)",
    ),
    Leaf("attention", "Add attention (fix 2.3) and retrain", retrain=True),
)
NODES: Mapping[str, Node] = {node.id: node for node in _NODES}
LEAVES: Mapping[str, Leaf] = {leaf.id: leaf for leaf in _LEAVES}
ROOT = "integrity"

# Trials that each question needs, by name, in the order in which they are made.
TRIALS_OF: Mapping[str, tuple[str, ...]] = {
    question: asked_by(question)
    for question in (
        "first-decoding",
        "other-decoding",
        "generic-decoding",
        "degenerate-decoding",
    )
}


# Questions after whose trials a search follows where none works and there is hope.
SEARCHED = ("other-decoding",)


@dataclass(frozen=True, kw_only=True)
class Observations:
    """What the walker may look at.

    Attributes:
        faults: what the integrity gate found, in words; empty for none.
        fault_evidence: the evidence of it.
        decision: the verdict on greedy decoding.
        run_trial: makes a decoding trial by its name; called only where the tree asks.
        run_search: searches over settings after trials that did not work; gives none where that is
            hopeless.
        settle: asks clips that no trial was made on whether the best holds there too; gives every
            trial so far as they judge it.
        hopeless: why no decoding is tried at all, in words; empty where they are.
        repairs: of the faults, that were tried without training.
        blocked: says why a trial cannot be made; empty where it can.
    """

    faults: str
    fault_evidence: tuple[Evidence, ...]
    decision: Decision
    run_trial: Callable[[str], Trial]
    run_search: Callable[[], Sequence[Trial]] = tuple
    settle: Callable[[], Sequence[Trial]] = tuple
    hopeless: str = ""
    repairs: tuple[RepairTrial, ...] = ()
    blocked: Callable[[str], str] = lambda name: ""


@dataclass(frozen=True)
class Walk:
    """The path taken.

    Attributes:
        steps: each node with its answer and evidence, and the leaf last.
        leaf: where it ended.
    """

    steps: tuple[TreeStep, ...]
    leaf: Leaf


def walk(seen: Observations) -> Walk:
    """Walk the tree from its root to a leaf, making trials only where a question needs them."""
    steps: list[TreeStep] = []
    place = ROOT
    while place in NODES:
        node = NODES[place]
        answer, evidence = _TESTS[node.ask](seen)
        steps.append(TreeStep(node.id, node.question, answer, evidence))
        place = node.edges[answer]
    leaf = LEAVES[place]
    steps.append(TreeStep(leaf.id, "What to do", leaf.advice))
    return Walk(tuple(steps), leaf)


def _integrity(seen: Observations) -> Answer:
    return ("yes" if seen.faults else "no"), seen.fault_evidence


def _repair(seen: Observations) -> Answer:
    if not seen.repairs:
        return "no", (Evidence("repairs that capfix can apply to the captioner", 0.0, "repairs"),)
    return _any_works(seen.repairs)


def _same_caption(seen: Observations) -> Answer:
    answers: dict[str, str] = {
        "collapsed": "yes",
        "ungrounded": "yes",
        "generic": "generic",
        "degenerate": "degenerate",
        "healthy": "no",
    }
    evidence = seen.decision.evidence
    if seen.decision.degenerate:
        evidence = (*evidence, Evidence("captions that are no sentences", seen.decision.degenerate))
    return answers[seen.decision.verdict], evidence


def _tried(question: str) -> Callable[[Observations], Answer]:
    def test(seen: Observations) -> Answer:
        if seen.hopeless:
            return "no", (Evidence("no decoding was tried", seen.hopeless),)
        names = TRIALS_OF[question]
        left = {name: why for name in names if (why := seen.blocked(name))}
        made = _settled(seen, [seen.run_trial(name) for name in names if name not in left])
        if left:
            answer, evidence = _any_works(made)
            untried = tuple(Evidence(name, f"not asked: {why}") for name, why in left.items())
            return ("yes" if answer == "yes" else NOT_ASKED), (*evidence, *untried)
        if question in SEARCHED and not any(trial.kept for trial in made):
            made = _settled(seen, [*made, *seen.run_search()])
        return _any_works(made)

    return test


def _settled(seen: Observations, made: Sequence[Trial]) -> list[Trial]:
    """Give trials as clips judge the best of them that none was made on."""
    judged = {trial.name: trial for trial in seen.settle()}
    return [judged.get(trial.name, trial) for trial in made]


def _any_works(made: Sequence[Trial | RepairTrial]) -> Answer:
    evidence = tuple(Evidence(trial.name, trial.reason, "", None, "trial") for trial in made)
    return ("yes" if any(trial.kept for trial in made) else "no"), evidence


_TESTS: Mapping[str, Callable[[Observations], Answer]] = {
    "integrity": _integrity,
    "repair": _repair,
    "same-caption": _same_caption,
    **{question: _tried(question) for question in TRIALS_OF},
}
