"""A model's tensors out of whatever layout they were saved in, without running anything."""

from __future__ import annotations

import collections
import contextlib
import pickle
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from capfix_cli.checkpoints.formats.checkpoint_content import Content
from capfix_cli.checkpoints.formats.checkpoint_folder import weight_files
from capfix_cli.checkpoints.formats.file_format import read_content
from capfix_cli.checkpoints.formats.network_keys import is_whole, part_name
from capfix_cli.checkpoints.formats.tensor_info import TensorInfo
from capfix_cli.checkpoints.model_options import given
from capfix_cli.checkpoints.opening import open_checkpoint
from capfix_cli.checkpoints.safe_pickle.safe_unpickler import Stub, is_dangerous
from capfix_cli.checkpoints.safe_pickle.stub_contents import mapping_of
from capfix_cli.checkpoints.stored_tensors import stored_tensors
from capfix_cli.core.errors import CapfixError

PREFIXES = ("module.", "model.", "_orig_mod.")  # DataParallel, Lightning, torch.compile
_TENSOR = (Tensor, TensorInfo)
PRIVATE = ("_parameters", "_buffers", "_modules")


def load_weights(checkpoint: str, **modules: nn.Module) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint, and put them into modules where some are given.

    ``load_weights(path, network=net)`` loads all of it into ``net``, whatever its name;
    ``load_weights(path, encoder=e, decoder=d)`` parts them by their first names, and two files
    (``"encoder.pt,decoder.pt"``) by the files' names.

    Args:
        checkpoint: a file in any layout of docs/checkpoints.md, an index of shards, a folder, or
            several joined by commas.
        modules: what to load into; every tensor of each must be there, in its shape.

    Returns:
        name -> tensor on the CPU, wrappers' prefixes dropped.

    Raises:
        CapfixError: unreadable, refused, or tensors that do not fit; the message names them.
    """
    weights: dict[str, Tensor] = {}
    files = weight_files(checkpoint)
    for name, file in files:
        found = _of_file(str(file))
        part = {f"{name}.{key}": tensor for key, tensor in found.items()} if name else found
        twice = sorted(part.keys() & weights.keys())
        if twice:
            raise CapfixError(
                f"{file} holds {twice[0]}, which another file holds too.", "Name each file once."
            )
        weights |= part
    weights = plain_prefixes(weights)
    for name, module in modules.items():
        _fill(module, name, weights, checkpoint, alone=len(modules) == 1)
    return weights


def _fill(
    module: nn.Module, name: str, weights: Mapping[str, Tensor], checkpoint: str, alone: bool
) -> None:
    """Load a module's part; what is missing or misshapen is said tensor by tensor."""
    own = module.state_dict()
    part = {key[len(name) + 1 :]: t for key, t in weights.items() if key.startswith(f"{name}.")}
    if alone and len(own.keys() & part.keys()) <= len(own.keys() & weights.keys()):
        part = dict(weights)
    wrong = _misfits(own, part)
    if wrong:
        prefix = _prefix_that_fits(own, name, weights, checkpoint)
        if prefix is not None:
            part = {k[len(prefix) :]: t for k, t in weights.items() if k.startswith(prefix)}
            wrong = _misfits(own, part)
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise CapfixError(
            f"The weights of {checkpoint} do not fit the {type(module).__name__} given as "
            f"{name!r}: {'; '.join(wrong[:3])}{more}.",
            f"Build it as in training; `capfix inspect {checkpoint}` lists names and shapes.",
        )
    module.load_state_dict(part)
    module.eval()


def _misfits(own: Mapping[str, Tensor], part: Mapping[str, Tensor]) -> list[str]:
    """Say of each tensor that is missing, misshapen or of no use what it is."""
    wrong = [f"{key} is missing" for key in own if key not in part]
    wrong += [
        f"{key} is {list(part[key].shape)}, not {list(tensor.shape)}"
        for key, tensor in own.items()
        if key in part and part[key].shape != tensor.shape
    ]
    return wrong + [f"{key} has no place in it" for key in part if key not in own]


def _prefix_that_fits(
    own: Mapping[str, Tensor], name: str, weights: Mapping[str, Tensor], checkpoint: str
) -> str | None:
    """Find the prefix under which a module lies whole, whatever its wrapper called it.

    Lightning keeps a network under the name of an attribute: ``net.``, ``captioner.model.``.

    Raises:
        CapfixError: it lies there twice with other numbers, as a student and its teacher do.
    """
    first = next(iter(own), None)
    if first is None:
        return None
    ends = [key[: -len(first)] for key in weights if key.endswith(f".{first}")]
    fits = [
        prefix
        for prefix in ends
        if all(
            f"{prefix}{key}" in weights and weights[f"{prefix}{key}"].shape == tensor.shape
            for key, tensor in own.items()
        )
    ]
    fits = [prefix for prefix in fits if prefix.endswith(f"{name}.")] or fits
    if len(fits) < 2:
        return fits[0] if fits else None
    same = all(
        torch.equal(weights[f"{fits[0]}{key}"], weights[f"{prefix}{key}"])
        for prefix in fits[1:]
        for key in own
    )
    if same:
        return fits[0]
    raise CapfixError(
        f"{checkpoint} holds the {_places(fits)}: which of them {name!r} is cannot be told.",
        "Load one: capfix_cli.load_weights(checkpoint) gives all tensors by name.",
    )


def _places(prefixes: Sequence[str]) -> str:
    """``["student.", "teacher."]`` -> ``network under student. and under teacher.``."""
    return f"network under {' and under '.join(prefixes[:3])}"


def _of_file(path: str) -> dict[str, Tensor]:
    data = _open(path)
    if isinstance(data, Content):
        found = stored_tensors(_state_dict(data.value), data)
    else:
        found = _state_dict(data)
    if not found:
        raise CapfixError(
            f"{path} holds no weights that can be found.",
            f"`capfix inspect {path}` shows what it holds; save model.state_dict().",
        )
    return found


def _open(path: str) -> Any:
    """Open safely; globals that only describe settings become inert stubs."""
    content = read_content(Path(path))
    if content.refused or content.format == "torchscript":
        raise CapfixError(
            f"{path} was refused: {content.refused}.",
            "Save model.state_dict() with torch.save and give that.",
        )
    if content.format == "safetensors":
        return open_checkpoint(path).data
    try:
        with stub_unknown_globals(content.imports):
            return open_checkpoint(path).data
    except CapfixError as error:
        # Settings of classes that PyTorch's reader does not fill: capfix's own fills none either,
        # but it passes over them, and knows where the tensors lie.
        if not isinstance(error.__cause__, pickle.UnpicklingError) or not content.tensors:
            raise
        return content


@contextlib.contextmanager
def stub_unknown_globals(imports: list[str]) -> Iterator[None]:
    """Let torch's safe reader meet unknown classes as stubs that do nothing.

    Dangerous names get none, so the reader refuses them still.
    """
    known = re.compile(r"^(torch\.\w*Storage|torch\._utils\..*|torch\.[a-z]+\d*|torch\.Size)$")
    stubs: list[Any] = [
        (type("Stub", (Stub,), {"_name": name}), name)
        for name in imports
        if not known.match(name) and name not in _PLAIN and not is_dangerous(name) and "." in name
    ]
    with torch.serialization.safe_globals([*stubs, *_PLAIN_GLOBALS]):
        yield


# Containers of Python itself, under the names that pickles of either Python give them.
_PLAIN: dict[str, Any] = {
    "collections.OrderedDict": collections.OrderedDict,
    "collections.Counter": collections.Counter,
    "collections.defaultdict": collections.defaultdict,
    **{f"builtins.{kind.__name__}": kind for kind in (dict, list, set, tuple, frozenset)},
    **{f"__builtin__.{kind.__name__}": kind for kind in (dict, list, set, tuple, frozenset)},
}
_PLAIN_GLOBALS: list[Any] = [(kind, name) for name, kind in _PLAIN.items()]


def _state_dict(data: Any) -> dict[str, Any]:
    """Find the model's tensors: bare, under a usual key, in parts, or in a pickled module.

    Returns:
        name -> tensor, or its description where ``data`` is an inert reading.
    """
    if isinstance(data, Stub):
        module = _of_module(data, "")
        if module:
            return module
        data = mapping_of(data)
    if not isinstance(data, Mapping):
        return {}
    tensors = {str(key): item for key, item in data.items() if isinstance(item, _TENSOR)}
    for key, item in data.items():
        if is_whole(key):
            inner = _state_dict(item)
            if inner:
                return inner
    if tensors:
        return tensors
    parts: dict[str, Any] = {}
    for key, item in data.items():
        name = part_name(key)
        if name is not None and isinstance(item, Mapping | Stub):
            inner = _state_dict(item)
            parts |= {f"{name}.{inner_name}": tensor for inner_name, tensor in inner.items()}
    return parts


def _of_module(stub: Stub, place: str, depth: int = 0) -> dict[str, Any]:
    """Gather a pickled module's tensors from its stubs: what its state_dict() would give."""
    state = stub.__dict__.get("state")
    if not isinstance(state, Mapping) or depth > 64:
        return {}
    found: dict[str, Any] = {}
    fleeting = state.get("_non_persistent_buffers_set") or ()
    for kind in PRIVATE[:2]:
        for name, tensor in (state.get(kind) or {}).items():
            if isinstance(tensor, _TENSOR) and name not in fleeting:
                found[f"{place}{name}"] = tensor.detach() if isinstance(tensor, Tensor) else tensor
    for name, inner in (state.get("_modules") or {}).items():
        if isinstance(inner, Stub):
            found |= _of_module(inner, f"{place}{name}.", depth + 1)
    return found


def plain_prefixes(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Drop prefixes that all names share and that wrappers put there."""
    while weights:
        prefix = next((p for p in PREFIXES if all(n.startswith(p) for n in weights)), None)
        if prefix is None:
            # DataParallel may wrap the parts and not the whole: encoder.module.conv.weight.
            return {re.sub(r"(^|\.)module\.", r"\1", name): t for name, t in weights.items()}
        weights = {name[len(prefix) :]: tensor for name, tensor in weights.items()}
    return weights


def load_module(checkpoint: str) -> Any:
    """Unpickle a whole module, or load a TorchScript program: only under ``--trust``.

    Raises:
        CapfixError: without ``--trust``, saying what would be imported; or a file that reaches
            for more than a network needs.
    """
    content = read_content(Path(checkpoint))
    script = content.format == "torchscript"
    if content.refused and not script:
        raise CapfixError(
            f"{checkpoint} was refused: {content.refused}. --trust does not open such a file.",
            "Save model.state_dict() where the model was trained.",
        )
    if not script and not _code(content.imports):
        raise CapfixError(
            f"{checkpoint} holds weights and plain values, no module.",
            "Build the network and call capfix_cli.load_weights(checkpoint, network=network).",
        )
    names = ", ".join(_shown(content.imports)) or "classes of PyTorch"
    if not given().trust:
        what = "runs the program in it" if script else f"imports and runs {names}"
        raise CapfixError(
            f"{checkpoint} is a whole pickled object: opening it {what}."
            if not script
            else f"{checkpoint} is a TorchScript program: opening it {what}.",
            "If you trust who made it, add --trust; better, save model.state_dict().",
        )
    try:
        if script:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # torch deprecates TorchScript
                return torch.jit.load(checkpoint, map_location="cpu")  # type: ignore[no-untyped-call]
        return torch.load(checkpoint, map_location="cpu", weights_only=False)
    except Exception as error:
        raise CapfixError(
            f"{checkpoint} could not be opened: {type(error).__name__}: {error}.",
            "Its classes must be importable from where you run capfix, or from the adapter.",
        ) from error


def _code(imports: list[str]) -> list[str]:
    """What a file imports beyond tensors and the containers of Python."""
    plain = ("torch._utils.", "collections.", "builtins.", "__builtin__.", "torch.storage")
    other = [name for name in imports if not name.startswith(plain)]
    return [name for name in other if not re.match(r"torch\.[A-Za-z0-9]+$", name)]


def _shown(imports: list[str]) -> list[str]:
    return [name for name in _code(imports) if not name.startswith("torch.nn.")][:6]
