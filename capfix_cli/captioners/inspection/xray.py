"""The X-ray of the decoder: what names and shapes say about it, and what they cannot say.

Everything here is a hypothesis from shapes, with the tensors behind it. What shapes leave open has
the value None and says why: whether time is pooled, whether attention is causal, and which token
ids are special are invisible in weights.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from capfix_cli.captioners.inspection.encoder import (
    CROSS_ATTENTION,
    DECODER_WORDS,
    attention_blocks,
    is_encoder,
    read_encoder,
)
from capfix_cli.captioners.inspection.tensors import TensorInfo
from capfix_cli.records import Fact

Tensors = Mapping[str, TensorInfo]

GATES = {"gru": 3, "lstm": 4, "rnn": 1}  # rows of weight_hh over the hidden width
_BLOCK = re.compile(r"^(.*?\.\d+)\.")  # the first numbered place of a name
_RECURRENT = re.compile(r"(?:^|\.)weight_hh(?:_l(\d+))?(_reverse)?$")


@dataclass(frozen=True)
class Recurrent:
    """One recurrent layer, from its two matrices."""

    name: str
    kind: str
    width: int
    inputs: int
    reverse: bool


def read_architecture(tensors: Tensors) -> dict[str, Fact]:
    """State every fact that names and shapes support, by fact id."""
    layers = recurrent_layers(tensors)
    decoder = [layer for layer in layers if not is_encoder(layer.name) and not layer.reverse]
    # A bidirectional stack reads what is all there: it is an encoder whatever its name.
    both_ways = {layer.name.rpartition(".")[0] for layer in layers if layer.reverse}
    decoder = [layer for layer in decoder if layer.name.rpartition(".")[0] not in both_ways]
    embedding = find_embedding(tensors)
    cross = [name for name in tensors if CROSS_ATTENTION.search(name)]
    facts = {
        "embedding.width": _embedding_width(embedding),
        "vocabulary.size": _vocabulary(tensors, embedding),
        "output.tied": _tied(tensors, embedding),
        **_decoder(tensors, decoder, cross),
        "conditioning": _conditioning(tensors, decoder, embedding, cross),
        "autoregressive": _autoregressive(embedding, decoder, cross),
        **read_encoder(tensors, _of_decoder(tensors, decoder, embedding, cross)),
    }
    return dict(sorted(facts.items()))


def _of_decoder(
    tensors: Tensors,
    decoder: Sequence[Recurrent],
    embedding: TensorInfo | None,
    cross: Sequence[str],
) -> set[str]:
    """Name what is the decoder's by what it does, whatever it is called."""
    places = {_stack(layer.name) for layer in decoder}
    places |= {match.group(1) for name in cross if (match := _BLOCK.search(name))}
    if embedding is not None:
        tables = [embedding, *_heads(tensors, embedding.shape[0])]
        places |= {table.name.rpartition(".")[0] for table in tables}
    attention = set(_lone_attention(tensors)) if decoder else set()
    return attention | {n for n in tensors if any(n.startswith(f"{place}.") for place in places)}


def _lone_attention(tensors: Tensors) -> list[str]:
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


def recurrent_layers(tensors: Tensors) -> list[Recurrent]:
    """Find GRU, LSTM and RNN layers and cells: weight_hh is [gates x H, H]."""
    found = []
    for name, tensor in tensors.items():
        match = _RECURRENT.search(name)
        if match is None or len(tensor.shape) != 2 or not tensor.shape[1]:
            continue
        gates = tensor.shape[0] // tensor.shape[1]
        kind = next((kind for kind, count in GATES.items() if count == gates), None)
        inputs = tensors.get(name.replace("weight_hh", "weight_ih"))
        if kind and inputs is not None and len(inputs.shape) == 2:
            width = tensor.shape[1]
            found.append(Recurrent(name, kind, width, inputs.shape[1], bool(match.group(2))))
    return found


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


def _heads(tensors: Tensors, rows: int) -> list[TensorInfo]:
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
        heads = [t for t in _heads(tensors, embedding.shape[0]) if t.name != embedding.name]
        sure = 0.95 if heads else 0.8
        return _fact(embedding.shape[0], sure, _shown(embedding), *map(_shown, heads[:1]))
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
    others = [t for t in _heads(tensors, embedding.shape[0]) if t.name != embedding.name]
    if not others:
        return _fact(
            True,
            0.6,
            f"no second matrix has {embedding.shape[0]} rows, so words are scored by"
            f" {embedding.name}",
        )
    same = [t for t in others if t.location is not None and t.location == embedding.location]
    if same:
        return _fact(True, 0.95, f"{same[0].name} and {embedding.name} share their storage")
    return _fact(False, 0.7, f"{_shown(others[-1])} stands beside {embedding.name}")


def _decoder(
    tensors: Tensors, decoder: Sequence[Recurrent], cross: Sequence[str]
) -> dict[str, Fact]:
    if cross:
        blocks = {match.group(1) for name in cross if (match := _BLOCK.search(name))}
        width = next(
            (t.shape[-1] for n, t in tensors.items() if n in set(cross) and len(t.shape) == 2), None
        )
        return {
            "decoder.kind": _fact("transformer", 0.9, cross[0]),
            "decoder.layers": _fact(len(blocks) or None, 0.8, *sorted(blocks)[:3]),
            "decoder.width": _fact(width, 0.8, cross[0]),
        }
    if decoder:
        last = decoder[-1]
        stack = [layer for layer in decoder if _stack(layer.name) == _stack(last.name)]
        return {
            "decoder.kind": _fact(
                last.kind, 0.9, f"{last.name}: {GATES[last.kind]} x {last.width} rows"
            ),
            "decoder.layers": _fact(len(stack), 0.9, *(layer.name for layer in stack)),
            "decoder.width": _fact(last.width, 0.9, last.name),
        }
    own = attention_blocks({n: t for n, t in tensors.items() if DECODER_WORDS.search(n)})
    if own:  # a language model that takes the audio among its tokens
        embedding = find_embedding(tensors)
        width = None if embedding is None else embedding.shape[1]
        first = next(iter(own.values()))
        return {
            "decoder.kind": _fact("transformer", 0.7, first),
            "decoder.layers": _fact(len(own), 0.8, *list(own)[:3]),
            "decoder.width": _fact(width, 0.6, first),
        }
    why = "neither recurrent weights nor attention were found in a decoder"
    return {
        "decoder.kind": _fact("none" if tensors else None, 0.4, why),
        "decoder.layers": _fact(None, 0.0, why),
        "decoder.width": _fact(None, 0.0, why),
    }


def _stack(name: str) -> str:
    """``decoder.gru.weight_hh_l1`` -> ``decoder.gru``."""
    return name.rpartition(".")[0]


def _conditioning(
    tensors: Tensors,
    decoder: Sequence[Recurrent],
    embedding: TensorInfo | None,
    cross: Sequence[str],
) -> Fact:
    if cross:
        return _fact("cross-attention", 0.9, cross[0])
    attention = _lone_attention(tensors)
    if attention and decoder:
        return _fact("additive-attention", 0.7, *attention[:2])
    if not decoder or embedding is None:
        return _fact(None, 0.0, "needs a recurrent decoder and an embedding to compare")
    first = decoder[0]
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


def _autoregressive(
    embedding: TensorInfo | None, decoder: Sequence[Recurrent], cross: Sequence[str]
) -> Fact:
    if embedding is not None:
        return _fact(True, 0.8, f"{embedding.name} takes words")
    if decoder and not cross:
        return _fact(False, 0.6, "a recurrent decoder without an embedding never sees a word")
    return _fact(None, 0.0, "no embedding was found, and no recurrent decoder")
