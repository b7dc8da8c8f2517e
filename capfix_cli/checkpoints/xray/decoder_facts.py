"""What names and shapes of tensors say about the decoder: its kind, its depth, its width."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from capfix_cli.checkpoints.formats.tensor_info import TensorInfo
from capfix_cli.checkpoints.xray.encoder_facts import is_decoder, is_encoder
from capfix_cli.checkpoints.xray.transformer_blocks import CROSS_ATTENTION, attention_blocks
from capfix_cli.schemas.inspection_record import Fact

Tensors = Mapping[str, TensorInfo]

GATES = {"gru": 3, "lstm": 4, "rnn": 1}  # rows of weight_hh over the hidden width
_BLOCK = re.compile(r"^(.*?\.\d+)\.")  # the first numbered place of a name
_RECURRENT = re.compile(r"(?:^|\.)weight_hh(?:_l(\d+))?(_reverse)?$")
SHOWN = 3  # places in one piece of evidence


@dataclass(frozen=True)
class Recurrent:
    """One recurrent layer, from its two matrices."""

    name: str
    kind: str
    width: int
    inputs: int
    reverse: bool

    @property
    def stack(self) -> str:
        """``decoder.gru.weight_hh_l1`` -> ``decoder.gru``."""
        return self.name.rpartition(".")[0]

    @property
    def is_cell(self) -> bool:
        """Whether it is a cell that is stepped by hand: its names carry no number of a layer."""
        return self.name.endswith("weight_hh")


@dataclass(frozen=True)
class Decoder:
    """What was found of a decoder.

    Attributes:
        recurrent: its recurrent layers, none of which reads backwards.
        cross: names in its attentions over an encoder.
        language: attentions of a language model that attends to nothing but its own tokens, each
            with its first tensor.
        named: whether the names of that model say that it is a decoder.
    """

    recurrent: tuple[Recurrent, ...]
    cross: tuple[str, ...]
    language: Mapping[str, str]
    named: bool

    @property
    def blocks(self) -> set[str]:
        """Places of its blocks and recurrent stacks."""
        places = {layer.stack for layer in self.recurrent}
        attentions = [*self.cross, *self.language.values()]
        return places | {match.group(1) for name in attentions if (match := _BLOCK.search(name))}


def find_decoder(tensors: Tensors, embedding: TensorInfo | None) -> Decoder:
    """Find the decoder's layers by what they do, then by what they are called."""
    layers = recurrent_layers(tensors)
    # A bidirectional stack reads what is all there: it is an encoder whatever its name.
    both_ways = {layer.stack for layer in layers if layer.reverse}
    recurrent = tuple(
        layer
        for layer in layers
        if layer.stack not in both_ways
        and (not is_encoder(layer.name) or _takes_words(layer, layers, embedding))
    )
    cross = tuple(name for name in tensors if _crosses(name, tensors))
    if recurrent or cross:
        return Decoder(recurrent, cross, {}, named=False)
    own = attention_blocks({n: t for n, t in tensors.items() if is_decoder(n)})
    return Decoder((), (), own or _lone_stack(tensors, embedding), named=bool(own))


def _takes_words(
    layer: Recurrent, layers: Sequence[Recurrent], embedding: TensorInfo | None
) -> bool:
    """Say whether a cell takes a word and states of cells, whatever it is called.

    The first of two stacked cells of a decoder is "the encoder" of some.
    """
    if not layer.is_cell or embedding is None or len(layers) < 2:
        return False
    beyond = layer.inputs - embedding.shape[1]
    widths = {other.width for other in layers}
    return beyond > 0 and any(beyond % width == 0 for width in widths)


def _crosses(name: str, tensors: Tensors) -> bool:
    """Say whether a name is in an attention over an encoder.

    PyTorch calls it ``multihead_attn``, which people call any attention: there the one over its
    own words must stand beside it.
    """
    match = CROSS_ATTENTION.search(name)
    if match is None:
        return False
    if match[0].lower() != "multihead_attn":
        return True
    beside = f"{name[: match.start()]}self_attn."
    return any(other.startswith(beside) for other in tensors)


def _lone_stack(tensors: Tensors, embedding: TensorInfo | None) -> dict[str, str]:
    """Find blocks that stand with a word embedding and nothing else: a language model's.

    GPT-2's and Llama's names do not say that they decode.
    """
    if embedding is None or any(map(is_encoder, tensors)):
        return {}
    blocks = attention_blocks(tensors)
    stacks = {
        match.group(1).rpartition(".")[0] for n in blocks if (match := _BLOCK.search(f"{n}."))
    }
    kernels = any(len(t.shape) in {3, 4} and t.shape[-1] > 1 for t in _weights(tensors))
    root = embedding.name.rpartition(".")[0].rpartition(".")[0]  # model.embed_tokens -> model
    beside = all(stack.startswith(f"{root}.") if root else True for stack in stacks)
    return blocks if len(stacks) == 1 and beside and not kernels else {}


def _weights(tensors: Tensors) -> list[TensorInfo]:
    return [tensor for name, tensor in tensors.items() if name.endswith("weight")]


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


def decoder_facts(
    tensors: Tensors, decoder: Decoder, embedding: TensorInfo | None
) -> dict[str, Fact]:
    """State kind, depth and width, or why they cannot be stated."""
    if decoder.cross:
        return _cross_attending(tensors, decoder.cross)
    if decoder.recurrent:
        return _recurrent(tensors, decoder.recurrent, embedding)
    if decoder.language:  # it takes the audio among its tokens, or none
        width = None if embedding is None else embedding.shape[1]
        first = next(iter(decoder.language.values()))
        unnamed = "the only blocks stand beside a word embedding, and nothing is named an encoder"
        why = (first,) if decoder.named else (first, unnamed)
        return {
            "decoder.kind": Fact("transformer", 0.7 if decoder.named else 0.5, why),
            "decoder.layers": Fact(
                len(decoder.language), 0.8, tuple(list(decoder.language)[:SHOWN])
            ),
            "decoder.width": Fact(width, 0.6, (first,)),
        }
    why = ("neither recurrent weights nor attention were found in a decoder",)
    none = "none" if tensors and embedding is None and _has_layers(tensors) else None
    return {
        "decoder.kind": Fact(none, 0.4 if none else 0.0, why),
        "decoder.layers": Fact(None, 0.0, why),
        "decoder.width": Fact(None, 0.0, why),
    }


def _has_layers(tensors: Tensors) -> bool:
    """Say whether there are layers of an encoder at all: of a lone matrix nothing is known."""
    kernels = any(len(t.shape) in {3, 4} and t.shape[-1] > 1 for t in _weights(tensors))
    return kernels or bool(attention_blocks(tensors)) or bool(recurrent_layers(tensors))


def _cross_attending(tensors: Tensors, cross: tuple[str, ...]) -> dict[str, Fact]:
    blocks = {match.group(1) for name in cross if (match := _BLOCK.search(name))}
    width = next(
        (t.shape[-1] for n, t in tensors.items() if n in set(cross) and len(t.shape) == 2), None
    )
    return {
        "decoder.kind": Fact("transformer", 0.9, cross[:1]),
        "decoder.layers": Fact(len(blocks) or None, 0.8, tuple(sorted(blocks)[:SHOWN])),
        "decoder.width": Fact(width, 0.8, cross[:1]),
    }


def scores_words(tensors: Tensors, width: int) -> bool:
    """Say whether some layer turns a state of that width into many scores."""
    return any(
        t.shape[:2] == (t.shape[0], width) and t.shape[0] > width // 2
        for n, t in tensors.items()
        if len(t.shape) >= 2
        and re.search(r"(weight|weight_v|original1)$", n)
        and not re.search(r"weight_[ih]h|att", n, re.IGNORECASE)
    )


def _recurrent(
    tensors: Tensors, layers: Sequence[Recurrent], embedding: TensorInfo | None
) -> dict[str, Fact]:
    last = layers[-1]
    rows = f"{last.name}: {GATES[last.kind]} x {last.width} rows"
    worded = embedding is not None and layers[0].inputs >= embedding.shape[1]
    named = all(is_decoder(layer.name) for layer in layers)
    sure = 0.9 if scores_words(tensors, last.width) and (worded or named) else 0.6
    stacks = list(dict.fromkeys(layer.stack for layer in layers))
    cells = [layer for layer in layers if layer.is_cell]
    if len(stacks) == 1:
        depth = Fact(len(layers), sure, tuple(layer.name for layer in layers))
    elif len(cells) == len(layers):  # cells are stepped one after the other
        depth = Fact(len(layers), 0.8, tuple(layer.name for layer in layers[:SHOWN]))
    else:
        sure = min(sure, 0.8)
        why = f"{' and '.join(stacks[:SHOWN])} may all be its own, or the first an encoder"
        depth = Fact(None, 0.0, (why,))
    return {
        "decoder.kind": Fact(last.kind, sure, (rows,)),
        "decoder.layers": depth,
        "decoder.width": Fact(last.width, sure, (last.name,)),
    }
