"""Saving and loading capfix's own captioners: plain types and tensors, nothing to execute."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from capfix_cli.captioners.own.own_captioner import SPECIAL, OwnCaptioner
from capfix_cli.captioners.own.own_config import from_dict, to_dict
from capfix_cli.core.errors import CapfixError
from capfix_cli.core.files import whole_file

FORMAT = "capfix.captioner/1"


def save(
    captioner: OwnCaptioner,
    path: str | Path,
    *,
    training: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a captioner so that ``torch.load(weights_only=True)`` opens it.

    Args:
        captioner: what to save.
        path: ``.safetensors`` gives a safetensors file with the rest as its metadata.
        training: plain facts about how it was trained, kept under ``training``.
        overwrite: replace a file that is there.

    Raises:
        CapfixError: the file is there already, or cannot be written.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise CapfixError(f"{path} is there already.", "Name another file, or move that one away.")
    tensors = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in captioner.module.state_dict().items()
    }
    rest: dict[str, Any] = {
        "format": FORMAT,
        "config": to_dict(captioner.config),
        "vocabulary": list(captioner.vocabulary),
        "training": dict(training or {}),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as part:
            if path.suffix == ".safetensors":
                from safetensors.torch import save_file

                save_file(tensors, part, metadata={k: json.dumps(v) for k, v in rest.items()})
            else:
                torch.save({**rest, "state_dict": tensors}, part)
    except OSError as error:
        raise CapfixError(
            f"{path} cannot be written: {error.strerror or error}.",
            "Name a file in a folder of yours.",
        ) from error
    return path


def is_own(data: object) -> bool:
    """Say whether a checkpoint's content is one of capfix's own captioners."""
    return isinstance(data, dict) and str(data.get("format", "")).startswith("capfix.captioner/")


def build(data: Mapping[str, Any], path: str, device: str) -> OwnCaptioner:
    """Make the captioner that a checkpoint's content describes.

    Raises:
        CapfixError: another version of the format, or a config, vocabulary or weights that do not
            belong together.
    """
    if data["format"] != FORMAT:
        raise CapfixError(
            f"{path} has the format {data['format']!r:.60}, this capfix reads {FORMAT}.",
            "Use the version of capfix that wrote it.",
        )
    absent = [key for key in ("config", "vocabulary", "state_dict") if key not in data]
    if absent:
        raise CapfixError(
            f"{path} says it is {FORMAT} but has no {', '.join(absent)}.",
            "Save it again with capfix_cli.captioners.own.own_checkpoint.save.",
        )
    config, vocabulary, weights = from_dict(data["config"]), data["vocabulary"], data["state_dict"]
    if not isinstance(vocabulary, list) or tuple(vocabulary[: len(SPECIAL)]) != SPECIAL:
        raise CapfixError(
            f"The vocabulary of {path} does not begin with {' '.join(SPECIAL)}.",
            "Give the words as a list, special tokens first.",
        )
    # Weights are about to be replaced: the draws that fill them must not disturb the caller's.
    with torch.random.fork_rng(devices=[]):
        captioner = OwnCaptioner(config, vocabulary, weights_follow=True)
    expected = captioner.module.state_dict()
    wrong = [*_differences(expected, weights)]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise CapfixError(
            f"The weights of {path} do not fit its config: {'; '.join(wrong[:3])}{more}.",
            "Config, vocabulary and weights must come from the same training.",
        )
    captioner.module.load_state_dict(weights)
    captioner.module.to(device).eval()
    return captioner


def _differences(expected: Mapping[str, Tensor], given: Mapping[str, Any]) -> list[str]:
    """Say in words which tensors are missing, unknown or of another shape."""
    missing = [f"{name} is missing" for name in expected if name not in given]
    unknown = [f"{name} is not part of it" for name in given if name not in expected]
    shapes = [
        f"{name} is {list(given[name].shape)}, not {list(tensor.shape)}"
        for name, tensor in expected.items()
        if name in given and given[name].shape != tensor.shape
    ]
    return missing + unknown + shapes
