"""Measures in words, as tables name them."""

from __future__ import annotations

TITLES = {
    "distinct_captions": "distinct captions",
    "caption_entropy": "caption entropy",
    "top_1_share": "commonest caption",
    "top_10_share": "ten commonest",
    "distinct_1": "distinct-1",
    "distinct_2": "distinct-2",
    "distinct_3": "distinct-3",
    "distinct_4": "distinct-4",
    "expectation_adjusted_distinct_1": "expectation-adjusted distinct-1",
    "expectation_adjusted_distinct_2": "expectation-adjusted distinct-2",
    "expectation_adjusted_distinct_3": "expectation-adjusted distinct-3",
    "expectation_adjusted_distinct_4": "expectation-adjusted distinct-4",
    "vocabulary": "vocabulary, words",
    "self_bleu_1": "self-BLEU-1",
    "self_bleu_2": "self-BLEU-2",
    "self_bleu_3": "self-BLEU-3",
    "self_bleu_4": "self-BLEU-4",
    "pairwise_bleu_4": "mean BLEU-4 of two captions",
    "compression_ratio": "compression ratio, gzip",
    "self_repetition": "self-repetition",
    "vendi_score": "Vendi score",
    "length": "length, words",
    "repeats": "captions that repeat themselves",
    "no_end": "captions without an end",
    "novelty": "not in the training file",
    "novelty_of_distinct": "distinct ones not in it",
    "div_1": "Div-1 within a clip",
    "div_2": "Div-2 within a clip",
    "mbleu_4": "mBLEU-4 within a clip",
    "cider_d": "CIDEr-D",
    "cider_d_shuffled": "CIDEr-D, others' references",
    "bleu_1": "BLEU-1",
    "bleu_4": "BLEU-4",
    "semantic_diversity": "differ in meaning",
    "semantic_own": "meaning, own references",
    "semantic_shuffled": "meaning, others' references",
    "identification": "finds its own clip",
}
# In the JSON only: further orders of what is shown, and what says the same again.
HIDDEN = {
    *("bleu_2", "bleu_3", "self_bleu_1", "self_bleu_2", "self_bleu_3"),
    *("distinct_3", "distinct_4", "novelty_of_distinct", "logprob_per_token"),
    *(f"expectation_adjusted_distinct_{n}" for n in (2, 3, 4)),
}
# First what verdicts rest on, then single words, stretches of words, and the captions themselves.
ORDER = tuple(TITLES)


def title(name: str) -> str:
    """Give a measure's name in words."""
    return TITLES.get(name, name.replace("_", " "))


def in_order(names: list[str]) -> list[str]:
    """Leave out what is hidden, and put the rest in the order of tables; unknown ones come last."""
    place = {name: number for number, name in enumerate(ORDER)}
    shown = [name for name in names if name not in HIDDEN]
    return sorted(shown, key=lambda name: place.get(name, len(place)))
