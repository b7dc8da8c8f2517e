"""How to decode, in the spelling of a ``generation_config.json``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from annotated_types import Interval

from capfix_cli.core.errors import CapfixError
from capfix_cli.core.suggest import did_you_mean

AbsentKind = Literal["others", "mean-memory", "silence", "noise"]
ABSENT_KINDS: tuple[AbsentKind, ...] = ("others", "mean-memory", "silence", "noise")
Rerank = Literal["likelihood", "listening", "mbr"]
RERANKINGS: tuple[Rerank, ...] = ("likelihood", "listening", "mbr")

# Where the command line says it otherwise than a generation_config.json does.
_FLAGS = {"num_return_sequences": "num-captions", "contrast_absent": "contrast-against"}
_SAMPLERS = ("temperature", "top_k", "top_p", "min_p", "typical_p")


@dataclass(frozen=True)
class DecodingOptions:
    """One way to choose words; contradictions are refused before any work.

    Attributes:
        do_sample: draw words; False takes the likeliest (greedy or beam search).
        temperature: divides the logits, > 0.
        top_k: sample among the k likeliest words; 0 is all (Fan et al., arXiv 1805.04833).
        top_p: sample among the fewest words that hold this probability, (0, 1] (Holtzman et al.,
            arXiv 1904.09751).
        min_p: leave out words below this share of the likeliest (Nguyen et al., arXiv 2407.01082).
        typical_p: sample among the words nearest to the expected surprise that hold this
            probability; 1 is all (Meister et al., arXiv 2202.00666).
        num_beams: hypotheses kept by beam search; 1 is none.
        num_beam_groups: groups of beams that avoid each other's words (diverse beam search,
            Vijayakumar et al., arXiv 1610.02424); divides ``num_beams``.
        diversity_penalty: nats off a word for every beam of an earlier group that took it.
        length_penalty: exponent of the length by which a hypothesis's score is divided.
        early_stopping: True ends a clip with its ``num_beams``-th finished hypothesis, False when
            no running one promises more, "never" when none can.
        repetition_penalty: divides positive scores of words that stand already, multiplies
            negative ones; 1 is none (Keskar et al., arXiv 1909.05858).
        no_repeat_ngram_size: no n-gram of this size comes twice; 0 allows all.
        min_new_tokens: the end token cannot come before.
        max_new_tokens: most tokens, end token included; None takes the captioner's own.
        num_return_sequences: captions a clip.
        num_candidates: captions drawn a clip, of which reranking keeps the best.
        rerank: by what: ``likelihood`` (log-probability a token), ``listening`` (pointwise mutual
            information with the audio) or ``mbr`` (minimum Bayes risk: most like the others).
        contrast: weight of audio-contrastive decoding, >= 0; 0 is none.
        contrast_cutoff: words below this share of the likeliest are left out of the contrast.
        contrast_absent: what stands for "no audio": the mean of other clips' distributions, the
            mean of their memories, silence, or noise. Of the four the mean memory listened most
            in benchmarks/accuracy/decoding_strategies.py, and others costs four times as much.
    """

    do_sample: bool = False
    temperature: Annotated[float, Interval(gt=0.0, le=100.0)] = 1.0
    top_k: Annotated[int, Interval(ge=0, le=10_000_000)] = 0
    top_p: Annotated[float, Interval(gt=0.0, le=1.0)] = 1.0
    min_p: Annotated[float, Interval(ge=0.0, le=1.0)] = 0.0
    typical_p: Annotated[float, Interval(gt=0.0, le=1.0)] = 1.0
    num_beams: Annotated[int, Interval(ge=1, le=100)] = 1
    num_beam_groups: Annotated[int, Interval(ge=1, le=100)] = 1
    diversity_penalty: Annotated[float, Interval(ge=0.0, le=100.0)] = 0.0
    length_penalty: Annotated[float, Interval(ge=-100.0, le=100.0)] = 1.0
    early_stopping: bool | Literal["never"] = False
    repetition_penalty: Annotated[float, Interval(gt=0.0, le=100.0)] = 1.0
    no_repeat_ngram_size: Annotated[int, Interval(ge=0, le=100)] = 0
    min_new_tokens: Annotated[int, Interval(ge=0, le=1_000)] = 0
    max_new_tokens: Annotated[int, Interval(ge=1, le=1_000)] | None = None
    num_return_sequences: Annotated[int, Interval(ge=1, le=1_000)] = 1
    num_candidates: Annotated[int, Interval(ge=1, le=1_000)] = 1
    rerank: Rerank | None = None
    contrast: Annotated[float, Interval(ge=0.0, le=100.0)] = 0.0
    contrast_cutoff: Annotated[float, Interval(ge=0.0, le=1.0)] = 0.1
    contrast_absent: AbsentKind = "mean-memory"

    def __post_init__(self) -> None:
        """Refuse values out of range and options that exclude each other.

        Raises:
            CapfixError: says which option and what it may be.
        """
        for name, allowed in _RANGES.items():
            value = getattr(self, name)
            if value is not None or name != "max_new_tokens":
                _check_number(name, value, allowed)
        _check_choice("contrast_absent", self.contrast_absent, ABSENT_KINDS)
        _check_choice("early_stopping", self.early_stopping, (True, False, "never"))
        if self.rerank is not None:
            _check_choice("rerank", self.rerank, RERANKINGS)
        for holds, message, hint in self._contradictions():
            if holds:
                raise CapfixError(message, hint)

    def _contradictions(self) -> tuple[tuple[bool, str, str], ...]:
        several = max(self.num_return_sequences, self.num_candidates)
        shaped = any(
            getattr(self, name) != _DEFAULTS[name] for name in _SAMPLERS if name in _DEFAULTS
        )
        longest = self.max_new_tokens
        return (
            (
                self.num_beams > 1 and self.do_sample,
                "Beam search and sampling exclude each other here.",
                "Leave out --num-beams, or the temperature, top-k, top-p, min-p and typical-p.",
            ),
            (
                not self.do_sample and shaped,
                "temperature, top-k, top-p, min-p and typical-p need sampling.",
                "Set do_sample.",
            ),
            (
                self.num_beams % self.num_beam_groups != 0,
                f"--num-beams {self.num_beams} cannot be parted into "
                f"--num-beam-groups {self.num_beam_groups} equal groups.",
                "Give a number of groups that divides the beams.",
            ),
            (
                self.diversity_penalty > 0 and self.num_beam_groups == 1,
                "--diversity-penalty works between groups of beams, and there is one group.",
                "Give --num-beam-groups 2 or more.",
            ),
            (
                longest is not None and self.min_new_tokens > longest,
                f"--min-new-tokens {self.min_new_tokens} is more than --max-new-tokens {longest}.",
                "Lower the one or raise the other.",
            ),
            (
                several > 1 and not self.do_sample and self.num_beams == 1,
                f"{several} captions a clip need sampling or beams: greedy decoding has one.",
                "Add --temp, --top-p or --num-beams.",
            ),
            (
                self.num_beams > 1 and several > self.num_beams,
                f"{several} captions a clip are more than --num-beams {self.num_beams} gives.",
                "Give at least as many beams.",
            ),
            (
                self.num_candidates > 1 and self.rerank is None,
                "--num-candidates are drawn to be reranked, and --rerank does not say by what.",
                f"Add --rerank {', '.join(RERANKINGS)}.",
            ),
            (
                self.rerank is not None and self.num_candidates < 2,
                "--rerank chooses among candidates, and there is one.",
                "Add --num-candidates, such as 20.",
            ),
            (
                self.rerank is not None and self.num_return_sequences > self.num_candidates,
                f"--num-captions {self.num_return_sequences} is more than "
                f"--num-candidates {self.num_candidates}.",
                "Draw at least as many candidates.",
            ),
        )

    @property
    def absent_kind(self) -> AbsentKind | None:
        """What stands for "no audio"; None where nothing needs it.

        Reranking alone scores few captions, so the mean of other clips' distributions, the very
        thing that listening is measured against, takes the place of their cheaper mean memory:
        in benchmarks/accuracy/decoding_strategies.py it listened more on all three captioners.
        """
        if not self.contrast and self.rerank != "listening":
            return None
        usual = self.contrast_absent == "mean-memory"
        return "others" if usual and not self.contrast else self.contrast_absent

    @property
    def rows(self) -> int:
        """Captions decoded side by side for a clip."""
        return max(self.num_return_sequences, self.num_candidates, self.num_beams)

    def longest(self, own: int) -> int:
        """Most tokens of a caption, end token included: the hard cap on every decoding.

        Args:
            own: the captioner's ``max_length``; its positions may not reach farther.
        """
        return own if self.max_new_tokens is None else min(self.max_new_tokens, own)

    def to_dict(self) -> dict[str, Any]:
        """Give ``do_sample`` and every option that differs from its default."""
        return {
            field.name: value
            for field in dataclasses.fields(self)
            if (value := getattr(self, field.name)) != field.default or field.name == "do_sample"
        }

    def describe(self) -> str:
        """Name it in a few words.

        >>> DecodingOptions(do_sample=True, temperature=0.8, top_p=0.9).describe()
        'temperature 0.8, top-p 0.9'
        """
        parts = []
        if self.do_sample:
            parts = [f"temperature {self.temperature:g}"]
            parts += [f"top-k {self.top_k}"] if self.top_k else []
            parts += [f"top-p {self.top_p:g}"] if self.top_p < 1 else []
            parts += [f"min-p {self.min_p:g}"] if self.min_p else []
            parts += [f"typical-p {self.typical_p:g}"] if self.typical_p < 1 else []
        elif self.num_beam_groups > 1:
            parts = [
                f"diverse beam search, {self.num_beams} beams in {self.num_beam_groups} groups, "
                f"penalty {self.diversity_penalty:g}"
            ]
        elif self.num_beams > 1:
            parts = [f"beam search, {self.num_beams} beams"]
        for name, words in _DESCRIBED.items():
            if getattr(self, name) != _DEFAULTS[name]:
                parts.append(f"{words} {getattr(self, name):g}")
        if self.contrast:
            usual = self.contrast_absent == _DEFAULTS["contrast_absent"]
            against = "" if usual else f" against {self.contrast_absent}"
            cut = self.contrast_cutoff
            against += "" if cut == _DEFAULTS["contrast_cutoff"] else f", cut at {cut:g}"
            parts.append(f"audio-contrastive, weight {self.contrast:g}{against}")
        if self.rerank is not None:
            parts.append(f"best of {self.num_candidates} by {self.rerank}")
        return ", ".join(parts) or "greedy"


_DEFAULTS = {field.name: field.default for field in dataclasses.fields(DecodingOptions)}
_RANGES: dict[str, Interval] = {
    name: annotation.__metadata__[0]
    for name, hint in get_type_hints(DecodingOptions, include_extras=True).items()
    for annotation in (hint, *get_args(hint))
    if get_origin(annotation) is Annotated
}
_DESCRIBED = {
    "length_penalty": "length penalty",
    "repetition_penalty": "repetition penalty",
    "no_repeat_ngram_size": "no repeated n-gram of",
    "min_new_tokens": "at least tokens",
}


def flag(name: str) -> str:
    """Spell an option as the command line does."""
    return "--" + _FLAGS.get(name, name).replace("_", "-")


def _check_number(name: str, value: Any, allowed: Interval) -> None:
    whole = isinstance(_DEFAULTS[name], int) or name == "max_new_tokens"
    low, high = allowed.ge if allowed.gt is None else allowed.gt, allowed.le
    right = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if right and (low < value <= high or (value == low and allowed.gt is None)):
        return
    bounds = f"from {low:g} to {high:g}"
    bounds = bounds if allowed.gt is None else f"above {low:g} and at most {high:g}"
    kind = "a whole number " if whole else ""
    raise CapfixError(f"{flag(name)} is {value}; it must be {kind}{bounds}.")


def _check_choice(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    if value in choices:
        return
    known = ", ".join(map(str, choices))
    hint = did_you_mean(str(value), map(str, choices), f"Choose one of {known}.")
    raise CapfixError(f"{flag(name)} is {value!r}, not one of {known}.", hint)


def options_from_dict(data: dict[str, Any]) -> DecodingOptions:
    """Read options as :meth:`DecodingOptions.to_dict` gives them.

    Raises:
        CapfixError: an unknown option, with the nearest known one, or a value out of range.
    """
    for name in data:
        if name not in _DEFAULTS:
            raise CapfixError(
                f"There is no decoding option {name!r}.",
                did_you_mean(name, _DEFAULTS, f"Known: {', '.join(_DEFAULTS)}."),
            )
    return DecodingOptions(**data)


GREEDY = DecodingOptions()
