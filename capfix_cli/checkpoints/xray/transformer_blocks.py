"""Where the blocks of a Transformer are, in whatever library's names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from capfix_cli.checkpoints.formats.tensor_info import TensorInfo

Tensors = Mapping[str, TensorInfo]

CROSS_ATTENTION = re.compile(r"cross_?att|multihead_attn|encoder_attn|EncDec", re.IGNORECASE)
# The part of a block that attends to its own sequence, up to its name.
_SELF_ATTENTION = re.compile(
    r"^(?P<attention>(?P<block>.*\.\d+|\d+)\.(?:.*\.)?"
    r"(?:self_attn|self_attention|attn|attention|mha|SelfAttention))\.",
)
# Without such a name, one matrix for query, key and value tells: ``layers.0.0.fn.to_qkv``.
_FUSED = re.compile(r"^(?P<attention>(?P<block>.*\.\d+|\d+)(?:\.[A-Za-z]\w*)*)\.(?:to_)?qkv\.")
# Without a number it must say so: "attention" alone may be a recurrent decoder's, or a pooling.
_LONE_ATTENTION = re.compile(r"^(?P<attention>(?P<block>.*)\.(?:self_attn|self_attention))\.")
# Some libraries number the parts of a block: ``layers.0.1.fn``, ``block.0.layer.1`` (T5).
_PART = re.compile(r"^(?P<block>.*\.\d+|\d+)(?:\.(?:layer|sublayer)s?)?\.\d+$")


def attention_blocks(part: Tensors) -> dict[str, str]:
    """Find Transformer blocks: places that hold an attention over themselves and layers beside it.

    Returns:
        place of the attention -> name of its first tensor.
    """
    found: dict[str, tuple[str, str]] = {}
    for name in part:
        match = _SELF_ATTENTION.match(name) or _FUSED.match(name) or _LONE_ATTENTION.match(name)
        if match and not CROSS_ATTENTION.search(name):
            found.setdefault(match["attention"], (match["block"], name))
    # Pooling by attention has no feed-forward layers beside it.
    places = {place for block, _ in found.values() for place in _widths(block)}
    matrices: dict[str, list[str]] = {}
    for name, tensor in part.items():
        if len(tensor.shape) == 2:
            for place in places.intersection(prefixes(name)):
                matrices.setdefault(place, []).append(name)
    # Beside a recurrent layer it is that layer's attention over the audio, no Transformer's.
    recurrent = {block for name in part if "weight_hh" in name for block in prefixes(name)}
    return {
        attention: name
        for attention, (block, name) in found.items()
        if block not in recurrent
        and any(
            not matrix.startswith(f"{attention}.")
            for place in _widths(block)
            for matrix in matrices.get(place, ())
        )
    }


def _widths(block: str) -> list[str]:
    """Give a numbered place, and the block of which it may be a numbered part."""
    outer = _PART.match(block)
    return [block, outer["block"]] if outer else [block]


def prefixes(name: str) -> list[str]:
    """``a.b.c`` -> the empty place, ``a``, ``a.b``."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(len(parts))]
