"""The path of ``capfix measure``: files of captions to verdicts, without a captioner."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from capfix_cli import __version__
from capfix_cli.diagnosis.captions import (
    judge_captions,
    listen_by_references,
    require_enough_captions,
)
from capfix_cli.errors import CapfixError
from capfix_cli.measured import (
    Comparison,
    Difference,
    MeasuredFile,
    Measurement,
    ReferenceListening,
)
from capfix_cli.measures.aac import field_metrics, ready
from capfix_cli.measures.bleu_reference import bleu, bleu_statistics
from capfix_cli.measures.captions_file import match_references
from capfix_cli.measures.corridors import with_corridors
from capfix_cli.measures.intervals import BOOTSTRAPS, bootstrap_interval
from capfix_cli.measures.modes import find_modes
from capfix_cli.measures.pairs import paired_means, paired_statistic
from capfix_cli.measures.reading import EVERY, CaptionTable, Columns, read_captions
from capfix_cli.measures.references import OwnAndShuffled
from capfix_cli.measures.semantic import load_embedder, measure_meaning
from capfix_cli.measures.table import (
    caption_counts,
    expected_distinct,
    expected_entropy,
    judge_diversity,
    measure_captions,
    reference_sample,
)
from capfix_cli.records import ClipCaption, Measure
from capfix_cli.thresholds import MIN_CLIPS
from capfix_cli.words import split_words

Watch = Callable[[str, int, int], None]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Request:
    """What ``capfix measure`` is asked for.

    Attributes:
        columns: which columns to use.
        references: a file with the references, where they are not beside the captions.
        metrics: names for aac-metrics.
        semantic: whether to measure meaning.
        semantic_model: folder of a sentence-embedding model; None for the packaged one.
        seed: of everything that is drawn.
    """

    columns: Columns = EVERY
    references: str | None = None
    metrics: tuple[str, ...] = ()
    semantic: bool = False
    semantic_model: str | None = None
    seed: int = 0


@dataclass(frozen=True)
class Judged:
    """A file's result, and what pairing it with another needs."""

    file: MeasuredFile
    texts: dict[str, str]
    held: dict[str, tuple[float, float]]  # clip -> (CIDEr-D, probability that it is found)


def measure_files(paths: Sequence[str], request: Request, watch: Watch) -> Measurement:
    """Read, measure and judge files of captions, and test them against the first.

    Raises:
        CapfixError: whatever the user can mend.
    """
    if request.metrics:
        ready(request.metrics)
    embedder = load_embedder(request.semantic_model) if request.semantic else None
    tables = [read_captions(path, request.columns, request.seed) for path in paths]
    for table in tables:
        if request.references is not None:
            _add_references(table, request.references, request.seed)
        require_enough_captions(table.path, len(table.captions))
    judged = []
    for number, table in enumerate(tables):
        watch("measuring captions", number, len(tables))
        judged.append(_judge(table, request, embedder))
    watch("measuring captions", len(tables), len(tables))
    comparisons, notes = [], []
    for other in judged[1:]:
        shared = [name for name in judged[0].texts if name in other.texts]
        if len(shared) >= MIN_CLIPS.value:
            comparisons.append(_compare(judged[0], other, shared, request.seed))
        else:
            notes.append(
                f"{other.file.path} shares {len(shared)} clips with {paths[0]}: a test in pairs"
                f" needs {MIN_CLIPS.value:g}, with the same names for the same clips"
            )
    files = tuple(each.file for each in judged)
    return Measurement(__version__, files, tuple(comparisons), request.seed, notes=tuple(notes))


def _add_references(table: CaptionTable, path: str, seed: int) -> None:
    """Give each clip the references that another file has of it."""
    other = read_captions(path, seed=seed)
    known = {
        caption.file_name: [caption.text, *texts] if other.people or not texts else texts
        for caption, texts in zip(other.captions, other.references, strict=True)
    }
    found = match_references(known, [caption.file_name for caption in table.captions], path)
    table.references = [found.get(caption.file_name, []) for caption in table.captions]
    without = sum(not texts for texts in table.references)
    if without:
        table.notes.append(f"{without} clips have no reference in {path}")


def _judge(table: CaptionTable, request: Request, embedder: object | None) -> Judged:
    """Measure and judge one file."""
    seed = request.seed
    texts = [caption.text for caption in table.captions]
    paired = [place for place, people in enumerate(table.references) if people]
    said = [texts[place] for place in paired]
    people = [table.references[place] for place in paired]
    notes = list(table.notes)
    heard = listen_by_references(said, people, seed)
    listening, held = heard or (None, None)
    if people and listening is None:
        notes.append(
            f"only {len(people)} clips have references: listening needs 20, so that only"
            " diversity was judged"
        )
    elif not people:
        notes.append(
            "no references: only diversity was judged, so that captions that differ but fit no"
            " clip would pass"
        )
    decision = judge_captions(
        judge_diversity(texts, people if listening is not None else None, seed), listening
    )
    unknown = {"logprob_per_token"} if table.ends else {"logprob_per_token", "no_end"}
    measures = {
        name: measure
        for name, measure in measure_captions(table.captions, seed).items()
        if name not in unknown
    }
    measures = with_corridors(measures, len(texts), _people_measures(people, len(texts), seed))
    if len(people) > 1:
        measures |= with_corridors(_on_references(said, people, held, seed), len(people))
    if request.metrics and len(people) > 1:
        measures |= field_metrics(request.metrics, said, people, seed)
    elif request.metrics:
        raise CapfixError(
            f"--metrics needs references, and {table.path} has none.",
            "Put them beside the captions as caption_1, caption_2, ..., or give --references.",
        )
    if embedder is not None:
        measures |= measure_meaning(embedder, texts, table.references, seed)
    most = max((len(each) for each in table.references), default=0)
    names = [caption.file_name for caption in table.captions]
    file = MeasuredFile(
        path=table.path,
        captions=len(texts) + table.duplicates,
        clips=len(texts),
        duplicates=table.duplicates,
        verdict=decision.verdict,
        listening=listening,
        measures=_finite(measures),
        modes=tuple(find_modes(table.captions)),
        signature=_signature(len(texts), most, listening, seed),
        evidence=decision.evidence,
        people=table.people,
        references=most,
        notes=tuple(notes),
    )
    by_clip = {}
    if held is not None:
        scores = zip(held.own.tolist(), held.found.tolist(), strict=True)
        by_clip = dict(zip((names[place] for place in paired), scores, strict=True))
    return Judged(file, dict(zip(names, texts, strict=True)), by_clip)


def _people_measures(
    references: Sequence[Sequence[str]], clips: int, seed: int
) -> Mapping[str, Measure] | None:
    """Measure one reference a clip, where nearly all clips have one: the domain's own figures."""
    if len(references) < max(20, 0.9 * clips):
        return None
    sample = reference_sample(references, seed)
    return measure_captions([ClipCaption(str(n), text) for n, text in enumerate(sample)], seed)


def _on_references(
    captions: Sequence[str],
    references: Sequence[Sequence[str]],
    held: OwnAndShuffled | None,
    seed: int,
) -> dict[str, Measure]:
    """CIDEr-D and BLEU, with intervals that re-sum the captions' own statistics."""
    statistics = bleu_statistics(
        [split_words(text) for text in captions],
        [[split_words(text) for text in texts] for texts in references],
    )
    value = bleu(statistics.sum(axis=0))
    generator = np.random.default_rng([seed, len(captions), 19])
    total = len(captions)
    drawn = np.stack(
        [
            bleu(statistics[generator.integers(0, total, total)].sum(axis=0))
            for _ in range(BOOTSTRAPS)
        ]
    )
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    table: dict[str, Measure] = {}
    if held is not None:
        for name, scores in (("cider_d", held.own), ("cider_d_shuffled", held.shuffled)):
            table[name] = Measure(float(scores.mean()), *bootstrap_interval(scores, seed))
    for n in range(4):
        table[f"bleu_{n + 1}"] = Measure(float(value[n]), float(low[n]), float(high[n]))
    return table


def _finite(measures: Mapping[str, Measure]) -> dict[str, Measure]:
    """Leave out what is no number, and ends of intervals that are none."""
    kept = {}
    for name, measure in measures.items():
        if not np.isfinite(measure.value):
            continue
        low, high = (
            end if end is not None and np.isfinite(end) else None
            for end in (measure.low, measure.high)
        )
        kept[name] = replace(measure, low=low, high=high)
    return kept


def _signature(clips: int, references: int, listening: ReferenceListening | None, seed: int) -> str:
    """Say what must be known to get the same figures again, as sacrebleu does."""
    parts = [
        f"n:{clips}",
        f"nrefs:{references}",
        "case:lower",
        "tok:capfix-words",
        "self_bleu:4,method1",
        "judged_at:100",
    ]
    if listening is not None:
        parts += ["cider_d:n4,sigma6", f"own:{listening.clips}", "among:20", "shuffles:10"]
    return "|".join([*parts, f"seed:{seed}", f"version:{__version__}"])


def _compare(first: Judged, second: Judged, shared: Sequence[str], seed: int) -> Comparison:
    """Test the second file against the first on the clips that both have."""
    texts = [[each.texts[name] for name in shared] for each in (first, second)]
    statistics: dict[str, Callable[[Sequence[str]], float]] = {
        "distinct_captions": _distinct,
        "caption_entropy": _entropy,
        "vocabulary": lambda some: float(len({w for text in some for w in split_words(text)})),
    }
    differences: dict[str, Difference] = {
        name: paired_statistic(texts[0], texts[1], function, seed)
        for name, function in statistics.items()
    }
    lengths = [np.array([len(split_words(text)) for text in some], float) for some in texts]
    differences["length"] = paired_means(lengths[0], lengths[1], seed)
    both = [name for name in shared if name in first.held and name in second.held]
    if len(both) >= 2:
        for place, name in enumerate(("cider_d", "identification")):
            values = [
                np.array([each.held[clip][place] for clip in both]) for each in (first, second)
            ]
            differences[name] = paired_means(values[0], values[1], seed)
    return Comparison(first.file.path, second.file.path, len(shared), differences)


def _distinct(texts: Sequence[str]) -> float:
    return expected_distinct(caption_counts(texts), len(texts))


def _entropy(texts: Sequence[str]) -> float:
    return expected_entropy(caption_counts(texts), len(texts))
