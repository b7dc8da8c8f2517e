"""A user's own adapter: ``--adapter FILE.py[:FACTORY]``, or the name of an installed one."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import FunctionType, ModuleType

from torch import nn

from capfix_cli.captioners.base import Captioner
from capfix_cli.core.errors import CapfixError
from capfix_cli.core.suggest import nearest

GROUP = "capfix.adapters"  # entry points: name = "package.module:factory"
Factory = Callable[[str, str], object]
REQUIRED = ("sample_rate", "vocabulary", "bos_id", "eos_id")


def load_with_adapter(adapter: str, checkpoint: str, device: str) -> Captioner:
    """Call ``FACTORY(checkpoint, device)`` of an adapter file or an installed plugin.

    A file without a factory's name is asked for the only one that it has.

    Raises:
        CapfixError: no such file, plugin or factory, the factory failed, or gave no Captioner.
    """
    from_file = file_of(adapter) is not None
    # What models print while they are built belongs to no result.
    with contextlib.redirect_stdout(sys.stderr):
        function = _from_file(adapter) if from_file else _installed(adapter)
        try:
            captioner = function(checkpoint, device)
        except CapfixError:
            raise
        except (Exception, SystemExit) as error:
            raise _failed(adapter, error) from error
    return _checked(captioner, adapter)


def file_of(adapter: str) -> str | None:
    """Give the file of ``FILE.py:FACTORY`` or ``FILE.py``; None for an installed adapter's name."""
    file = adapter.rpartition(":")[0] or adapter
    return adapter if adapter.endswith(".py") else file if file.endswith(".py") else None


def _from_file(adapter: str) -> Factory:
    file = file_of(adapter) or adapter
    module = _import(Path(file))
    if adapter == file:
        return _only_factory(module, file)
    factory = adapter.rpartition(":")[2]
    function = getattr(module, factory, None)
    if callable(function):
        found: Factory = function
        return found
    names = [
        name
        for name, value in vars(module).items()
        if isinstance(value, FunctionType) and value.__module__ == module.__name__
    ]
    near = nearest(factory, names) or next(iter(names), None)
    raise CapfixError(
        f"{file} has no function {factory!r}.",
        f"Did you mean {file}:{near}?" if near else "Define it: def load(checkpoint, device)",
    )


def _only_factory(module: ModuleType, file: str) -> Factory:
    """Give the one function of a file that can be called with a checkpoint and a device.

    Raises:
        CapfixError: none, or several of which none is called ``load``.
    """
    found: dict[str, Factory] = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, FunctionType)
        and value.__module__ == module.__name__
        and not name.startswith("_")
        and _takes_two(value)
    }
    chosen = "load" if "load" in found else next(iter(found), "")
    if len(found) == 1 or chosen == "load":
        return found[chosen]
    if not found:
        raise CapfixError(
            f"{file} has no function that takes a checkpoint and a device.",
            "Define it: def load(checkpoint, device)",
        )
    raise CapfixError(
        f"{file} has {len(found)} functions that take a checkpoint and a device:"
        f" {', '.join(list(found)[:4])}.",
        f"Name one: --adapter {file}:{chosen}",
    )


def _takes_two(function: FunctionType) -> bool:
    try:
        inspect.signature(function).bind("checkpoint", "device")
    except TypeError:
        return False
    return True


def installed() -> dict[str, EntryPoint]:
    """The adapters that installed packages offer, by name."""
    return {point.name: point for point in entry_points(group=GROUP)}


def _installed(name: str) -> Factory:
    found = installed()
    if name not in found:
        near = nearest(name, found)
        known = f"Installed: {', '.join(sorted(found))}." if found else "None is installed."
        if ":" in name:
            raise CapfixError(
                f"The adapter {name!r} is not FILE.py:FACTORY.",
                "For example: --adapter my_adapter.py:load",
            )
        hint = f"Did you mean {near}?" if near else f"Give FILE.py:FACTORY. {known}"
        raise CapfixError(f"{name!r} is neither FILE.py:FACTORY nor an installed adapter.", hint)
    try:
        function: Factory = found[name].load()
    except Exception as error:
        raise _failed(name, error, f"Its entry point is {found[name].value}.") from error
    return function


@contextlib.contextmanager
def attribute_adapter_errors(adapter: str | None) -> Iterator[None]:
    """Tell what an adapter raises while it is used as its fault, with the line.

    Raises:
        CapfixError: the adapter's file is among those that the exception went through.
    """
    if adapter is None:
        yield
        return
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except CapfixError:
        raise
    except Exception as error:
        file = file_of(adapter) or ""
        frames = traceback.extract_tb(error.__traceback__)
        if any(Path(frame.filename).name == Path(file).name for frame in frames):
            raise _failed(adapter, error) from error
        raise


def _import(file: Path) -> ModuleType:
    if not file.is_file():
        raise CapfixError(f"There is no adapter file {file}.", "Give the path of a Python file.")
    name = f"capfix_adapter_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise CapfixError(f"{file} is not a Python file.", "An adapter's name ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickles look their module up by name
    # An adapter usually stands beside the model's own code.
    sys.path.insert(0, str(file.resolve().parent))
    if not any(
        isinstance(one, _BesideAdapter) and one.file == file.resolve() for one in sys.meta_path
    ):
        sys.meta_path.insert(0, _BesideAdapter(file.resolve()))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _failed(str(file), error) from error
    finally:
        sys.path.remove(str(file.resolve().parent))
    return module


class _BesideAdapter(MetaPathFinder):
    """Finds the package that an adapter wraps where the adapter's own file has the same name."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Look everywhere but in the adapter's folder; None leaves the search as it was."""
        if fullname != self.file.stem or path is not None:
            return None
        folder = self.file.parent
        places = [place for place in sys.path if Path(place or ".").resolve() != folder]
        if Path.cwd() != folder:  # an adapter kept in a folder of the project that it wraps
            places.append(str(Path.cwd()))
        return PathFinder.find_spec(fullname, places)


def _failed(where: str, error: BaseException, hint: str | None = None) -> CapfixError:
    text = " ".join(str(error).split())[:300].rstrip(".")
    return CapfixError(
        f"The adapter {where} failed: {type(error).__name__}: {text}.",
        hint or _place(where, error),
    )


def _place(where: str, error: BaseException) -> str:
    """Say where something was raised, as far as it is the user's."""
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return f"Mend {error.filename}:{error.lineno}."
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen") and frame.filename != __file__
    ]
    # A line of the adapter's own tells more than one deep inside a library.
    name = Path(where.split(":", maxsplit=1)[0]).name
    own = [frame for frame in frames if frame.filename.endswith(name)]
    if not frames:  # the call itself failed
        return "Its factory is called as load(checkpoint, device)."
    last = (own or frames)[-1]
    return f"It was raised at {last.filename}:{last.lineno}."


def _checked(captioner: object, adapter: str) -> Captioner:
    if not isinstance(captioner, Captioner):
        raise CapfixError(
            f"The adapter {adapter} gave a {type(captioner).__name__}, not a Captioner.",
            "Subclass capfix_cli.Captioner and return an instance of it.",
        )
    words, network = getattr(captioner, "vocabulary", ()), captioner.module
    if isinstance(words, str | Mapping) or not hasattr(words, "__len__"):
        raise CapfixError(
            f"The vocabulary of {adapter} is of type {type(words).__name__}, not a sequence of "
            "words.",
            "Give a list of words in the order of their ids.",
        )
    if network is not None and not isinstance(network, nn.Module):
        raise CapfixError(
            f"The module of {adapter} is of type {type(network).__name__}, not an nn.Module.",
            "Give the network, or None.",
        )
    absent = [name for name in REQUIRED if not hasattr(captioner, name)]
    if captioner.feature_width is not None and "sample_rate" in absent:
        absent.remove("sample_rate")
        captioner.sample_rate = 0  # it hears no audio
    own = type(captioner)
    if own.logits is Captioner.logits and own.step is Captioner.step:
        absent.append("logits()")
    if own.encode is Captioner.encode and own.encode_features is Captioner.encode_features:
        absent.append("encode()")
    if absent:
        raise CapfixError(
            f"The captioner of {adapter} does not say its {', '.join(absent)}.",
            "These must be given; docs/adapters.md shows a whole adapter.",
        )
    return captioner
