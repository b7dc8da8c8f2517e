"""Memorisation: are captions copied from the training file, more than people's would be?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from capfix_cli.core.randomness import stream
from capfix_cli.core.thresholds import MEMORISED_SHARE, MIN_CLIPS
from capfix_cli.diagnosis.training_data.content_words import words_of
from capfix_cli.diagnosis.training_data.data_findings import Examined, ListedRow, found, not_tested
from capfix_cli.diagnosis.training_data.training_file import TrainingSet
from capfix_cli.measures.intervals import share_interval
from capfix_cli.schemas.measured_values import Evidence

ID = "memorisation"
TITLE = "Are captions copied from the training file?"
SAMPLE = 5_000  # training captions that the baseline is taken over
Words = tuple[str, ...]


class Copies:
    """Knows captions, and finds those that are one of them, or all but one word of it."""

    def __init__(self, captions: Iterable[Words]) -> None:
        self.whole: set[Words] = set()
        self.holed: set[tuple[int, Words]] = set()  # hash of a place, and the words around it
        for words in captions:
            if words not in self.whole:
                self.whole.add(words)
                self.holed.update(_holed(words))

    def verbatim(self, words: Words) -> bool:
        """Say whether a caption is one of them."""
        return words in self.whole

    def nearly(self, words: Words) -> bool:
        """Say whether one is reached by changing one word for another at most."""
        return words in self.whole or any(hole in self.holed for hole in _holed(words))


def _holed(words: Words) -> list[tuple[int, Words]]:
    return [(place, words[:place] + words[place + 1 :]) for place in range(len(words))]


def find_memorised(
    data: TrainingSet,
    predicted: Mapping[str, str] | None,
    held_out: Mapping[str, Sequence[str]] | None = None,
    seed: int = 0,
) -> Examined:
    """Compare how many predictions are training captions with how many of people's are.

    People's share comes from the held-out clips' references where they are given, else from the
    training file: how often a clip's caption is said of another of its clips. In a closed world
    people say the same things again, so nobody is blamed there.

    Args:
        data: the training file.
        predicted: file name -> caption.
        held_out: file name -> references of the clips that were captioned.
        seed: of the training captions that the baseline is taken over.
    """
    if not predicted or len(predicted) < MIN_CLIPS.value:
        return not_tested(ID, TITLE, f"{MIN_CLIPS.value:g} predicted captions or more"), ()
    said = {name: words_of(text) for name, text in predicted.items()}
    known = Copies(words_of(text) for text in data.texts)
    exact = sum(known.verbatim(words) for words in said.values()) / len(said)
    near = sum(known.nearly(words) for words in said.values()) / len(said)
    low, _ = share_interval(round(near * len(said)), len(said))
    whose, people = _people(data, known, held_out, seed)
    cut = people + MEMORISED_SHARE.value * (1 - people)
    evidence = [
        Evidence(
            "predictions that are training captions, word for word", exact, "share of predictions"
        ),
        Evidence(
            "predictions that are training captions, but for one word at most",
            near,
            "share of predictions",
            round(cut, 4),
            f"{MEMORISED_SHARE.source}; people: {people:.3f}, {whose}",
        ),
        Evidence(f"the same of people's captions, {whose}", people, "share of captions"),
    ]
    rows = [
        ListedRow(name, predicted[name], "a training caption, word for word")
        for name, words in said.items()
        if known.verbatim(words)
    ]
    summary = f"{near:.0%} of the predictions copy a training caption; of people's {people:.0%} do"
    return found(ID, TITLE, suspect=low > cut, evidence=evidence, rows=rows, summary=summary), ()


def _people(
    data: TrainingSet, known: Copies, held_out: Mapping[str, Sequence[str]] | None, seed: int
) -> tuple[str, float]:
    if held_out:
        words = [words_of(text) for texts in held_out.values() for text in texts]
        if words:
            return "held-out clips", sum(known.nearly(each) for each in words) / len(words)
    return "other training clips", _among_themselves(data, seed)


def _among_themselves(data: TrainingSet, seed: int) -> float:
    """Share of training captions that another clip has, but for one word at most."""
    owner: dict[tuple[int, Words], int] = {}
    several: set[tuple[int, Words]] = set()
    for clip, texts in enumerate(data.captions):
        for text in texts:
            for hole in _holed(words_of(text)):
                if owner.setdefault(hole, clip) != clip:
                    several.add(hole)
    pairs = data.pairs
    generator = stream(seed, "memorisation.pairs", len(pairs))
    drawn = generator.permutation(len(pairs))[:SAMPLE].tolist()
    again = [any(hole in several for hole in _holed(words_of(pairs[place][1]))) for place in drawn]
    return sum(again) / max(1, len(again))
