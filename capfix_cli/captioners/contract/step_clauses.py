"""Clauses of the contract about scoring word by word, and its faster forms."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
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
from capfix_cli.core.thresholds import BATCH_TOLERANCE

WORDS = 4  # of the prefix on which step is compared with logits


def start_prefix_of(captioner: Captioner, count: int) -> Tensor:
    """What every caption begins with, its form checked.

    Raises:
        Broken: not [clips, tokens] of int64.
    """
    start = called("start_prefix", lambda: captioner.start_prefix(count))
    if not isinstance(start, Tensor):
        raise Broken(f"start_prefix: start_prefix() gave a {type(start).__name__}, not a tensor")
    if start.ndim != 2 or start.shape[0] != count or not start.shape[1]:
        raise Broken(
            f"start_prefix: start_prefix({count}) gave {list(start.shape)}, "
            f"not [{count}, at least 1]"
        )
    if start.dtype != torch.int64:
        raise Broken(f"start_prefix: start_prefix() gave {start.dtype}, not torch.int64")
    return start


def try_prefix(captioner: Captioner, count: int, shift: float = 0.0) -> Tensor:
    """A start and some words, ``shift`` of the vocabulary on: [count, T]."""
    start = start_prefix_of(captioner, count)
    special = {captioner.bos_id, captioner.eos_id, captioner.pad_id, captioner.unk_id}
    words = [id_ for id_ in range(len(captioner.vocabulary)) if id_ not in special]
    on = int(shift * len(words))
    picked = [words[(7 * place + on) % len(words)] for place in range(WORDS)] if words else []
    own = torch.tensor(picked, dtype=torch.long).repeat(count, 1)
    return torch.cat([start, own], dim=1)


def stepping(captioner: Captioner, memory: Memory, prefix: Tensor) -> Clause:
    """Compare ``step`` with ``logits`` on the same prefix."""
    if type(captioner).step is Captioner.step:
        return Clause("step", True, "not given; whole prefixes are scored instead", note=True)
    clause, scores = stepped(captioner, memory, prefix)
    if clause is not None:
        return clause
    whole = called("logits", lambda: captioner.logits(prefix, memory))
    return moved(
        "step",
        apart_by(whole, scores),
        "step() disagrees with logits() on the same prefix",
        "step() agrees with logits()",
    )


def stepped(captioner: Captioner, memory: Memory, prefix: Tensor) -> tuple[Clause | None, Tensor]:
    """Feed a prefix token by token: what is wrong with the steps' form, and the last scores."""
    memory = called("prepare", lambda: captioner.prepare(memory))
    state = called("start", lambda: captioner.start(memory))
    scores = torch.empty(0)
    for token in prefix.unbind(dim=1):
        found = called("step", partial(captioner.step, token, state, memory))
        if not isinstance(found, tuple) or len(found) != 2:
            return Clause("step", False, "step() must give (scores [B, V], state)"), scores
        scores, state = found
        clause = check_scores("step", scores, captioner, prefix.shape[0])
        if not clause.kept:
            return clause, scores
    axis = captioner.state_batch_dim
    for place, tensor in tensors(state, "state"):
        if tensor.ndim and (tensor.ndim <= axis or tensor.shape[axis] != prefix.shape[0]):
            what = (
                f"{place} is {list(tensor.shape)}: axis {axis} (state_batch_dim) does not count "
                f"the {prefix.shape[0]} clips"
            )
            return Clause("step", False, what), scores
    return None, scores


def sequences(captioner: Captioner, memory: Memory, prefix: Tensor) -> Iterator[Clause]:
    """Try ``sequence_logits`` where it is given: every place must score as its prefix alone."""
    if type(captioner).sequence_logits is Captioner.sequence_logits:
        return
    prepared = called("prepare", lambda: captioner.prepare(memory))
    try:
        found = captioner.sequence_logits(prefix, prepared)
    except NotImplementedError:
        return
    shape = [*prefix.shape, len(captioner.vocabulary)]
    if list(found.shape) != shape:
        what = f"sequence_logits() gave {list(found.shape)}, not {shape}"
        yield Clause("sequence", False, what)
        return
    start = prefix.shape[1] - WORDS
    apart = 0.0
    for place in range(max(1, start), prefix.shape[1] + 1):
        part = prefix[:, :place]
        alone = called("logits", partial(captioner.logits, part, memory))
        apart = max(apart, apart_by(alone, found[:, place - 1]))
    # Scoring tries this itself and steps where it fails, so that it is worth a note and no more.
    fine = apart <= BATCH_TOLERANCE.value
    yield Clause(
        "sequence",
        True,
        "whole captions are scored at once"
        if fine
        else f"sequence_logits() lets words see later ones ({apart:.2g} of the scores' spread): "
        "captions are scored word by word",
        note=not fine,
    )


def sharing(captioner: Captioner, memory: Memory, prefix: Tensor) -> Iterator[Clause]:
    """Try two rows a clip over one memory where the captioner says that it takes them."""
    prepared = called("prepare", lambda: captioner.prepare(memory))
    if not captioner.shares_memory:
        return
    token = prefix[:, -1]
    one, state = called("open", lambda: captioner.open(prepared))
    axis = captioner.state_batch_dim
    double = _twice(state, axis)
    alone, _ = called("step", lambda: captioner.step(token, state, prepared))
    both = called("step", lambda: captioner.step(token.repeat_interleave(2), double, prepared))[0]
    fits = list(both.shape) == [2 * one.shape[0], one.shape[1]]
    apart = apart_by(alone.repeat_interleave(2, dim=0), both) if fits else float("inf")
    yield moved(
        "shares_memory",
        apart,
        "two rows of a clip over one memory score otherwise than one: leave shares_memory out",
        "rows of a clip share its memory",
    )


def _twice(value: Any, axis: int) -> Any:
    if isinstance(value, Tensor):
        return value.repeat_interleave(2, dim=axis) if value.ndim > axis else value
    if isinstance(value, dict):
        return {key: _twice(inner, axis) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_twice(inner, axis) for inner in value)
    return value


def prefix_matters(captioner: Captioner, memory: Memory, prefix: Tensor, scores: Tensor) -> Clause:
    """Compare what the captioner says of its prefix with what other words do to the scores."""
    other = try_prefix(captioner, prefix.shape[0], shift=0.5)
    if torch.equal(other, prefix):
        return Clause("autoregressive", True, "the vocabulary has no words to try", note=True)
    apart = apart_by(scores, called("logits", lambda: captioner.logits(other, memory)))
    if captioner.autoregressive:
        blind = apart <= BATCH_TOLERANCE.value
        what = "the words before do not move the scores" if blind else "scores follow the prefix"
        return Clause("autoregressive", True, what, note=blind)
    fine = apart <= BATCH_TOLERANCE.value
    what = "scores ignore the prefix, as said" if fine else "scores follow the prefix: say True"
    return Clause("autoregressive", fine, what)


def ending(captioner: Captioner, memory: Memory, count: int) -> Clause:
    """The end token must be possible within the longest caption."""
    prefix = start_prefix_of(captioner, count)
    memory = called("prepare", lambda: captioner.prepare(memory))
    state = called("start", lambda: captioner.start(memory))
    logits = torch.empty(0)
    for token in prefix.unbind(dim=1):
        logits, state = called("step", partial(captioner.step, token, state, memory))
    for place in range(captioner.max_length):
        if bool((logits[:, captioner.eos_id] > -torch.inf).any()):
            told = f"eos_id {captioner.eos_id} can come from word {place + 1} on"
            return Clause("end token", True, told)
        token = logits.argmax(dim=1)
        logits, state = called("step", partial(captioner.step, token, state, memory))
    return Clause(
        "end token", False, f"eos_id {captioner.eos_id} can never come: its score is -inf"
    )
