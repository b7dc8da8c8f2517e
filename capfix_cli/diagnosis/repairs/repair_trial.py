"""Repairs applied and measured, kept or rejected by the same two axes as decoding fixes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.audio.clip_set import ClipSet
from capfix_cli.core.progress import no_progress
from capfix_cli.core.thresholds import CAUSE_FROM, MIN_CLIPS, PROVED_FROM, SOUND_LISTENING
from capfix_cli.decoding.encode_pass import EncodedClips, encode_and_caption
from capfix_cli.diagnosis.causes import discover
from capfix_cli.diagnosis.causes.cause_spec import CauseSpec, matches
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.diagnosis.judged_captions import JudgedCaptions, Outcome
from capfix_cli.diagnosis.repairs.repair import Repair
from capfix_cli.diagnosis.trials.decoding_evaluator import DecodingEvaluator, DecodingOutcome
from capfix_cli.probes.captioner_errors import probe_failure
from capfix_cli.probes.pair_scoring import Scorer
from capfix_cli.schemas.diagnosis_record import Restored, Trial
from capfix_cli.schemas.measured_values import Listening, Measure, Verdict

FIX = "0"  # the plan's row of what comes before all fixes
MAX_REPAIR_CLIPS = 64  # clips of a repair's trial, which must be encoded anew: an eighth of 500
_RANKS = {"healthy": 4, "generic": 3, "degenerate": 2, "ungrounded": 1, "collapsed": 0}


@dataclass(frozen=True, kw_only=True)
class RepairTrial:
    """One repair applied to the captioner and measured.

    Attributes:
        cause: that it mends.
        name: in words.
        change: the line to change in one's own code.
        measures: of the repaired captioner's captions.
        listening: of them.
        verdict: on them.
        kept: whether it works.
        reason: why it was kept or not, in words.
        clips: on how many it was tried.
        restored: how much of what was missing it brought back; None where nothing was missing.
        repaired: the repaired captioner on these clips, to look for other causes again; None where
            the mend lies in how clips are encoded, which probes do their own way.
        applied: to be entered while it is looked at.
    """

    cause: str
    name: str
    change: str
    measures: Mapping[str, Measure]
    listening: Listening
    verdict: Verdict
    kept: bool
    reason: str
    clips: int
    restored: Restored | None
    repaired: DiagnosisContext | None
    applied: Callable[[], contextlib.AbstractContextManager[None]]

    @property
    def share(self) -> float:
        """Of what was missing, what came back; 1 where nothing was missing."""
        return 1.0 if self.restored is None else self.restored.share

    def undoes(self, spec: CauseSpec) -> bool:
        """Say whether another cause is no longer found once this one is mended."""
        if self.repaired is None:
            return matches(spec.id, discover()[self.cause].explains)
        with self.applied():
            found = spec.find(self.repaired)
        return found.confidence is not None and found.confidence < CAUSE_FROM.value

    @property
    def record(self) -> Trial:
        """The same as a diagnosis lists it."""
        return Trial(
            fix=FIX,
            name=self.name,
            decoding={},
            measures=dict(self.measures),
            listening=self.listening,
            verdict=self.verdict,
            kept=self.kept,
            reason=self.reason,
            outcome="kept" if self.kept else "repeats",
            clips=self.clips,
            repair=self.change,
        )


def repairs_for(spec: CauseSpec, case: DiagnosisContext) -> Iterator[Repair]:
    """List what can be tried against a cause, the likeliest first; none where its probes fail."""
    if spec.repair is None:
        return
    try:
        yield from spec.repair(case, case.loaded.summary.path)
    except ProbeFailed:
        return


def try_repair(repair: Repair, case: DiagnosisContext) -> RepairTrial | None:
    """Encode and caption a part of the clips with the repaired captioner, and judge it.

    Args:
        repair: what to try.
        case: the captioner as it is.

    Returns:
        None where the repaired captioner cannot be judged.
    """
    most = min(case.evaluator.scale.clips, MAX_REPAIR_CLIPS)
    clip_set, held_out = _held_out(case.clips.clip_set, repair)
    try:
        applied = _apply(repair, case, clip_set, most)
    except Exception as error:
        # A mend may give the network what it cannot take; a fault of capfix keeps its traceback.
        if probe_failure(error) is None:
            raise
        return None
    if applied is None:
        return None
    clips, after = applied
    restored = restored_by(case, after)
    kept, reason = judge_repair(case, after)
    if held_out:
        reason += f"; on {len(clips.captions)} clips that it was not chosen by"
    elif repair.searched:
        reason += "; on the clips that it was chosen by, too few others being left"
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
        clips=len(clips.captions),
        restored=restored,
        repaired=None
        if repair.one_by_one
        else replace(
            case,
            loaded=replace(case.loaded, captioner=repair.captioner),
            clips=clips,
            progress=no_progress,
        ),
        applied=repair.applied,
    )


def _apply(
    repair: Repair, case: DiagnosisContext, clip_set: ClipSet, most: int
) -> tuple[EncodedClips, DecodingOutcome] | None:
    """Encode, caption and judge with the mend in place; None where it gives no numbers."""
    with repair.applied():
        clips = encode_and_caption(
            repair.captioner,
            clip_set,
            batch_size=1 if repair.one_by_one else 16,
            seed=case.seed,
            sample=most,
            only_sample=True,
        )
        if not clips.finite or len(clips.captions) < 2:
            return None
        scorer = Scorer(repair.captioner, clips.chunks)
        after = DecodingEvaluator(scorer, case.references, case.seed).judge(clips.captions)
    return clips, after


def _held_out(clips: ClipSet, repair: Repair) -> tuple[ClipSet, bool]:
    """Leave out the clips that a mend was chosen by, where enough others are left to judge it."""
    if not repair.searched:
        return clips, False
    others = tuple(clip for clip in clips.clips if clip.name not in repair.searched)
    enough = len(others) >= MIN_CLIPS.value
    return (replace(clips, clips=others), True) if enough else (clips, False)


def restored_by(case: JudgedCaptions, after: Outcome) -> Restored | None:
    """Say how much of the axis that fails most, or of faint listening, came back."""
    now, then = case.decision.axes, after.decision.axes
    failing = [n for n in ("decides", "sentences", "differ") if n in now and not now[n].fulfilled]
    if not failing and case.faint and "decides" in now:
        failing = ["decides"]
    if not failing or failing[0] not in then:
        return None
    name = failing[0]
    heard, listening = case.listening, after.listening
    if ("bits" in now[name].unit) != ("bits" in then[name].unit):  # not on one scale
        if heard is None or listening is None:
            return None
        most = SOUND_LISTENING.value * listening.ceiling_bits
        value = listening.deciding_bits
        return Restored("listening, bits", heard.deciding_bits, value, max(most, value))
    most = then[name].threshold
    if name == "decides" and "bits" in then[name].unit and after.listening is not None:
        most = SOUND_LISTENING.value * after.listening.ceiling_bits
    if name == "sentences":
        most = 1.0
    value = then[name].value
    return Restored(now[name].told, now[name].value, value, max(most, value))


def judge_repair(case: JudgedCaptions, after: Outcome) -> tuple[bool, str]:
    """Keep what listens, and is better than before or no worse without the fault."""
    before = case.listening
    new = after.listening
    if new is None:
        return False, "it cannot be told whether it listens"
    bits = f"{new.deciding_bits:.2f} of {new.ceiling_bits:.2f} bits"
    was = case.decision.verdict
    change = f"{was} before, {after.decision.verdict} with it"
    if not after.decision.decides:
        return False, f"it still does not listen ({bits}); {change}"
    if not after.decision.sentences:
        return False, f"captions are no sentences: {after.decision.degenerate}; {change}"
    if before is None:
        return True, f"it listens ({bits}); {change}"
    better = _RANKS[after.decision.verdict] >= _RANKS[was]
    share = new.deciding_share
    # Some faults are noise, which reads as diversity: without it captions may well differ less.
    if share < (0.9 if better else 1.0) * case.listening_share:
        return False, f"it listens no more than before ({bits}); {change}"
    return True, (
        f"listening went from {before.deciding_bits:.2f} of {before.ceiling_bits:.2f} bits to"
        f" {bits}; {change}"
    )
