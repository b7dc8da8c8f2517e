"""Fix 1.8, ours: limits on repetition and length while decoding."""

from __future__ import annotations

from capfix_cli.decoding.decoding_options import DecodingOptions
from capfix_cli.fixes.fix_spec import DecodingFix, FixSetting, FixSpec

FIX = FixSpec(
    id="1.8",
    title="Limits on repetition and length",
    aliases=("repetition", "no-repeat-ngram-size", "repetition-penalty", "min-new-tokens"),
    what=(
        "Forbids or dampens words and stretches that a caption has already, and keeps the end "
        "token back until it has a few words."
    ),
    when="When captions loop, hold one word over and over, or are empty.",
    settings=(
        FixSetting(
            name="no_repeat_ngram_size",
            value="2",
            recommended="2-3",
            ranges=(
                ("2", "no two words twice in this order"),
                ("3", "lets short turns of phrase come back"),
            ),
        ),
        FixSetting(
            name="repetition_penalty",
            value="1.2",
            recommended="1.1-1.3",
            ranges=(
                ("1.1-1.3", "dampens words that stand already"),
                ("1.5+", "avoids articles and conjunctions too"),
            ),
        ),
        FixSetting(
            name="min_new_tokens",
            value="4",
            recommended="3-5",
            ranges=(("3-5", "no empty caption"), ("10+", "pads short ones with noise")),
        ),
    ),
    pros=(
        "Costs nothing",
        "Ends loops at once",
    ),
    cons=(
        "Hides why captions loop or stay empty",
        "Does not make a caption right",
    ),
    impact="low",  # not in the document; where captions loop a fault is usually behind it
    effort="1 min",
    retrain=False,
    priority=1,
    order=80,
    snippet="""\
import torch


def without_repeats(logits, words, size=2, penalty=1.2):
    # logits: [words] of the next word; words: the ids so far. No stretch of `size` comes twice.
    seen = torch.tensor(sorted(set(words)), dtype=torch.long)
    scores = logits.clone()
    scores[seen] = torch.where(scores[seen] > 0, scores[seen] / penalty, scores[seen] * penalty)
    tail = words[len(words) - size + 1:]
    for start in range(len(words) - size + 1):
        if words[start : start + size - 1] == tail:
            scores[words[start + size - 1]] = -torch.inf
    return scores
""",
    caution=(
        "Captions that loop or never end have a cause, such as an end token that was no target "
        "or a lost state: look for that first."
    ),
    source=(
        "ours, the penalty is of Keskar et al. (arXiv 1909.05858), forbidden n-grams of Paulus et"
        " al. (arXiv 1705.04304)"
    ),
    trials=(
        DecodingFix(
            fix="1.8",
            name="no-repeats",
            options=DecodingOptions(no_repeat_ngram_size=2, min_new_tokens=4),
            asked=("degenerate-decoding",),
        ),
        DecodingFix(
            fix="1.8",
            name="repetition-penalty",
            options=DecodingOptions(repetition_penalty=1.2, min_new_tokens=4),
            asked=("degenerate-decoding",),
        ),
        DecodingFix(
            fix="1.4+1.8",
            name="beams-without-repeats",
            options=DecodingOptions(num_beams=5, no_repeat_ngram_size=2, min_new_tokens=4),
            asked=("degenerate-decoding",),
        ),
    ),
)
