"""Mends that can be asked for: clips one by one, another prompt. Applied, and judged as all are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.captioners.text.text_captioner import GivenClip, Wish
from capfix_cli.core.thresholds import MIN_CLIPS, PROVED_FROM
from capfix_cli.diagnosis.repairs.repair_trial import RepairTrial, judge_repair, restored_by
from capfix_cli.diagnosis.text.text_context import TextContext
from capfix_cli.diagnosis.text.text_prompts import CHOSEN_ON, judged_on

BATCH = "evaluation.batch-dependence"
PROMPT = "wiring.prompt"


@dataclass(frozen=True)
class TextRepair:
    """One mend, ready to be asked for.

    Attributes:
        cause: that it mends.
        name: in words.
        line: what to change.
        wish: how to ask.
        alone: ask about clips one by one.
        clips: to judge it on.
        searched: whether it was chosen among others, on other clips.
    """

    cause: str
    name: str
    line: str
    wish: Wish
    clips: Sequence[GivenClip]
    alone: bool = False
    searched: bool = False


def text_repairs(cause: str, case: TextContext) -> Iterator[TextRepair]:
    """List what can be asked for against a cause."""
    if cause == BATCH:
        yield TextRepair(
            cause,
            "clips one by one",
            "caption one clip a call (--batch-size 1)",
            case.wish,
            case.probes.sample,
            alone=True,
        )
    elif cause == PROMPT:
        found = case.better_prompt
        if found is not None:
            yield TextRepair(
                cause,
                f"told {found!r}",
                f'--prompt "{found}"',
                replace(case.wish, prompt=found),
                case.probes.sample[CHOSEN_ON:],
                searched=True,
            )


def try_text_repair(repair: TextRepair, case: TextContext) -> RepairTrial | None:
    """Ask with the mend in place, and judge it; None where it cannot be judged."""
    if len(repair.clips) < MIN_CLIPS.value:
        return None
    try:
        after = judged_on(case, repair.wish, repair.clips, alone=repair.alone)
    except ProbeFailed:
        return None
    if after.listening is None or len(after.captions) < MIN_CLIPS.value:
        return None
    restored = restored_by(case, after)
    kept, reason = judge_repair(case, after)
    if repair.searched:
        reason += f"; on {len(after.captions)} clips that it was not chosen by"
    if kept and restored is not None and restored.share < PROVED_FROM.value:
        kept, reason = False, f"it restores {100 * restored.share:.0f} % of what is missing"
    return RepairTrial(
        cause=repair.cause,
        name=repair.name,
        change=repair.line,
        measures=after.measures,
        listening=after.listening,
        verdict=after.decision.verdict,
        kept=kept,
        reason=reason,
        clips=len(after.captions),
        restored=restored,
        repaired=None,
        applied=contextlib.nullcontext,
    )
