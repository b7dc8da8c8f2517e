"""Decoding options on disk: JSON in the form of a transformers ``generation_config.json``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from capfix_cli.core.errors import CapfixError
from capfix_cli.core.files import write_text
from capfix_cli.core.suggest import nearest
from capfix_cli.decoding.decoding_options import DecodingOptions

DECODING = "decoding.json"  # the winner of a diagnosis, in its run's folder
USUAL_TOP_K = 50  # what transformers takes where a sampling configuration names no top_k

_OURS = tuple(field.name for field in dataclasses.fields(DecodingOptions))
_SAMPLERS = ("temperature", "top_k", "top_p", "min_p", "typical_p")
# Spelled otherwise on the command line, or in other tools.
_ALIASES = {
    "temp": "temperature",
    "beams": "num_beams",
    "beam_size": "num_beams",
    "num_captions": "num_return_sequences",
    "contrast_against": "contrast_absent",
}
# Of transformers, and without a counterpart here; lengths with the prompt are the captioner's own.
_THEIRS = frozenset(
    (
        *("max_length", "min_length", "max_time", "stop_strings", "use_cache", "use_mtp"),
        *("cache_implementation", "cache_config", "max_cache_len", "remove_invalid_values"),
        *("renormalize_logits", "forced_bos_token_id", "forced_eos_token_id", "suppress_tokens"),
        *("begin_suppress_tokens", "forced_decoder_ids", "output_attentions", "output_scores"),
        *("output_hidden_states", "output_logits", "return_dict_in_generate", "pad_token_id"),
        *("bos_token_id", "eos_token_id", "decoder_start_token_id", "is_assistant"),
        *("transformers_version", "low_memory", "compile_config", "disable_compile"),
        *("token_healing", "watermarking_config", "prefill_chunk_size"),
    )
)
# These change which words are chosen, and capfix has no such step: (key, the value that is none).
_MISSING: dict[str, tuple[Any, ...]] = {
    "top_h": (1, 1.0),
    "epsilon_cutoff": (0, 0.0),
    "eta_cutoff": (0, 0.0),
    "encoder_repetition_penalty": (1, 1.0),
    "encoder_no_repeat_ngram_size": (0,),
    "bad_words_ids": ([],),
    "force_words_ids": ([],),
    "constraints": ([],),
    "sequence_bias": ({}, []),
    "exponential_decay_length_penalty": (),
    "guidance_scale": (1, 1.0),
    "penalty_alpha": (0, 0.0),
    "dola_layers": (),
}


def read_decoding(path: str | Path) -> DecodingOptions:
    """Read a ``generation_config.json`` or what :func:`write_decoding` wrote.

    Nulls count as absent, as do the ids and housekeeping that such files hold. As transformers
    does, sampling settings count only under ``do_sample``, and there ``top_k`` is 50 where the
    file has none.

    Raises:
        CapfixError: unreadable, not a JSON object, a misspelt option, a value out of range,
            options that exclude each other, or a step that capfix does not have.
    """
    given = {key: value for key, value in _object(Path(path)).items() if value is not None}
    for key, value in given.items():
        _check_key(path, key, value)
    known = {key: value for key, value in given.items() if key in _OURS}
    if known.get("do_sample") is True:
        known.setdefault("top_k", USUAL_TOP_K)
    else:
        known = {key: value for key, value in known.items() if key not in _SAMPLERS}
    if not isinstance(known.get("do_sample", False), bool):
        raise CapfixError(
            f"{path}: do_sample is {known['do_sample']!r}.", "It must be true or false."
        )
    try:
        return DecodingOptions(**known)
    except CapfixError as error:
        raise CapfixError(f"{path}: {error.message}", error.hint) from error


def write_decoding(path: str | Path, options: DecodingOptions) -> None:
    """Write options so that :func:`read_decoding` and transformers take them alike.

    Raises:
        CapfixError: it cannot be written.
    """
    data = options.to_dict()
    if options.do_sample:
        data["top_k"] = options.top_k  # left out, transformers would take its own 50
    try:
        write_text(path, json.dumps(data, indent=2) + "\n")
    except OSError as error:
        raise CapfixError(
            f"{path} cannot be written: {error.strerror}.", "Name a file in a folder of yours."
        ) from error


def _object(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise CapfixError(
            f"There is no decoding file {path}.", "Give a generation_config.json or decoding.json."
        ) from error
    except OSError as error:
        raise CapfixError(
            f"{path} cannot be read: {error.strerror}.", "Give a generation_config.json."
        ) from error
    except (ValueError, RecursionError) as error:
        reason = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise CapfixError(
            f"{path} is not JSON{reason}.", 'Write it like {"do_sample": true, "temperature": 0.8}.'
        ) from error
    if not isinstance(data, dict):
        raise CapfixError(
            f"{path} is not a JSON object.",
            'Write it like {"do_sample": true, "temperature": 0.8}.',
        )
    return data


def _check_key(path: str | Path, key: str, value: Any) -> None:
    if key in _OURS or key in _THEIRS:
        return
    if key in _MISSING:
        if value in _MISSING[key]:
            return
        raise CapfixError(
            f"{path}: {key} is {value!r}, and capfix has no such step.",
            "Take it out of the file to decode without it.",
        )
    near = _ALIASES[key] if key in _ALIASES else nearest(key, _OURS, 0.8)
    if near:
        raise CapfixError(f"{path}: there is no decoding option {key!r}.", f"Did you mean {near}?")
    # Any other key is a model's own, such as Whisper's lang_to_id.
