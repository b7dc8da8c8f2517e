"""Decoding fixes applied to the captioner, each kept or rejected by both axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from capfix_cli.audio.clip_sample import Sample
from capfix_cli.core.thresholds import (
    FLUENCY_LOSS,
    LENGTH_CHANGE,
    LISTENING_SHARE,
    MIN_CLIPS,
    NO_END_RISE,
    REPEATS_RISE,
    SEARCH_FROM,
)
from capfix_cli.decoding.decode import EncodedBatch, decode
from capfix_cli.decoding.decoding_options import GREEDY, AbsentKind, DecodingOptions
from capfix_cli.decoding.null_audio import NullAudio, make_absent
from capfix_cli.diagnosis.trials.clip_portion import portion, ranked
from capfix_cli.diagnosis.trials.settings_search import halve, rungs
from capfix_cli.diagnosis.trials.trial_budget import Scale, affordable
from capfix_cli.diagnosis.trials.trial_judgement import bits_of, percent, what_fails
from capfix_cli.diagnosis.verdict import Decision, decide, sentences_of
from capfix_cli.fixes.decoding_fixes import DECODING_FIXES, SEARCHED
from capfix_cli.fixes.fix_spec import DecodingFix
from capfix_cli.fixes.sampling_options import NATURAL
from capfix_cli.fixes.trial_ranking import merit
from capfix_cli.measures.measure_table import judge_diversity, measure_captions
from capfix_cli.probes.captioner_cost import Cost, measure_cost
from capfix_cli.probes.listening import listen
from capfix_cli.probes.pair_scoring import Scorer
from capfix_cli.schemas.clip_records import ClipCaption
from capfix_cli.schemas.diagnosis_record import Trial
from capfix_cli.schemas.measured_values import Listening, Measure

References = Mapping[str, Sequence[str]]
DEAR_SETTINGS = 6  # searched where trials must do with a part of the clips
DOUBTED_CLIPS = 24  # of a trial that is foretold not to work; one that does is made again on all
HELD_OUT = 3  # one clip in so many is kept for what won on the others


@dataclass(frozen=True)
class DecodingOutcome:
    """Captions of one way of decoding and everything measured on them."""

    captions: tuple[ClipCaption, ...]
    measures: dict[str, Measure]
    listening: Listening
    decision: Decision


class DecodingEvaluator:
    """Decodes, measures and judges on memories that were encoded once.

    Args:
        scorer: the captioner with the memories of the clips that trials use.
        references: clip name -> references, or None.
        seed: of every draw.
        sample: clips with waveforms, to know what encoding costs; trials are sized without it too.
        part_of: one whose clips these are a part of; it has the greedy captions and the costs.
        names: of the clips that trials use; all whose memories are held if None.
    """

    def __init__(
        self,
        scorer: Scorer,
        references: References | None,
        seed: int,
        sample: Sample | None = None,
        *,
        part_of: DecodingEvaluator | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        self.sample = sample
        self.scorer = scorer
        self.references = references
        self.seed = seed
        self.part_of = part_of
        self.captions: dict[str, tuple[ClipCaption, ...]] = {}  # by trial name
        self._trials: dict[tuple[DecodingOptions, int], Trial] = {}
        self._baselines: dict[tuple[DecodingOptions, int], DecodingOutcome] = {}
        self._absent: dict[AbsentKind, NullAudio] = {}
        self._parted: dict[int, Sequence[EncodedBatch]] = {}
        self.ranked = ranked(scorer.names, seed) if names is None else list(names)

    @cached_property
    def cost(self) -> Cost:
        """Of the captioner, counted once for all parts of the clips."""
        if self.part_of is not None:
            return self.part_of.cost
        return measure_cost(self.scorer.captioner, self.scorer.chunks[0], self.sample)

    @cached_property
    def scale(self) -> Scale:
        """On how many clips trials are made, and against how many each caption is tried."""
        return affordable(self.cost, len(self.ranked), self.scorer.captioner.max_length)

    @cached_property
    def halves(self) -> tuple[DecodingEvaluator, DecodingEvaluator | None]:
        """Part the clips: those that trials are made on, and others that the winner is judged on.

        What is best of many on some clips is best in part by chance; clips that none was tried on
        tell. Where there are too few for both, the second is None.
        """
        size = self.scale.clips
        left = len(self.ranked) - size
        fewest = int(MIN_CLIPS.value)
        held = max(left, min(size, max(fewest, len(self.ranked) // HELD_OUT)))
        if len(self.ranked) - held < fewest:
            return self, None
        tried = self.ranked[: len(self.ranked) - held]
        others = self.ranked[len(tried) :][:size]
        return self._part(tried), self._part(others)

    def _part(self, names: Sequence[str]) -> DecodingEvaluator:
        return DecodingEvaluator(
            self.scorer, self.references, self.seed, self.sample, part_of=self, names=names
        )

    def observe(
        self, options: DecodingOptions, clips: int | None = None, contrast: int | None = None
    ) -> DecodingOutcome:
        """Decode one way, and measure and judge the captions.

        Args:
            options: how to decode.
            clips: on how many; all whose memories are held if None.
            contrast: clips on which each caption is tried, its own included; the usual number if
                None.
        """
        captions: list[ClipCaption] = []
        for part in self._parts(len(self.ranked) if clips is None else clips):
            captions += decode(
                self.scorer.captioner, part, options, self.seed, self._without(options)
            )
        return self.judge(sorted(captions, key=lambda caption: caption.file_name), contrast)

    def _parts(self, clips: int) -> Sequence[EncodedBatch]:
        """The first so many clips of the drawn order, in as few chunks as their shapes allow."""
        if clips >= len(self.ranked) and self.part_of is None:
            return self.scorer.chunks
        if clips not in self._parted:
            dim = self.scorer.captioner.memory_batch_dim
            wanted = set(self.ranked[:clips])
            self._parted[clips] = portion(self.scorer.chunks, wanted, dim)
        return self._parted[clips]

    def _without(self, options: DecodingOptions) -> NullAudio | None:
        """What stands for "no audio", the same for every clip and trial."""
        kind = options.absent_kind
        if kind is None:
            return None
        if self.part_of is not None:
            return self.part_of._without(options)
        if kind not in self._absent:
            largest = max(self.scorer.chunks, key=lambda chunk: len(chunk.names))
            self._absent[kind] = make_absent(
                self.scorer.captioner, kind, largest.memory, len(largest.names), self.seed
            )
        return self._absent[kind]

    def judge(
        self, captions: Sequence[ClipCaption], contrast: int | None = None
    ) -> DecodingOutcome:
        """Measure and judge captions of clips whose memories are held."""
        references = self.references
        listening = listen(captions, self.scorer, self.seed, references, contrast)
        people = None
        if references is not None:
            people = [references.get(caption.file_name, ()) for caption in captions]
        diversity = judge_diversity([c.text for c in captions], people, self.seed)
        return DecodingOutcome(
            tuple(captions),
            measure_captions(captions, self.seed, drawn=False),
            listening,
            decide(diversity, listening, sentences_of(captions, references)),
        )

    @cached_property
    def greedy(self) -> DecodingOutcome:
        """Greedy decoding of all clips: what the verdict is on."""
        if self.part_of is None:
            return self.observe(GREEDY)
        own = set(self.ranked)
        return self.judge([c for c in self.part_of.greedy.captions if c.file_name in own])

    def _baseline(self, options: DecodingOptions, clips: int) -> DecodingOutcome:
        """Greedy or natural decoding of as many clips as a trial has."""
        if options == GREEDY and clips >= len(self.ranked):
            return self.greedy
        if (options, clips) not in self._baselines:
            contrast = self.scale.contrast
            if options == GREEDY:
                wanted = set(self.ranked[:clips])
                part = [c for c in self.greedy.captions if c.file_name in wanted]
                found = self.judge(part, contrast)
            else:
                found = self.observe(options, clips, contrast)
            self._baselines[options, clips] = found
        return self._baselines[options, clips]

    def trial(self, name: str, *, doubted: bool = False) -> Trial:
        """Make one of ``DECODING_FIXES`` and say whether it works; made once, then remembered.

        Args:
            name: of the fix.
            doubted: make it on few clips, and on all only if it works on those.
        """
        fix = DECODING_FIXES[name]
        if doubted:
            few = self.attempt(fix, min(DOUBTED_CLIPS, self.scale.clips))
            if not few.kept:
                return few
        return self.attempt(fix, self.scale.clips)

    def worth_searching(self, trials: Sequence[Trial]) -> bool:
        """Say whether a search can be hoped to find a decoding that works.

        On references the captioner listens as it listens, however it is decoded: below what is
        needed there no search can help.
        """
        greedy = (self.part_of or self).greedy.listening
        limit = greedy.reference_bits
        if limit is not None and limit < LISTENING_SHARE.value * greedy.ceiling_bits:
            return False
        best = max((merit(trial)[1] for trial in trials), default=0.0)
        best = max(best, greedy.own_share)
        return best >= SEARCH_FROM.value * LISTENING_SHARE.value

    def search(
        self, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> list[Trial]:
        """Search over settings around the fixes that were tried.

        Args:
            progress: called with the trials made and their number in all.
        """
        made = {options for options, _ in self._trials}
        fresh = [fix for fix in SEARCHED if fix.options not in made]
        if self.scale != affordable(Cost(0.0), len(self.ranked), 1):
            # Dear to run: a few settings of each kind that decode one caption a clip.
            fresh = [fix for fix in fresh if fix.options.rows == 1][::2][:DEAR_SETTINGS]
        total = sum(rung.settings for rung in rungs(len(fresh), self.scale.clips))
        done = 0

        def attempt(fix: DecodingFix, clips: int) -> Trial:
            nonlocal done
            progress(done, total)
            done += 1
            trial = self.attempt(fix, clips)
            return trial if clips >= self.scale.clips else _outrun(trial)

        return halve(fresh, self.scale.clips, attempt)

    def attempt(self, fix: DecodingFix, clips: int) -> Trial:
        """Try a way of decoding on so many clips, and say whether it works."""
        key = fix.options, clips
        if key not in self._trials:
            if fix.options == NATURAL:
                outcome = self._baseline(NATURAL, clips)
            else:
                outcome = self.observe(fix.options, clips, self.scale.contrast)
            result, reason = self._verdict(outcome, clips)
            if clips < self.scale.clips:
                reason += f"; on {clips} clips"
            self.captions[fix.options.describe()] = outcome.captions
            self._trials[key] = Trial(
                fix=fix.fix,
                name=fix.options.describe(),
                decoding=fix.options.to_dict(),
                measures=outcome.measures,
                listening=outcome.listening,
                verdict=outcome.decision.verdict,
                kept=result == "kept",
                reason=reason,
                outcome=result,
                clips=len(outcome.captions),
            )
        return self._trials[key]

    def _verdict(self, outcome: DecodingOutcome, clips: int) -> tuple[str, str]:
        """Keep what made captions differ, let the audio decide, and stayed fluent."""
        failing = what_fails(outcome)
        if failing is not None:
            return failing
        lost = self._listening_lost(outcome.listening, clips)
        if lost:
            return "listens-less", lost
        worse = self._fluency_lost(outcome, clips)
        if worse:
            return "not-fluent", f"diverse and listening, but {worse}"
        return "kept", f"captions differ and the audio decides them ({bits_of(outcome.listening)})"

    def _listening_lost(self, listening: Listening, clips: int) -> str:
        before = self._baseline(GREEDY, clips).listening
        if listening.deciding_interval[1] < before.deciding_interval[0]:
            return (
                f"diverse, but it listens less than greedy does: {listening.deciding_bits:.2f} "
                f"bits, greedy {before.deciding_bits:.2f}"
            )
        return ""

    def _fluency_lost(self, outcome: DecodingOutcome, clips: int) -> str:
        """Say what suffered against greedy captions and the captioner's own samples.

        The likelihood is the captioner's own, which is its likelihood without audio plus what
        listening adds: a caption may be unlikely of other clips, not of its own too.
        """
        new, old = outcome.measures, self._baseline(GREEDY, clips).measures
        length, usual = new["length"].value, old["length"].value
        if not (self.part_of or self).greedy.decision.sentences:
            # What greedy decoding gives is no measure of length, repeats or ends then.
            old, usual = new, length
        if abs(length - usual) > LENGTH_CHANGE.value * max(usual, 1.0):
            return f"captions have {length:.1f} words where greedy ones have {usual:.1f}"
        for name, rise, what in (
            ("repeats", REPEATS_RISE.value, "repeat themselves"),
            ("no_end", NO_END_RISE.value, "never end"),
        ):
            if new[name].value > old[name].value + rise:
                return f"{percent(new[name].value)} of the captions {what}"
        samples = self._baseline(NATURAL, clips).measures
        likely, natural = new["logprob_per_token"], samples["logprob_per_token"]
        if likely.value < natural.value - FLUENCY_LOSS.value:
            return (
                "the model itself finds these captions unlikely "
                f"({likely.value:.2f} nats a token, its own samples {natural.value:.2f})"
            )
        return ""


def _outrun(trial: Trial) -> Trial:
    """Say of a setting that a search has tried on a part of the clips that it went no further."""
    return replace(
        trial,
        kept=False,
        outcome="outrun" if trial.kept else trial.outcome,
        reason=f"{trial.reason}, others went on",
    )
