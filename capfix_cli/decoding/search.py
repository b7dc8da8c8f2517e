"""From memories to captions: greedy decoding and sampling, a batch of clips at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from capfix_cli.captioners.base import Captioner, Memory
from capfix_cli.decoding.beam import beam_search
from capfix_cli.decoding.nextword import NextWord
from capfix_cli.decoding.options import DecodingOptions
from capfix_cli.records import ClipCaption

COMPACT_AT = 0.75  # rows are dropped once a quarter is finished: moving memories costs as well


@dataclass(frozen=True)
class Chunk:
    """The memory of a batch of clips, encoded once and decoded as often as wanted.

    Attributes:
        names: the clips, in the order of the memory's rows.
        memory: as the captioner's ``encode`` gave it.
    """

    names: tuple[str, ...]
    memory: Memory


@torch.inference_mode()
def decode(
    captioner: Captioner, chunk: Chunk, options: DecodingOptions, seed: int
) -> list[ClipCaption]:
    """Caption the clips of a chunk.

    Draws depend on the seed and on each clip's name alone, not on its batch: the same clip gets
    the same caption whatever it is decoded beside.
    """
    if options.num_beams > 1:
        found = beam_search(captioner, chunk.memory, len(chunk.names), options)
        return [
            _caption(captioner, name, tokens, logprob, ended)
            for name, (tokens, logprob, ended) in zip(chunk.names, found, strict=True)
        ]
    return _word_by_word(captioner, chunk, options, seed)


def decode_all(
    captioner: Captioner, chunks: Iterable[Chunk], options: DecodingOptions, seed: int
) -> Iterator[ClipCaption]:
    """Caption every clip of every chunk."""
    for chunk in chunks:
        yield from decode(captioner, chunk, options, seed)


def _word_by_word(
    captioner: Captioner, chunk: Chunk, options: DecodingOptions, seed: int
) -> list[ClipCaption]:
    names = chunk.names
    tokens: list[list[int]] = [[] for _ in names]
    ended = [False] * len(names)
    total = np.zeros(len(names))
    draws = _uniforms(names, captioner.max_length, seed) if options.do_sample else None
    running = NextWord(captioner, chunk.memory, len(names), options)
    rows = np.arange(len(names))  # which clip each row of the running state belongs to
    done = np.zeros(len(names), dtype=bool)  # by row
    heard, scores = running.open()
    for position in range(captioner.max_length):
        chosen = scores.argmax(dim=1) if draws is None else _draw(scores, draws[rows, position])
        logprob = heard.gather(1, chosen.unsqueeze(1)).squeeze(1).cpu().numpy()
        for row, token in enumerate(chosen.tolist()):
            if done[row]:
                continue
            clip = rows[row]
            total[clip] += logprob[row]
            if token == captioner.eos_id:
                done[row] = ended[clip] = True
            else:
                tokens[clip].append(token)
        if done.all() or position + 1 == captioner.max_length:
            break
        if (~done).mean() <= COMPACT_AT:
            alive = torch.from_numpy(np.flatnonzero(~done))
            running.keep(alive)
            chosen, rows, done = chosen[alive], rows[~done], done[~done]
        heard, scores = running.step(chosen)
    return [
        _caption(captioner, name, tokens[clip], float(total[clip]), ended[clip])
        for clip, name in enumerate(names)
    ]


def _caption(
    captioner: Captioner, name: str, tokens: Sequence[int], logprob: float, ended: bool
) -> ClipCaption:
    return ClipCaption(name, captioner.detokenize(tokens), tuple(tokens), logprob, ended)


def _uniforms(names: Sequence[str], steps: int, seed: int) -> NDArray[np.float64]:
    """[B, steps] numbers in [0, 1), each row from the seed and the clip's name alone."""
    rows = []
    for name in names:
        digest = hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()
        generator = np.random.default_rng([seed, int.from_bytes(digest, "little")])
        rows.append(generator.random(steps))
    return np.stack(rows)


def _draw(scores: Tensor, uniforms: NDArray[np.float64]) -> Tensor:
    """Sample a word a row by inverting the cumulated distribution at the given uniforms.

    Shape: [B, V] scores and [B] uniforms -> [B] words.
    """
    cumulated = scores.double().softmax(dim=1).cumsum(dim=1)
    place = torch.from_numpy(uniforms).to(scores.device).unsqueeze(1) * cumulated[:, -1:]
    # right=True skips words of probability 0, whose cumulated value equals their predecessor's.
    return (
        torch.searchsorted(cumulated, place, right=True).squeeze(1).clamp_max(scores.shape[1] - 1)
    )
