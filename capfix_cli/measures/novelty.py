"""Captions that the training file does not hold word for word."""

from __future__ import annotations

import numpy as np

from capfix_cli.measures.caption_tokens import Tokens, Vocabulary
from capfix_cli.measures.corpus import Corpus, Counted, same_captions
from capfix_cli.measures.intervals import share_interval
from capfix_cli.measures.signature import signature
from capfix_cli.schemas.measured_values import Measure


def novelty(captions: Counted, training: Counted) -> dict[str, Measure]:
    """Give the share of captions, and of distinct captions, that are not in a training file.

    Both sides are compared in words, exactly. Over captions it is a share of draws and has
    Wilson's interval; the training file is taken as given. Over distinct captions no interval is
    known.

    Args:
        captions: those to judge.
        training: all captions that were trained on.
    """
    vocabulary = Vocabulary()
    sides = [_renumbered(side.tokens, vocabulary) for side in (captions, training)]
    lengths = np.concatenate([side.lengths for side in sides])
    both = Tokens(
        np.concatenate([side.ids for side in sides]),
        np.concatenate(([0], np.cumsum(lengths))),
        vocabulary.words(),
    )
    heads, kinds = same_captions(both, both.vocabulary)
    known = np.zeros(len(heads), bool)
    known[kinds[len(captions.counts) :]] = True
    new = ~known[kinds[: len(captions.counts)]]
    fresh, total = int(captions.counts[new].sum()), captions.total
    distinct = float(new.mean()) if len(new) else 0.0
    own, trained = "novelty", training.total
    return {
        own: Measure(
            fresh / max(1, total),
            *share_interval(fresh, total),
            source=signature(own, total, training=trained),
        ),
        "novelty_of_distinct": Measure(
            distinct, source=signature("novelty_of_distinct", total, training=trained)
        ),
    }


def training_corpus(texts: list[str]) -> Counted:
    """Count the captions of a training file."""
    corpus = Corpus()
    corpus.update(texts)
    return corpus.counted()


def _renumbered(tokens: Tokens, vocabulary: Vocabulary) -> Tokens:
    places = vocabulary.number(tokens.vocabulary)
    ids = places[tokens.ids] if len(places) else tokens.ids
    return Tokens(ids, tokens.offsets, ())
