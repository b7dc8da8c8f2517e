"""``vocabulary.special-tokens``: the begin or end token is another than in training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.captioners.base import Captioner
from capfix_cli.core.thresholds import END_LIKELY, ENDLESS, OFF_NATS, SPECIAL_WORDS
from capfix_cli.diagnosis.causes.cause_spec import DECODER, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import (
    Finding,
    against_threshold,
    linear_confidence,
    not_tested,
)
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.diagnosis.repairs.repair import Repair
from capfix_cli.probes.captioner_variants import derive
from capfix_cli.schemas.measured_values import Evidence

if TYPE_CHECKING:
    from torch import Tensor

ID = "vocabulary.special-tokens"


def find(case: DiagnosisContext) -> Finding:
    """Look where captions end, and at what opens and ends references."""
    if not case.finite:
        return not_tested(ID, "scores that are finite numbers")
    try:
        ends = case.probes.endings
    except ProbeFailed as reason:
        return not_tested(ID, reason.needs)
    words = case.captioner.vocabulary
    last, often = ends.last
    evidence = [
        against_threshold("captions that never end", ends.endless, ENDLESS),
        Evidence(
            "captions with a special token as a word",
            ends.special,
            SPECIAL_WORDS.unit,
            SPECIAL_WORDS.value,
            f"{ends.named}; {SPECIAL_WORDS.source}" if ends.named else SPECIAL_WORDS.source,
        ),
    ]
    sure, why = 0.0, ""
    named = ends.special >= SPECIAL_WORDS.value
    if ends.endless >= ENDLESS.value:
        sure, why = (0.95 if named else 0.4), f"captions go on for ever, on {words[last]!r}"
        evidence.append(
            Evidence(
                "commonest token where captions should have ended",
                f"{words[last]!r}, in {often:.0%} of them",
            )
        )
    elif named:
        sure, why = 0.7, f"captions hold {ends.named} as a word"
    try:
        found = case.probes.language
        opening = case.probes.opening
    except ProbeFailed as reason:
        needs = "" if sure or not case.ill else f"for the rest, {reason.needs}"
        return Finding(ID, sure, tuple(evidence), mend=_mend(why), needs=needs)
    rival, likely = found.rival
    evidence.append(
        against_threshold(
            "probability of the end token where references end", found.end, END_LIKELY
        )
    )
    evidence.append(
        Evidence(f"probability of {words[rival]!r} where references end", likely, "probability")
    )
    if found.end < END_LIKELY.value and likely > 0.5:
        sure = max(sure, 0.6 + 0.4 * linear_confidence(likely, 0.5, 0.9))
        why = f"eos_id should be {rival} ({words[rival]!r})"
    token, loss = opening.rival
    gain = opening.loss - loss
    evidence.append(against_threshold(f"what opening with {words[token]!r} gains", gain, OFF_NATS))
    # Rightly opened, a decoder guesses first words at least as well as their counts do.
    if gain > OFF_NATS.value and loss < opening.counted:
        sure = max(sure, 0.6 + 0.4 * linear_confidence(gain, OFF_NATS.value, 3 * OFF_NATS.value))
        why = f"bos_id should be {token} ({words[token]!r})"
    return Finding(ID, sure, tuple(evidence), mend=_mend(why))


def _mend(why: str) -> str:
    return f"Set the special tokens to those of training: {why or 'their ids'}"


def _other_tokens(case: DiagnosisContext, checkpoint: str) -> Iterator[Repair]:
    captioner, words = case.captioner, case.captioner.vocabulary
    changes: dict[str, int] = {}
    try:
        rival, likely = case.probes.language.rival
        if case.probes.language.end < END_LIKELY.value and likely > 0.5:
            changes["eos_id"] = rival
        opening = case.probes.opening
        if opening.loss - opening.rival[1] > OFF_NATS.value:
            changes["bos_id"] = opening.rival[0]
    except ProbeFailed:
        ends = case.probes.endings
        if ends.last[1] > 0.5:  # what captions that never end go on with
            changes["eos_id"] = ends.last[0]
    if changes:
        line = ", ".join(f"{name} = {i}  # {str(words[i])!r}" for name, i in changes.items())
        changed = derive(captioner, **changes)
        if "bos_id" in changes:

            def start_prefix(self: Captioner, batch: int) -> Tensor:
                prefix = captioner.start_prefix(batch).clone()
                prefix[:, 0] = self.bos_id
                return prefix

            changed = derive(changed, start_prefix=start_prefix)
        yield Repair(ID, "other special tokens", line, changed)


CAUSE = CauseSpec(
    id=ID,
    order=110,
    gate=True,
    find=find,
    needs=("endings", "language", "opening"),
    explains=(*DECODER, "conditioning.first-step-only"),
    mend="Set the special tokens to those of training",
    repair=_other_tokens,
    docs=CauseDocs(
        symptom="captions never end, or hold `<eos>` as a word.",
        experiment=(
            "captions that reach the limit; special tokens as words; with references, the "
            "probability of the end token where people end and of its rival there, and the first "
            "word's loss when captions are opened with other tokens, each at the temperature that "
            "fits best, so that being too sure is not taken for it."
        ),
        mend="`eos_id`, `bos_id` as printed, applied and re-measured.",
        sources="SCIENCE section 4.",
    ),
)
