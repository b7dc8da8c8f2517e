"""The X-ray of the decoder: what names and shapes say about it, and what they cannot say.

Everything here is a hypothesis from shapes, with the tensors behind it. What shapes leave open has
the value None and says why: whether time is pooled, whether attention is causal, and which token
ids are special are invisible in weights.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from capfix_cli.checkpoints.formats.tensor_info import TensorInfo
from capfix_cli.checkpoints.xray.decoder_facts import (
    Decoder,
    Recurrent,
    decoder_facts,
    find_decoder,
    recurrent_layers,
)
from capfix_cli.checkpoints.xray.encoder_facts import is_encoder, read_encoder
from capfix_cli.checkpoints.xray.transformer_blocks import attention_blocks
from capfix_cli.schemas.inspection_record import Fact

__all__ = [
    "find_embedding",
    "find_heads",
    "lone_attention",
    "read_architecture",
    "recurrent_layers",
]

Tensors = Mapping[str, TensorInfo]


def read_architecture(tensors: Tensors) -> dict[str, Fact]:
    """State every fact that names and shapes support, by fact id."""
    embedding = find_embedding(tensors)
    decoder = find_decoder(tensors, embedding)
    facts = {
        "embedding.width": _embedding_width(embedding),
        "vocabulary.size": _vocabulary(tensors, embedding),
        "output.tied": _tied(tensors, embedding),
        **decoder_facts(tensors, decoder, embedding),
        "conditioning": _conditioning(tensors, decoder, embedding),
        "autoregressive": _autoregressive(embedding, decoder),
        **read_encoder(tensors, _of_decoder(tensors, decoder, embedding)),
    }
    return dict(sorted(facts.items()))


def _of_decoder(tensors: Tensors, decoder: Decoder, embedding: TensorInfo | None) -> set[str]:
    """Name what is the decoder's by what it does, whatever it is called."""
    places = decoder.blocks
    if embedding is not None:
        tables = [embedding, *find_heads(tensors, embedding.shape[0])]
        places |= {table.name.rpartition(".")[0] for table in tables}
        root = embedding.name.rpartition(".")[0].rpartition(".")[0]
        if root and decoder.language and not decoder.named:
            places.add(root)  # positions and final norms stand there too
    attention = set(lone_attention(tensors)) if decoder.recurrent else set()
    return attention | {n for n in tensors if any(n.startswith(f"{place}.") for place in places)}


def lone_attention(tensors: Tensors) -> list[str]:
    """Name what belongs to an attention outside encoders and Transformer blocks."""
    blocks = tuple(f"{place}." for place in attention_blocks(tensors))
    return [
        name
        for name in tensors
        if re.search(r"att", name, re.IGNORECASE)
        and not is_encoder(name)
        and not name.startswith(blocks)
    ]


def _fact(value: object, confidence: float, *evidence: str) -> Fact:
    plain = value if isinstance(value, str | int | float | bool) else None
    return Fact(plain, confidence, tuple(evidence))


def _shown(tensor: TensorInfo) -> str:
    return f"{tensor.name} {list(tensor.shape)}"


def find_embedding(tensors: Tensors) -> TensorInfo | None:
    """Find the word embedding: a matrix named like one; positions and relative ones are not."""
    named = [
        tensor
        for name, tensor in tensors.items()
        if len(tensor.shape) == 2
        and re.search(r"emb|shared\.weight|wte|lookup", name, re.IGNORECASE)
        and not re.search(r"pos|relative|segment|type|norm|proj", name, re.IGNORECASE)
    ]
    decoding = [tensor for tensor in named if not is_encoder(tensor.name)]
    return max(decoding or named, key=lambda tensor: tensor.shape[0], default=None)


def find_heads(tensors: Tensors, rows: int) -> list[TensorInfo]:
    """Find matrices that could score that many words, the last named one last."""
    return [
        tensor
        for name, tensor in tensors.items()
        if len(tensor.shape) == 2
        and tensor.shape[0] == rows
        and name.endswith("weight")
        # A width may equal the number of words by chance: parts of repeated layers are no heads.
        and not re.search(r"attn|attention|(layers?|blocks?|h)\.\d+\.|weight_[ih]h", name)
        and not is_encoder(name)
    ]


def _embedding_width(embedding: TensorInfo | None) -> Fact:
    if embedding is None:
        return _fact(None, 0.0, "no matrix is named like an embedding")
    return _fact(embedding.shape[1], 0.9, _shown(embedding))


def _vocabulary(tensors: Tensors, embedding: TensorInfo | None) -> Fact:
    if embedding is not None:
        heads = [t for t in find_heads(tensors, embedding.shape[0]) if t.name != embedding.name]
        sure = 0.95 if heads else 0.8
        return _fact(embedding.shape[0], sure, _shown(embedding), *map(_shown, heads[-1:]))
    named = [
        tensor
        for name, tensor in tensors.items()
        if len(tensor.shape) == 2
        and re.search(r"classif|out|fc|vocab|generator|head", name, re.IGNORECASE)
    ]
    if not named:
        return _fact(None, 0.0, "neither an embedding nor an output layer is named like one")
    head = named[-1]
    return _fact(head.shape[0], 0.5, f"{_shown(head)}, named like an output layer")


def _tied(tensors: Tensors, embedding: TensorInfo | None) -> Fact:
    if embedding is None:
        return _fact(None, 0.0, "there is no embedding to share")
    others = [t for t in find_heads(tensors, embedding.shape[0]) if t.name != embedding.name]
    if not others:
        return _fact(
            True,
            0.6,
            f"no second matrix has {embedding.shape[0]} rows, so words are scored by"
            f" {embedding.name}",
        )
    same = [t for t in others if t.location is not None and t.location == embedding.location]
    if same:
        return _fact(True, 0.95, f"{same[-1].name} and {embedding.name} share their storage")
    return _fact(False, 0.7, f"{_shown(others[-1])} stands beside {embedding.name}")


def _conditioning(tensors: Tensors, decoder: Decoder, embedding: TensorInfo | None) -> Fact:
    if decoder.cross:
        return _fact("cross-attention", 0.9, decoder.cross[0])
    attention = lone_attention(tensors)
    if attention and decoder.recurrent:
        return _fact("additive-attention", 0.7, *attention[:2])
    if decoder.language:
        return _fact(None, 0.0, "it attends to its own tokens alone: audio, if any, is among them")
    if not decoder.recurrent or embedding is None:
        return _fact(None, 0.0, "needs a recurrent decoder and an embedding to compare")
    return _compared(decoder.recurrent[0], embedding)


def _compared(first: Recurrent, embedding: TensorInfo) -> Fact:
    """Say what the first recurrent layer takes beyond a word."""
    width = embedding.shape[1]
    compared = f"{first.name.replace('_hh', '_ih')} takes {first.inputs}, embeddings have {width}"
    if first.inputs == width:
        return _fact(
            "not-concatenated",
            0.8,
            compared,
            "the audio may come in the first state, as first token, or after the recurrence",
        )
    if first.inputs > width:
        return _fact("concatenated", 0.8, f"{compared}: {first.inputs - width} are something else")
    return _fact(None, 0.0, compared)


def _autoregressive(embedding: TensorInfo | None, decoder: Decoder) -> Fact:
    if embedding is not None:
        return _fact(True, 0.8, f"{embedding.name} takes words")
    if decoder.recurrent and not decoder.cross:
        return _fact(False, 0.6, "a recurrent decoder without an embedding never sees a word")
    return _fact(None, 0.0, "no embedding was found, and no recurrent decoder")
