"""The decodings that one diagnosis tries, in the order in which it tries them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from capfix_cli.core.progress import ProgressCallback
from capfix_cli.decoding.decoding_options import options_from_dict
from capfix_cli.diagnosis.trials.decoding_evaluator import DecodingEvaluator
from capfix_cli.fixes.fix_spec import DecodingFix
from capfix_cli.fixes.trial_ranking import best_trial, pareto_front
from capfix_cli.schemas.clip_records import ClipCaption
from capfix_cli.schemas.diagnosis_record import Trial

LOOKS = 3  # at the clips held out: with each the chance grows that one of them holds by luck


class DecodingTrials:
    """Makes decoding trials, tells of the progress, and keeps what was made.

    Trials are made, and the best of them is chosen, on one part of the clips; whether it works is
    then asked on clips that none was tried on.

    Args:
        evaluator: that decodes and judges.
        progress: called as the work goes on.
    """

    def __init__(self, evaluator: DecodingEvaluator, progress: ProgressCallback) -> None:
        self._whole = evaluator
        self._progress = progress
        self._made: list[Trial] = []
        self._judged: dict[str, Trial] = {}  # by name, as other clips judge them
        self._searched = False

    @property
    def _evaluator(self) -> DecodingEvaluator:
        return self._whole.halves[0]

    @property
    def made(self) -> tuple[Trial, ...]:
        """Every trial so far, in order, with its place on the Pareto front."""
        told = [self._judged.get(trial.name, trial) for trial in self._made]
        front = pareto_front(told)
        return tuple(replace(trial, pareto=trial.name in front) for trial in told)

    @property
    def best(self) -> Trial | None:
        """The one that works, on other clips too, and listens most; None where none does."""
        chosen = best_trial([trial for trial in self._made if self._holds(trial)])
        return next((t for t in self.made if chosen is not None and t.name == chosen.name), None)

    def _holds(self, trial: Trial) -> bool:
        told = self._judged.get(trial.name)
        return told is not None and told.kept

    def run(self, name: str, *, doubted: bool) -> Trial:
        """Try one of ``DECODING_FIXES``.

        Args:
            name: of the fix.
            doubted: whether it is foretold not to work, so that few clips come first.
        """
        self._progress("trying decoding fixes", len(self._made), len(self._made) + 1)
        trial = self._evaluator.trial(name, doubted=doubted)
        self._made.append(trial)
        return trial

    def search(self) -> Sequence[Trial]:
        """Search over settings, once, and only where there is hope."""
        if self._searched or not self._evaluator.worth_searching(self._made):
            return ()
        self._searched = True
        found = self._evaluator.search(
            lambda done, total: self._progress("searching settings", done, total)
        )
        self._made.extend(found)
        return found

    def settle(self) -> tuple[Trial, ...]:
        """Judge the best on clips that none was tried on, and the next where it does not hold.

        The more are asked the likelier one holds by luck, so that after a few no more are.

        Returns:
            Every trial so far, as :attr:`made` gives them.
        """
        while True:
            open_ = [t for t in self._made if t.name not in self._judged or self._holds(t)]
            first = best_trial(open_)
            if first is None or first.name in self._judged:
                return self.made
            self._judged[first.name] = self._judge(first)

    def _judge(self, trial: Trial) -> Trial:
        """Ask whether a trial that works on the clips it was chosen by works on others."""
        others = self._whole.halves[1]
        if others is None:
            told = f"{trial.reason}; on the clips that it was chosen by, too few others being left"
            return replace(trial, reason=told)
        if sum(one.outcome != "unasked" for one in self._judged.values()) >= LOOKS:
            told = f"{trial.reason}; other clips were not asked, {LOOKS} having been tried on them"
            return replace(trial, kept=False, outcome="unasked", reason=told)
        fix = DecodingFix(fix=trial.fix, options=options_from_dict(trial.decoding))
        again = others.attempt(fix, len(others.ranked))
        where = f"on {again.clips} clips that it was not chosen by"
        if again.kept:
            # What was chosen for its figures has better ones than it deserves: those of the others.
            return replace(again, reason=f"{again.reason}; {where}")
        told = f"{where}: {again.reason}; on the {trial.clips} that it was chosen by, it worked"
        return replace(again, outcome="not-held", reason=told)

    def captions(self, trial: Trial) -> tuple[ClipCaption, ...]:
        """The captions that a trial gave."""
        parts = [part for part in self._whole.halves if part is not None]
        found = [part.captions.get(trial.name, ()) for part in parts]
        return tuple(caption for captions in found for caption in captions)
