"""A pickle reader that executes nothing: every global becomes an inert stub that is written down.

Unpickling runs code only through what ``find_class`` returns. Here that is a handful of plain
containers, functions of this module that describe a tensor, and otherwise a stub class that keeps
its arguments and does nothing with them. So names, shapes and word maps come out of files that
``weights_only=True`` refuses, and a malicious file comes out as a list of what it reached for.
"""

from __future__ import annotations

import collections
import pickle
from dataclasses import dataclass, field
from typing import IO, Any

from capfix_cli.captioners.inspection.tensors import TensorInfo, dtype_of_storage

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
}
HARMLESS = {
    "types.SimpleNamespace",
    "torch.utils._pytree.TreeSpec",
    "torch.storage.TypedStorage",
    "torch.storage.UntypedStorage",
    "torch.storage._TypedStorage",
    "torch.storage._UntypedStorage",
    "functools.partial",  # in configs of timm and others; the stub does not call it
}
LARGEST_PICKLE = (
    512 * 2**20
)  # bytes; word maps and names of real checkpoints stay below a hundredth
TRIED = (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, KeyError)


@dataclass
class Findings:
    """What a reading met.

    Attributes:
        imports: every global that the file names, as ``module.name``, once each.
        tensors: tensors in the order in which the file describes them.
    """

    imports: list[str] = field(default_factory=list)
    tensors: list[TensorInfo] = field(default_factory=list)

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
    """A dict that can also be given attributes, as torch does to its state dicts."""


class Stub:
    """Stands for an object of a class that is not imported; keeps what it is given."""

    _name = "?"

    def __new__(cls, *arguments: Any, **named: Any) -> Stub:
        """Take any arguments."""
        made = super().__new__(cls)
        made.__dict__["arguments"] = arguments
        made.__dict__["items"] = {}
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


class InertUnpickler(pickle._Unpickler):
    """Reads one pickle with stubs for globals.

    The pure-Python reader: its C twin sizes buffers by lengths that the file claims.
    """

    def __init__(self, file: IO[bytes], findings: Findings) -> None:
        super().__init__(file, encoding="latin-1")
        self.findings = findings

    def find_class(self, module: str, name: str) -> Any:
        """Give a container, a describer of tensors, or a stub; import nothing."""
        whole = f"{module}.{name}"
        if whole not in self.findings.imports:
            self.findings.imports.append(whole)
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
        return type("Stub", (Stub,), {"_name": whole})

    def persistent_load(self, pid: Any) -> Any:
        """Describe a storage: torch's pickles name them ("storage", type, key, place, size).

        The old layout names a pickled module's class so too, with its source beside it.
        """
        return pid[1] if isinstance(pid, tuple) and pid[:1] == ("module",) and pid[1:] else pid

    def get_extension(self, code: int) -> None:
        """Refuse codes of a registry that a file could not know honestly."""
        raise pickle.UnpicklingError(f"extension code {code}")

    def _rebuild(self, *arguments: Any) -> Any:
        """Describe a tensor in place of building it."""
        if len(arguments) >= 3 and arguments[0] == self._rebuild:  # a subclass around a tensor
            inner = arguments[2]
            return self._rebuild(*inner) if isinstance(inner, tuple) else None
        for argument in arguments:
            if isinstance(argument, TensorInfo):  # a Parameter around a tensor
                return argument
        storage = arguments[0] if arguments else None
        shape = next(
            (a for a in arguments[1:] if isinstance(a, tuple) and all(type(n) is int for n in a)),
            (),
        )
        key, dtype = "", "unknown"
        if isinstance(storage, tuple) and len(storage) >= 3:
            dtype, key = dtype_of_storage(str(storage[1])), str(storage[2])
        offset = arguments[1] if len(arguments) > 1 and type(arguments[1]) is int else 0
        tensor = TensorInfo("", tuple(shape), dtype, key, offset)
        self.findings.tensors.append(tensor)
        return tensor


_KNOWN: dict[str, Any] = {
    "collections.OrderedDict": Mapping,
    "collections.defaultdict": lambda *arguments: Mapping(),
    "collections.Counter": Mapping,
    "torch.Size": tuple,
    "builtins.dict": dict,
    "builtins.set": set,
    "builtins.frozenset": frozenset,
    "builtins.list": list,
    "builtins.tuple": tuple,
    "__builtin__.set": set,
    "__builtin__.dict": dict,
    "_codecs.encode": lambda text, encoding="latin-1": (
        text.encode("latin-1") if isinstance(text, str) else b""
    ),
    "collections.deque": lambda *arguments: collections.deque(),
}


def read_pickle(file: IO[bytes], findings: Findings) -> Any:
    """Read one pickle; what it imports and describes goes into ``findings``.

    Raises:
        ValueError: damaged, whatever the reader stumbled over.
    """
    try:
        return InertUnpickler(file, findings).load()
    except (RecursionError, MemoryError, OverflowError, IndexError, UnicodeError, *TRIED) as error:
        raise ValueError(f"the pickle is damaged ({type(error).__name__}: {error})") from error
