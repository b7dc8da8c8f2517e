"""How much the several captions of one clip differ from each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from capfix_cli.core.errors import CapfixError
from capfix_cli.measures.caption_tokens import tokenise
from capfix_cli.measures.count_variance import half_interval
from capfix_cli.measures.ngrams import ORDER, ngrams_of
from capfix_cli.measures.self_bleu import SMOOTHING, bleu, closest_lengths, matched
from capfix_cli.measures.signature import signature
from capfix_cli.schemas.measured_values import Measure

Floats = NDArray[np.float64]


def within_clips(clips: Sequence[Sequence[str]]) -> dict[str, Measure]:
    """Measure diversity within clips, each figure a mean over clips with its 95 % interval.

    ``div_1`` and ``div_2``: distinct words, and distinct pairs of words, over all words of the
    clip's captions; ``mbleu_4``: mean BLEU-4 of each caption against the clip's others, smoothing
    method 1 (Wang & Chan, arXiv 1903.12020; Shetty et al., arXiv 1703.10476). Clips with fewer
    than two captions say nothing and are left out.

    Args:
        clips: for each clip its captions.

    Raises:
        CapfixError: no clip has two captions.
    """
    scores = within_clip_scores([captions for captions in clips if len(captions) > 1])
    table = {}
    for name, values in scores.items():
        ones = np.ones(len(values), np.int64)
        value = float(values.mean())
        variance = float(((values - value) ** 2).sum())
        half = half_interval(variance, values, ones, 1.0) / len(values)
        smooth = {"smooth": SMOOTHING} if name == "mbleu_4" else {}
        source = signature(name, len(values), None, n=name[-1], **smooth)
        table[name] = Measure(value, max(0.0, value - half), min(1.0, value + half), source=source)
    return table


def within_clip_scores(clips: Sequence[Sequence[str]]) -> dict[str, Floats]:
    """Score each clip: ``div_1``, ``div_2`` and ``mbleu_4``, [clips] each; see within_clips.

    Raises:
        CapfixError: there is no clip, or one has fewer than two captions.
    """
    if not clips or min(map(len, clips)) < 2:
        raise CapfixError(
            "No clip has two captions to compare.",
            "Give several captions a clip: caption_predicted, caption_predicted_2, …",
        )
    tokens = tokenise([text for captions in clips for text in captions])
    sizes = np.array([len(captions) for captions in clips])
    clip = np.repeat(np.arange(len(clips)), sizes)
    words = np.maximum(1, np.bincount(clip, tokens.lengths, len(clips)))
    table, matches = {}, []
    for grams in ngrams_of(tokens, ORDER, clip):
        if grams.n <= 2:
            kinds = np.bincount(clip[grams.caption[grams.starts]], minlength=len(clips))
            table[f"div_{grams.n}"] = kinds / words
        matches.append(matched(grams))
    lengths = tokens.lengths
    scores = bleu(np.array(matches), lengths, closest_lengths(lengths, groups=clip))
    table["mbleu_4"] = np.bincount(clip, scores, len(clips)) / sizes
    return table
