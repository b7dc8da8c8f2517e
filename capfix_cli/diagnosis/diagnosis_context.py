"""Everything that one diagnosis looks at, owned in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from capfix_cli.audio.clip_sample import ProbeFailed, Sample
from capfix_cli.audio.clip_set import ClipSet
from capfix_cli.captioners.base import Captioner
from capfix_cli.captioners.feature_captioner import reads_features
from capfix_cli.captioners.loading import Loaded
from capfix_cli.core.progress import ProgressCallback, no_progress
from capfix_cli.core.thresholds import FAINT_LISTENING, FIT_MISFIT, LISTENING_SHARE
from capfix_cli.decoding.encode_pass import EncodedClips, draw_sample
from capfix_cli.diagnosis.trials.decoding_evaluator import DecodingEvaluator
from capfix_cli.diagnosis.trials.decoding_trials import DecodingTrials
from capfix_cli.diagnosis.verdict import Decision, decide, sentences_of
from capfix_cli.fixes.catalogue.fix_2_2_audio_every_step import HEARS_EVERY_STEP
from capfix_cli.fixes.setting_status import Mark
from capfix_cli.measures.measure_table import judge_diversity, measure_captions
from capfix_cli.measures.sentences import SentenceJudgement
from capfix_cli.probes.front_end_search import FITTED
from capfix_cli.probes.pair_scoring import Scorer
from capfix_cli.probes.probe_cache import ProbeCache
from capfix_cli.schemas.diagnosis_record import Cause, ModelSummary
from capfix_cli.schemas.measured_values import Listening, Measure


@dataclass(frozen=True, kw_only=True)
class DiagnosisContext:
    """One captioner on one set of clips, and what is found of them when it is asked for.

    What is given never changes; probes, listening, verdict and trials are made once, at the first
    time that a step asks for them, and shared by all that follow.

    Attributes:
        loaded: the captioner with its summary.
        clips: its captions and memories of the folder's clips.
        references: clip name -> references, or None.
        seed: of everything that is drawn.
        progress: called as the work goes on.
        training: causes that its training data showed; None where they were not given.
        marks: what is known of fixes from settings of training and training captions.
        pairs_fit: whether the training captions were found to belong to their clips; None where
            that was not tested.
        train_audio: the clips that it was trained on, or None.
    """

    loaded: Loaded
    clips: EncodedClips
    references: Mapping[str, Sequence[str]] | None = None
    seed: int = 0
    progress: ProgressCallback = no_progress
    training: Sequence[Cause] | None = None
    marks: Mapping[str, Mark] = field(default_factory=dict)
    train_audio: ClipSet | None = None
    pairs_fit: bool | None = None

    @property
    def captioner(self) -> Captioner:
        """The captioner as it was given."""
        return self.loaded.captioner

    @property
    def summary(self) -> ModelSummary:
        """Of the checkpoint."""
        return self.loaded.summary

    @cached_property
    def measures(self) -> dict[str, Measure]:
        """Of all its captions."""
        return measure_captions(self.clips.captions, self.seed)

    @cached_property
    def facts(self) -> Mapping[str, Any]:
        """What was read from the checkpoint, and whether every step was seen to hear the audio."""
        read = self.loaded.summary.facts
        if "conditioning" in read or not self.finite:
            return read
        try:
            return {**read, HEARS_EVERY_STEP: self.probes.every_step}
        except ProbeFailed:
            return read

    @property
    def over_features(self) -> bool:
        """Whether clips are features and no audio."""
        return reads_features(self.captioner)

    @property
    def finite(self) -> bool:
        """Whether memories and scores are finite numbers, of most clips at least."""
        return self.clips.finite

    @cached_property
    def probes(self) -> ProbeCache:
        """Experiments on the captioner, each made when asked for."""
        clips = self.clips
        return ProbeCache(
            self.captioner,
            clips.sample,
            clips.chunks,
            clips.captions,
            self.references,
            seed=self.seed,
            checkpoint=self.loaded.summary.path,
            trained_on=None if self.train_audio is None else self._training_clips(self.train_audio),
        )

    def _training_clips(self, clips: ClipSet) -> Callable[[], Sample]:
        return lambda: draw_sample(clips, self.captioner.sample_rate, FITTED, self.seed)

    @cached_property
    def evaluator(self) -> DecodingEvaluator:
        """Decodes, measures and judges on the memories of the clips."""
        scorer = Scorer(self.captioner, self.clips.chunks)
        return DecodingEvaluator(scorer, self.references, self.seed, self.clips.sample)

    @cached_property
    def trials(self) -> DecodingTrials:
        """The decodings that were tried, and those yet to try."""
        return DecodingTrials(self.evaluator, self.progress)

    @cached_property
    def listening(self) -> Listening | None:
        """Of greedy captions; None where the captioner's numbers mean nothing."""
        if not self.finite or not self._weights_finite():
            return None
        self.progress("measuring listening", 0, 1)
        found = self.evaluator.greedy.listening
        self.progress("measuring listening", 1, 1)
        return found

    def _weights_finite(self) -> bool:
        import torch

        module = self.captioner.module
        if module is None:
            return True
        return all(
            bool(torch.isfinite(tensor).all())
            for tensor in module.state_dict().values()
            if tensor.is_floating_point()
        )

    @cached_property
    def decision(self) -> Decision:
        """The verdict on greedy captions."""
        captions = self.clips.captions
        people = None
        if self.references is not None:
            people = [self.references.get(caption.file_name, ()) for caption in captions]
        diversity = judge_diversity([caption.text for caption in captions], people, self.seed)
        return decide(diversity, self.listening, self.sentences)

    @cached_property
    def sentences(self) -> SentenceJudgement:
        """Whether greedy captions are sentences."""
        return sentences_of(self.clips.captions, self.references)

    @property
    def listening_share(self) -> float:
        """Bits that decide, as a share of their ceiling; 0 where they were not measured."""
        found = self.listening
        return 0.0 if found is None else found.deciding_share

    @property
    def own_listening_share(self) -> float:
        """The same on its own captions, whether or not they are right."""
        found = self.listening
        return 0.0 if found is None else found.own_share

    @property
    def reference_listening_share(self) -> float | None:
        """The same on references; None where none were given."""
        found = self.listening
        if found is None or found.reference_bits is None:
            return None
        return found.reference_bits / found.ceiling_bits

    @cached_property
    def input_fits(self) -> bool:
        """Whether features are known to fit what the network remembers of its training.

        Only BatchNorm statistics tell. Without them a wrong front end that no usual one mends looks
        as a deaf decoder does.
        """
        try:
            return self.probes.fit[0].misfit < FIT_MISFIT.value
        except ProbeFailed:
            return False

    @property
    def deaf(self) -> bool:
        """Whether the audio does not decide the captions."""
        return self.listening_share < LISTENING_SHARE.value

    @property
    def faint(self) -> bool:
        """Whether it decides them less than it does in sound captioners."""
        return self.listening_share < FAINT_LISTENING.value

    @property
    def ill(self) -> bool:
        """Whether there is anything to explain."""
        return self.decision.verdict != "healthy"
