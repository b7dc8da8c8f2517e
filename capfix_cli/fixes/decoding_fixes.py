"""The decoding fixes that are tried, by name: the catalogue's values, and settings around them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from capfix_cli.decoding.decoding_options import DecodingOptions


@dataclass(frozen=True)
class DecodingFix:
    """A decoding fix of the catalogue with the values that are tried."""

    fix: str
    options: DecodingOptions


def _sampling(temperature: float = 1.0, **more: float) -> DecodingOptions:
    return DecodingOptions(do_sample=True, temperature=temperature, **more)  # type: ignore[arg-type]


def _reranked(by: str, candidates: int, temperature: float) -> DecodingOptions:
    return DecodingOptions(
        do_sample=True,
        temperature=temperature,
        top_p=0.95,
        num_candidates=candidates,
        rerank=by,  # type: ignore[arg-type]
    )


NATURAL = _sampling()  # the captioner's own distribution, as it is

# What the tree asks for, in the document's order.
DECODING_FIXES: Mapping[str, DecodingFix] = {
    "temperature-0.8-top-p-0.9": DecodingFix("1.1+1.3", _sampling(0.8, top_p=0.9)),
    "temperature-0.7": DecodingFix("1.1", _sampling(0.7)),
    "temperature-1.0": DecodingFix("1.1", NATURAL),
    "temperature-1.5": DecodingFix("1.1", _sampling(1.5)),
    "top-k-50": DecodingFix("1.2", _sampling(top_k=50)),
    "top-p-0.9": DecodingFix("1.3", _sampling(top_p=0.9)),
    "beam-5": DecodingFix("1.4", DecodingOptions(num_beams=5)),
    "diverse-beam-6": DecodingFix(
        # Half a nat for a word that another group took: the paper finds .2 to .8 to work.
        "1.5",
        DecodingOptions(num_beams=6, num_beam_groups=3, diversity_penalty=0.5),
    ),
    "contrast-1": DecodingFix("1.6", DecodingOptions(contrast=1.0)),
    "contrast-3": DecodingFix("1.6", DecodingOptions(contrast=3.0)),
    "rerank-listening-8": DecodingFix("1.7", _reranked("listening", 8, 0.8)),
}


# What the search tries beside them, the cheap ones first: values that the catalogue and the papers
# recommend, and audio-contrastive decoding with the strategies that it can be joined to.
SEARCHED: tuple[DecodingFix, ...] = (
    *(DecodingFix("1.1+1.3", _sampling(t, top_p=0.9)) for t in (0.4, 0.6, 1.0)),
    DecodingFix("1.1", _sampling(0.5)),
    DecodingFix("1.1", _sampling(0.3)),
    DecodingFix("1.1", _sampling(1.0, min_p=0.1)),
    DecodingFix("1.1", _sampling(0.8, typical_p=0.9)),
    *(DecodingFix("1.6", DecodingOptions(contrast=weight)) for weight in (0.5, 2.0, 6.0)),
    *(
        DecodingFix("1.1+1.6", _sampling(t, top_p=0.9, contrast=weight))
        for t, weight in ((0.5, 1.0), (0.5, 3.0), (0.8, 1.0), (0.8, 3.0))
    ),
    *(
        DecodingFix("1.4+1.6", DecodingOptions(num_beams=3, contrast=weight))
        for weight in (1.0, 3.0)
    ),
    DecodingFix("1.7", _reranked("listening", 8, 1.0)),
    DecodingFix("1.7", _reranked("listening", 24, 0.8)),
    DecodingFix("1.7", _reranked("likelihood", 8, 0.8)),
)
