"""``wiring.prompt``: captions are opened with other tokens than in training."""

from __future__ import annotations

from collections.abc import Iterator

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.core.thresholds import OFF_NATS, OPENS_MORE
from capfix_cli.diagnosis.causes.cause_spec import MODEL, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import Finding, not_tested
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.diagnosis.repairs.repair import Repair
from capfix_cli.diagnosis.text.text_context import TextContext
from capfix_cli.diagnosis.text.text_prompts import PROMPTS
from capfix_cli.schemas.measured_values import Evidence

ID = "wiring.prompt"


def find(case: DiagnosisContext) -> Finding:
    """Open captions with other special tokens, and judge the best on other clips."""
    if not case.finite:
        return not_tested(ID, "scores that are finite numbers")
    if not case.ill:
        return Finding(ID, 0.0, (Evidence("verdict", case.decision.verdict),))
    try:
        found = case.probes.prompts
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    if len(found.own) == 1 and _opens_otherwise(case):
        return Finding(ID, 0.0, (Evidence("another begin token", "vocabulary.special-tokens"),))
    gain = found.best_score - found.own_score
    if found.by == "references":
        needed = OFF_NATS
        what = "log-likelihood that it gains on references' first words"
    else:
        needed = OPENS_MORE
        what = "captions that differ and end, more than now"
    best = _words(case, found.best) if found.words is None else found.words
    evidence = (
        Evidence("what captions are opened with", _words(case, found.own)),
        Evidence(f"best of {found.tried} other openings", best),
        Evidence(
            what,
            gain,
            needed.unit,
            needed.value,
            f"{needed.source}; on clips that it was not chosen by",
        ),
    )
    if found.words is not None:
        mend = f"Ask in the words of training; {found.words!r} does better: --prompt"
        return Finding(ID, 0.7 if gain >= needed.value else 0.0, evidence, mend=mend)
    mend = (
        f"Open captions with {_words(case, found.best)} ({list(found.best)}), not with"
        f" {_words(case, found.own)} ({list(found.own)})"
    )
    return Finding(ID, 0.7 if gain >= needed.value else 0.0, evidence, mend=mend)


def from_text(case: TextContext) -> Finding:
    """Say whether another prompt is worth trying; what it restores decides."""
    if not case.asker.captioner.takes_prompt:
        return not_tested(ID, "a captioner that takes a prompt")
    if not case.ill:
        return Finding(ID, 0.0, (Evidence("verdict", case.decision.verdict),))
    best = case.better_prompt
    told = (
        Evidence("what the captioner is told", case.wish.prompt or "its own prompt"),
        Evidence(f"best of {len(PROMPTS)} other prompts", best or "none is better"),
    )
    mend = f'Tell it otherwise: --prompt "{best}"'
    return Finding(ID, 0.7 if best else 0.0, told, mend=mend)


def _opens_otherwise(case: DiagnosisContext) -> bool:
    """Whether another begin token alone will do: that is looked for with the special tokens."""
    try:
        opening = case.probes.opening
    except ProbeFailed:
        return False
    loss = opening.rival[1]
    return opening.loss - loss > OFF_NATS.value and loss < opening.counted


def _words(case: DiagnosisContext, prefix: tuple[int, ...]) -> str:
    words = case.captioner.vocabulary
    return " ".join(str(words[token]) for token in prefix if token < len(words))


def _other_prefix(case: DiagnosisContext, checkpoint: str) -> Iterator[Repair]:
    from capfix_cli.probes.prompts import with_prefix

    found = case.probes.prompts
    best = found.best
    _, _, names = case.probes.followed
    if found.words is not None:
        yield Repair(
            ID,
            f"asked {found.words!r}",
            f"--prompt {found.words!r}",
            case.captioner.rephrased()[found.words],
            searched=names,
        )
        return
    yield Repair(
        ID,
        f"opened with {_words(case, best)}",
        f"start tokens = {list(best)}  # {_words(case, best)}",
        with_prefix(case.captioner, best),
        searched=names,
    )


CAUSE = CauseSpec(
    id=ID,
    order=109,
    gate=True,
    find=find,
    from_text=from_text,
    needs=("prompts",),
    explains=(*MODEL, "vocabulary.special-tokens"),
    mend="Open captions with the start, task and language tokens of training",
    repair=_other_prefix,
    docs=CauseDocs(
        symptom="captions are empty, or of another task or language; references are heard.",
        experiment=(
            "the start prefix with one special token exchanged, added or left out; a model that is"
            " asked in words, asked in those of published models. The best, chosen on one half of"
            " the clips, is judged on the other, and then tried as a repair."
        ),
        read="without references what counts is how many captions differ and end.",
        mend="the prefix that works is named.",
        sources="public threads (SCIENCE section 8).",
    ),
)
