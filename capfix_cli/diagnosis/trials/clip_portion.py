"""A part of the clips whose memories are held, in as few chunks as their shapes allow."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence

import torch

from capfix_cli.decoding import nested_tensors as nested
from capfix_cli.decoding.decode import EncodedBatch


def portion(
    chunks: Sequence[EncodedBatch], wanted: Collection[str], dim: int
) -> list[EncodedBatch]:
    """Take the wanted clips; neighbours whose memories have one shape are put into one chunk.

    Args:
        chunks: memories of clips.
        wanted: names.
        dim: the axis of the memories' tensors that counts clips.
    """
    parts = [_part(chunk, wanted, dim) for chunk in chunks]
    most = max(len(chunk.names) for chunk in chunks)
    return _joined([part for part in parts if part.names], most, dim)


def ranked(names: Sequence[str], seed: int) -> list[str]:
    """Put clips in an order drawn by the seed: the first n are a sample, and of the next n + m."""

    def rank(name: str) -> bytes:
        text = f"{seed}/{name}".encode("utf-8", "surrogateescape")
        return hashlib.blake2b(text, digest_size=8).digest()

    return sorted(names, key=rank)


def _part(chunk: EncodedBatch, wanted: Collection[str], dim: int) -> EncodedBatch:
    """Take the wanted clips of a chunk."""
    rows = [row for row, name in enumerate(chunk.names) if name in wanted]
    if len(rows) == len(chunk.names):
        return chunk
    index = torch.tensor(rows, dtype=torch.long)
    memory = nested.select(chunk.memory, index, dim)
    return EncodedBatch(tuple(chunk.names[row] for row in rows), memory)


def _joined(parts: Sequence[EncodedBatch], most: int, dim: int) -> list[EncodedBatch]:
    """Join neighbours whose memories have one shape, up to ``most`` clips each."""
    found: list[EncodedBatch] = []
    for part in parts:
        if found and len(found[-1].names) + len(part.names) <= most:
            memory = nested.join([found[-1].memory, part.memory], dim)
            if memory is not None:
                found[-1] = EncodedBatch((*found[-1].names, *part.names), memory)
                continue
        found.append(part)
    return found
