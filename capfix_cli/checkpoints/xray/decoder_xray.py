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
FEWER_SAID = 4  # special tokens that an output layer may leave out: pad, sos, unk, mask


def read_architecture(tensors: Tensors) -> dict[str, Fact]:
    """State every fact that names and shapes support, by fact id."""
    embedding = find_embedding(tensors)
    decoder = find_decoder(tensors, embedding)
    facts = {
        "embedding.width": _embedding_width(embedding),
        "vocabulary.size": _vocabulary(tensors, embedding, decoder),
        "output.tied": _tied(tensors, embedding),
        **decoder_facts(tensors, decoder, embedding),
        "conditioning": _conditioning(tensors, decoder, embedding),
        "autoregressive": _autoregressive(tensors, embedding, decoder),
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


_CODES = re.compile(r"vq|codebook|quanti[sz]|codevector|(^|[._])ema([._]|$)", re.IGNORECASE)


def find_embedding(tensors: Tensors) -> TensorInfo | None:
    """Find the word embedding: a matrix named like one; positions and codebooks are not.

    Where none is named so, a lone matrix is one that has as many rows as a layer with a bias.
    """
    codes = {
        name.rpartition(".")[0]
        for name in tensors
        if re.search(r"(_ema_|cluster_size|ema_w)", name)
    }
    named = [
        tensor
        for name, tensor in tensors.items()
        if len(tensor.shape) == 2
        and re.search(r"emb|shared\.weight|wte|lookup", name, re.IGNORECASE)
        and not re.search(r"pos|relative|segment|type|norm|proj|patch", name, re.IGNORECASE)
        and not _CODES.search(name)
        and not any(name.startswith(f"{place}.") for place in codes)
        and name.rpartition(".")[0] + ".bias" not in tensors
    ] or _lone_tables(tensors)
    decoding = [tensor for tensor in named if not is_encoder(tensor.name)]
    return max(decoding or named, key=lambda tensor: tensor.shape[0], default=None)


def _lone_tables(tensors: Tensors) -> list[TensorInfo]:
    places: dict[str, list[TensorInfo]] = {}
    for name, tensor in tensors.items():
        places.setdefault(name.rpartition(".")[0], []).append(tensor)
    biased = {part[0].shape[0] for part in places.values() if len(part) == 2 and part[0].shape}
    return [
        part[0]
        for part in places.values()
        if len(part) == 1
        and len(part[0].shape) == 2
        and part[0].name.endswith("weight")
        and part[0].shape[0] in biased
        and part[0].shape[0] > part[0].shape[1]
        and not is_encoder(part[0].name)
        and not re.search(r"att|pos|query|key|value", part[0].name, re.IGNORECASE)
        and not _CODES.search(part[0].name)
    ]


def find_heads(tensors: Tensors, rows: int) -> list[TensorInfo]:
    """Find matrices that could score that many words, the last named one last."""
    return [
        tensor
        for name, tensor in tensors.items()
        if len(tensor.shape) in {2, 3, 4}
        and tensor.shape[0] == rows
        and tensor.shape[1] > 1
        and all(size == 1 for size in tensor.shape[2:])  # a convolution of width 1 scores as well
        and name.endswith(("weight", "weight_v", "weight.original1"))
        # A width may equal the number of words by chance: parts of repeated layers are no heads.
        and not re.search(r"attn|attention|(layers?|blocks?|h)\.\d+\.|weight_[ih]h", name)
        and not is_encoder(name)
    ]


def _embedding_width(embedding: TensorInfo | None) -> Fact:
    if embedding is None:
        return _fact(None, 0.0, "no matrix is named like an embedding")
    return _fact(embedding.shape[1], 0.9, _shown(embedding))


def _vocabulary(tensors: Tensors, embedding: TensorInfo | None, decoder: Decoder) -> Fact:
    if embedding is not None:
        heads = [t for t in find_heads(tensors, embedding.shape[0]) if t.name != embedding.name]
        sure = 0.95 if heads else 0.8
        near = [] if heads else _almost(tensors, embedding.shape[0])
        if near:
            sure, heads = 0.6, near
        return _fact(embedding.shape[0], sure, _shown(embedding), *map(_shown, heads[-1:]))
    if not decoder.blocks:
        return _fact(None, 0.0, "there is neither an embedding nor a decoder")
    named = _outputs(tensors, decoder)
    if not named:
        return _fact(None, 0.0, "neither an embedding nor an output layer is named like one")
    head = named[-1]
    return _fact(head.shape[0], 0.5, f"{_shown(head)}, named like an output layer")


def _outputs(tensors: Tensors, decoder: Decoder) -> list[TensorInfo]:
    """Find matrices named like an output layer that take what the decoder gives."""
    width = decoder.recurrent[-1].width if decoder.recurrent else None
    return [
        tensor
        for name, tensor in tensors.items()
        if len(tensor.shape) == 2
        and re.search(r"classif|out|fc|vocab|generator|head|proj|linear", name, re.IGNORECASE)
        and (width is None or tensor.shape[1] == width)
        and not is_encoder(name)
    ]


def _almost(tensors: Tensors, rows: int) -> list[TensorInfo]:
    """Find layers that score nearly as many words: those that are never said have no row."""
    return [
        tensor for fewer in range(1, FEWER_SAID + 1) for tensor in find_heads(tensors, rows - fewer)
    ]


def _tied(tensors: Tensors, embedding: TensorInfo | None) -> Fact:
    if embedding is None:
        return _fact(None, 0.0, "there is no embedding to share")
    others = [t for t in find_heads(tensors, embedding.shape[0]) if t.name != embedding.name]
    if not others:
        near = _almost(tensors, embedding.shape[0])
        if near:
            return _fact(False, 0.6, f"{_shown(near[-1])} may score all words but a few")
        return _fact(
            None,
            0.0,
            f"no second matrix has {embedding.shape[0]} rows: words are scored by"
            f" {embedding.name}, by parts of an output, or elsewhere",
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
        several = any(re.search(r"in_proj|[qkv]_proj", name) for name in attention)
        first = decoder.recurrent[0]
        wider = embedding is None or first.inputs > embedding.shape[1] or len(decoder.recurrent) > 1
        kind = "attention" if several else "additive-attention"
        return _fact(kind, 0.7 if wider else 0.5, *attention[:2])
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


def _autoregressive(tensors: Tensors, embedding: TensorInfo | None, decoder: Decoder) -> Fact:
    """Say whether words are fed back; vectors of words may come from outside the checkpoint."""
    recurrent = decoder.recurrent and not decoder.cross
    if embedding is not None:
        used = find_heads(tensors, embedding.shape[0]) != [embedding] or decoder.blocks
        return _fact(True, 0.8 if used else 0.5, f"{embedding.name} takes words")
    if not recurrent:
        return _fact(None, 0.0, "no embedding was found, and no recurrent decoder")
    first = decoder.recurrent[0]
    scored = [t for t in _outputs(tensors, decoder) if t.shape[0] == first.inputs]
    takes = f"{first.name.replace('_hh', '_ih')} takes {first.inputs}"
    if scored:
        return _fact(True, 0.7, f"{takes}, as many as {_shown(scored[-1])} scores: words one-hot")
    whole = _outputs_of_encoder(tensors)
    if first.inputs in whole:
        return _fact(False, 0.6, f"{takes}, as {whole[first.inputs]} gives, and no embedding")
    return _fact(None, 0.0, f"{takes}: words may be fed as vectors from outside the checkpoint")


def _outputs_of_encoder(tensors: Tensors) -> dict[int, str]:
    """Give the widths that recurrent encoders give out, both directions together."""
    layers = [layer for layer in recurrent_layers(tensors) if is_encoder(layer.name)]
    both = {layer.stack for layer in layers if layer.reverse}
    return {layer.width * (2 if layer.stack in both else 1): layer.stack for layer in layers}
