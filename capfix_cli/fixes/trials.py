"""Decoding fixes applied to the captioner, each kept or rejected by both axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from capfix_cli.decoding.options import GREEDY, DecodingOptions
from capfix_cli.decoding.search import Chunk, decode_all
from capfix_cli.diagnosis.verdict import Decision, audio_decides, decide
from capfix_cli.measures.table import judge_diversity, measure_captions
from capfix_cli.probes.listening import listen
from capfix_cli.probes.scoring import Scorer
from capfix_cli.records import ClipCaption, Listening, Measure, Trial
from capfix_cli.thresholds import FLUENCY_LOSS, LENGTH_CHANGE, NO_END_RISE, REPEATS_RISE

References = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class DecodingFix:
    """A decoding fix of the catalogue with the values that are tried."""

    fix: str
    options: DecodingOptions


def _sampling(temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> DecodingOptions:
    return DecodingOptions(do_sample=True, temperature=temperature, top_k=top_k, top_p=top_p)


DECODING_FIXES: Mapping[str, DecodingFix] = {
    "temperature-0.8-top-p-0.9": DecodingFix("1.1+1.3", _sampling(0.8, top_p=0.9)),
    "temperature-0.7": DecodingFix("1.1", _sampling(0.7)),
    "temperature-1.0": DecodingFix("1.1", _sampling(1.0)),
    "temperature-1.5": DecodingFix("1.1", _sampling(1.5)),
    "top-k-50": DecodingFix("1.2", _sampling(top_k=50)),
    "top-p-0.9": DecodingFix("1.3", _sampling(top_p=0.9)),
    "beam-5": DecodingFix("1.4", DecodingOptions(num_beams=5)),
    "contrast-1": DecodingFix("1.6", DecodingOptions(contrast=1.0)),
    "contrast-3": DecodingFix("1.6", DecodingOptions(contrast=3.0)),
}


@dataclass(frozen=True)
class Outcome:
    """Captions of one way of decoding and everything measured on them."""

    captions: tuple[ClipCaption, ...]
    measures: dict[str, Measure]
    listening: Listening
    decision: Decision


class Laboratory:
    """Decodes, measures and judges on memories that were encoded once.

    Args:
        scorer: the captioner with the memories of the clips that trials use.
        references: clip name -> references, or None.
        seed: of every draw.
    """

    def __init__(self, scorer: Scorer, references: References | None, seed: int) -> None:
        self.scorer = scorer
        self.references = references
        self.seed = seed
        self.captions: dict[str, tuple[ClipCaption, ...]] = {}  # by trial name
        self._trials: dict[str, Trial] = {}

    @property
    def chunks(self) -> Sequence[Chunk]:
        """The memories."""
        return self.scorer.chunks

    def observe(self, options: DecodingOptions) -> Outcome:
        """Decode every clip one way, and measure and judge the captions."""
        captions = sorted(
            decode_all(self.scorer.captioner, self.chunks, options, self.seed),
            key=lambda caption: caption.file_name,
        )
        return self.judge(captions)

    def judge(self, captions: Sequence[ClipCaption]) -> Outcome:
        """Measure and judge captions of clips whose memories are held."""
        references = self.references
        listening = listen(captions, self.scorer, self.seed, references)
        people = None
        if references is not None:
            people = [references.get(caption.file_name, ()) for caption in captions]
        diversity = judge_diversity([c.text for c in captions], people, self.seed)
        return Outcome(
            tuple(captions),
            measure_captions(captions, self.seed),
            listening,
            decide(diversity, listening),
        )

    @cached_property
    def greedy(self) -> Outcome:
        """Greedy decoding, what every trial is compared with."""
        return self.observe(GREEDY)

    @cached_property
    def natural(self) -> Outcome:
        """The captioner's own distribution, sampled as it is: what fluent means to it."""
        return self.observe(_sampling(1.0))

    def trial(self, name: str) -> Trial:
        """Make one of ``DECODING_FIXES`` and say whether it works; made once, then remembered."""
        if name not in self._trials:
            fix = DECODING_FIXES[name]
            outcome = self.natural if name == "temperature-1.0" else self.observe(fix.options)
            kept, reason = self._verdict(outcome)
            self.captions[fix.options.describe()] = outcome.captions
            self._trials[name] = Trial(
                fix=fix.fix,
                name=fix.options.describe(),
                decoding=fix.options.to_dict(),
                measures=outcome.measures,
                listening=outcome.listening,
                verdict=outcome.decision.verdict,
                kept=kept,
                reason=reason,
            )
        return self._trials[name]

    def _verdict(self, outcome: Outcome) -> tuple[bool, str]:
        """Keep what made captions differ, let the audio decide, and stayed fluent."""
        decision, listening = outcome.decision, outcome.listening
        bits = f"{listening.deciding_bits:.2f} of {listening.ceiling_bits:.2f} bits"
        if decision.differ and not audio_decides(listening):
            return False, f"diverse, not listening: the audio decides only {bits}"
        if not decision.differ:
            share = decision.evidence[0].value
            heard = "listens" if decision.decides else "does not listen"
            return (
                False,
                f"captions still repeat ({_percent(share)} distinct) and it {heard} ({bits})",
            )
        lost = self._listening_lost(listening)
        if lost:
            return False, lost
        worse = self._fluency_lost(outcome)
        if worse:
            return False, f"diverse and listening, but {worse}"
        return True, f"captions differ and the audio decides them ({bits})"

    def _listening_lost(self, listening: Listening) -> str:
        before = self.greedy.listening
        if listening.deciding_interval[1] < before.deciding_interval[0]:
            return (
                f"diverse, but it listens less than greedy does: {listening.deciding_bits:.2f} "
                f"bits, greedy {before.deciding_bits:.2f}"
            )
        return ""

    def _fluency_lost(self, outcome: Outcome) -> str:
        """Say what suffered against greedy captions and the captioner's own samples."""
        new, old = outcome.measures, self.greedy.measures
        length, usual = new["length"].value, old["length"].value
        if abs(length - usual) > LENGTH_CHANGE.value * max(usual, 1.0):
            return f"captions have {length:.1f} words where greedy ones have {usual:.1f}"
        for name, rise, what in (
            ("repeats", REPEATS_RISE.value, "repeat themselves"),
            ("no_end", NO_END_RISE.value, "never end"),
        ):
            if new[name].value > old[name].value + rise:
                return f"{_percent(new[name].value)} of the captions {what}"
        likely, natural = new["logprob_per_token"], self.natural.measures["logprob_per_token"]
        if likely.value < natural.value - FLUENCY_LOSS.value:
            return (
                "the model itself finds these captions unlikely "
                f"({likely.value:.2f} nats a token, its own samples {natural.value:.2f})"
            )
        return ""


def _percent(share: object) -> str:
    return f"{100 * share:.0f} %" if isinstance(share, float) else str(share)


def best_trial(trials: Sequence[Trial]) -> Trial | None:
    """Choose the kept trial that listens most; the earlier of equals."""
    kept = [trial for trial in trials if trial.kept and trial.listening is not None]
    return max(
        kept,
        key=lambda trial: trial.listening.deciding_bits if trial.listening else 0.0,
        default=None,
    )
