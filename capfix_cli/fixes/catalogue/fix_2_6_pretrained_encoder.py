"""Fix 2.6: pre-trained encoders (PANNs, AST)."""

from __future__ import annotations

from capfix_cli.fixes.fix_spec import Facts, FixSetting, FixSpec, Switch


def _built_in(facts: Facts) -> str:
    name = facts.get("encoder.pretrained")
    return f"the encoder starts from {name}" if name not in {None, "none"} else ""


FIX = FixSpec(
    id="2.6",
    title="Pre-trained encoders (PANNs, AST)",
    aliases=("pre-trained", "pretrained", "pretrained encoder", "panns", "cnn14", "ast"),
    what=(
        "Starts the encoder from weights trained to tag sounds on AudioSet, so that captions "
        "alone need not teach it to hear."
    ),
    when="At the end of the plan, or earlier where the captioning data are few.",
    settings=(
        FixSetting(
            name="encoder.pretrained",
            value="panns",
            recommended="panns or ast",
            ranges=(
                ("none", "hears only what the captions taught"),
                ("panns", "a CNN, 32 kHz log-mels (arXiv 1912.10211)"),
                ("ast", "a spectrogram transformer, 16 kHz (arXiv 2104.01778)"),
            ),
        ),
        FixSetting(
            name="encoder.weights",
            value="none",
            recommended="the published file or folder",
            ranges=(
                ("Cnn14_mAP=0.431.pth", "of panns"),
                ("audioset_10_10_0.4593.pth", "of ast; or its folder on Hugging Face"),
            ),
        ),
        FixSetting(
            name="encoder.frozen",
            value="true",
            recommended="true, with few captions",
            ranges=(
                ("true", "only what follows the encoder is trained"),
                ("false", "the encoder is trained on, at a small learning rate"),
            ),
        ),
    ),
    pros=("Hears hundreds of kinds of sound from the start", "Less captioning data needed"),
    cons=("Ties you to its front end", "A large encoder", "The decoder must be trained for it"),
    # The document rates neither; ours: as far-reaching as 2.5, and as much to rewire.
    impact="high",
    effort="1 day",
    retrain=True,
    priority=4,
    order=20,
    snippet="""\
import torch
from torch import nn


def load_pretrained(encoder: nn.Module, path: str) -> list[str]:
    # Fills your CNN14 (or AST) module from a downloaded checkpoint. Gives the names left unused.
    saved = torch.load(path, map_location="cpu", weights_only=True)
    saved = saved.get("model", saved)  # PANNs keep the weights under "model", AST at the top
    saved = {name.removeprefix("module."): tensor for name, tensor in saved.items()}
    missing, unused = encoder.load_state_dict(saved, strict=False)
    if missing:  # strict=False says nothing about layers that stay random
        raise ValueError(f"not in {path}: {', '.join(missing)}")
    return unused
""",
    caution=(
        "Feed it exactly its own front end: sample rate, mel bands, kind of log, scaling. A sound "
        "model on log10 in place of natural-log mels gave 2 % distinct captions (our measurement), "
        "and weights silently not loaded are a confirmed cause in public threads."
    ),
    source="the document, priority 4, item 11; PANNs (arXiv 1912.10211), AST (arXiv 2104.01778)",
    built_in=_built_in,
    switch=Switch(
        lambda setup: setup,  # weights have a path that only the user knows
        lambda setup: str(setup.model.encoder.pretrained) != "none",
        "model.encoder.pretrained",
        architecture=True,
        told="`model.encoder.pretrained`",
        start="a file of weights",
    ),
)
