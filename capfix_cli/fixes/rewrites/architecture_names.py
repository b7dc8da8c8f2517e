"""What the X-ray found of a user's model, as the names and numbers that code needs."""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from capfix_cli.checkpoints.formats.tensor_info import TensorInfo
from capfix_cli.checkpoints.xray.decoder_facts import Decoder, find_decoder
from capfix_cli.checkpoints.xray.decoder_xray import find_embedding
from capfix_cli.checkpoints.xray.encoder_facts import encoder_part, is_encoder
from capfix_cli.schemas.inspection_record import Inspection

Tensors = Mapping[str, TensorInfo]

LAYERS = {"gru": "GRU", "lstm": "LSTM", "rnn": "RNN"}
# Layers that make a decoder's first state of the audio.
_FIRST_STATE = re.compile(
    r"init|(^|[._])h_?0|h2h|hidden|bridge|enc\w*_?2_?dec|audio|proj|state", re.I
)
# The norm over mel bands before the first convolution; its size is their number.
_BAND_NORM = re.compile(r"(^|\.)(bn0|bn_?mel|mel_?bn|batch_norm|(in|input|spec)\w*_?(bn|norm))\.")
SHORTCUT = re.compile(r"downsample|shortcut|residual|skip", re.I)


@dataclass(frozen=True)
class Size:
    """A number of the model and where it was read.

    Attributes:
        value: None where the file does not tell it.
        why: the tensor that tells it; else what the user must look up.
    """

    value: int | None
    why: str


@dataclass(frozen=True)
class Recurrence:
    """The recurrent layer that takes the words.

    Attributes:
        place: dotted name of its module.
        kind: as PyTorch calls it, ``GRU``, ``LSTM`` or ``RNN``.
        cell: whether it takes one step at a call (``GRUCell``).
        layers: how many are stacked in it.
        inputs: width of what it takes.
        hidden: width of its state.
        weight: name of the matrix that takes the input.
    """

    place: str
    kind: str
    cell: bool
    layers: int
    inputs: int
    hidden: int
    weight: str


@dataclass(frozen=True)
class ArchitectureNames:
    """Names and sizes of a model.

    Attributes:
        path: of the checkpoint.
        attends: whether the decoder is a Transformer that attends to an encoder.
        recurrence: None where the decoder has none that takes words.
        embedding_place: dotted name of the word embedding's module.
        head_place: dotted name of the layer that scores words; empty where the embedding does.
        head_inputs: width that it takes.
        vocabulary: words.
        embedding: width of the word embeddings.
        audio: width of what the encoder hands over.
        mels: mel bands.
        encoder: its kind, None where it is not known.
        conditioning: how the decoder hears, None where it is not known.
        convolutions: kernels of the encoder in the file's order, shortcuts left out.
        residual: whether shortcuts are among its tensors.
    """

    path: str
    attends: bool
    recurrence: Recurrence | None
    embedding_place: str
    head_place: str
    head_inputs: Size
    vocabulary: Size
    embedding: Size
    audio: Size
    mels: Size
    encoder: str | None
    conditioning: str | None
    convolutions: tuple[TensorInfo, ...]
    residual: bool


def find(inspection: Inspection) -> ArchitectureNames:
    """Read names and sizes; a size that several readings are possible of says which was taken."""
    tensors = {t.name: TensorInfo(t.name, t.shape, t.dtype) for t in inspection.tensors}
    embedding = find_embedding(tensors)
    decoder = find_decoder(tensors, embedding)
    recurrence = None if decoder.cross else _recurrence(decoder, embedding)
    head = _head(tensors, embedding)
    decoding = _decoding(tensors, recurrence, embedding, head)
    part = encoder_part(tensors, decoding)
    convolutions = tuple(t for t in part.values() if _is_kernel(t) and not SHORTCUT.search(t.name))
    words = _size(embedding, 0, "the number of words")
    return ArchitectureNames(
        path=inspection.path,
        attends=bool(decoder.cross),
        recurrence=recurrence,
        embedding_place="" if embedding is None else _place(embedding.name),
        head_place="" if head is None else _place(head.name),
        head_inputs=_size(head, 1, "the width that your last layer takes"),
        vocabulary=words if words.value else _size(head, 0, "the number of words"),
        embedding=_size(embedding, 1, "the width of your word embeddings"),
        audio=_audio(tensors, part, decoding, recurrence, embedding),
        mels=_mels(part),
        encoder=_fact(inspection, "encoder.kind"),
        conditioning=_fact(inspection, "conditioning"),
        convolutions=convolutions,
        residual=any(SHORTCUT.search(name) for name in part),
    )


def _fact(inspection: Inspection, name: str) -> str | None:
    found = inspection.facts.get(name)
    return None if found is None or found.value is None else str(found.value)


def attribute(place: str, otherwise: str) -> str:
    """Give a module's own name (``decoder.gru`` -> ``gru``), or another where it is a number."""
    last = place.rpartition(".")[2]
    return last if last.isidentifier() and not keyword.iskeyword(last) else otherwise


def shown(tensor: TensorInfo) -> str:
    """``encoder.fc.weight [512, 2048]``."""
    return f"{tensor.name} {list(tensor.shape)}"


def _place(name: str) -> str:
    return name.rpartition(".")[0]


def _size(tensor: TensorInfo | None, axis: int, what: str) -> Size:
    if tensor is None:
        return Size(None, f"fill in {what}: the checkpoint does not tell it")
    return Size(tensor.shape[axis], shown(tensor))


def _recurrence(decoder: Decoder, embedding: TensorInfo | None) -> Recurrence | None:
    """Find the decoder's recurrent layer that takes the words: the first that is wide enough."""
    least = 0 if embedding is None else embedding.shape[1]
    own = [layer for layer in decoder.recurrent if layer.inputs >= least]
    if not own:
        return None
    first = own[0]
    stack = [layer for layer in decoder.recurrent if layer.stack == first.stack]
    return Recurrence(
        place=first.stack,
        kind=LAYERS[first.kind],
        cell=first.name.endswith("weight_hh"),
        layers=len(stack),
        inputs=first.inputs,
        hidden=first.width,
        weight=first.name.replace("weight_hh", "weight_ih"),
    )


def _head(tensors: Tensors, embedding: TensorInfo | None) -> TensorInfo | None:
    """Find the layer that scores words: the last matrix with a row a word."""
    if embedding is None:
        return None
    rows = embedding.shape[0]
    found = [
        tensor
        for name, tensor in tensors.items()
        if len(tensor.shape) == 2
        and tensor.shape[0] == rows
        and name.endswith("weight")
        and name != embedding.name
        and not is_encoder(name)
    ]
    return found[-1] if found else None


def _decoding(
    tensors: Tensors,
    recurrence: Recurrence | None,
    embedding: TensorInfo | None,
    head: TensorInfo | None,
) -> set[str]:
    """Name the tensors that are surely the decoder's."""
    places = [t.name for t in (embedding, head) if t is not None]
    starts = [f"{_place(name)}." for name in places]
    starts += [f"{recurrence.place}."] if recurrence is not None else []
    named = {n for n in tensors if re.search(r"att|query|key", n, re.I) and not is_encoder(n)}
    return named | {n for n in tensors if n.startswith(tuple(s for s in starts if s != "."))}


def _is_kernel(tensor: TensorInfo) -> bool:
    """A kernel over time, or over mel bands and time, wider than one place."""
    if not tensor.name.endswith("weight") or len(tensor.shape) not in {3, 4}:
        return False
    wide = tensor.shape[2] * (tensor.shape[3] if len(tensor.shape) == 4 else 1)
    return wide > 1 and not re.search(r"stft|spectrogram|conv_(real|imag)", tensor.name)


def _audio(
    tensors: Tensors,
    part: Tensors,
    decoding: Collection[str],
    recurrence: Recurrence | None,
    embedding: TensorInfo | None,
) -> Size:
    """Find how wide the encoder's vectors are: by who takes them, else by who gives them."""
    if recurrence is not None and embedding is not None:
        more = recurrence.inputs - embedding.shape[1]
        if more > 0:
            why = f"{recurrence.weight} takes {recurrence.inputs}, words are {embedding.shape[1]}"
            return Size(more, why)
        for name, tensor in tensors.items():
            rows = tensor.shape[0] if len(tensor.shape) == 2 else 0
            takes = rows in {recurrence.hidden, recurrence.hidden * recurrence.layers}
            place = _place(name)
            first = name.endswith("weight") and name not in decoding and not is_encoder(name)
            if takes and first and _FIRST_STATE.search(place.rpartition(".")[2]):
                return Size(tensor.shape[1], f"{shown(tensor)} makes the first state of it")
    layers = [t for t in part.values() if t.name.endswith("weight") and len(t.shape) >= 2]
    layers = [t for t in layers if not SHORTCUT.search(t.name)]
    if layers:
        return Size(layers[-1].shape[0], f"{shown(layers[-1])} is the encoder's last layer")
    return Size(None, "fill in the last size of your encoder's output: print(encoder(x).shape)")


def _mels(part: Tensors) -> Size:
    for name, tensor in part.items():
        if _BAND_NORM.search(name) and len(tensor.shape) == 1:
            return Size(tensor.shape[0], f"{shown(tensor)} norms the bands")
    first = next((t for t in part.values() if len(t.shape) == 3 and t.shape[2] > 1), None)
    if first is not None:
        return Size(first.shape[1], f"{shown(first)} takes the bands")
    return Size(None, "fill in the number of your mel bands: the checkpoint does not tell it")
