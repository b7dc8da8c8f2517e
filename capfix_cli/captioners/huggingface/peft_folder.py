"""PEFT adapters over a base folder: merged into its weights while it is loaded."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from capfix_cli.captioners.huggingface.loading_errors import plainly
from capfix_cli.checkpoints.formats.checkpoint_folder import read_json
from capfix_cli.core.errors import CapfixError

CONFIG = "adapter_config.json"
_ADAPTED = re.compile(r"(^|\.)(lora_\w+|base_layer|ia3_\w+|modules_to_save)(\.|$)")
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")


def is_adapter(path: str) -> bool:
    """Say whether a folder holds an adapter of PEFT and no model of its own."""
    folder = Path(path)
    return (folder / CONFIG).is_file() and not (folder / "config.json").is_file()


def base_of(path: str) -> str:
    """Give the folder of the model that an adapter was trained on.

    Raises:
        CapfixError: it is named by no folder that is here.
    """
    named = read_json(Path(path) / CONFIG).get("base_model_name_or_path")
    if not isinstance(named, str) or not named:
        raise CapfixError(
            f"{path}/{CONFIG} names no base_model_name_or_path.",
            "Put the folder of the base model there.",
        )
    for folder in (Path(named), Path(path) / named, Path(path).parent / named):
        if folder.is_dir():
            return str(folder)
    local = Path(named).name
    if named.count("/") == 1 and not named.startswith((".", "/")):
        to_do = (
            f"Download it: hf download {named} --local-dir {local}, and put {local}'s path into"
            f" {path}/{CONFIG} as base_model_name_or_path."
        )
    else:
        to_do = f"Put its folder into {path}/{CONFIG} as base_model_name_or_path."
    raise CapfixError(f"{path} is an adapter over {named}, which is not here.", to_do)


def merger(path: str) -> Callable[[Any], Any]:
    """Give what puts an adapter's weights into a model.

    Raises:
        CapfixError: its weights or the library are missing, or they are of another model.
    """
    if not any((Path(path) / name).is_file() for name in WEIGHTS):
        raise CapfixError(
            f"{path} has no weights of its adapter: neither {' nor '.join(WEIGHTS)}.",
            "Copy the whole folder again.",
        )
    if not (Path(path) / WEIGHTS[0]).is_file():
        from capfix_cli.checkpoints.formats.file_format import read_content

        content = read_content(Path(path) / WEIGHTS[1])
        if content.refused:
            raise CapfixError(
                f"{path}/{WEIGHTS[1]} was refused: {content.refused}.", "Save it as safetensors."
            )
    try:
        import peft
    except ImportError as error:
        raise CapfixError(
            f"{path} is an adapter of PEFT, which is merged with the peft library.",
            "Install it: pip install 'capfix[peft]'",
        ) from error
    library: Any = peft

    def merge(model: Any) -> Any:
        with plainly(path):
            wrapped = library.PeftModel.from_pretrained(model, path, is_trainable=False)
            tensors = library.load_peft_weights(path, device="cpu")
            told = library.set_peft_model_state_dict(wrapped, tensors)
        unknown = sorted(told.unexpected_keys)
        if unknown or not tensors:
            raise CapfixError(
                f"{len(unknown)} of {len(tensors)} tensors of the adapter of {path} are nowhere in"
                f" its base model: {', '.join(unknown[:2])}.",
                "Name the model that it was trained on as base_model_name_or_path.",
            )
        if not hasattr(wrapped, "merge_and_unload"):
            raise CapfixError(
                f"The adapter of {path} is of a kind that cannot be merged into weights"
                f" ({wrapped.active_peft_config.peft_type}).",
                "Give an adapter around the model: docs/adapters.md.",
            )
        with plainly(path):
            return wrapped.merge_and_unload()

    return merge


def refuse_unmerged(path: str, unexpected: Iterable[str]) -> None:
    """Refuse weights that hold an adapter which the network would run without.

    Args:
        path: of the folder.
        unexpected: tensors of its files that are nowhere in the network.

    Raises:
        CapfixError: with one of the adapter's tensors.
    """
    left = sorted(name for name in unexpected if _ADAPTED.search(name))
    if left:
        raise CapfixError(
            f"The weights of {path} hold {len(left)} tensors of an adapter that was never merged"
            f" ({left[0]}): the network would run without it.",
            "Merge it where it was trained: model.merge_and_unload().save_pretrained(FOLDER); or"
            " give the adapter's own folder, with adapter_config.json.",
        )


def refuse_without_library(path: str) -> None:
    """Refuse a model whose adapter lies beside it, where what would run it is missing.

    Raises:
        CapfixError: transformers would leave the adapter out without a word.
    """
    if (Path(path) / CONFIG).is_file() and importlib.util.find_spec("peft") is None:
        raise CapfixError(
            f"{path} has an adapter of PEFT beside its weights, and peft is not installed.",
            "Install it: pip install 'capfix[peft]'",
        )
