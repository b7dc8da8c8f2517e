"""capfix: finds out why an audio captioner says the same thing about every sound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public name -> the module that holds it; imported on first use, so that --help stays light.
_PUBLIC = {
    "Captioner": "capfix_cli.captioners.base",
    "CapfixError": "capfix_cli.core.errors",
    "EncodeDecodeCaptioner": "capfix_cli.captioners.generic",
    "HuggingFaceCaptioner": "capfix_cli.captioners.huggingface.huggingface_captioner",
    "LogMelFrontEnd": "capfix_cli.captioners.log_mel",
    "NonAutoregressiveCaptioner": "capfix_cli.captioners.generic",
    "PrefixLanguageModelCaptioner": "capfix_cli.captioners.huggingface.prefix_language_model",
    "RecurrentCaptioner": "capfix_cli.captioners.recurrent",
    "TextCaptioner": "capfix_cli.captioners.text.text_captioner",
    "TextSource": "capfix_cli.checkpoints.text_source",
    "ModelOptions": "capfix_cli.checkpoints.model_options",
    "Settings": "capfix_cli.diagnosis.command_settings",
    "Vocabulary": "capfix_cli.checkpoints.vocabulary",
    "diagnose": "capfix_cli.api",
    "generate": "capfix_cli.api",
    "inspect_checkpoint": "capfix_cli.checkpoints.inspection",
    "load_module": "capfix_cli.checkpoints.weights",
    "load_scaler": "capfix_cli.checkpoints.stored_scaler",
    "load_tokenizer": "capfix_cli.captioners.huggingface.huggingface_folder",
    "load_vocabulary": "capfix_cli.checkpoints.vocabulary",
    "load_weights": "capfix_cli.checkpoints.weights",
    "measure_files": "capfix_cli.diagnosis.judge_captions",
    "open_features": "capfix_cli.features.feature_set",
    "retrain": "capfix_cli.api",
    "wrap": "capfix_cli.captioners.derived.wrap",
}

if TYPE_CHECKING:
    from capfix_cli.api import diagnose as diagnose
    from capfix_cli.api import generate as generate
    from capfix_cli.api import retrain as retrain
    from capfix_cli.captioners.base import Captioner as Captioner
    from capfix_cli.captioners.derived.wrap import wrap as wrap
    from capfix_cli.captioners.generic import EncodeDecodeCaptioner as EncodeDecodeCaptioner
    from capfix_cli.captioners.generic import (
        NonAutoregressiveCaptioner as NonAutoregressiveCaptioner,
    )
    from capfix_cli.captioners.huggingface.huggingface_captioner import (
        HuggingFaceCaptioner as HuggingFaceCaptioner,
    )
    from capfix_cli.captioners.huggingface.huggingface_folder import (
        load_tokenizer as load_tokenizer,
    )
    from capfix_cli.captioners.huggingface.prefix_language_model import (
        PrefixLanguageModelCaptioner as PrefixLanguageModelCaptioner,
    )
    from capfix_cli.captioners.log_mel import LogMelFrontEnd as LogMelFrontEnd
    from capfix_cli.captioners.recurrent import RecurrentCaptioner as RecurrentCaptioner
    from capfix_cli.captioners.text.text_captioner import TextCaptioner as TextCaptioner
    from capfix_cli.checkpoints.inspection import inspect_checkpoint as inspect_checkpoint
    from capfix_cli.checkpoints.model_options import ModelOptions as ModelOptions
    from capfix_cli.checkpoints.stored_scaler import load_scaler as load_scaler
    from capfix_cli.checkpoints.text_source import TextSource as TextSource
    from capfix_cli.checkpoints.vocabulary import Vocabulary as Vocabulary
    from capfix_cli.checkpoints.vocabulary import load_vocabulary as load_vocabulary
    from capfix_cli.checkpoints.weights import load_module as load_module
    from capfix_cli.checkpoints.weights import load_weights as load_weights
    from capfix_cli.core.errors import CapfixError as CapfixError
    from capfix_cli.diagnosis.command_settings import Settings as Settings
    from capfix_cli.diagnosis.judge_captions import measure_files as measure_files
    from capfix_cli.features.feature_set import open_features as open_features

__all__ = [*_PUBLIC, "__version__"]  # noqa: PLE0604 - the keys are strings


def __getattr__(name: str) -> Any:
    """Import a public name on its first use."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'capfix_cli' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    """List the public names, imported or not yet, for completion."""
    return sorted({*globals(), *_PUBLIC})
