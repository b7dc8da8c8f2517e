"""From a path to a captioner and what is known about it."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from capfix_cli.captioners.adapters import load_with_adapter
from capfix_cli.captioners.base import Captioner
from capfix_cli.captioners.opening import open_checkpoint
from capfix_cli.captioners.own import checkpoint
from capfix_cli.captioners.own.captioner import OwnCaptioner
from capfix_cli.errors import CapfixError
from capfix_cli.records import ModelSummary


@dataclass(frozen=True)
class Loaded:
    """A captioner ready to run, and its summary."""

    captioner: Captioner
    summary: ModelSummary


def load(path: str, adapter: str | None = None, device: str = "cpu") -> Loaded:
    """Load a checkpoint safely; only an adapter that the user names runs code of the user's.

    Raises:
        CapfixError: the device, the file or the adapter cannot be used; the message says why.
    """
    check_device(device)
    if adapter is not None:
        captioner = load_with_adapter(adapter, path, device)
        summary = ModelSummary(path, "adapter", _sha256(path), adapter, facts(captioner, {}))
    else:
        opened = open_checkpoint(path)
        if not checkpoint.is_own(opened.data):
            raise CapfixError(
                f"{path} holds {_contents(opened.data)}, but not how its network is built.",
                f"Weights alone cannot run: `capfix inspect {path}` says what shapes tell; write"
                " an adapter (docs/captioners.md) and give it with --adapter FILE.py:FACTORY.",
            )
        captioner = checkpoint.build(opened.data, path, device)
        known = facts(captioner, opened.data.get("training", {}))
        summary = ModelSummary(path, opened.format, opened.sha256, None, known)
    if captioner.module is not None:
        captioner.module.eval()
    return Loaded(captioner, summary)


def check_device(device: str) -> None:
    """Fail early and clearly where a device cannot be used.

    Raises:
        CapfixError: unknown to PyTorch, or not on this machine.
    """
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise CapfixError(
            f"The device {device!r} cannot be used: {reason:.100}.", "Use --device cpu."
        ) from error


def _sha256(path: str) -> str | None:
    with contextlib.suppress(OSError), Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
    return None  # an adapter may take a folder or a name


def _contents(data: Any) -> str:
    if isinstance(data, dict):
        tensors = sum(isinstance(value, torch.Tensor) for value in data.values())
        if tensors:
            return f"a state_dict of {tensors} tensors"
        return "the keys " + ", ".join(sorted(map(str, data))[:6])
    return f"a {type(data).__name__}"


def facts(captioner: Captioner, training: dict[str, Any]) -> dict[str, Any]:
    """List what the checkpoint says about its architecture and training, by fact id."""
    known: dict[str, Any] = {"vocabulary.size": len(captioner.vocabulary)}
    if isinstance(captioner, OwnCaptioner):
        config = captioner.config
        known |= {
            "decoder.kind": config.decoder,
            "conditioning": config.conditioning,
            "encoder.pooling": config.encoder.pooling,
            "encoder.depth": config.encoder.depth,
            "encoder.residual": config.encoder.residual,
            "encoder.pretrained": config.encoder.pretrained,
            "dropout": config.dropout,
            "encoder.dropout": config.encoder.dropout,
        }
    elif captioner.module is not None:
        rates = [m.p for m in captioner.module.modules() if isinstance(m, nn.Dropout)]
        known["dropout"] = max(rates, default=0.0)
    known |= {f"training.{name}": value for name, value in training.items()}
    return known
