"""The field's other metrics through ``aac-metrics``: SPICE, METEOR, SPIDEr, FENSE and the rest.

They run from what is on this machine: jars and models that ``aac-metrics-download`` has fetched.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from capfix_cli.core.errors import CapfixError
from capfix_cli.core.suggest import did_you_mean
from capfix_cli.core.text import split_words
from capfix_cli.measures.intervals import bootstrap_interval
from capfix_cli.measures.signature import signature
from capfix_cli.schemas.measured_values import Measure

NEED_JAVA = ("meteor", "spice", "spider", "spider_fl")
KNOWN = (
    *("bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider_d"),
    *("fense", "fer", "sbert_sim", "bert_score", "vocab"),
    *NEED_JAVA,
)


def parse_metrics(text: str | None) -> tuple[str, ...]:
    """Read ``--metrics``.

    Raises:
        CapfixError: not a metric, with the nearest one.
    """
    asked = [name.strip().lower().replace("-", "_") for name in (text or "").split(",")]
    names = tuple(dict.fromkeys(name for name in asked if name))
    for name in names:
        if name not in KNOWN:
            hint = did_you_mean(name, KNOWN, f"Metrics: {', '.join(KNOWN)}.")
            raise CapfixError(f"--metrics: {name!r} is not a metric.", hint)
    return names


def ready(names: Sequence[str]) -> Any:
    """Give the aac-metrics package, after seeing to it that the metrics can run.

    Raises:
        CapfixError: the package or Java is missing.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        library = import_module("aac_metrics")
    except ImportError as error:
        raise CapfixError(
            f"--metrics needs aac-metrics: {error}.", "pip install 'capfix[metrics]'"
        ) from error
    java = os.environ.get("AAC_METRICS_JAVA_PATH", "java")
    needing = [name for name in names if name in NEED_JAVA]
    if needing and shutil.which(java) is None:
        others = ", ".join(name for name in KNOWN if name not in NEED_JAVA)
        raise CapfixError(
            f"{', '.join(needing)} need Java, and there is no {java} here.",
            f"Install Java 8 to 13, set AAC_METRICS_JAVA_PATH, or ask for {others}.",
        )
    return library


def field_metrics(
    names: Sequence[str],
    captions: Sequence[str],
    references: Sequence[Sequence[str]],
    seed: int,
) -> dict[str, Measure]:
    """Compute metrics by aac-metrics, with bootstrap intervals over clips.

    Captions are lower-cased and stripped of punctuation by capfix's own rule, as its CIDEr-D and
    BLEU are; the PTB tokeniser, which needs Java too, splits a few contractions otherwise.

    Args:
        names: of :func:`parse_metrics`.
        captions: one a clip, at least two.
        references: for each of them, at least one.
        seed: of the intervals.

    Raises:
        CapfixError: a package, Java, or a model's file is missing.
    """
    library = ready(names)
    said = [" ".join(split_words(text)) for text in captions]
    people = [[" ".join(split_words(text)) for text in texts] for texts in references]
    table: dict[str, Measure] = {}
    for name in names:
        try:
            corpus, clips = library.evaluate(
                said, people, preprocess=False, metrics=[name], device="cpu"
            )
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            reason = (str(error).strip().split("\n") or [""])[0]
            raise CapfixError(
                f"{name} cannot be computed: {reason}.",
                "Its files are fetched by aac-metrics-download, once, with network; then copy"
                " the caches it names.",
            ) from error
        for key, value in corpus.items():
            each = np.asarray(clips.get(key, ()), dtype=np.float64).ravel()
            low, high = bootstrap_interval(each, seed) if len(each) > 1 else (None, None)
            source = signature(key, len(said), seed, by=f"aac-metrics-{library.__version__}")
            table[key] = Measure(float(value), low, high, source=source)
    return table
