"""Hugging Face captioners from a local folder: nothing is downloaded, none of its code is run."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from capfix_cli.captioners.huggingface.huggingface_captioner import (
    HuggingFaceCaptioner,
    Inputs,
    SpectrogramCaptioner,
    forced_prefix,
)
from capfix_cli.checkpoints.formats.checkpoint_folder import read_json, weight_files
from capfix_cli.checkpoints.formats.file_format import read_content
from capfix_cli.checkpoints.model_options import given
from capfix_cli.checkpoints.vocabulary import load_vocabulary
from capfix_cli.checkpoints.xray.huggingface_families import TO_DO, WHAT, role_of
from capfix_cli.core.errors import CapfixError


def is_folder(path: str) -> bool:
    """Say whether a path is a folder in the layout of transformers."""
    return (Path(path) / "config.json").is_file()


def load_folder(path: str, device: str) -> HuggingFaceCaptioner:
    """Load a captioner from a local folder; nothing is downloaded, and no code of it is run.

    Raises:
        CapfixError: the ``hf`` extra is missing, the folder is incomplete, is no encoder-decoder
            over audio, or brings code of its own and ``--trust`` was not given.
    """
    config = read_json(Path(path) / "config.json")
    _check(path, config)
    try:
        import transformers
    except ImportError as error:
        raise CapfixError(
            f"{path} is a Hugging Face model, which needs transformers.",
            "Install it: pip install 'capfix[hf]'",
        ) from error
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": given().trust}
    with _quiet(transformers):
        try:
            model, loading = transformers.AutoModelForSpeechSeq2Seq.from_pretrained(
                path, output_loading_info=True, **options
            )
            kind: Any = transformers.AutoFeatureExtractor
            extractor = kind.from_pretrained(path, **options)
            tokenizer = transformers.AutoTokenizer.from_pretrained(path, **options)
        except Exception as error:  # transformers raises nearly everything
            first = " ".join(str(error).split())[:200] or type(error).__name__
            raise CapfixError(
                f"transformers cannot load {path}: {first}.",
                "It must be a whole folder: config, weights, preprocessor and tokenizer files.",
            ) from error
    wrong = [*loading["missing_keys"], *(key[0] for key in loading["mismatched_keys"])]
    if wrong:
        raise CapfixError(
            f"The weights of {path} lack {len(wrong)} tensors of its config: "
            f"{', '.join(sorted(wrong)[:3])}.",
            "Weights and config.json must be of the same model.",
        )
    model.to(device).eval()
    # Read from the file: transformers 5 drops it from its own config on the way in.
    generation = Path(path) / "generation_config.json"
    told = read_json(generation).get("forced_decoder_ids") if generation.is_file() else None
    told = told or config.get("forced_decoder_ids")
    try:
        prefix = forced_prefix(model, tokenizer, told)
    except (TypeError, ValueError) as error:
        raise CapfixError(
            f"The forced_decoder_ids of {path} are no list of [place, token]: {told!r:.80}.",
            "Mend generation_config.json, or copy it again.",
        ) from error
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
    """Refuse before loading what would run code, or is no captioner."""
    kind = config.get("model_type")
    if config.get("auto_map") and not given().trust:
        told = config["auto_map"]
        names = ", ".join(map(str, told.values())) if isinstance(told, dict) else str(told)
        raise CapfixError(
            f"{path} brings code of its own ({names:.200}), which was not run.",
            "If you trust who made it, add --trust.",
        )
    for _, file in weight_files(path):
        content = read_content(file)
        if content.refused:
            raise CapfixError(
                f"{file} was refused: {content.refused}.", "Save the model as safetensors."
            )
    role = role_of(config)
    if role is not None and role[0] in WHAT:
        raise CapfixError(f"{path} is {WHAT[role[0]]} ({role[1]}).", TO_DO[role[0]])
    if kind is None:
        raise CapfixError(f"{path}/config.json names no model_type.", "Copy the folder again.")


@contextlib.contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Keep progress bars and advice of transformers out of capfix's output."""
    logging = transformers.utils.logging
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(before)


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
