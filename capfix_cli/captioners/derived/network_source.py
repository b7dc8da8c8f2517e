"""Finding what ``--network MODULE:CLASS`` names; the module is imported, as the user asked."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from torch import nn

from capfix_cli.core.errors import CapfixError
from capfix_cli.core.suggest import nearest


@dataclass(frozen=True, kw_only=True)
class Source:
    """What was named, and the module that it stands in.

    Attributes:
        name: as it was given.
        made: a class of networks, a function that builds one, or a network.
        module: whose functions and constants may tell more: features, sample rate, words.
        decoder: the second class, where an encoder and a decoder are named.
    """

    name: str
    made: Any
    module: ModuleType
    decoder: Any = None


def find_source(name: str) -> Source:
    """Import ``MODULE:NAME`` or ``FILE.py:NAME``; without a name, the only network there is.

    The current folder comes first among the places where modules are looked for, as it does for
    ``python -m``.

    Raises:
        CapfixError: no such module, file or name, or an import that failed; the message says where.
    """
    place, _, attribute = name.partition(":") if ".py:" not in name else name.rpartition(":")
    module = import_module_or_file(place)
    if "," in attribute:
        return _two(name, place, attribute, module)
    if attribute:
        return Source(name=name, made=_named(module, attribute, place), module=module)
    networks = own_networks(module)
    if len(networks) == 1:
        return Source(name=name, made=networks[0], module=module)
    shown = ", ".join(one.__name__ for one in networks)
    raise CapfixError(
        f"{place} has {len(networks) or 'no'} networks{': ' if shown else ''}{shown}.",
        f"Name one: {place}:{networks[-1].__name__ if networks else 'CLASS'}",
    )


def _two(name: str, place: str, attribute: str, module: ModuleType) -> Source:
    names = [part.strip() for part in attribute.split(",")]
    if len(names) != 2:
        raise CapfixError(
            f"--network {name} names {len(names)} classes.",
            f"Name one, or an encoder and a decoder: {place}:{names[0]},{names[1]}",
        )
    made = [_named(module, part, place) for part in names]
    return Source(name=name, made=made[0], module=module, decoder=made[1])


def own_networks(module: ModuleType) -> list[type[nn.Module]]:
    """List the classes of networks that a module defines itself, in its order."""
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, nn.Module)
        and value.__module__ == module.__name__
    ]


def own_functions(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """List a module's functions by name: its own, and those of files that lie beside it."""
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, FunctionType) and _lies_beside(value.__module__, module)
    }


def own_classes(module: ModuleType) -> dict[str, type]:
    """List a module's classes by name: its own, and those of files that lie beside it."""
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type) and _lies_beside(value.__module__, module)
    }


def _lies_beside(name: str, module: ModuleType) -> bool:
    """Say whether a module is the user's own code, as the one that was named is."""
    if name == module.__name__:
        return True
    other = getattr(sys.modules.get(name), "__file__", None)
    own = getattr(module, "__file__", None)
    if not other or not own or "site-packages" in other:
        return False
    return Path(other).resolve().is_relative_to(Path(own).resolve().parent)


def find_function(name: str, what: str) -> Callable[..., Any]:
    """Import the function that an option names as ``MODULE:FUNCTION``.

    Args:
        name: as it was given.
        what: the option, for the message.

    Raises:
        CapfixError: it is not there, or is nothing that can be called.
    """
    place, colon, attribute = name.partition(":") if ".py:" not in name else name.rpartition(":")
    if not colon:
        raise CapfixError(f"{what} {name} names no function.", f"Give {what} {name}:FUNCTION")
    found: Any = _named(import_module_or_file(place), attribute, place)
    if not callable(found):
        raise CapfixError(
            f"{name} is a {type(found).__name__}, which cannot be called.", "Name a function."
        )
    return found  # type: ignore[no-any-return]


def _named(module: ModuleType, attribute: str, place: str) -> Any:
    value: Any = module
    for part in attribute.split("."):
        if not hasattr(value, part):
            names = [one.__name__ for one in own_networks(module)] + list(own_functions(module))
            near = nearest(attribute, names)
            raise CapfixError(
                f"{place} has no {attribute!r}.",
                f"Did you mean {place}:{near}?"
                if near
                else f"It defines {', '.join(names[:6])}."
                if names
                else "It defines no network and no function.",
            )
        value = getattr(value, part)
    return value


def import_module_or_file(place: str) -> ModuleType:
    """Import a module by its dotted name or by the path of its file.

    Raises:
        CapfixError: it is not there, or its import failed; the message names the line.
    """
    from_file = place.endswith(".py")
    folder = str(Path(place).resolve().parent if from_file else Path.cwd())
    name = Path(place).stem if from_file else place
    if from_file and not Path(place).is_file():
        raise CapfixError(f"There is no file {place}.", "Give the file that defines the network.")
    if folder not in sys.path:
        sys.path.insert(0, folder)  # stays: the network may import what lies beside it later
    # What a module prints while it is imported belongs to no result.
    with contextlib.redirect_stdout(sys.stderr):
        try:
            return _from_file(Path(place), name) if from_file else importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and name.split(".")[0] == error.name.split(".")[0]:
                raise CapfixError(
                    f"There is no module {name!r} here.",
                    "Run capfix in the folder of your code, or give the file: FILE.py:CLASS",
                ) from error
            raise _import_failed(place, error) from error
        except (Exception, SystemExit) as error:
            raise _import_failed(place, error) from error


def _from_file(file: Path, name: str) -> ModuleType:
    """Import a file under its own name, so that what it pickled or imports back is the same."""
    known = sys.modules.get(name)
    if known is not None and Path(getattr(known, "__file__", "") or ".").resolve() == (
        file.resolve()
    ):
        return known
    if known is not None:  # another module goes by that name, which must stay what it is
        name = f"capfix_network_{name}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise CapfixError(f"{file} is not a Python file.", "Its name ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _import_failed(place: str, error: BaseException) -> CapfixError:
    text = " ".join(str(error).split())[:200].rstrip(".")
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen") and frame.filename != __file__
    ]
    where = f"It was raised at {own[-1].filename}:{own[-1].lineno}." if own else ""
    if isinstance(error, SyntaxError) and error.lineno is not None:
        where = f"Mend {error.filename}:{error.lineno}."
    return CapfixError(f"{place} cannot be imported: {type(error).__name__}: {text}.", where)


def names_network(name: str, installed: Collection[str]) -> bool:
    """Say whether what stands in an adapter's place is the class of a network.

    Args:
        name: as it was given.
        installed: names of adapters that packages offer.
    """
    place, colon, attribute = name.rpartition(":")
    if not colon or name in installed:
        return False
    if not place.endswith(".py"):
        return True
    made = getattr(import_module_or_file(place), attribute.partition(",")[0], None)
    return isinstance(made, type) and issubclass(made, nn.Module)
