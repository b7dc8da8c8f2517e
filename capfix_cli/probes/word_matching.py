"""Which word each token stands for, told by the clips that both belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from capfix_cli.captioners.base import Captioner
from capfix_cli.core.text import split_words
from capfix_cli.schemas.clip_records import ClipCaption

FEWEST = 12  # clips
ROUNDS = 5  # in which neighbours are taken into account: by then nothing moves any more
BY_SHARE = 0.5  # weight of being as common, beside being said of the same clips


def match_words(
    captioner: Captioner, captions: Sequence[ClipCaption], references: Mapping[str, Sequence[str]]
) -> list[str] | None:
    """Give the word list under which own captions say what references say of the same clips.

    A token and a word go together if both are said of the same clips (phi coefficient) and as
    often, and then if they stand between the same words; tokens and words are matched one to one
    (Hungarian method), in a few rounds, since neighbours have names of the round before.

    Args:
        captioner: whose vocabulary may be another than in training.
        captions: its own.
        references: of the same clips.

    Returns:
        The whole list, tokens without evidence under their own words where these are left; None
        for too few clips.
    """
    from scipy.optimize import linear_sum_assignment

    held = [caption for caption in captions if references.get(caption.file_name)]
    if len(held) < FEWEST:
        return None
    special = {captioner.bos_id, captioner.eos_id, captioner.pad_id, captioner.unk_id}
    words = list(map(str, captioner.vocabulary))
    tokens = sorted({t for c in held for t in c.tokens if t not in special and t < len(words)})
    said = [{w for text in references[c.file_name] for w in split_words(text)} for c in held]
    known = [w for w in dict.fromkeys(words) if any(w in each for each in said)]
    if not tokens or not known:
        return None
    own = np.array([[token in c.tokens for token in tokens] for c in held], dtype=float)
    theirs = np.array([[word in each for word in known] for each in said], dtype=float)
    likeness = _phi(own, theirs) - BY_SHARE * np.abs(
        own.mean(axis=0)[:, None] - theirs.mean(axis=0)[None]
    )
    rows, columns = linear_sum_assignment(-likeness)
    texts = [split_words(text) for c in held for text in references[c.file_name]]
    pairs, theirs_pairs = _pairs([c.tokens for c in held], tokens), _pairs(texts, known)
    for _ in range(ROUNDS):
        # What stands before and after a token, under the names of the last round.
        named = np.zeros((len(tokens), len(known)))
        named[rows, columns] = 1.0
        after = _cosines(pairs @ named, theirs_pairs)
        before = _cosines(pairs.T @ named, theirs_pairs.T)
        rows, columns = linear_sum_assignment(-(likeness + after + before))
    matched = {tokens[row]: known[column] for row, column in zip(rows, columns, strict=True)}
    left = [word for word in words if word not in matched.values()]
    listed = []
    for place, word in enumerate(words):
        if place in matched:
            listed.append(matched[place])
        elif word in left:
            left.remove(word)
            listed.append(word)
        else:
            listed.append("")
    waiting = iter(left)
    return [word or next(waiting, f"<{place}>") for place, word in enumerate(listed)]


def _pairs(texts: Sequence[Sequence[object]], words: Sequence[object]) -> np.ndarray:
    """[words, words] how often one is followed by the other."""
    place = {word: number for number, word in enumerate(words)}
    counts = np.zeros((len(words), len(words)))
    for text in texts:
        for one, other in pairwise(text):
            if one in place and other in place:
                counts[place[one], place[other]] += 1.0
    return counts


def _cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(one, axis=1)[:, None] * np.linalg.norm(other, axis=1)[None]
    return np.asarray(one @ other.T / np.maximum(lengths, 1e-12))


def _phi(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Correlation of every column with every column, 0 where one does not vary."""
    first, second = one - one.mean(axis=0), other - other.mean(axis=0)
    widths = np.linalg.norm(first, axis=0)[:, None] * np.linalg.norm(second, axis=0)[None]
    return np.asarray(np.where(widths > 0, first.T @ second / np.maximum(widths, 1e-12), 0.0))
