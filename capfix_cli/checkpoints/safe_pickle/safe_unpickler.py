"""A pickle reader that executes nothing: every global becomes an inert stub that is written down.

Unpickling runs code only through what ``find_class`` returns. Here that is a handful of plain
containers, functions of this module that describe a tensor, and otherwise a stub class that keeps
its arguments and does nothing with them. So names, shapes and word maps come out of files that
``weights_only=True`` refuses, and a malicious file comes out as a list of what it reached for.
"""

from __future__ import annotations

import math
import pickle
import re
import struct
from dataclasses import dataclass, field
from typing import IO, Any

from capfix_cli.checkpoints.formats.tensor_info import TensorInfo, dtype_of_storage
from capfix_cli.checkpoints.safe_pickle.reader_limits import (
    FEWER,
    LARGEST_PICKLE,
    LONGEST_TEXT,
    BoundedFile,
    LimitedUnpickler,
)

# Modules that reach outside the pickle: a file that names one of them is refused, although the stub
# would do nothing. A name counts with everything below it.
DANGEROUS = (
    *("os", "posix", "nt", "subprocess", "builtins", "__builtin__", "importlib", "runpy", "sys"),
    *("shutil", "socket", "ctypes", "pty", "commands", "code", "codeop", "pdb", "bdb", "timeit"),
    *("pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "types"),
    *("operator", "_operator", "functools", "asyncio", "multiprocessing", "threading", "signal"),
    *("webbrowser", "urllib", "http", "requests", "ftplib", "smtplib", "telnetlib", "tempfile"),
    *("platform", "cProfile", "profile", "trace", "inspect", "pydoc", "pkgutil"),
    *("distutils", "setuptools", "pip", "ensurepip", "venv", "idlelib", "test", "unittest"),
    *("numpy.testing", "numpy.f2py", "numpy.distutils", "torch.storage", "torch.hub", "torch.jit"),
    *("torch.load", "torch.serialization", "torch._inductor", "torch.utils", "torch.package"),
    *("torch.distributed", "torch.fx", "torch._dynamo", "torch.multiprocessing", "torch.ops"),
    *("logging.config", "linecache", "nturl2path", "doctest", "io", "_io", "codecs.open", "gc"),
    *("site", "sysconfig", "zipimport", "zipfile", "tarfile", "sqlite3", "mmap", "fileinput"),
)
# Builtins that plain data needs: they make containers and cannot act.
HARMLESS_BUILTINS = {
    *("set", "frozenset", "dict", "list", "tuple", "int", "float", "complex", "str", "bytes"),
    *("bytearray", "bool", "slice", "range", "object"),
    *("long", "unicode", "xrange"),  # what Python 2 called int, str and range
}
# Single names below dangerous modules that only describe data.
HARMLESS = {
    "_io.BytesIO",
    "_io.StringIO",
    "operator.itemgetter",
    "joblib.numpy_pickle.NumpyArrayWrapper",
    *(f"torch.utils.data.dataset.{kind}" for kind in ("Dataset", "TensorDataset", "Subset")),
    "torch.utils.data.dataset.ConcatDataset",
    "torch.utils.data.dataloader.DataLoader",
    *(
        f"torch.utils.data.sampler.{kind}Sampler"
        for kind in ("Random", "Sequential", "Batch", "SubsetRandom", "WeightedRandom")
    ),
    "types.SimpleNamespace",
    "torch.utils._pytree.TreeSpec",
    "torch.storage.TypedStorage",
    "torch.storage.UntypedStorage",
    "torch.storage._TypedStorage",
    "torch.storage._UntypedStorage",
    "functools.partial",  # in configs of timm and others; the stub does not call it
}
STUB_STEPS = 250  # a class takes as much memory as some 250 small objects
LONGEST_NAME = 200  # characters of a storage's class
_JOBLIB = re.compile(r"(^|\.)joblib\.numpy_pickle\.NumpyArrayWrapper$")
TRIED = (
    *(pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, KeyError),
    *(RecursionError, MemoryError, OverflowError, IndexError, UnicodeError, AssertionError),
    struct.error,
)


@dataclass
class UnpicklerFindings:
    """What a reading met.

    Attributes:
        imports: every global that the file names, as ``module.name``, once each.
        storages: key -> kind of number, of every storage that the file names.
    """

    imports: list[str] = field(default_factory=list)
    storages: dict[str, str] = field(default_factory=dict)
    _met: set[str] = field(default_factory=set)

    def imported(self, name: str) -> None:
        """Write down a global, the first time it is named."""
        if name not in self._met:
            self._met.add(name)
            self.imports.append(name)

    @property
    def reaches_for(self) -> list[str]:
        """The dangerous ones of the imports."""
        return [name for name in self.imports if is_dangerous(name)]


def is_dangerous(name: str) -> bool:
    """Say whether a global could act on the world outside the pickle."""
    if name in HARMLESS:
        return False
    module, _, attribute = name.rpartition(".")
    if module in {"builtins", "__builtin__"}:
        return attribute not in HARMLESS_BUILTINS
    return any(name == known or name.startswith(f"{known}.") for known in DANGEROUS)


class Mapping(dict[Any, Any]):
    """A dict that a file may call by other names: ordered, counting, with defaults."""

    __slots__ = ()


class Stub:
    """Stands for an object of a class that is not imported; keeps what it is given."""

    _name = "?"

    def __new__(cls, *arguments: Any, **named: Any) -> Stub:
        """Take any arguments and keep them, unused."""
        made = super().__new__(cls)
        made.__dict__["items"] = {}
        if arguments:
            made.__dict__["arguments"] = arguments
        return made

    def __init__(self, *arguments: Any, **named: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        """Keep the state."""
        self.__dict__["state"] = state

    def __setitem__(self, key: Any, value: Any) -> None:
        """Keep an item: SETITEMS calls this on classes derived from dict."""
        self.__dict__["items"][_hashable(key)] = value

    def append(self, value: Any) -> None:
        """Keep a member: APPENDS calls this on classes derived from list."""
        self.__dict__["listed"] = True
        self.__dict__["items"][len(self.__dict__["items"])] = value

    def extend(self, values: Any) -> None:
        """Keep members."""
        for value in values:
            self.append(value)

    def add(self, value: Any) -> None:
        """Keep a member of a set."""
        self.append(value)

    def __call__(self, *arguments: Any, **named: Any) -> Stub:
        """Be called and do nothing."""
        return self


def _hashable(key: Any) -> Any:
    try:
        hash(key)
    except TypeError:
        return repr(type(key))
    return key


class InertUnpickler(LimitedUnpickler):
    """Reads one pickle with stubs for globals."""

    def __init__(self, file: BoundedFile, findings: UnpicklerFindings, spent: int = 0) -> None:
        super().__init__(file)
        self.findings = findings
        self.opcodes = spent
        self._stubs: dict[str, type[Stub]] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Give a container, a describer of tensors, or a stub; import nothing."""
        self.spend((len(module) + len(name)) // FEWER)
        whole = f"{module}.{name}"
        self.findings.imported(whole)
        if whole in {"torch.Size", "builtins.tuple"}:
            return self._tuple
        known = _KNOWN.get(whole)
        if known is not None:
            return known
        if (
            whole.startswith("torch._utils._rebuild_")
            or whole == "torch._tensor._rebuild_from_type_v2"
        ):
            return self._rebuild
        if module in {"torch", "torch.cuda", "torch.storage"} and name.endswith("Storage"):
            return whole
        if whole not in self._stubs:
            self.spend(STUB_STEPS)
            self._stubs[whole] = type("Stub", (Stub,), {"_name": whole})
        return self._stubs[whole]

    def persistent_load(self, pid: Any) -> Any:
        """Describe a storage: torch's pickles name them ("storage", type, key, place, size).

        The old layout names a pickled module's class so too, with its source beside it.
        """
        storage = _storage(pid)
        if storage is not None:
            self.findings.storages[storage[1]] = storage[0]
        return pid[1] if isinstance(pid, tuple) and pid[:1] == ("module",) and pid[1:] else pid

    def take_array(self, state: dict[Any, Any]) -> None:
        """Take the bytes that joblib puts into the middle of a pickle, after each array's wrapper.

        Arrays of objects are pickles of their own. Large arrays are passed over.

        Raises:
            ValueError, pickle.UnpicklingError: no array, or one that the file does not hold.
        """
        shape, kind = state.get("shape"), state.get("dtype")
        name = kind.__dict__.get("arguments", ("",))[0] if isinstance(kind, Stub) else ""
        if not isinstance(shape, tuple) or not _whole_numbers(shape) or not isinstance(name, str):
            raise pickle.UnpicklingError("an array without shape or kind")
        if name.startswith("O"):
            state["objects"] = InertUnpickler(self.file, self.findings, self.opcodes).load()
            return
        width = re.fullmatch(r"[<>|=]?[a-zA-Z](\d{1,4})", name)
        size = math.prod(shape) * (int(width[1]) * (4 if "U" in name else 1) if width else 0)
        if width is None or size < 0:
            raise pickle.UnpicklingError(f"an array of {name[:20]!r}")
        if state.get("numpy_array_alignment_bytes") is not None:
            self.read(self.read(1)[0])  # type: ignore[attr-defined]
        if size <= LONGEST_TEXT:
            state["raw"] = self.read(size)  # type: ignore[attr-defined]
        else:
            self.file.skip(size)

    def get_extension(self, code: int) -> None:
        """Refuse codes of a registry that a file could not know honestly."""
        raise pickle.UnpicklingError(f"extension code {code}")

    def _tuple(self, items: Any = ()) -> tuple[Any, ...]:
        made = tuple(items)
        self.keep_tuple(made)
        return made

    def _rebuild(self, *arguments: Any) -> Any:
        """Describe a tensor in place of building it.

        ``_rebuild_tensor_v2`` and its kin take (storage, offset, shape, stride, ...); v3, for kinds
        of numbers that have no storage class, names the kind too.
        """
        if len(arguments) >= 3 and arguments[0] == self._rebuild:  # a subclass around a tensor
            inner = arguments[2]
            return self._rebuild(*inner) if isinstance(inner, tuple) else None
        for argument in arguments:
            if isinstance(argument, TensorInfo):  # a Parameter around a tensor
                return argument
        sizes = [a for a in arguments[1:] if isinstance(a, tuple) and _whole_numbers(a)]
        shape = sizes[0] if sizes else ()
        storage = arguments[0] if arguments else None
        known = _storage(storage)
        if known is None or not isinstance(storage, tuple):
            return TensorInfo("", shape, "unknown")
        dtype, key = known
        if dtype == "bytes":
            named = [a._name for a in arguments if isinstance(a, type) and issubclass(a, Stub)]
            dtype = next((n[6:] for n in named if n.startswith("torch.")), dtype)
        offset = arguments[1] if len(arguments) > 1 and type(arguments[1]) is int else 0
        view = storage[5] if len(storage) > 5 else None  # the old layout's (key, offset, size)
        if isinstance(view, tuple) and len(view) == 3 and type(view[1]) is int:
            offset += view[1]
        claimed = storage[4] if len(storage) > 4 and type(storage[4]) is int else None
        stride = sizes[1] if len(sizes) > 1 and len(sizes[1]) == len(shape) else None
        if dtype != known[0]:
            claimed = None  # it counts the bytes of an untyped storage, not these numbers
        return TensorInfo("", shape, dtype, key, offset, stride, claimed)


def _storage(pid: Any) -> tuple[str, str] | None:
    """Give kind of number and key of a storage that a persistent id names."""
    if not isinstance(pid, tuple) or pid[:1] != ("storage",) or len(pid) < 3:
        return None
    kind, key = pid[1], pid[2]
    if not isinstance(kind, str) or not isinstance(key, str | int) or len(kind) > LONGEST_NAME:
        return None
    return dtype_of_storage(kind), str(key)


def _whole_numbers(items: tuple[Any, ...]) -> bool:
    return all(type(item) is int for item in items)


def _reconstructed(kind: Any = None, base: Any = None, held: Any = None) -> Any:
    """Make a stub as protocols below 2 do: a class, the container that it derives from, its items.

    Only a stub's class is called, which does nothing.
    """
    if not (isinstance(kind, type) and issubclass(kind, Stub)):
        return None
    made = kind()
    if isinstance(held, dict):
        for key, item in held.items():
            made[key] = item
    elif isinstance(held, list | tuple):
        made.extend(held)
    return made


_KNOWN: dict[str, Any] = {
    "collections.OrderedDict": Mapping,
    "collections.defaultdict": lambda *arguments: Mapping(),
    "collections.Counter": Mapping,
    "builtins.dict": dict,
    "builtins.set": set,
    "builtins.frozenset": frozenset,
    "builtins.list": list,
    "__builtin__.set": set,
    "__builtin__.dict": dict,
    "_codecs.encode": lambda text, encoding="latin-1": (
        text.encode("latin-1") if isinstance(text, str) else b""
    ),
    # Members follow by APPENDS; where a protocol gives them as arguments, they are a list's.
    "collections.deque": lambda members=(), *limit: (
        list(members) if isinstance(members, list | tuple) else []
    ),
    "copy_reg._reconstructor": _reconstructed,
    "copyreg._reconstructor": _reconstructed,
}


def _build(self: InertUnpickler) -> None:
    """Give a stub its state. Nothing else takes one: not classes, not functions, not containers."""
    state = self.stack.pop()
    if isinstance(self.stack[-1], Stub):
        self.stack[-1].__setstate__(state)
        if _JOBLIB.search(type(self.stack[-1])._name) and isinstance(state, dict):
            self.take_array(state)


InertUnpickler.dispatch = {**LimitedUnpickler.dispatch, pickle.BUILD[0]: _build}


def read_pickle(file: BoundedFile, findings: UnpicklerFindings) -> Any:
    """Read one pickle; what it imports and describes goes into ``findings``.

    Raises:
        ValueError: damaged, whatever the reader stumbled over, or larger than any real one.
    """
    try:
        return InertUnpickler(file, findings).load()
    except TRIED as error:
        raise ValueError(f"the pickle is damaged ({type(error).__name__}: {error})") from error


def bounded(file: IO[bytes], size: int) -> BoundedFile:
    """Bound a file for reading pickles from it; frames are no larger than a whole pickle."""
    return BoundedFile(file, size, LARGEST_PICKLE, LARGEST_PICKLE)
