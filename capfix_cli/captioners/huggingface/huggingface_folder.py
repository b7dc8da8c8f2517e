"""Hugging Face captioners from a local folder: nothing is downloaded, none of its code is run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from capfix_cli.captioners.base import Captioner
from capfix_cli.captioners.huggingface import audio_language_folder, peft_folder
from capfix_cli.captioners.huggingface.audio_language_folder import load_model
from capfix_cli.captioners.huggingface.huggingface_captioner import (
    HuggingFaceCaptioner,
    Inputs,
    SpectrogramCaptioner,
    forced_prefix,
)
from capfix_cli.captioners.huggingface.loading_errors import plainly
from capfix_cli.checkpoints.formats.checkpoint_folder import read_json, weight_files
from capfix_cli.checkpoints.formats.file_format import read_content
from capfix_cli.checkpoints.model_options import given
from capfix_cli.checkpoints.vocabulary import load_vocabulary
from capfix_cli.checkpoints.xray.huggingface_families import TO_DO, WHAT, role_of
from capfix_cli.core.errors import CapfixError


def is_folder(path: str) -> bool:
    """Say whether a path is a folder in the layout of transformers, or of an adapter over one."""
    return (Path(path) / "config.json").is_file() or peft_folder.is_adapter(path)


def load_folder(path: str, device: str) -> Captioner:
    """Load a captioner from a local folder; nothing is downloaded, and no code of it is run.

    Raises:
        CapfixError: the ``hf`` extra is missing, the folder is incomplete, turns no audio into
            text, or brings code of its own and ``--trust`` was not given.
    """
    merge = None
    if peft_folder.is_adapter(path):
        merge, path = peft_folder.merger(path), peft_folder.base_of(path)
    if not (Path(path) / "config.json").is_file():
        raise CapfixError(
            f"{path} is no model of transformers: it has no config.json.",
            "Name the whole folder of the base model as base_model_name_or_path.",
        )
    config = read_json(Path(path) / "config.json")
    _check(path, config)
    try:
        import transformers
    except ImportError as error:
        raise CapfixError(
            f"{path} is a Hugging Face model, which needs transformers.",
            "Install it: pip install 'capfix[hf]'",
        ) from error
    kind = audio_language_folder.find_class(config)
    if kind is not None:
        return audio_language_folder.load_audio_language(path, device, kind, merge)
    refuse_code(path, config)
    _refuse_others(path, config, transformers)
    return _load_encoder_decoder(path, device, config, merge)


def _refuse_others(path: str, config: dict[str, Any], transformers: Any) -> None:
    """Refuse what transformers does not know, or knows as something that gives no text of audio."""
    from transformers.models.auto import modeling_auto

    kind = config["model_type"]
    if kind not in transformers.CONFIG_MAPPING and not config.get("auto_map"):
        raise CapfixError(
            f"The model_type of {path} is {kind!r}, which transformers {transformers.__version__}"
            " does not know.",
            "A newer one may: pip install --upgrade transformers; else give an adapter.",
        )
    known = modeling_auto.MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES
    if kind not in known and not config.get("auto_map"):
        raise CapfixError(
            f"{path} is a {kind}, of which transformers makes nothing that turns audio into text.",
            "Give the whole captioner, or an adapter around it: docs/adapters.md.",
        )


def _load_encoder_decoder(
    path: str, device: str, config: dict[str, Any], merge: Callable[[Any], Any] | None
) -> HuggingFaceCaptioner:
    import transformers

    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": given().trust}
    kind: Any = transformers.AutoModelForSpeechSeq2Seq
    model = load_model(kind, path, device, merge, **options)
    with plainly(path):
        extractors: Any = transformers.AutoFeatureExtractor
        extractor = extractors.from_pretrained(path, **options)
        tokenizer = transformers.AutoTokenizer.from_pretrained(path, **options)
    prefix = _opening(path, config, model, tokenizer)
    rate = getattr(extractor, "sampling_rate", None)
    if type(rate) is not int or rate < 1:
        raise CapfixError(
            f"The preprocessor of {path} names no sampling_rate: it is a "
            f"{type(extractor).__name__}.",
            "Copy the preprocessor_config.json of the captioner's own audio features.",
        )
    named = getattr(extractor, "model_input_names", None) or [""]
    made = SpectrogramCaptioner if named[0] == "input_features" else HuggingFaceCaptioner
    return made(model, tokenizer, _extraction(extractor), rate, prefix)


def _opening(path: str, config: dict[str, Any], model: Any, tokenizer: Any) -> list[int]:
    """Give the tokens that open captions: forced ones, or the language that --prompt names.

    Raises:
        CapfixError: a prompt where none is taken, no language or one that is unknown, or forced
            tokens that are none.
    """
    asked = given().prompt
    # Read from the file: transformers 5 drops what it does not know on the way in.
    file = Path(path) / "generation_config.json"
    generation = read_json(file) if file.is_file() else {}
    languages = generation.get("text_decoder_lang_to_code_id")
    if isinstance(languages, dict) and languages:
        code = languages.get((asked or "").strip("_ "))
        if code is None:
            known = ", ".join(sorted(languages)[:8]) + (", …" if len(languages) > 8 else "")
            raise CapfixError(
                f"{path} is a {config['model_type']}, which is told its language as a prompt"
                + (f": {asked!r} is none of {known}." if asked else "."),
                f"Say it: --prompt {'eng' if 'eng' in languages else min(languages)} ({known}).",
            )
        return [*forced_prefix(model, tokenizer), int(code)]
    if asked is not None:
        raise CapfixError(
            f"{path} is a {config['model_type']}, an encoder-decoder that takes no prompt.",
            "Leave --prompt out.",
        )
    told = generation.get("forced_decoder_ids")
    told = told or config.get("forced_decoder_ids")
    try:
        return forced_prefix(model, tokenizer, told)
    except (TypeError, ValueError) as error:
        raise CapfixError(
            f"The forced_decoder_ids of {path} are no list of [place, token]: {told!r:.80}.",
            "Mend generation_config.json, or copy it again.",
        ) from error


def load_tokenizer(
    path: str,
    *,
    bos: str | int | None = None,
    eos: str | int | None = None,
    pad: str | int | None = None,
) -> Any:
    """Read a ``tokenizer.json``, or a folder with one, as a tokenizer of transformers.

    Special tokens are found by their usual names, or named as for ``load_vocabulary``.

    Raises:
        CapfixError: the ``hf`` extra is missing, or the file is no tokenizer.
    """
    file = Path(path) / "tokenizer.json" if Path(path).is_dir() else Path(path)
    found = load_vocabulary(str(file), bos=bos, eos=eos, pad=pad)
    ids = {"bos": found.bos_id, "eos": found.eos_id, "pad": found.pad_id, "unk": found.unk_id}
    special: dict[str, Any] = {
        f"{name}_token": found.words[id_] for name, id_ in ids.items() if id_ is not None
    }
    try:
        from transformers import PreTrainedTokenizerFast
    except ImportError as error:
        raise CapfixError(
            f"{path} is read with transformers.", "Install it: pip install 'capfix[hf]'"
        ) from error
    kind: Any = PreTrainedTokenizerFast
    try:
        return kind(tokenizer_file=str(file), **special)
    except Exception as error:  # the tokenizers library raises bare Exceptions
        raise CapfixError(
            f"{path} is no tokenizer of the tokenizers library: {error!s:.120}.",
            "Give the tokenizer.json that training saved.",
        ) from error


def _check(path: str, config: dict[str, Any]) -> None:
    """Refuse before loading what is no captioner, or would run code that nobody asked for."""
    for _, file in weight_files(path):
        content = read_content(file)
        if content.refused:
            raise CapfixError(
                f"{file} was refused: {content.refused}.", "Save the model as safetensors."
            )
    role = role_of(config)
    if role is None or role[0] != "audio-language":
        refuse_code(path, config)  # audio language models of transformers' own run without it
    if role is not None and role[0] in WHAT:
        raise CapfixError(f"{path} is {WHAT[role[0]]} ({role[1]}).", TO_DO[role[0]])
    if not isinstance(config.get("model_type"), str):
        raise CapfixError(f"{path}/config.json names no model_type.", "Copy the folder again.")


def refuse_code(path: str, config: dict[str, Any]) -> None:
    """Refuse a folder that brings code of its own, unless the user trusts it."""
    told = config.get("auto_map")
    if told and not given().trust:
        names = ", ".join(map(str, told.values())) if isinstance(told, dict) else str(told)
        raise CapfixError(
            f"{path} brings code of its own ({names:.200}), which was not run.",
            "If you trust who made it, add --trust.",
        )


def _extraction(extractor: Any) -> Inputs:
    def inputs(waveforms: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        clips = [
            row[:length].numpy()
            for row, length in zip(waveforms.cpu(), lengths.tolist(), strict=True)
        ]
        options: dict[str, Any] = {"sampling_rate": extractor.sampling_rate, "return_tensors": "pt"}
        found = extractor(clips, **options, **_padding(extractor))
        names = ("input_features", "input_values", "attention_mask")
        return {name: found[name] for name in names if name in found}

    return inputs


def _padding(extractor: Any) -> dict[str, Any]:
    # Whisper's encoder takes 30 seconds and nothing else: its extractor pads so by itself.
    if hasattr(extractor, "nb_max_frames"):
        return {}
    return {"padding": True, "return_attention_mask": True}
