"""The path of ``capfix measure``: files of captions to verdicts, without a captioner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from capfix_cli import __version__
from capfix_cli.captions.caption_layouts import EVERY, CaptionTable, Columns, read_captions
from capfix_cli.captions.reference_file import match_references, read_references
from capfix_cli.core.errors import CapfixError
from capfix_cli.core.progress import ProgressCallback
from capfix_cli.core.randomness import stream
from capfix_cli.core.thresholds import MIN_CLIPS
from capfix_cli.diagnosis.captions_verdict import (
    judge_captions,
    listen_by_references,
    require_enough_captions,
)
from capfix_cli.measures.corpus import Counted
from capfix_cli.measures.corpus_measures import measure_corpus
from capfix_cli.measures.external_metrics import field_metrics, ready
from capfix_cli.measures.measure_table import (
    count_captions,
    judge_diversity,
    measure_captions,
    reference_sample,
)
from capfix_cli.measures.modes import find_modes
from capfix_cli.measures.novelty import novelty, training_corpus
from capfix_cli.measures.paired_files import Judged, compare
from capfix_cli.measures.reference_ranges import MOST, with_corridors
from capfix_cli.measures.reference_scores import score_on_references
from capfix_cli.measures.semantic import load_embedder, measure_meaning
from capfix_cli.measures.sentences import judge_sentences
from capfix_cli.measures.type_token_curve import type_token_curve
from capfix_cli.measures.within_clip import within_clips
from capfix_cli.schemas.clip_records import ClipCaption
from capfix_cli.schemas.measured_values import Measure
from capfix_cli.schemas.measurement import (
    MeasuredFile,
    Measurement,
    ReferenceListening,
)


@dataclass(frozen=True)
class MeasureRequest:
    """What ``capfix measure`` is asked for.

    Attributes:
        columns: which columns to use.
        references: a file with the references, where they are not beside the captions.
        metrics: names for aac-metrics.
        semantic: whether to measure meaning.
        semantic_model: folder of a sentence-embedding model; None for the packaged one.
        training: a file with the captions that were trained on, for novelty.
        seed: of everything that is drawn.
    """

    columns: Columns = EVERY
    references: str | None = None
    metrics: tuple[str, ...] = ()
    semantic: bool = False
    semantic_model: str | None = None
    training: str | None = None
    seed: int = 0


def measure_files(
    paths: Sequence[str], request: MeasureRequest, progress: ProgressCallback
) -> Measurement:
    """Read, measure and judge files of captions, and test them against the first.

    Raises:
        CapfixError: whatever the user can mend.
    """
    if request.metrics:
        ready(request.metrics)
    tools = Tools(
        load_embedder(request.semantic_model) if request.semantic else None,
        _training(request.training) if request.training is not None else None,
    )
    tables = [read_captions(path, request.columns, request.seed) for path in paths]
    for table in tables:
        if request.references is not None:
            _add_references(table, request.references)
        require_enough_captions(table.path, len(table.captions))
    judged = []
    for number, table in enumerate(tables):
        progress("measuring captions", number, len(tables))
        judged.append(_judge(table, request, tools))
    progress("measuring captions", len(tables), len(tables))
    comparisons, notes = [], []
    for other in judged[1:]:
        shared = [name for name in judged[0].texts if name in other.texts]
        if len(shared) >= MIN_CLIPS.value:
            comparisons.append(compare(judged[0], other, shared, request.seed))
        else:
            notes.append(
                f"{other.file.path} shares {len(shared)} clips with {paths[0]}: a test in pairs"
                f" needs {MIN_CLIPS.value:g}, with the same names for the same clips"
            )
    files = tuple(each.file for each in judged)
    return Measurement(__version__, files, tuple(comparisons), request.seed, notes=tuple(notes))


def _add_references(table: CaptionTable, path: str) -> None:
    """Give each clip the references that another file has of it."""
    known = read_references(path, named=False)
    found = match_references(known, [caption.file_name for caption in table.captions], path)
    table.references = [found.get(caption.file_name, []) for caption in table.captions]
    without = sum(not texts for texts in table.references)
    if without:
        table.notes.append(f"{without} clips have no reference in {path}")


@dataclass(frozen=True)
class Tools:
    """What is opened once for all files."""

    embedder: object | None
    training: Counted | None


def _training(path: str) -> Counted:
    """Count every caption of a training file, whichever column it stands in."""
    table = read_captions(path)
    texts = [text for people in table.references for text in people]
    for caption in table.captions:
        texts += [caption.text, *(other.text for other in caption.others)]
    return training_corpus(texts)


@dataclass(frozen=True, kw_only=True)
class Paired:
    """The clips of a file that have references.

    Attributes:
        places: theirs in the file.
        captions: of them.
        references: of them.
    """

    places: Sequence[int]
    captions: Sequence[str]
    references: Sequence[Sequence[str]]


def _paired(table: CaptionTable) -> Paired:
    places = [place for place, people in enumerate(table.references) if people]
    return Paired(
        places=places,
        captions=[table.captions[place].text for place in places],
        references=[table.references[place] for place in places],
    )


def _judge(table: CaptionTable, request: MeasureRequest, tools: Tools) -> Judged:
    """Measure and judge one file."""
    seed = request.seed
    texts = [caption.text for caption in table.captions]
    paired = _paired(table)
    people = paired.references
    listening, held = listen_by_references(paired.captions, people, seed) or (None, None)
    ended = [caption.ended for caption in table.captions] if table.ends else None
    sentences = judge_sentences(texts, ended, people)
    decision = judge_captions(
        judge_diversity(texts, people if listening is not None else None, seed),
        listening,
        sentences,
    )
    counted = count_captions(table.captions)
    measures, sampled = _measure(table, counted, people, seed)
    measures |= _measure_beside(table, tools, counted)
    if len(people) > 1:
        scored = score_on_references(paired.captions, people, held, seed)
        measures |= with_corridors(scored, len(people))
    measures |= _field_metrics(table, request, paired)
    if tools.embedder is not None:
        measures |= measure_meaning(tools.embedder, texts, table.references, seed)
    most = max((len(each) for each in table.references), default=0)
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
        notes=(*table.notes, *_notes(people, listening)),
        curve=type_token_curve(counted),
        sampled=sampled,
        axes=dict(decision.axes),
        close=decision.close_to,
        degenerate=decision.degenerate,
    )
    names = [caption.file_name for caption in table.captions]
    by_clip = {}
    if held is not None:
        scores = zip(held.own.tolist(), held.found.tolist(), strict=True)
        by_clip = dict(zip((names[place] for place in paired.places), scores, strict=True))
    return Judged(file, dict(zip(names, texts, strict=True)), by_clip)


def _notes(
    people: Sequence[Sequence[str]], listening: ReferenceListening | None
) -> tuple[str, ...]:
    """Say what was not judged, and why."""
    if not people:
        return (
            "no references: only diversity was judged, so that captions that differ but fit no"
            " clip would pass",
        )
    if listening is None:
        return (
            f"only {len(people)} clips have references: listening needs 20, so that only"
            " diversity was judged",
        )
    return ()


def _measure(
    table: CaptionTable, counted: Counted, people: Sequence[Sequence[str]], seed: int
) -> tuple[dict[str, Measure], dict[str, Measure]]:
    """Measure the captions; of more than corridors are known for, a sample beside."""
    unknown = set() if table.ends else {"no_end"}
    measures = _without(measure_corpus(counted, seed), unknown)
    count = len(table.captions)
    if count <= MOST:
        return with_corridors(measures, count, _people_measures(people, count, seed)), {}
    return measures, _without(_sampled(table, seed), unknown)


def _measure_beside(table: CaptionTable, tools: Tools, counted: Counted) -> dict[str, Measure]:
    """Measure what other captions tell: of training, and of the same clip."""
    measures: dict[str, Measure] = {}
    if tools.training is not None:
        measures |= novelty(counted, tools.training)
    several = [[c.text, *(o.text for o in c.others)] for c in table.captions if c.others]
    return measures | within_clips(several) if several else measures


def _field_metrics(
    table: CaptionTable, request: MeasureRequest, paired: Paired
) -> dict[str, Measure]:
    """Score with the field's own programs, where they are asked for.

    Raises:
        CapfixError: there are no references to score on.
    """
    if not request.metrics:
        return {}
    if len(paired.references) > 1:
        return dict(
            field_metrics(request.metrics, paired.captions, paired.references, request.seed)
        )
    raise CapfixError(
        f"--metrics needs references, and {table.path} has none.",
        "Put them beside the captions as caption_1, caption_2, ..., or give --references.",
    )


def _without(measures: Mapping[str, Measure], names: set[str]) -> dict[str, Measure]:
    return {name: measure for name, measure in measures.items() if name not in names}


def _sampled(table: CaptionTable, seed: int) -> dict[str, Measure]:
    """Measure as many captions as corridors are known for, and compare these with them."""
    places = stream(seed, "measure.sample").permutation(len(table.captions))[:MOST]
    some = [table.captions[place] for place in places]
    people = [table.references[place] for place in places if table.references[place]]
    measures = measure_corpus(count_captions(some), seed)
    compared = with_corridors(measures, MOST, _people_measures(people, MOST, seed))
    return {name: one for name, one in compared.items() if one.healthy_low is not None}


def _people_measures(
    references: Sequence[Sequence[str]], clips: int, seed: int
) -> Mapping[str, Measure] | None:
    """Measure one reference a clip, where nearly all clips have one: the domain's own figures."""
    if len(references) < max(20, 0.9 * clips):
        return None
    sample = reference_sample(references, seed)
    return measure_captions([ClipCaption(str(n), text) for n, text in enumerate(sample)], seed)


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
