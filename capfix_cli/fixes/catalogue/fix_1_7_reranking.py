"""Fix 1.7: sample and rerank by listening."""

from __future__ import annotations

from typing import Literal

from capfix_cli.decoding.decoding_options import DecodingOptions
from capfix_cli.fixes.fix_spec import DecodingFix, FixSetting, FixSpec


def _reranked(
    by: Literal["likelihood", "listening"], candidates: int, temperature: float
) -> DecodingOptions:
    return DecodingOptions(
        do_sample=True,
        temperature=temperature,
        top_p=0.95,
        num_candidates=candidates,
        rerank=by,
    )


FIX = FixSpec(
    id="1.7",
    title="Sample and rerank by listening",
    aliases=("rerank", "reranking", "best of n", "pmi", "mutual information"),
    what=(
        "Draws several captions of a clip and keeps the one that hearing the clip makes likelier "
        "by most: its log probability given the clip less that without it."
    ),
    when="When samples differ and some of them are right, which their likelihood does not tell.",
    settings=(
        FixSetting(
            name="num_candidates",
            value="8",
            recommended="8-50",
            ranges=(
                ("8", "enough in our trial"),
                ("50", "as the winner of DCASE 2023 drew (arXiv 2309.17352)"),
            ),
        ),
        FixSetting(
            name="rerank",
            value="listening",
            recommended="listening",
            ranges=(
                ("listening", "what only this clip explains"),
                ("likelihood", "the safest caption, which is often the commonest"),
                ("mbr", "what the candidates agree on"),
            ),
        ),
    ),
    pros=(
        "Raises diversity and listening together",
        "Needs no training and no other model",
    ),
    cons=(
        "As many captions decoded as candidates drawn",
        "Prefers rare wordings where many are equally right",
    ),
    # Ours, from the trial below.
    impact="medium-high",
    effort="30 min",
    retrain=False,
    priority=1,
    order=70,
    snippet="""\
import torch


def rerank(heard: torch.Tensor, unheard: torch.Tensor) -> torch.Tensor:
    # Log probabilities of [clips, candidates] captions, with and without the clip -> the best ones.
    return (heard - unheard).argmax(dim=-1)
""",
    caution=(
        "Best of 8 at temperature 0.8 raised distinct captions from .10 to .72, listening from "
        "1.58 to 1.92 bits and true events named from .33 to .38; by likelihood it gave .43 "
        "distinct at 1.57 bits (our measurement, benchmarks/accuracy/decoding_strategies.py on "
        "ESC-10)."
    ),
    source="ours, after Li et al. 2016 (arXiv 1510.03055) and arXiv 2309.17352",
    trials=(
        DecodingFix(
            fix="1.7",
            name="rerank-listening-8",
            options=_reranked("listening", 8, 0.8),
            asked=("other-decoding",),
        ),
    ),
    searched=(
        DecodingFix(fix="1.7", options=_reranked("listening", 8, 1.0)),
        DecodingFix(fix="1.7", options=_reranked("listening", 24, 0.8)),
        DecodingFix(fix="1.7", options=_reranked("likelihood", 8, 0.8)),
    ),
)
