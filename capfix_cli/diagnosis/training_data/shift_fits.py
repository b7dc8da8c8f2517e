"""How well each row's clip fits the captions of the rows around it, by three kinds of witness.

File names that say what is heard, captions that a captioner predicted for the training clips, and
the sound itself; each gives what ``shift_tests.judge_fits`` reads.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capfix_cli.core.randomness import stream
from capfix_cli.diagnosis.training_data.content_words import specific_words, stem
from capfix_cli.diagnosis.training_data.shift_tests import REACH, Floats, Integers, Offsets

FAR = 10  # pairings with rows elsewhere, for what chance gives


def fits_of_words(
    said: Sequence[Sequence[str]], captions: Sequence[Sequence[str]], seed: int = 0
) -> tuple[Offsets, Floats]:
    """Fit rows to captions by the words that they share, rare ones counting more.

    A fit is the share of the row's words, each weighed by log(rows / rows whose captions have
    it), that the caption has. Rows none of whose words is in any caption are NaN: they cannot
    tell.

    Args:
        said: for each row, what it says (a file name's words, a prediction's), as stems.
        captions: for each row, the stems of all its captions.
        seed: of the rows elsewhere.
    """
    total = len(captions)
    held = [frozenset(words) for words in captions]
    counts = Counter(word for words in held for word in words)
    weights = {word: math.log(total / count) for word, count in counts.items()}

    telling = [frozenset(word for word in words if weights.get(word, 0.0) > 0) for words in said]
    whole = [math.fsum(weights[word] for word in words) for words in telling]

    def fit(row: int, other: int) -> float:
        if not whole[row] or not 0 <= other < total:
            return math.nan
        # fsum: exact, so that the order in which a set gives its words does not matter.
        return math.fsum(weights[word] for word in telling[row] & held[other]) / whole[row]

    fits = {
        offset: np.array([fit(row, row + offset) for row in range(total)])
        for offset in range(-REACH, REACH + 1)
    }
    return fits, _elsewhere(fit, total, seed)


def _far(total: int, seed: int) -> list[int]:
    """Draw distances to rows that are no neighbours; around the end of the file."""
    generator = stream(seed, "shifted-pairs.distances", total)
    return [int(far) for far in generator.integers(REACH + 1, max(REACH + 2, total - REACH), FAR)]


def _elsewhere(fit: Callable[[int, int], float], total: int, seed: int) -> Floats:
    """Mean fit of each row to rows elsewhere, the same distances for all rows."""
    rows = [[fit(row, (row + jump) % total) for row in range(total)] for jump in _far(total, seed)]
    return np.array(np.mean(rows, axis=0))


def stems_of(text: str) -> list[str]:
    """Give the stems of the words that name something."""
    return list(dict.fromkeys(stem(word) for word in specific_words(text)))


def words_in_name(name: str) -> list[str]:
    """Give the stems of what a clip's path says, numbers and ids left out.

    >>> words_in_name("001 - Dog bark/Rain_on-Roof2 20160506.wav")
    ['dog', 'bark', 'rain', 'roof']
    """
    path, dot, _ = name.rpartition(".")
    letters = "".join(ch if ch.isalpha() else " " for ch in (path if dot else name))
    # CamelCase and ids such as "7fmOlUlwoNg" part into pieces too short to be words.
    apart = "".join(
        f" {ch}" if ch.isupper() and before.islower() else ch
        for before, ch in zip(" " + letters, letters, strict=False)
    )
    return [word for word in stems_of(apart) if len(word) >= 3]


def fits_of_scores(scores: Floats) -> tuple[Offsets, Floats]:
    """Take fits from a captioner's scores of every row's caption under every row's audio.

    Args:
        scores: [rows, rows] log-probabilities of the caption of row j given the audio of row i.
            What a caption and a clip score with all others is taken off: short captions and
            loud clips score high everywhere.
    """
    centred = scores - scores.mean(axis=0)[None] - scores.mean(axis=1)[:, None] + scores.mean()
    total = len(centred)
    fits = {}
    for offset in range(-REACH, REACH + 1):
        fit = np.full(total, math.nan)
        rows = np.arange(max(0, -offset), min(total, total - offset))
        fit[rows] = centred[rows, rows + offset]
        fits[offset] = fit
    return fits, np.zeros(total)


def fits_of_sound(
    colour: NDArray[np.floating[Any]], captions: Sequence[Sequence[str]], seed: int = 0
) -> tuple[Offsets, Floats]:
    """Fit rows to captions by whether clips that sound alike have captions that read alike.

    A row's fit at an offset is the sum over the other rows of (likeness in sound, both means
    taken off) x (likeness of the captions so many rows on, likewise): its part of the alignment
    of the two likenesses (Hilbert-Schmidt independence criterion, Gretton et al. 2005). No
    captioner is needed, and no word has to be known.

    Args:
        colour: [rows, features] of each row's clip.
        captions: for each row, the stems of all its captions.
        seed: of the rows elsewhere.
    """
    features = np.asarray(colour, dtype=np.float64)
    features = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6)
    sound = _centred_likeness(features)
    np.fill_diagonal(sound, 0.0)
    text = _centred_likeness(_tf_idf(captions))
    total = len(sound)
    fits = {}
    for offset in range(-REACH, REACH + 1):
        rows = np.arange(max(0, -offset), min(total, total - offset))
        fit = np.full(total, math.nan)
        fit[rows] = _aligned(sound, text, rows, rows + offset)
        fits[offset] = fit
    every = np.arange(total)
    chance = [_aligned(sound, text, every, (every + far) % total) for far in _far(total, seed)]
    return fits, np.array(np.mean(chance, axis=0))


def _aligned(sound: Floats, text: Floats, rows: Integers, others: Integers) -> Floats:
    product: Floats = np.einsum("ij,ij->i", sound[np.ix_(rows, rows)], text[np.ix_(others, others)])
    return product


def _centred_likeness(vectors: Floats) -> Floats:
    """Cosines of all pairs of rows, rows' and columns' means taken off."""
    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    cosines: Floats = units @ units.T
    rows, columns = cosines.mean(axis=1)[:, None], cosines.mean(axis=0)[None]
    return np.array(cosines - columns - rows + cosines.mean())


def _tf_idf(captions: Sequence[Sequence[str]]) -> Floats:
    counts = Counter(word for words in captions for word in set(words))
    place = {word: number for number, word in enumerate(counts)}
    vectors = np.zeros((len(captions), max(1, len(place))))
    for row, words in enumerate(captions):
        for word in set(words):
            vectors[row, place[word]] = math.log(len(captions) / counts[word])
    return vectors


def fits_of_predictions(
    names: Sequence[str],
    captions: Sequence[Sequence[str]],
    predicted: Mapping[str, str],
    seed: int,
) -> tuple[Offsets, Floats]:
    """Fit predictions to the captions around their rows; rows without one cannot tell."""
    said = [stems_of(predicted.get(name, "")) for name in names]
    return fits_of_words(said, stems_of_each(captions), seed)


def fits_of_names(
    names: Sequence[str], captions: Sequence[Sequence[str]], seed: int
) -> tuple[Offsets, Floats]:
    """Fit file names to the captions around their rows; words of most names tell nothing."""
    said = [words_in_name(name) for name in names]
    counts = Counter(word for words in said for word in set(words))
    telling = [[word for word in words if counts[word] <= len(names) / 2] for words in said]
    return fits_of_words(telling, stems_of_each(captions), seed)


def stems_of_each(captions: Sequence[Sequence[str]]) -> list[list[str]]:
    """Give each clip's stems, of all its captions together."""
    return [stems_of(" ".join(texts)) for texts in captions]
