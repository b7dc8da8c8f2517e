"""What a file of weights holds, and the names and places of its tensors."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from capfix_cli.checkpoints.formats.tensor_info import TensorInfo, TensorPlace, check_claims
from capfix_cli.checkpoints.safe_pickle.safe_unpickler import Stub, UnpicklerFindings
from capfix_cli.checkpoints.safe_pickle.stub_contents import attributes_of, items_of

DEEPEST = 24  # levels of nesting that are searched for tensors
MOST_VISITS = 2_000_000  # containers that share parts can be longer to walk than to write
MOST_TENSORS = 100_000  # the largest models have some thousands in one file
LONGEST_NAME = 200  # characters
LONGEST_LIST = 10_000  # members; longer lists are words or losses, not tensors


@dataclass
class Content:
    """What a file holds.

    Attributes:
        format: ``torch``, ``torch-legacy``, ``torchscript``, ``safetensors`` or ``pickle``.
        value: nested dicts, lists, tensors described and plain values; None for a program.
        tensors: name -> description, names being dotted places.
        imports: globals that the file names.
        refused: why it must not be loaded; None where nothing speaks against it.
    """

    format: str
    value: Any = None
    tensors: dict[str, TensorInfo] = field(default_factory=dict)
    imports: list[str] = field(default_factory=list)
    refused: str | None = None


def content_of(
    format_: str,
    value: Any,
    findings: UnpicklerFindings,
    places: Mapping[str, TensorPlace | None],
    *,
    whole: bool = False,
) -> Content:
    """Put together what the pickles of a file gave.

    Args:
        format_: as :class:`Content` has it.
        value: what the main pickle gave.
        findings: what was met on the way.
        places: storage's key -> where it lies; None for one that cannot be read as it lies.
        whole: whether every storage must be among them.

    Raises:
        ValueError: a tensor that reaches outside its storage, or whose storage is missing;
            containers nested without end.
    """
    tensors: dict[str, TensorInfo] = {}
    _Namer(tensors).name(value, "", 0)
    for name, tensor in tensors.items():
        if whole and tensor.storage and tensor.storage not in places:
            raise ValueError(f"the storage of its tensor {name[:80]!r} is missing")
        placed = dataclasses.replace(tensor, place=places.get(tensor.storage))
        check_claims(placed)
        tensors[name] = placed
    refused = None
    if findings.reaches_for:
        refused = f"it reaches for {', '.join(map(printable, findings.reaches_for[:5]))}"
    return Content(format_, value, tensors, [printable(i) for i in findings.imports], refused)


def printable(text: str, keep: str = "") -> str:
    """Write control characters, lone surrogates and the like out, so that terminals ignore them."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text
    )


def key_name(key: Any) -> str:
    """Give a key as a name: what is no word or number by its type, for it may be endless."""
    if isinstance(key, str):
        return printable(key[:LONGEST_NAME])
    plain = key is None or isinstance(key, int | float)
    return str(key) if plain else f"<{type(key).__name__}>"


class _Namer:
    """Names every tensor by its dotted place."""

    def __init__(self, found: dict[str, TensorInfo]) -> None:
        self.found = found
        self.visits = 0
        # Containers without tensors, and those being walked: settings refer to each other in
        # circles. They live as long as what is walked, so their ids stay their own.
        self.bare: set[int] = set()

    def name(self, value: Any, place: str, depth: int) -> None:
        """Name the tensors of a value that stands at a place."""
        if isinstance(value, TensorInfo):
            if len(self.found) >= MOST_TENSORS:
                raise ValueError(f"it has over {MOST_TENSORS} tensors")
            self.found[place] = dataclasses.replace(value, name=place)
            return
        inner = _inner(value)
        if inner is None or depth > DEEPEST or id(value) in self.bare:
            return
        self.bare.add(id(value))
        before = len(self.found)
        for key, item in inner:
            self.visits += 1
            if self.visits > MOST_VISITS:
                raise ValueError("its containers are nested without end")
            if key == "_flat_weights":  # a recurrent module's second list of its own parameters
                continue
            if isinstance(item, TensorInfo) or _inner(item) is not None:
                name = key_name(key)
                # Modules keep these between their name and their parameters' names.
                skipped = name in {"_parameters", "_buffers", "_modules"}
                self.name(item, place if skipped else f"{place}.{name}".strip("."), depth + 1)
        if len(self.found) > before:
            self.bare.discard(id(value))


def _inner(value: Any) -> Iterable[tuple[Any, Any]] | None:
    """Give keys and members of a container that may hold tensors; None for anything else."""
    if isinstance(value, dict):
        return value.items()
    if isinstance(value, list | tuple):
        return enumerate(value) if len(value) < LONGEST_LIST else None
    if isinstance(value, Stub):  # a whole pickled module keeps its parameters in its state
        own = items_of(value)
        listed = enumerate(own) if isinstance(own, list) else (own or {}).items()
        return itertools.chain(attributes_of(value).items(), listed)
    return None
