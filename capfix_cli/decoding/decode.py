"""From memories to captions: one loop for greedy decoding and sampling; beams have their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from capfix_cli.captioners.base import Captioner, Memory
from capfix_cli.decoding import nested_tensors as nested
from capfix_cli.decoding.beam_search import beam_search
from capfix_cli.decoding.decoding_options import DecodingOptions
from capfix_cli.decoding.hypothesis import Hypothesis
from capfix_cli.decoding.hypothesis_rows import NextWord
from capfix_cli.decoding.null_audio import NullAudio, make_absent
from capfix_cli.decoding.reranking import best_candidates
from capfix_cli.decoding.token_sampling import UniformStream, draw
from capfix_cli.schemas.clip_records import ClipCaption

COMPACT_AT = 0.75  # clips are dropped once a quarter is finished: moving memories costs as well
MOST_SCORES = 2**26  # of words for all rows decoded side by side: 256 MiB in float32


@dataclass(frozen=True)
class EncodedBatch:
    """The memory of a batch of clips, encoded once and decoded as often as wanted.

    Attributes:
        names: the clips, in the order of the memory's rows.
        memory: as the captioner's ``encode`` gave it.
    """

    names: tuple[str, ...]
    memory: Memory


@torch.inference_mode()
def decode(
    captioner: Captioner,
    chunk: EncodedBatch,
    options: DecodingOptions,
    seed: int,
    absent: NullAudio | None = None,
) -> list[ClipCaption]:
    """Caption the clips of a chunk.

    Draws depend on the seed and on each clip's name alone, not on its batch: the same clip gets
    the same caption whatever it is decoded beside.

    Args:
        captioner: in eval mode.
        chunk: clips and their memory.
        options: how to decode.
        seed: of draws.
        absent: what stands for "no audio"; made of the chunk where it is needed and not given.

    Raises:
        CapfixError: a contrast with other clips, and the chunk has but one.
    """
    kind = options.absent_kind
    if absent is None and kind is not None:
        absent = make_absent(captioner, kind, chunk.memory, len(chunk.names), seed)
    size = max(1, MOST_SCORES // (options.rows * max(1, len(captioner.vocabulary))))
    captions: list[ClipCaption] = []
    for start in range(0, len(chunk.names), size):
        part = chunk
        if size < len(chunk.names):
            rows = torch.arange(start, min(start + size, len(chunk.names)))
            memory = nested.select(chunk.memory, rows, captioner.memory_batch_dim)
            part = EncodedBatch(chunk.names[start : start + size], memory)
        if options.num_beams > 1:
            found = beam_search(captioner, part.memory, len(part.names), options, absent)
        else:
            found = _word_by_word(captioner, part, options, seed, absent)
        if options.rerank is not None:
            found = best_candidates(captioner, part.memory, found, options, absent)
        captions += [
            _caption(captioner, name, own[: options.num_return_sequences])
            for name, own in zip(part.names, found, strict=True)
        ]
    return captions


def decode_all(
    captioner: Captioner,
    chunks: Iterable[EncodedBatch],
    options: DecodingOptions,
    seed: int,
    absent: NullAudio | None = None,
) -> Iterator[ClipCaption]:
    """Caption every clip of every chunk."""
    for chunk in chunks:
        yield from decode(captioner, chunk, options, seed, absent)


def _word_by_word(
    captioner: Captioner,
    chunk: EncodedBatch,
    options: DecodingOptions,
    seed: int,
    absent: NullAudio | None,
) -> list[list[Hypothesis]]:
    """Decode greedily or by sampling; [clips][rows a clip], in the order drawn."""
    clips, width, most = len(chunk.names), options.rows, options.longest(captioner.max_length)
    uniforms = UniformStream(chunk.names, width, most, seed) if options.do_sample else None
    running = NextWord(captioner, chunk.memory, clips, options, absent)
    running.widen(width)
    words = torch.full((clips * width, most), captioner.eos_id)
    total = torch.zeros(clips * width)
    rows = torch.arange(clips * width)  # which row of the result each running one is
    ended = torch.zeros(clips * width, dtype=torch.bool)
    for place in range(most):
        if uniforms is None:
            chosen = running.likeliest()
        else:
            chosen = draw(running.scores(), options, uniforms.at(place, rows))
        gained = running.log_probability_of(chosen).cpu()
        chosen_here = chosen.cpu()
        # Rows that ended are stepped on until their clip leaves: what they say counts no more.
        total[rows] += gained.masked_fill(ended[rows], 0.0)
        words[rows, place] = chosen_here.masked_fill(ended[rows], captioner.eos_id)
        ended[rows] |= chosen_here == captioner.eos_id
        if place + 1 == most:
            break
        over = ended[rows].view(-1, width).all(dim=1)
        if bool(over.all()):
            break
        if float(over.float().mean()) >= 1 - COMPACT_AT:
            alive = (~over).nonzero().squeeze(1)
            running.keep(alive)
            kept = (alive.unsqueeze(1) * width + torch.arange(width)).flatten()
            rows, chosen = rows[kept], chosen[kept.to(chosen.device)]
        running.step(chosen)
    return _found(words, total, ended, captioner.eos_id, width)


def _found(
    words: torch.Tensor, total: torch.Tensor, ended: torch.Tensor, eos_id: int, width: int
) -> list[list[Hypothesis]]:
    each = []
    for tokens, logprob, end in zip(words.tolist(), total.tolist(), ended.tolist(), strict=True):
        own = tokens[: tokens.index(eos_id)] if end else tokens
        each.append(Hypothesis(tuple(own), logprob, end, logprob))
    return [each[start : start + width] for start in range(0, len(each), width)]


def _caption(captioner: Captioner, name: str, own: Sequence[Hypothesis]) -> ClipCaption:
    captions = [
        ClipCaption(name, captioner.detokenize(list(f.tokens)), f.tokens, f.logprob, f.ended)
        for f in own
    ]
    return replace(captions[0], others=tuple(captions[1:]))
