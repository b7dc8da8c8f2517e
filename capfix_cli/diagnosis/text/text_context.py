"""Everything that the diagnosis of a captioner that is only asked looks at, in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.captioners.text.asker import Asker
from capfix_cli.captioners.text.caption_pass import TextClips, as_captions
from capfix_cli.captioners.text.text_captioner import Wish
from capfix_cli.core.progress import ProgressCallback, no_progress
from capfix_cli.core.thresholds import FAINT_LISTENING
from capfix_cli.diagnosis.text.text_trials import TextTrials
from capfix_cli.diagnosis.text.text_verdict import (
    NO_COPIES,
    TextOutcome,
    judge_text,
    measure_logprob,
)
from capfix_cli.diagnosis.verdict import Decision, audio_decides
from capfix_cli.fixes.setting_status import Mark
from capfix_cli.measures.measure_table import measure_captions
from capfix_cli.probes.text_probes import TextProbes
from capfix_cli.probes.text_references import TextReferenceFit, fit_text_references
from capfix_cli.schemas.diagnosis_record import Cause, ModelSummary
from capfix_cli.schemas.measured_values import Listening, Measure


@dataclass(frozen=True, kw_only=True)
class TextContext:
    """One captioner that gives text, on one set of clips, and what is found of them.

    Probes, verdict and trials are made once, at the first time that a step asks for them.

    Attributes:
        summary: of what is asked.
        asker: asks it.
        clips: what it said of the folder's clips.
        wish: how it was asked.
        references: clip name -> references, or None.
        seed: of everything that is drawn.
        progress: called as the work goes on.
        training: causes that its training data showed; None where they were not given.
        marks: what is known of fixes from settings of training and training captions.
    """

    summary: ModelSummary
    asker: Asker
    clips: TextClips
    wish: Wish
    references: Mapping[str, Sequence[str]] | None = None
    seed: int = 0
    progress: ProgressCallback = no_progress
    training: Sequence[Cause] | None = None
    marks: Mapping[str, Mark] = field(default_factory=dict)

    @property
    def facts(self) -> Mapping[str, Any]:
        """What is known of it beside its captions."""
        return self.summary.facts

    @cached_property
    def probes(self) -> TextProbes:
        """Experiments, each made when asked for."""
        return TextProbes(self.asker, self.clips, self.wish, self.seed, self.progress)

    @cached_property
    def copies(self) -> Mapping[str, str]:
        """Captions of altered copies; empty where it takes none."""
        try:
            return self.probes.copies
        except ProbeFailed:
            return {}

    @cached_property
    def outcome(self) -> TextOutcome:
        """Its captions, measured and judged."""
        found = self._judged(NO_COPIES)
        heard = found.listening
        if heard is None or audio_decides(heard):
            return found
        try:
            return self._judged(self.probes.milder)
        except ProbeFailed:
            return found

    def _judged(self, milder: Mapping[str, str]) -> TextOutcome:
        return judge_text(
            self.clips.captions,
            self.copies,
            self.references,
            self.seed,
            ends_known=self.clips.ends_known,
            milder=milder,
        )

    @property
    def decision(self) -> Decision:
        """The verdict."""
        return self.outcome.decision

    @property
    def listening(self) -> Listening | None:
        """By whether captions follow the audio of copies."""
        return self.outcome.listening

    @property
    def listening_share(self) -> float:
        """Bits that decide, as a share of their ceiling; 0 where they were not measured."""
        found = self.listening
        return 0.0 if found is None else found.deciding_share

    @property
    def faint(self) -> bool:
        """Whether the audio decides less than it does in sound captioners."""
        return self.listening_share < FAINT_LISTENING.value

    @property
    def ill(self) -> bool:
        """Whether there is anything to explain."""
        return self.decision.verdict != "healthy"

    @cached_property
    def reference_fit(self) -> TextReferenceFit:
        """Whose references these are.

        Raises:
            ProbeFailed: too few clips have references.
        """
        said = {caption.file_name: caption.text for caption in self.clips.captions}
        return fit_text_references(said, self.references or {}, self.seed)

    @cached_property
    def better_prompt(self) -> str | None:
        """The best of other prompts, on a part of the clips; None where none is better."""
        from capfix_cli.diagnosis.text.text_prompts import best_prompt

        return best_prompt(self)

    @cached_property
    def trials(self) -> TextTrials:
        """Ways of decoding that were asked for, and those yet to ask for."""
        return TextTrials(
            self.probes, self.references, self.outcome, self.progress, self.clips.ends_known
        )

    @cached_property
    def measures(self) -> dict[str, Measure]:
        """Of its captions, log-probabilities among them where it gives any."""
        table = measure_captions(as_captions(self.clips.answers), self.seed)
        table.pop("logprob_per_token", None)
        if not self.clips.ends_known:
            table.pop("no_end", None)
        told = [
            (answer.logprob, answer.tokens)
            for answer in self.clips.answers.values()
            if answer.logprob is not None
        ]
        return table | measure_logprob(told)
