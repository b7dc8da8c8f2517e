"""Fix 1.4: beam search."""

from __future__ import annotations

from capfix_cli.decoding.decoding_options import DecodingOptions
from capfix_cli.fixes.fix_spec import DecodingFix, FixSetting, FixSpec

FIX = FixSpec(
    id="1.4",
    title="Beam search",
    aliases=("beam", "beams", "num-beams"),
    what=(
        "Extends several candidate captions side by side and returns the one whose summed log "
        "probability is highest."
    ),
    when="When one best caption a clip is wanted, or captions differ but are bland.",
    settings=(
        FixSetting(
            name="num_beams",
            value="5",
            recommended="3-5",
            ranges=(
                ("3-5", "standard"),
                ("10+", "hardly better and very slow"),
            ),
        ),
    ),
    pros=(
        "Reads more coherently than samples",
        "Finds captions that are likelier as a whole",
        "Gives the same caption every time",
    ),
    cons=(
        "Can still repeat itself",
        "5 times slower with 5 beams",
        "Intricate to implement",
    ),
    impact="medium",  # no words in the document; 3 stars in its summary table
    effort="30 min",
    retrain=False,
    priority=1,
    order=40,
    snippet="""\
import torch


def beam_search(logits_of, bos: int, eos: int, num_beams: int = 5, max_length: int = 30):
    # logits_of: [n, T] prefixes -> [n, words]. Gives the ids of the likeliest caption found.
    live, scores, finished = torch.tensor([[bos]]), torch.zeros(1), []
    for _ in range(max_length):
        totals = scores[:, None] + logits_of(live).log_softmax(dim=-1)
        scores, flat = totals.flatten().topk(min(num_beams, totals.numel()))
        beam, word = flat // totals.shape[1], flat % totals.shape[1]
        live = torch.cat([live[beam], word[:, None]], dim=1)
        ended = (word == eos) & scores.isfinite()
        finished += zip(scores[ended].tolist(), live[ended].tolist())
        live, scores = live[word != eos], scores[word != eos]
        # Scores only fall: once the best finished caption leads, no live one can pass it.
        if not len(live) or (finished and max(finished)[0] >= scores.max()):
            break
    return max(finished or zip(scores.tolist(), live.tolist()))[1]
""",
    caution=(
        "Likeliest is not best heard: where the audio moves the word odds but every clip's "
        "likeliest caption is the same, beams hide it, and contrast (1.6) brings it out. On a "
        "sound model beams gave +1.6 SPIDEr points (arXiv 2009.11436)."
    ),
    source="the document, 1.4",
    trials=(
        DecodingFix(
            fix="1.4",
            name="beam-5",
            options=DecodingOptions(num_beams=5),
            asked=("other-decoding", "generic-decoding"),
        ),
    ),
)
