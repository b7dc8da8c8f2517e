"""A person's function, found by its name, and what it raises told with its line."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from capfix_cli.core.errors import CapfixError
from capfix_cli.core.suggest import nearest


class TookTooLongError(CapfixError):
    """A call that was ended: the next one would be no quicker."""


EXAMPLE = "For example: --caption-function my_module:caption"


def import_function(target: str) -> Any:
    """Import what ``MODULE:NAME`` or ``FILE.py:NAME`` names; the folder of work is searched too.

    Raises:
        CapfixError: there is no such module or name, or importing it failed.
    """
    place, colon, name = target.rpartition(":")
    if not colon or not place or not name:
        raise CapfixError(f"--caption-function {target} is not MODULE:NAME.", EXAMPLE)
    with contextlib.redirect_stdout(sys.stderr):
        module = _from_file(Path(place)) if place.endswith(".py") else _from_path(place)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise _no_name(place, part, found)
        found = getattr(found, part)
    if not callable(found) and not hasattr(found, "caption"):
        raise CapfixError(
            f"{target} is a {type(found).__name__}, not a function.",
            "Name a function that takes a clip and returns its caption.",
        )
    return found


def _no_name(place: str, name: str, module: object) -> CapfixError:
    names = [key for key, value in vars(module).items() if callable(value) and key[0] != "_"]
    near = nearest(name, names)
    return CapfixError(
        f"{place} has no {name!r}.",
        f"Did you mean {place}:{near}?" if near else "Define it: def caption(path): ...",
    )


def _from_file(file: Path) -> ModuleType:
    if not file.is_file():
        raise CapfixError(f"There is no file {file}.", EXAMPLE)
    spec = importlib.util.spec_from_file_location(f"capfix_function_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickles look their module up by name
    with _beside(str(file.resolve().parent)), told_of(str(file)):
        spec.loader.exec_module(module)
    return module


def _from_path(name: str) -> ModuleType:
    with _beside(str(Path.cwd())):
        try:
            with told_of(name):
                return importlib.import_module(name)
        except CapfixError as error:
            cause = error.__cause__
            missing = cause.name if isinstance(cause, ModuleNotFoundError) else None
            if missing is None or not (name == missing or name.startswith(f"{missing}.")):
                raise
            raise CapfixError(
                f"There is no module {missing!r} to import from {Path.cwd()}.",
                "Run capfix where it lies, or give FILE.py:NAME.",
            ) from cause


@contextlib.contextmanager
def _beside(folder: str) -> Iterator[None]:
    """Let modules that lie in a folder be imported, now and whenever the function runs."""
    if folder not in sys.path:
        sys.path.insert(0, folder)
    yield


@contextlib.contextmanager
def told_of(who: str, doing: str = "failed") -> Iterator[None]:
    """Tell what a person's code raises in one line, with the place where it did.

    Raises:
        CapfixError: it raised anything.
    """
    try:
        yield
    except CapfixError:
        raise
    except (Exception, SystemExit) as error:
        text = " ".join(str(error).split())[:300].rstrip(".")
        raise CapfixError(
            f"{who} {doing}: {type(error).__name__}{': ' if text else ''}{text}.", _place(error)
        ) from error


def _place(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return f"Mend {error.filename}:{error.lineno}."
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen") and "capfix_cli" not in frame.filename
    ]
    # A line of the person's own tells more than one deep inside a library.
    own = [f for f in frames if not {"site-packages", "dist-packages"} & {*Path(f.filename).parts}]
    if not frames:
        return "It is called with one clip, or a list of them (docs/text-only.md)."
    last = (own or frames)[-1]
    return f"It was raised at {last.filename}:{last.lineno}."


@contextlib.contextmanager
def time_limit(seconds: float, who: str) -> Iterator[None]:
    """End what runs too long; only where signals can (a main thread on POSIX), else it may go on.

    Raises:
        CapfixError: it took longer.
    """
    possible = (
        hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    )
    if not possible:
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise TookTooLongError(
            f"{who} gave no answer in {seconds:g} s.", "Allow more with --call-timeout SECONDS."
        )

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
