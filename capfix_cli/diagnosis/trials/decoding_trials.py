"""The decodings that one diagnosis tries, in the order in which it tries them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from capfix_cli.core.progress import ProgressCallback
from capfix_cli.diagnosis.trials.decoding_evaluator import DecodingEvaluator
from capfix_cli.fixes.trial_ranking import best_trial, pareto_front
from capfix_cli.schemas.clip_records import ClipCaption
from capfix_cli.schemas.diagnosis_record import Trial


class DecodingTrials:
    """Makes decoding trials, tells of the progress, and keeps what was made.

    Args:
        evaluator: that decodes and judges.
        progress: called as the work goes on.
    """

    def __init__(self, evaluator: DecodingEvaluator, progress: ProgressCallback) -> None:
        self._evaluator = evaluator
        self._progress = progress
        self._made: list[Trial] = []
        self._searched = False

    @property
    def made(self) -> tuple[Trial, ...]:
        """Every trial so far, in order, with its place on the Pareto front."""
        front = pareto_front(self._made)
        return tuple(replace(trial, pareto=trial.name in front) for trial in self._made)

    @property
    def best(self) -> Trial | None:
        """The one that works and listens most; None where none works."""
        return best_trial(self.made)

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

    def captions(self, trial: Trial) -> tuple[ClipCaption, ...]:
        """The captions that a trial gave."""
        return self._evaluator.captions[trial.name]
