"""Ways of decoding that a captioner which is only asked can be asked for, tried and judged."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.captioners.text.text_captioner import Wish
from capfix_cli.core.errors import CapfixError
from capfix_cli.core.progress import ProgressCallback
from capfix_cli.core.thresholds import MIN_CLIPS
from capfix_cli.decoding.decoding_options import GREEDY, DecodingOptions, flag
from capfix_cli.diagnosis.text.text_verdict import References, TextOutcome, judge_text
from capfix_cli.diagnosis.trials.trial_judgement import bits_of, what_fails
from capfix_cli.fixes.decoding_fixes import DECODING_FIXES
from capfix_cli.fixes.trial_ranking import best_trial, pareto_front
from capfix_cli.probes.text_probes import TextProbes
from capfix_cli.schemas.clip_records import ClipCaption
from capfix_cli.schemas.diagnosis_record import Trial

TRIED = 32  # clips of a trial: each is asked about twice, itself and its copy
SCORES = "next-word scores"


def asked_for(options: DecodingOptions) -> dict[str, Any]:
    """Give the options that differ from greedy decoding, as a captioner is told them."""
    greedy = asdict(GREEDY)
    told = {name: value for name, value in asdict(options).items() if value != greedy[name]}
    if options.do_sample:  # at temperature 1 a captioner must still be told that it is to draw
        told["temperature"] = options.temperature
    return told


def what_is_missing(options: DecodingOptions, takes: frozenset[str]) -> str:
    """Say which options a captioner does not take; empty where it takes all.

    Args:
        options: wished for.
        takes: names of those that it takes.
    """
    missing = [name for name in asked_for(options) if name not in takes and name != "do_sample"]
    return ", ".join(flag(name) for name in missing)


class TextTrials:
    """Makes decoding trials by asking, and keeps what was made.

    Args:
        probes: with the clips and whoever asks.
        references: clip name -> references, or None.
        plain: captions as they were asked for, judged.
        progress: called as the work goes on.
        ends_known: whether captions say if they came to their end.
    """

    def __init__(
        self,
        probes: TextProbes,
        references: References | None,
        plain: TextOutcome,
        progress: ProgressCallback,
        ends_known: bool,
    ) -> None:
        self._probes = probes
        self._references = references
        self._plain = plain
        self._progress = progress
        self._ends_known = ends_known
        self._made: dict[str, Trial] = {}
        self._captions: dict[str, tuple[ClipCaption, ...]] = {}
        self.untried: dict[str, str] = {}  # fix -> why it could not be tried

    @property
    def made(self) -> tuple[Trial, ...]:
        """Every trial so far, in order, with its place on the Pareto front."""
        trials = list(self._made.values())
        front = pareto_front(trials)
        return tuple(replace(trial, pareto=trial.name in front) for trial in trials)

    @property
    def best(self) -> Trial | None:
        """The one that works and listens most; None where none works."""
        return best_trial(self.made)

    def captions(self, trial: Trial) -> tuple[ClipCaption, ...]:
        """The captions that a trial gave."""
        return self._captions[trial.name]

    def blocked(self, name: str) -> str:
        """Say why a fix cannot be tried; empty where it can."""
        fix = DECODING_FIXES[name]
        missing = what_is_missing(fix.options, self._probes.asker.captioner.takes_decoding)
        if not missing:
            return ""
        for part in fix.fix.split("+"):
            self.untried.setdefault(
                part, f"not tried: needs {SCORES}, or a captioner that takes {missing}"
            )
        return f"needs {SCORES}, or a captioner that takes {missing}"

    def run(self, name: str) -> Trial:
        """Try one of ``DECODING_FIXES``."""
        if name not in self._made:
            self._progress("trying decoding fixes", len(self._made), len(self._made) + 1)
            self._made[name] = self._attempt(name)
        return self._made[name]

    def _attempt(self, name: str) -> Trial:
        fix = DECODING_FIXES[name]
        probes = self._probes
        clips = probes.sample[:TRIED]
        decoding = asked_for(fix.options)
        wish = replace(probes.wish, decoding=decoding)
        # Of a copy other words are drawn, so that what agrees is what was heard.
        other = Wish(wish.prompt, decoding, wish.seed + 1)
        captions: tuple[ClipCaption, ...] = ()
        try:
            said = probes.said_of(clips, wish)
            captions = tuple(ClipCaption(n, said[n]) for n in sorted(said))
            copies = probes.copies_of(clips, other)
        except (ProbeFailed, CapfixError) as error:
            if probes.asker.out_of_time:
                raise
            return self._refused(name, str(error))
        if len(captions) < min(MIN_CLIPS.value, len(clips)):
            return self._refused(name, f"only {len(captions)} of {len(clips)} clips had a caption")
        after = judge_text(captions, copies, self._references, probes.seed, ends_known=False)
        self._captions[fix.options.describe()] = captions
        outcome, reason = self._judge(after)
        return Trial(
            fix=fix.fix,
            name=fix.options.describe(),
            decoding=fix.options.to_dict(),
            measures=after.measures,
            listening=after.listening,
            verdict=after.decision.verdict,
            kept=outcome == "kept",
            reason=reason,
            outcome=outcome,
            clips=len(captions),
        )

    def _refused(self, name: str, why: str) -> Trial:
        fix = DECODING_FIXES[name]
        plain = self._plain
        self._captions[fix.options.describe()] = plain.captions
        return Trial(
            fix=fix.fix,
            name=fix.options.describe(),
            decoding=fix.options.to_dict(),
            measures=plain.measures,
            listening=plain.listening,
            verdict=plain.decision.verdict,
            kept=False,
            reason=f"it was not given: {why.rstrip('.')}",
            outcome="refused",
        )

    def _judge(self, after: TextOutcome) -> tuple[str, str]:
        """Keep what made captions differ, let the audio decide, and listens no less."""
        failing = what_fails(after)
        if failing is not None:
            return failing
        now, before = after.listening, self._plain.listening
        if now is not None and before is not None and now.high < before.low:
            return (
                "listens-less",
                f"diverse, but it listens less than before: {bits_of(now)}, {bits_of(before)}",
            )
        return "kept", f"captions differ and the audio decides them ({bits_of(now)})"
