"""Published weights of PANNs and the AST, in the layouts they are published in."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from capfix_cli.captioners.own.cnn14 import BLOCKS
from capfix_cli.captioners.own.config_sections import AstConfig, CaptionerConfig
from capfix_cli.captioners.own.mel_frames import PannsLogMel
from capfix_cli.captioners.own.spectrogram_transformer import PATCH, TOKENS
from capfix_cli.checkpoints.weights import load_weights
from capfix_cli.core.errors import CapfixError

Weights = dict[str, Tensor]
NAMES = {
    "panns": "PANNs' CNN14 (Cnn14_mAP=0.431.pth)",
    "ast": "the AST (audioset_10_10_0.4593.pth, or the folder"
    " MIT/ast-finetuned-audioset-10-10-0.4593)",
}
# Tags of whole clips, which captions do not need.
UNUSED = {
    "panns": re.compile(
        r"fc1\.|fc_audioset\.|fc_transfer\.|spectrogram_extractor|logmel_extractor"
    ),
    "ast": re.compile(r"v\.head(_dist)?\.|mlp_head\.|classifier\."),
}
FILTERS = 1e-4  # how far a stored mel filter or kernel may be from the formula's: float32 rounding
STRIDES = (10, 12, 14, 16)  # of the published ASTs
HEAD_WIDTH = 64  # numbers a head of every published AST; its weights do not tell


def read_published(config: CaptionerConfig) -> tuple[CaptionerConfig, Weights]:
    """Read the file that ``encoder.weights`` names; the sizes in it become the config's.

    Returns:
        The config with the file's sizes and no path, and the encoder's weights under the names
        of its module.

    Raises:
        CapfixError: no file is named, or it cannot be read, or is another model's.
    """
    kind, path = config.encoder.pretrained, weights_path(config)
    read = _panns if kind == "panns" else _ast
    encoder, weights = read(path, load_weights(path), config)
    encoder = dataclasses.replace(encoder, weights=None)
    return dataclasses.replace(config, encoder=encoder), weights


def weights_path(config: CaptionerConfig) -> str:
    """Give the file or folder that a pre-trained encoder starts from; nothing of it is read.

    Raises:
        CapfixError: none is named, or there is nothing.
    """
    kind, path = config.encoder.pretrained, config.encoder.weights
    if path is not None and Path(path).exists():
        return path
    named = "names no file to start from" if path is None else f"is {path}, and nothing is there"
    raise CapfixError(
        f"encoder.pretrained is {kind}, and encoder.weights {named}.",
        f"Download {NAMES[kind]} and give its path as encoder.weights.",
    )


def wrong_file(path: str, kind: str, why: str) -> CapfixError:
    """Say that a file is not what it was given for."""
    return CapfixError(f"{path} is not {NAMES[kind]}: {why}.", "Give that as encoder.weights.")


def _panns(path: str, found: Weights, config: CaptionerConfig) -> tuple[Any, Weights]:
    first = found.get("conv_block1.conv1.weight")
    if first is None or f"conv_block{BLOCKS}.conv2.weight" not in found:
        raise wrong_file(path, "panns", f"it has no conv_block1 to conv_block{BLOCKS}")
    front = PannsLogMel(config.front_end)
    real, imaginary = front.kernels()
    expected = {
        "spectrogram_extractor.stft.conv_real.weight": real,
        "spectrogram_extractor.stft.conv_imag.weight": imaginary,
        "logmel_extractor.melW": front.mel,
    }
    for name, tensor in expected.items():
        stored = found.get(name)
        if stored is not None and not _alike(stored, tensor):
            raise wrong_file(
                path, "panns", f"its {name} {list(stored.shape)} is of another front end"
            )
    weights = {n: t for n, t in found.items() if not UNUSED["panns"].match(n)}
    return dataclasses.replace(config.encoder, channels=first.shape[0]), weights


def _alike(stored: Tensor, expected: Tensor) -> bool:
    return stored.shape == expected.shape and bool(
        torch.allclose(stored.float(), expected, rtol=0.0, atol=FILTERS)
    )


def _ast(path: str, found: Weights, config: CaptionerConfig) -> tuple[Any, Weights]:
    weights: Weights = {}
    for name, tensor in found.items():
        if not UNUSED["ast"].match(name):
            weights[_plain_ast_name(name)] = tensor
    weights = _joined(weights)
    for name in ("patches.weight", "places", "layers.0.feed_forward.inner.weight"):
        if name not in weights:
            raise wrong_file(path, "ast", "it has no patches, places or blocks of one")
    if weights["patches.weight"].shape[1:] != (1, PATCH, PATCH):
        shape = list(weights["patches.weight"].shape)
        raise wrong_file(path, "ast", f"its patches are {shape}, not one channel of {PATCH} x 16")
    ast = _ast_sizes(path, weights, config)
    return dataclasses.replace(config.encoder, ast=ast), weights


# Its authors' names and transformers' (before version 5, and since), by ours.
_AST_NAMES: tuple[tuple[str, str], ...] = (
    (r"^(audio_spectrogram_transformer|v)\.", ""),
    (r"^embeddings\.patch_embeddings\.projection\.|^patch_embed\.proj\.", "patches."),
    (r"^(embeddings\.)?cls_token$", "class_token"),
    (r"^(embeddings\.)?dist(illation)?_token$", "distillation_token"),
    (r"^(embeddings\.)?(position_embeddings|pos_embed)$", "places"),
    (r"^layernorm\.", "norm."),
    (r"^(encoder\.layer|blocks)\.", "layers."),
    (r"^(layers\.\d+)\.(norm1|layernorm_before)\.", r"\1.self_norm."),
    (r"^(layers\.\d+)\.(norm2|layernorm_after)\.", r"\1.feed_norm."),
    (r"^(layers\.\d+)\.attn\.qkv\.", r"\1.self_attention.qkv."),
    (
        r"^(layers\.\d+)\.(attention\.attention|attention)\.(q_proj|query)\.",
        r"\1.self_attention.query.",
    ),
    (
        r"^(layers\.\d+)\.(attention\.attention|attention)\.(k_proj|key)\.",
        r"\1.self_attention.key.",
    ),
    (
        r"^(layers\.\d+)\.(attention\.attention|attention)\.(v_proj|value)\.",
        r"\1.self_attention.value.",
    ),
    (
        r"^(layers\.\d+)\.(attn\.proj|attention\.output\.dense|attention\.o_proj)\.",
        r"\1.self_attention.out.",
    ),
    (r"^(layers\.\d+)\.(mlp\.fc1|intermediate\.dense)\.", r"\1.feed_forward.inner."),
    (r"^(layers\.\d+)\.(mlp\.fc2|output\.dense)\.", r"\1.feed_forward.out."),
)


def _plain_ast_name(name: str) -> str:
    for pattern, ours in _AST_NAMES:
        name = re.sub(pattern, ours, name)
    return name


def _joined(weights: Mapping[str, Tensor]) -> Weights:
    """Part queries from keys and values where they are one matrix, and join keys and values."""
    result: Weights = {}
    for name, tensor in weights.items():
        place, _, part = name.rpartition(".")
        if place.endswith(".qkv"):
            width = tensor.shape[0] // 3
            block = place.removesuffix("qkv")
            result[f"{block}query.{part}"] = tensor[:width]
            result[f"{block}key_value.{part}"] = tensor[width:]
        elif place.endswith(".key"):
            value = weights.get(f"{place.removesuffix('key')}value.{part}")
            if value is not None:
                result[f"{place}_value.{part}"] = torch.cat([tensor, value])
        elif not place.endswith(".value"):
            result[name] = tensor
    return result


def _ast_sizes(path: str, weights: Weights, config: CaptionerConfig) -> AstConfig:
    """Read what the weights tell, and the rest from the settings beside them, where there are."""
    given = config.encoder.ast
    hidden = weights["patches.weight"].shape[0]
    layers = 1 + max(int(m[1]) for n in weights if (m := re.match(r"layers\.(\d+)\.", n)))
    sizes = dataclasses.replace(
        given,
        hidden=hidden,
        layers=layers,
        heads=max(1, hidden // HEAD_WIDTH),
        feed_forward=weights["layers.0.feed_forward.inner.weight"].shape[0],
    )
    settings = Path(path) / "config.json"
    if not settings.is_file():
        return _with_strides(sizes, weights["places"].shape[1] - TOKENS, config.front_end.n_mels)
    try:
        told = json.loads(settings.read_text(encoding="utf-8"))
        return dataclasses.replace(
            sizes,
            heads=int(told["num_attention_heads"]),
            max_length=int(told.get("max_length", given.max_length)),
            frequency_stride=int(told.get("frequency_stride", given.frequency_stride)),
            time_stride=int(told.get("time_stride", given.time_stride)),
            epsilon=float(told.get("layer_norm_eps", given.epsilon)),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise wrong_file(
            path, "ast", f"its config.json says no num_attention_heads ({error})"
        ) from error


def _with_strides(sizes: AstConfig, patches: int, n_mels: int) -> AstConfig:
    """Find the stride, the same in both directions, that gives so many patches."""
    for stride in (sizes.time_stride, *STRIDES):
        high, long = ((size - PATCH) // stride + 1 for size in (n_mels, sizes.max_length))
        if high * long == patches:
            return dataclasses.replace(sizes, frequency_stride=stride, time_stride=stride)
    return sizes
