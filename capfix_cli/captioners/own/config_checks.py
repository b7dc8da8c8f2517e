"""Which fields of a config go together; the range of each stands beside it."""

from __future__ import annotations

import dataclasses

from capfix_cli.captioners.own.config_sections import FRONT_ENDS, CaptionerConfig

CNN_DEPTH = 6  # blocks, each of which halves the mel bands


def contradictions(config: CaptionerConfig) -> list[str]:
    """Say which fields do not go together."""
    encoder, front = config.encoder, config.front_end
    errors = []
    if encoder.kind == "cnn" and encoder.depth > CNN_DEPTH:
        errors.append(f"encoder.depth is {encoder.depth}, and a CNN has at most {CNN_DEPTH} blocks")
    borrowed = encoder.pretrained != "none"
    wanted = FRONT_ENDS[encoder.pretrained] if borrowed else None
    if wanted is not None and front != wanted:
        fields = ", ".join(f"{k}: {v}" for k, v in dataclasses.asdict(wanted).items())
        errors.append(f"encoder.pretrained {encoder.pretrained} needs front_end {{{fields}}}")
    for name, given in (("weights", encoder.weights), ("frozen", encoder.frozen)):
        if given and not borrowed:
            errors.append(f"encoder.{name} is {given!r:.60}, but encoder.pretrained is none")
    if front.kind in FRONT_ENDS and front != FRONT_ENDS[front.kind] and wanted is None:
        errors.append(f"front_end.kind {front.kind} has its own settings: leave its others out")
    if not borrowed and encoder.kind == "cnn" and front.n_mels < 2**encoder.depth:
        errors.append(f"encoder.depth {encoder.depth} halves {front.n_mels} mel bands to nothing")
    if not borrowed and encoder.kind == "transformer":
        errors += _uneven("encoder.width", encoder.width, "encoder.heads", encoder.heads)
    if encoder.pretrained == "ast":
        ast = encoder.ast
        errors += _uneven("encoder.ast.hidden", ast.hidden, "encoder.ast.heads", ast.heads)
    if config.decoder == "transformer":
        errors += _uneven("hidden", config.hidden, "decoder_heads", config.decoder_heads)
        if config.conditioning != "attention":
            errors.append(
                f"decoder transformer hears by attention, but conditioning is {config.conditioning}"
            )
    return errors


def _uneven(width_name: str, width: int, heads_name: str, heads: int) -> list[str]:
    """Heads part a width evenly, and a place's sines and cosines come in pairs."""
    if width % heads:
        return [f"{width_name} {width} cannot be parted by {heads_name} {heads}"]
    return [f"{width_name} {width} is odd"] if width % 2 else []
