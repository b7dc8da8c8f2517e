"""From a path to a captioner and what is known about it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from capfix_cli.captioners.adapters import load_with_adapter
from capfix_cli.captioners.base import Captioner
from capfix_cli.captioners.contract.contract_check import quick_check
from capfix_cli.captioners.feature_captioner import over_features, refuse_audio
from capfix_cli.captioners.huggingface import huggingface_folder, peft_folder
from capfix_cli.captioners.own import own_checkpoint as checkpoint
from capfix_cli.captioners.own.own_captioner import OwnCaptioner
from capfix_cli.checkpoints.formats.checkpoint_folder import read_whole, weight_files
from capfix_cli.checkpoints.inspection import sha256_of
from capfix_cli.checkpoints.model_options import NO_MODEL_OPTIONS, ModelOptions, given, use
from capfix_cli.checkpoints.opening import open_checkpoint
from capfix_cli.checkpoints.safe_pickle.safe_unpickler import Stub
from capfix_cli.checkpoints.weights import load_module
from capfix_cli.core.errors import CapfixError
from capfix_cli.features.feature_set import FeatureSet
from capfix_cli.schemas.diagnosis_record import ModelSummary

# The fact that a network came in train mode; capfix puts it into eval mode.
HANDED_TRAINING = "evaluation.handed_in_train_mode"


@dataclass(frozen=True)
class Loaded:
    """A captioner ready to run, and its summary.

    Attributes:
        captioner: in eval mode.
        summary: of its checkpoint.
        handed_in_train_mode: whether its network came in train mode, and would compute otherwise.
    """

    captioner: Captioner
    summary: ModelSummary
    handed_in_train_mode: bool = False


def load(
    path: str,
    adapter: str | None = None,
    device: str = "cpu",
    options: ModelOptions = NO_MODEL_OPTIONS,
    *,
    features: FeatureSet | None = None,
) -> Loaded:
    """Load a checkpoint safely; only an adapter that the user names runs code of the user's.

    Args:
        path: of the checkpoint, or the name that an adapter takes.
        adapter: ``FILE.py:FACTORY`` or None.
        device: as PyTorch names it.
        options: what the command line says about the model.
        features: clips that are given in place of audio: the captioner then reads these.

    Raises:
        CapfixError: the device, the file or the adapter cannot be used; the message says why.
    """
    check_device(device)
    with use(options):
        loaded = _load(path, adapter, device)
    module = loaded.captioner.module
    if module is not None:
        if any(_differs_in_training(layer) for layer in module.modules()):
            known = loaded.summary.facts | {HANDED_TRAINING: True}
            loaded = replace(
                loaded, summary=replace(loaded.summary, facts=known), handed_in_train_mode=True
            )
        module.eval()
    if features is not None:
        loaded = replace(loaded, captioner=over_features(loaded.captioner, features))
    else:
        refuse_audio(loaded.captioner)
    if loaded.summary.format in {"adapter", "huggingface", "pickle", "network"}:
        wrong = quick_check(loaded.captioner)
        if wrong is not None:
            raise CapfixError(
                f"The captioner of {adapter or path} breaks the contract: {wrong}.",
                f"`capfix adapter check {adapter} {path}` tries every clause." if adapter else "",
            )
    return loaded


def open_captioner(path: str, adapter: str | None, device: str, options: ModelOptions) -> Captioner:
    """Load a captioner as :func:`load` does, whatever clauses of the contract it breaks.

    Raises:
        CapfixError: the device, the file or the adapter cannot be used.
    """
    check_device(device)
    with use(options):
        captioner = _load(path, adapter, device).captioner
    if captioner.module is not None:
        captioner.module.eval()
    return captioner


def _differs_in_training(layer: nn.Module) -> bool:
    """Say whether a layer is in train mode and computes otherwise for it."""
    kinds = nn.modules.dropout._DropoutNd | nn.modules.batchnorm._BatchNorm
    recurrent = isinstance(layer, nn.RNNBase) and layer.dropout > 0
    return layer.training and (isinstance(layer, kinds) or recurrent)


def _load(path: str, adapter: str | None, device: str) -> Loaded:
    options = given()
    if options.network is not None:
        if adapter is not None:
            raise CapfixError(
                "--network and --adapter both say how the model runs.", "Give one of them."
            )
        from capfix_cli.captioners.derived.network_loading import load_network

        derived = load_network(options.network, path, device, options)
        known = facts(derived, {})
        summary = ModelSummary(path, "network", _sha256(path), options.network, known)
        return Loaded(derived, summary)
    if adapter is not None:
        captioner = load_with_adapter(adapter, path, device)
        summary = ModelSummary(path, "adapter", _sha256(path), adapter, facts(captioner, {}))
    elif huggingface_folder.is_folder(path):
        captioner = huggingface_folder.load_folder(path, device)
        known = facts(captioner, {})
        if peft_folder.is_adapter(path):
            known["weights.adapter_merged_into"] = peft_folder.base_of(path)
        summary = ModelSummary(path, "huggingface", _sha256(path), None, known)
    elif _needs_code(path) and given().trust:
        return _load_trusted(path)
    else:
        opened = open_checkpoint(path)
        if not checkpoint.is_own(opened.data):
            raise _no_network(path, _contents(opened.data))
        if given().prompt is not None:
            raise CapfixError(
                f"{path} is one of capfix's own captioners, which take no prompt.",
                "Leave --prompt out.",
            )
        captioner = checkpoint.build(opened.data, path, device)
        known = facts(captioner, opened.data.get("training", {}))
        summary = ModelSummary(path, opened.format, opened.sha256, None, known)
    return Loaded(captioner, summary)


def _needs_code(path: str) -> bool:
    """Say whether a file is a program or a pickled object, not a container of weights.

    Raises:
        CapfixError: another framework's file, a damaged one, or several files, which need an
            adapter; the message says which.
    """
    files = weight_files(path)
    alone = len(files) == 1 and files[0][1] == Path(path)
    if alone and not (Path(path).is_file() and Path(path).stat().st_size):
        return False  # absent or empty: told where it is opened
    content = read_whole(path)
    if not alone:
        counted = f"{len(content.tensors)} tensors in {len(files)} file{'s'[: len(files) > 1]}"
        raise _no_network(path, counted)
    return content.refused is not None or isinstance(content.value, Stub)


def _no_network(path: str, contents: str) -> CapfixError:
    return CapfixError(
        f"{path} holds {contents}, but not how its network is built.",
        "Name the class of its network: --network my_model:Captioner. Where that does not do,"
        f" `capfix adapter new {path}` writes the few lines that are needed (docs/adapters.md).",
    )


def _load_trusted(path: str) -> Loaded:
    """Unpickle a whole captioner, as the user asked; what it imports is said first."""
    captioner = load_module(path)
    if not isinstance(captioner, Captioner):
        raise CapfixError(
            f"{path} holds a {type(captioner).__name__}, which is no Captioner.",
            "Give an adapter around it: capfix_cli.load_module(checkpoint) opens it there.",
        )
    return Loaded(
        captioner, ModelSummary(path, "pickle", _sha256(path), None, facts(captioner, {}))
    )


def check_device(device: str) -> None:
    """Fail early and clearly where a device cannot be used.

    Raises:
        CapfixError: unknown to PyTorch, or not on this machine.
    """
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise CapfixError(
            f"The device {device!r} cannot be used: {reason:.100}.", "Use --device cpu."
        ) from error


def _sha256(path: str) -> str | None:
    with contextlib.suppress(OSError, CapfixError):
        return sha256_of([file for _, file in weight_files(path)])
    return None  # an adapter may take a name, or nothing


def _contents(data: Any) -> str:
    if isinstance(data, dict):
        tensors = sum(isinstance(value, torch.Tensor) for value in data.values())
        if tensors:
            return f"a state_dict of {tensors} tensors"
        return "the keys " + ", ".join(sorted(map(str, data))[:6])
    return f"a {type(data).__name__}"


def facts(captioner: Captioner, training: dict[str, Any]) -> dict[str, Any]:
    """List what the checkpoint says about its architecture and training, by fact id."""
    known: dict[str, Any] = {"vocabulary.size": len(captioner.vocabulary)}
    if isinstance(captioner, OwnCaptioner):
        config = captioner.config
        known |= {
            "decoder.kind": config.decoder,
            "conditioning": config.conditioning,
            "encoder.pooling": config.encoder.pooling,
            "encoder.depth": config.encoder.depth,
            "encoder.residual": config.encoder.residual,
            "encoder.pretrained": config.encoder.pretrained,
            "dropout": config.dropout,
            "encoder.dropout": config.encoder.dropout,
        }
    elif captioner.module is not None:
        rates = [m.p for m in captioner.module.modules() if isinstance(m, nn.Dropout)]
        known["dropout"] = max(rates, default=0.0)
    known |= {f"training.{name}": value for name, value in training.items()}
    return known
