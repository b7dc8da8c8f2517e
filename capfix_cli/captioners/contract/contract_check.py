"""Does a captioner keep the contract? Tried on synthetic audio, each clause by its name."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from capfix_cli.captioners.base import Captioner, Memory
from capfix_cli.captioners.contract.clauses import (
    Broken,
    Clause,
    apart_by,
    called,
    check_scores,
    moved,
    tensors,
)
from capfix_cli.captioners.contract.step_clauses import (
    ending,
    prefix_matters,
    sequences,
    sharing,
    start_prefix_of,
    stepped,
    stepping,
    try_prefix,
)
from capfix_cli.captioners.feature_captioner import example_features, reads_features

_PADDED = (
    "a clip's scores depend on how far its batch is padded: mask by lengths, or use --batch-size 1"
)
_FIRST = {"attributes", "features", "memory", "logits", "step"}  # the next ones rest on them
SECONDS = (1.0, 2.5, 4.0)  # of the synthetic clips: padding and order must not matter


def check_contract(captioner: Captioner) -> list[Clause]:
    """Try every clause in order; the list ends at one that the next ones rest on."""
    found: list[Clause] = []
    # What models print while they run belongs to no result.
    with torch.inference_mode(), contextlib.redirect_stdout(sys.stderr):
        try:
            for clause in _clauses(captioner):
                found.append(clause)
                if not clause.kept and clause.name in {
                    "attributes",
                    "features",
                    "memory",
                    "logits",
                    "step",
                }:
                    break
        except Broken as stop:
            name, _, what = str(stop).partition(": ")
            found.append(Clause(name, False, what))
    return found


def quick_check(captioner: Captioner) -> str | None:
    """Say what is wrong at first sight, None where nothing is.

    Attributes, memory, scores, a step and the text are tried; batches and padding are not. Numbers
    that are not finite are no reason to refuse: why they are not is what a diagnosis finds out.
    """
    with torch.inference_mode(), contextlib.redirect_stdout(sys.stderr):
        try:
            for clause in _first_sight(captioner):
                if not clause.kept and clause.refuses:
                    return clause.what
        except Broken as stop:
            return str(stop).partition(": ")[2]
    return None


def _first_sight(captioner: Captioner) -> Iterator[Clause]:
    yield _attributes(captioner)
    waveforms, lengths = synthetic_audio(captioner, SECONDS[:2])
    count = len(lengths)
    memory = called("encode", lambda: captioner.encode(waveforms, lengths))
    yield _memory(captioner, memory, count)
    yield _logits(captioner, memory, count)
    prefix = try_prefix(captioner, count)
    yield _later(captioner, memory, prefix)[0]
    if type(captioner).step is not Captioner.step:
        clause, _ = stepped(captioner, memory, prefix)
        if clause is not None:
            yield clause
    yield _text(captioner)


def synthetic_audio(
    captioner: Captioner, seconds: tuple[float, ...] = SECONDS
) -> tuple[Tensor, Tensor]:
    """Noise through different tones: [B, samples] in [-1, 1] zero-padded, and [B] lengths.

    A captioner that reads features gets some of these in their place.
    """
    if reads_features(captioner):
        return example_features(captioner, seconds)
    generator = torch.Generator().manual_seed(0)
    least = max(1, captioner.min_samples)
    lengths = [max(least, int(part * captioner.sample_rate)) for part in seconds]
    waveforms = torch.zeros(len(lengths), max(lengths))
    for row, length in enumerate(lengths):
        time = torch.arange(length) / captioner.sample_rate
        tone = 0.3 * torch.sin(2 * torch.pi * 220.0 * (row + 1) * time)
        waveforms[row, :length] = tone + 0.05 * torch.randn(length, generator=generator)
    return waveforms, torch.tensor(lengths)


def _clauses(captioner: Captioner) -> Iterator[Clause]:
    yield _attributes(captioner)
    waveforms, lengths = synthetic_audio(captioner)
    count = len(lengths)
    if type(captioner).features is not Captioner.features:
        yield _features(captioner, waveforms, lengths)
    memory = called("encode", lambda: captioner.encode(waveforms, lengths))
    yield _memory(captioner, memory, count)
    yield _logits(captioner, memory, count)
    prefix = try_prefix(captioner, count)
    clause, together = _later(captioner, memory, prefix)
    if not clause.kept:
        yield clause
    yield _batch(captioner, waveforms, lengths, prefix, together)
    yield _padding(captioner, waveforms, lengths, prefix, together)
    yield stepping(captioner, memory, prefix)
    yield from sequences(captioner, memory, prefix)
    yield from sharing(captioner, memory, prefix)
    yield prefix_matters(captioner, memory, prefix, together)
    yield ending(captioner, memory, count)
    yield _text(captioner)


def _features(captioner: Captioner, waveforms: Tensor, lengths: Tensor) -> Clause:
    """Hold the front end to what it must give: a tensor a clip a row, and lengths in frames."""
    try:
        given = captioner.features(waveforms, lengths)
    except NotImplementedError:
        return Clause("features", True, "not given: encode() takes the waveforms", note=True)
    except Exception:
        given = called("features", lambda: captioner.features(waveforms, lengths))
    wrong = _wrong_features(given, len(lengths))
    told = "lengths in frames" if wrong else f"{list(given[0].shape)}, lengths in frames"
    return Clause("features", not wrong, wrong or told)


def _wrong_features(given: Any, count: int) -> str:
    """Say in words what is wrong with what ``features()`` gave; empty where nothing is."""
    if not isinstance(given, tuple) or len(given) != 2:
        return f"features() gave a {type(given).__name__}, not (features, lengths in frames)"
    found, frames = given
    if not isinstance(found, Tensor) or not isinstance(frames, Tensor):
        kinds = f"{type(found).__name__} and {type(frames).__name__}"
        return f"features() gave {kinds}, not two tensors"
    shape = list(found.shape)
    whole = not frames.is_floating_point() and frames.dtype != torch.bool
    wrong = ""
    if not shape or shape[0] != count:
        wrong = f"features() gave {shape}: its first axis does not count the {count} clips"
    elif list(frames.shape) != [count] or not whole:
        wrong = (
            f"the lengths of features() are {frames.dtype} {list(frames.shape)}, not [{count}]"
            " whole numbers of frames"
        )
    elif int(frames.max()) not in shape[1:] or int(frames.min()) < 1:
        wrong = (
            f"the longest clip has {int(frames.max())} frames, and features() gave {shape}:"
            " lengths must be in frames"
        )
    return wrong


def _attributes(captioner: Captioner) -> Clause:
    wrong = []
    if not isinstance(captioner.sample_rate, int) or captioner.sample_rate <= 0:
        wrong.append(f"sample_rate is {captioner.sample_rate!r}, not a number of Hz")
    size = len(captioner.vocabulary)
    for name in ("bos_id", "eos_id", "pad_id", "unk_id"):
        id_ = getattr(captioner, name)
        if id_ is None and name in {"pad_id", "unk_id"}:
            continue
        if not isinstance(id_, int) or isinstance(id_, bool) or not 0 <= id_ < size:
            wrong.append(f"{name} is {id_!r}, not an id of the vocabulary's {size} tokens")
    if not all(isinstance(word, str) for word in captioner.vocabulary):
        wrong.append("vocabulary holds something other than strings")
    if not isinstance(captioner.memory_batch_dim, int) or captioner.memory_batch_dim < 0:
        wrong.append(f"memory_batch_dim is {captioner.memory_batch_dim!r}, not an axis")
    if not isinstance(captioner.max_length, int) or captioner.max_length < 1:
        wrong.append(f"max_length is {captioner.max_length!r}, not a number of tokens")
    over = "over features" if reads_features(captioner) else f"at {captioner.sample_rate} Hz"
    told = f"{size} tokens {over}"
    return Clause("attributes", not wrong, "; ".join(wrong) or told)


def _memory(captioner: Captioner, memory: Memory, count: int) -> Clause:
    found = list(tensors(memory))
    if not found:
        return Clause(
            "memory", False, f"encode() gave a {type(memory).__name__} without any tensor"
        )
    axis = captioner.memory_batch_dim
    for place, tensor in found:
        shape = list(tensor.shape)
        if tensor.ndim <= axis or tensor.shape[axis] != count:
            other = [dim for dim, size in enumerate(shape) if size == count]
            hint = f"; axis {other[0]} has: set memory_batch_dim = {other[0]}" if other else ""
            return Clause(
                "memory",
                False,
                f"{place} of encode() is {shape}: axis {axis} (memory_batch_dim) does not count "
                f"the {count} clips{hint}",
            )
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            what = f"{place} of encode() holds NaN or infinity"
            return Clause("memory", False, what, refuses=False)
    return Clause("memory", True, ", ".join(f"{list(t.shape)}" for _, t in found[:3]))


def _logits(captioner: Captioner, memory: Memory, count: int) -> Clause:
    start = start_prefix_of(captioner, count)
    logits = called("logits", lambda: captioner.logits(start, memory))
    return check_scores("logits", logits, captioner, count)


def _later(captioner: Captioner, memory: Memory, prefix: Tensor) -> tuple[Clause, Tensor]:
    """Score the word after some words, where what goes wrong is not seen at the first."""
    scores = called("logits", lambda: captioner.logits(prefix, memory))
    clause = check_scores("logits", scores, captioner, prefix.shape[0])
    if clause.kept:
        return clause, scores
    what = f"after {prefix.shape[1]} tokens {clause.what}"
    return Clause("logits", False, what, refuses=clause.refuses), scores


def _encoded(captioner: Captioner, waveforms: Tensor, lengths: Tensor, prefix: Tensor) -> Tensor:
    memory = called("encode", lambda: captioner.encode(waveforms, lengths))
    scores: Tensor = called("logits", lambda: captioner.logits(prefix, memory))
    return scores


def _batch(
    captioner: Captioner, waveforms: Tensor, lengths: Tensor, prefix: Tensor, together: Tensor
) -> Clause:
    order = torch.arange(len(lengths)).flip(0)
    turned = _encoded(captioner, waveforms[order], lengths[order], prefix[order])
    # Three times the longest clip: nothing is padded, so only its neighbours could matter.
    longest = int(lengths.argmax())
    same = _encoded(captioner, waveforms[longest:][:1], lengths[longest:][:1], prefix[:1])
    apart = max(apart_by(together[order], turned), apart_by(together[longest][None], same))
    return moved(
        "batch",
        apart,
        "a clip's scores depend on the clips beside it, or on its row",
        "a clip's scores do not depend on its batch",
    )


def _padding(
    captioner: Captioner, waveforms: Tensor, lengths: Tensor, prefix: Tensor, together: Tensor
) -> Clause:
    apart = 0.0
    for row, length in enumerate(lengths.tolist()):
        try:
            alone = _encoded(
                captioner, waveforms[row : row + 1, :length], lengths[row : row + 1], prefix[:1]
            )
        except Broken as stop:  # beside longer clips it went through
            short = f"{length / captioner.sample_rate:g} s alone"
            hint = "is that too short? Set min_samples"
            if reads_features(captioner):
                short, hint = f"{length} frames alone", "is that too short?"
            raise Broken(f"{stop}, given {short}: {hint}") from stop
        apart = max(apart, apart_by(together[row : row + 1], alone))
    kept = moved("padding", apart, _PADDED, "padding does not move a clip's scores")
    # Many published models do this, and --batch-size 1 makes them sound: worth reading, no breach.
    return kept if kept.kept else dataclasses.replace(kept, kept=True, note=True)


def _text(captioner: Captioner) -> Clause:
    ids = [captioner.bos_id, *try_prefix(captioner, 1)[0].tolist(), captioner.eos_id]
    text = called("detokenize", lambda: captioner.detokenize(ids))
    if not isinstance(text, str):
        return Clause("detokenize", False, f"detokenize() gave a {type(text).__name__}, no string")
    left = [captioner.vocabulary[id_] for id_ in (captioner.bos_id, captioner.eos_id)]
    found = [token for token in left if token and token in text.split()]
    if found:
        return Clause("detokenize", False, f"detokenize() leaves {found[0]} in the caption")
    return Clause("detokenize", True, f"{text!r:.60}")
