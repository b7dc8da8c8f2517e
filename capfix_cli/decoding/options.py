"""How to decode, in the spelling of a ``generation_config.json``."""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass
from typing import Any

from capfix_cli.errors import CapfixError


@dataclass(frozen=True)
class DecodingOptions:
    """One way to choose words; contradictions are refused before any work.

    Attributes:
        do_sample: draw words; False takes the likeliest (greedy or beam search).
        temperature: divides the logits, > 0.
        top_k: sample among the k likeliest words; 0 is all.
        top_p: sample among the fewest words that hold this probability, (0, 1] (Holtzman et al.,
            arXiv 1904.09751).
        num_beams: hypotheses kept by beam search; 1 is none.
        length_penalty: exponent of the length by which a hypothesis's score is divided.
        contrast: weight of audio-contrastive decoding, >= 0; 0 is none.
        contrast_cutoff: words below this share of the likeliest are left out of the contrast.
    """

    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    num_beams: int = 1
    length_penalty: float = 1.0
    contrast: float = 0.0
    contrast_cutoff: float = 0.1

    def __post_init__(self) -> None:
        """Refuse values out of range and options that exclude each other.

        Raises:
            CapfixError: says which option and what it may be.
        """
        checks = (
            (0 < self.temperature <= 100, "temperature", "above 0 and at most 100"),
            (self.top_k >= 0, "top-k", "0 (all words) or more"),
            (0 < self.top_p <= 1, "top-p", "above 0 and at most 1"),
            (1 <= self.num_beams <= 100, "num-beams", "from 1 to 100"),
            (0 <= self.contrast <= 100, "contrast", "from 0 to 100"),
            (0 <= self.contrast_cutoff <= 1, "contrast-cutoff", "from 0 to 1"),
            (abs(self.length_penalty) <= 100, "length-penalty", "from -100 to 100"),
        )
        for holds, name, allowed in checks:
            if not holds:
                value = getattr(self, name.replace("-", "_"))
                raise CapfixError(f"--{name} is {value}; it must be {allowed}.")
        if self.num_beams > 1 and self.do_sample:
            raise CapfixError(
                "Beam search and sampling exclude each other here.",
                "Leave out --num-beams, or the temperature, top-k and top-p.",
            )
        if not self.do_sample and (self.temperature, self.top_k, self.top_p) != (1.0, 0, 1.0):
            raise CapfixError("temperature, top-k and top-p need sampling.", "Set do_sample.")

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
        elif self.num_beams > 1:
            parts = [f"beam search, {self.num_beams} beams"]
        if self.contrast:
            parts.append(f"audio-contrastive, weight {self.contrast:g}")
        return ", ".join(parts) or "greedy"


def options_from_dict(data: dict[str, Any]) -> DecodingOptions:
    """Read options as :meth:`DecodingOptions.to_dict` gives them.

    Raises:
        CapfixError: an unknown option, with the nearest known one, or a value out of range.
    """
    known = [field.name for field in dataclasses.fields(DecodingOptions)]
    for name in data:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise CapfixError(
                f"There is no decoding option {name!r}.",
                f"Did you mean {near[0]}?" if near else f"Known: {', '.join(known)}.",
            )
    return DecodingOptions(**data)


GREEDY = DecodingOptions()
