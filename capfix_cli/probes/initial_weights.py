"""Which layers of a network in memory are as they were created, by the X-ray of checkpoints."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.captioners.base import Captioner
from capfix_cli.checkpoints.formats.tensor_info import TensorInfo, TensorPlace
from capfix_cli.checkpoints.formats.tensor_values import PRECISION
from capfix_cli.checkpoints.xray.initial_layers import Layer, read_layers
from capfix_cli.checkpoints.xray.untrained_model import read_training
from capfix_cli.probes.network_modules import networks
from capfix_cli.schemas.inspection_record import Fact

MOST_BYTES = 2**31


@dataclass(frozen=True)
class Weights:
    """What a network's values say.

    Attributes:
        layers: each that could be judged.
        untrained: the fact ``weights.untrained``.
        damaged: tensors with NaN or infinity.
    """

    layers: tuple[Layer, ...]
    untrained: Fact
    damaged: tuple[str, ...]

    @property
    def initial(self) -> list[Layer]:
        """Layers other than embeddings that hold initial values."""
        return [r for r in self.layers if r.kind != "table" and r.state == "initial"]

    @property
    def changed(self) -> list[Layer]:
        """Layers other than embeddings that were trained."""
        return [r for r in self.layers if r.kind != "table" and r.state == "changed"]


def read_weights(captioner: Captioner) -> Weights:
    """Judge a captioner's layers as ``capfix inspect`` judges those of a file.

    The values are laid out in a file, since that is where the X-ray samples them.

    Raises:
        Untestable: there is no network, or it is too large for that.
    """
    networks(captioner)
    tensors = _tensors(captioner)
    if sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) > MOST_BYTES:
        raise ProbeFailed(f"weights of less than {MOST_BYTES >> 30} GiB")
    damaged = tuple(
        name
        for name, tensor in tensors.items()
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "values"
        listed: dict[str, TensorInfo] = {}
        held: dict[int, int] = {}
        with path.open("wb") as file:
            for name, tensor in tensors.items():
                kind = str(tensor.dtype).removeprefix("torch.")
                if kind == "bfloat16" or kind not in {*PRECISION, "int64"}:
                    continue
                start = held.get(tensor.data_ptr()) if tensor.numel() > 1 else None
                if start is None:
                    start = file.tell()
                    file.write(tensor.contiguous().numpy().tobytes())
                    held[tensor.data_ptr()] = start
                size = tensor.numel() * tensor.element_size()
                listed[name] = TensorInfo(
                    name, tuple(tensor.shape), kind, place=TensorPlace(path, start, size)
                )
        layers = read_layers(listed)
        facts = read_training(listed)
    return Weights(tuple(layers), facts["weights.untrained"], damaged)


def _tensors(captioner: Captioner) -> dict[str, torch.Tensor]:
    if captioner.module is not None:
        return {
            name: tensor.detach().cpu() for name, tensor in captioner.module.state_dict().items()
        }
    found: dict[str, torch.Tensor] = {}
    for name, layer in networks(captioner).items():
        for kind in (layer.named_parameters(recurse=False), layer.named_buffers(recurse=False)):
            found |= {f"{name}.{leaf}": tensor.detach().cpu() for leaf, tensor in kind}
    return found
