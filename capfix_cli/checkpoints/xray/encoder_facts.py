"""What names and shapes of tensors say about the encoder: its kind, its depth, its layers."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from capfix_cli.checkpoints.formats.tensor_info import TensorInfo
from capfix_cli.checkpoints.xray.initial_layers import FRONT_END
from capfix_cli.checkpoints.xray.transformer_blocks import attention_blocks
from capfix_cli.schemas.inspection_record import Fact

Tensors = Mapping[str, TensorInfo]

DECODER_WORDS = re.compile(
    r"dec|caption|lang|word|text|speller|generator|gpt|llama|(^|[._])(lm|llm)([._]|$)",
    re.IGNORECASE,
)
# Not the "enc" in sequence and frequency, nor an attention over an encoder's states.
ENCODER_WORDS = re.compile(
    r"(?<![a-z])enc|encoder(?!_attn|_attention)|audio|cnn|conv_?block|feature|backbone|resnet"
    r"|htsat|swin|wav2vec|hubert|beats",
    re.IGNORECASE,
)
_ENCODER_PART = re.compile(r"^_*([a-z\d]+_)*enc(oder)?s?_?\d*_*$", re.IGNORECASE)
_DECODER_PART = re.compile(r"^_*([a-z\d]+_)*dec(oder)?s?_?\d*_*$", re.IGNORECASE)
_RECURRENT = re.compile(r"(^|\.)weight_hh(_l\d+)?$")
_SHORTCUT = re.compile(r"downsample|shortcut|residual|skip", re.IGNORECASE)
SHOWN = 3  # tensors in one piece of evidence


def role_of_place(name: str) -> str:
    """Say whose a tensor is by its place: ``encoder``, ``decoder``, or neither of them.

    A part that is called encoder or decoder decides for all below it; of words that only hint at
    one, the last counts, for wrappers are named after the whole: captioner, text_model, lm.
    """
    hint = ""
    for piece in name.split(".")[:-1]:
        if _ENCODER_PART.match(piece):
            return "encoder"
        if _DECODER_PART.match(piece):
            return "decoder"
        decoding, encoding = DECODER_WORDS.search(piece), ENCODER_WORDS.search(piece)
        if decoding or encoding:
            hint = "decoder" if decoding else "encoder"
    return hint


def is_encoder(name: str) -> bool:
    """Say whether a tensor's place is named like an encoder's and not like a decoder's."""
    return role_of_place(name) == "encoder"


def is_decoder(name: str) -> bool:
    """Say whether a tensor's place is named like a decoder's and not like an encoder's."""
    return role_of_place(name) == "decoder"


def read_encoder(tensors: Tensors, decoding: Collection[str]) -> dict[str, Fact]:
    """State the encoder's facts.

    Args:
        tensors: name -> description.
        decoding: names that belong to the decoder whatever they are called: its recurrent layers,
            embedding, output layer, and blocks with attention over an encoder.
    """
    part = encoder_part(tensors, decoding)
    blocks = attention_blocks(part)
    convolutions = [t for t in part.values() if _is_convolution(t)]
    layers = [name for name in part if _RECURRENT.search(name)]
    norms = [name for name in part if name.endswith("running_var")]
    shortcuts = [name for name in part if _SHORTCUT.search(name)]
    shown = [_shown(tensor) for tensor in convolutions[:SHOWN]]
    facts = {
        "encoder.kind": _kind(tensors, part, blocks, convolutions, layers),
        "encoder.layers": _depth(blocks, layers),
        "encoder.conv-layers": Fact(
            len(convolutions), 0.8, tuple(shown or ["no kernel wider than 1 in it"])
        ),
        "encoder.batchnorm": _batch_norm(tensors, part, norms),
    }
    if blocks:
        why = "Transformer blocks add their input, unless changed by hand"
        facts["encoder.residual"] = Fact(True, 0.7, (why,))
    elif shortcuts:
        facts["encoder.residual"] = Fact(True, 0.8, tuple(shortcuts[:2]))
    else:
        why = "a sum of a block's input leaves no trace in weights; nothing is named like one"
        facts["encoder.residual"] = Fact(None, 0.0, (why,))
    return facts


def encoder_part(tensors: Tensors, decoding: Collection[str]) -> dict[str, TensorInfo]:
    """Give what belongs to the encoder: what is named like one, else what is no decoder's.

    A name alone decides nothing where all that has it are projections: layers without a telling
    name count too then. Spectrograms and mel filters are left out: formulas made them, not
    training.
    """
    own = {n: t for n, t in tensors.items() if not FRONT_END.search(n) and n not in decoding}
    named = {n: t for n, t in own.items() if is_encoder(n)}
    layers = any(map(_is_convolution, named.values())) or attention_blocks(named)
    if named and (layers or any(map(_RECURRENT.search, named))):
        return named
    return {n: t for n, t in own.items() if not is_decoder(n)}


def _is_convolution(tensor: TensorInfo) -> bool:
    """Say whether a tensor is a kernel over time, or over time and frequency, wider than 1."""
    named = tensor.name.endswith(("weight", "weight_v", "original1"))
    if not named or len(tensor.shape) not in {3, 4}:
        return False
    return tensor.shape[-1] * (tensor.shape[-2] if len(tensor.shape) == 4 else 1) > 1


def _batch_norm(tensors: Tensors, part: Tensors, norms: Sequence[str]) -> Fact:
    if norms:
        return Fact(True, 0.95 if any(map(is_encoder, norms)) else 0.85, tuple(norms[:2]))
    elsewhere = [n for n in tensors if n.endswith("running_var") and not is_decoder(n)]
    if elsewhere:
        why = f"{elsewhere[0]} stands outside what is named an encoder"
        return Fact(None, 0.0, (why,))
    if not part:
        return Fact(None, 0.0, ("there is no encoder",))
    return Fact(False, 0.95, ("no running_var in it",))


def _kind(
    tensors: Tensors,
    part: Tensors,
    blocks: Mapping[str, str],
    convolutions: Sequence[TensorInfo],
    layers: Sequence[str],
) -> Fact:
    telling = [*blocks.values(), *(t.name for t in convolutions), *layers]
    sure = 0.9 if any(map(is_encoder, telling)) else 0.6
    stem = tuple(f"after {_shown(t)}" for t in convolutions[:1])
    if blocks:
        return Fact("transformer", sure, (*list(blocks.values())[:2], *stem))
    if convolutions:
        after = tuple(f"then {name}" for name in layers[:1])
        shown = tuple(map(_shown, convolutions[:2]))
        return Fact("cnn", sure, (f"{len(convolutions)} convolutions", *shown, *after))
    if layers:
        return Fact("rnn", sure, tuple(layers[:SHOWN]))
    return _without_layers(tensors, part)


def _without_layers(tensors: Tensors, part: Tensors) -> Fact:
    """Say what an encoder is that has neither blocks, convolutions nor recurrent layers."""
    matrices = [t for t in part.values() if t.name.endswith("weight") and len(t.shape) >= 2]
    if matrices and any(map(is_encoder, part)):
        return Fact("linear", 0.6, tuple(map(_shown, matrices[:SHOWN])))
    if matrices:
        return Fact(None, 0.0, (f"{_shown(matrices[0])} may be an encoder, or the decoder's",))
    if not tensors:
        return Fact(None, 0.0, ("there are no tensors",))
    return Fact("none", 0.6, ("nothing stands outside the decoder",))


def _depth(blocks: Mapping[str, str], layers: Sequence[str]) -> Fact:
    if blocks:
        return Fact(len(blocks), 0.9, tuple(list(blocks)[:SHOWN]))
    if layers:
        return Fact(len(layers), 0.8, tuple(layers[:SHOWN]))
    return Fact(
        None, 0.0, ("nothing is named like an attention or a recurrence: see encoder.conv-layers",)
    )


def _shown(tensor: TensorInfo) -> str:
    return f"{tensor.name} {list(tensor.shape)}"
