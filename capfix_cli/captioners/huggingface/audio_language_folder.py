"""Audio language models from a local folder, whichever of transformers' families it is of."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from capfix_cli.captioners.huggingface.audio_language_captioner import AudioLanguageCaptioner
from capfix_cli.captioners.huggingface.audio_prompt import PROMPT, AudioPrompt, extractor_of
from capfix_cli.captioners.huggingface.loading_errors import plainly
from capfix_cli.captioners.huggingface.peft_folder import (
    refuse_unmerged,
    refuse_without_library,
)
from capfix_cli.checkpoints.model_options import given
from capfix_cli.core.errors import CapfixError

# Files of which a processor is read, the tokenizer's apart.
_PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json")
# Families whose words come along with the audio: there is nothing to open a caption with.
_STREAMING = frozenset({"voxtral_realtime", "kyutai_speech_to_text"})


def find_class(config: Mapping[str, Any]) -> Any | None:
    """Find the class of transformers that makes text of audio and a prompt for a config.

    Omni models keep it as a part: of theirs the thinker is taken, which alone makes text.
    """
    import transformers
    from transformers.models.auto import modeling_auto

    names: dict[str, Any] = dict(modeling_auto.MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES)
    for kind, name in modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES.items():
        names.setdefault(kind, name)  # Audio Flamingo's stand there alone
    listed = config.get("architectures")
    candidates = [str(n) for n in listed] if isinstance(listed, list) else []
    part = config.get("thinker_config")
    if isinstance(part, dict):
        candidates = []
        kinds = [part.get("model_type"), f"{config.get('model_type')}_thinker"]
    else:
        kinds = [config.get("model_type")]
    candidates += [names[kind] for kind in kinds if isinstance(kind, str) and kind in names]
    for name in candidates:
        found = getattr(transformers, name, None)
        if found is not None and _hears_and_reads(found):
            return found
    return None


def _hears_and_reads(kind: Any) -> bool:
    """Say whether a class takes audio and text and generates text, by what it says of itself."""
    takes = getattr(kind, "input_modalities", None) or ()
    gives = getattr(kind, "output_modalities", None) or ()
    both = not isinstance(takes, str) and {"audio", "text"} <= set(takes)
    return both and set(gives) == {"text"} and not _is_encoder_decoder(kind)


def _is_encoder_decoder(kind: Any) -> bool:
    return "decoder_input_ids" in inspect.signature(kind.forward).parameters


def load_audio_language(
    path: str, device: str, kind: Any, merge: Callable[[Any], Any] | None = None
) -> AudioLanguageCaptioner:
    """Load an audio language model with its processor; nothing is downloaded.

    Args:
        path: of the folder.
        device: where it runs.
        kind: its class, of :func:`find_class`.
        merge: puts an adapter's weights into it.

    Raises:
        CapfixError: processor, template, weights or a library is missing; the message says which.
    """
    import transformers

    if kind.config_class.model_type in _STREAMING:
        raise CapfixError(
            f"{path} is a {kind.config_class.model_type}, which speaks while it listens: it takes"
            " no prompt, and its words are bound to frames of audio.",
            "Give its captions as a file to `capfix measure`, or an adapter around it.",
        )
    if not any((Path(path) / name).is_file() for name in _PROCESSOR_FILES):
        raise CapfixError(
            f"{path} has no processor: neither {' nor '.join(_PROCESSOR_FILES)}.",
            "Copy the whole folder of the model: config, weights, processor and tokenizer files.",
        )
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": given().trust}
    with plainly(path):
        processors: Any = transformers.AutoProcessor
        processor = processors.from_pretrained(path, **options)
    if not hasattr(processor, "tokenizer") or extractor_of(processor) is None:
        raise CapfixError(
            f"The processor of {path} is a {type(processor).__name__}, which does not take audio"
            " and text.",
            "Copy processor_config.json, preprocessor_config.json and the tokenizer's files again.",
        )
    model = load_model(kind, path, device, merge, **options)
    _check_audio(model, path)
    return AudioLanguageCaptioner(
        model, AudioPrompt(processor, given().prompt or PROMPT, path), path
    )


def load_model(
    kind: Any, path: str, device: str, merge: Callable[[Any], Any] | None = None, **options: Any
) -> Any:
    """Load weights as transformers does: sharded, quantised, in the type that they were saved in.

    Args:
        kind: class of transformers.
        path: of the folder.
        device: where it runs.
        merge: puts an adapter's weights into the model.
        options: of ``from_pretrained``.

    Raises:
        CapfixError: weights, a shard or a library is missing.
    """
    refuse_without_library(path)
    settings = json.loads((Path(path) / "config.json").read_text(encoding="utf-8"))
    quantised = settings.get("quantization_config")
    if quantised:
        options["device_map"] = {"": device}
    with plainly(path, quantised):
        model, loading = kind.from_pretrained(path, output_loading_info=True, **options)
    refuse_unmerged(path, loading["unexpected_keys"])
    refuse_incomplete(path, loading)
    if merge is not None:
        model = merge(model)
    if not quantised:
        model.to(device)
    return model.eval()


def refuse_incomplete(path: str, loading: Mapping[str, Any]) -> None:
    """Refuse weights that do not fill the network.

    Raises:
        CapfixError: with the tensors that are missing or of another size.
    """
    wrong = [*loading["missing_keys"], *(key[0] for key in loading["mismatched_keys"])]
    if wrong:
        raise CapfixError(
            f"The weights of {path} lack {len(wrong)} tensors of its config: "
            f"{', '.join(sorted(wrong)[:3])}.",
            "Weights and config.json must be of the same model.",
        )


def _check_audio(model: Any, path: str) -> None:
    """Refuse a model of a family that hears whose folder left its ears out."""
    has = getattr(model.config, "audio_config", True)
    if has is None:
        raise CapfixError(
            f"{path} has no audio encoder: its audio_config is empty.",
            "Give the folder of a model with audio; this one reads text and images alone.",
        )
