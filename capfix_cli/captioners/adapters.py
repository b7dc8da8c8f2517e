"""A user's own adapter: ``--adapter FILE.py:FACTORY``."""

from __future__ import annotations

import difflib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from capfix_cli.captioners.base import Captioner
from capfix_cli.errors import CapfixError

REQUIRED = ("sample_rate", "vocabulary", "bos_id", "eos_id")


def load_with_adapter(adapter: str, checkpoint: str, device: str) -> Captioner:
    """Call ``FACTORY(checkpoint, device)`` of an adapter file.

    Raises:
        CapfixError: no such file or factory, the factory failed, or it gave no Captioner.
    """
    file, colon, factory = adapter.rpartition(":")
    if not colon or not file or not factory:
        raise CapfixError(
            f"The adapter {adapter!r} is not FILE.py:FACTORY.",
            "For example: --adapter my_adapter.py:load",
        )
    module = _import(Path(file))
    function = getattr(module, factory, None)
    if not callable(function):
        names = [name for name, value in vars(module).items() if callable(value) and name[0] != "_"]
        near = difflib.get_close_matches(factory, names, n=1) or names
        raise CapfixError(
            f"{file} has no function {factory!r}.",
            f"Did you mean {file}:{near[0]}?"
            if near
            else "Define it: def load(checkpoint, device)",
        )
    try:
        captioner = function(checkpoint, device)
    except CapfixError:
        raise
    except Exception as error:
        raise _failed(f"{file}:{factory}", error) from error
    return _checked(captioner, adapter)


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
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise _failed(str(file), error) from error
    finally:
        sys.path.remove(str(file.resolve().parent))
    return module


def _failed(where: str, error: Exception) -> CapfixError:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return CapfixError(
        f"The adapter {where} failed: {type(error).__name__}: {error}.",
        f"It was raised at {last.filename}:{last.lineno}.",
    )


def _checked(captioner: object, adapter: str) -> Captioner:
    if not isinstance(captioner, Captioner):
        raise CapfixError(
            f"The adapter {adapter} gave a {type(captioner).__name__}, not a Captioner.",
            "Subclass capfix_cli.Captioner and return an instance of it.",
        )
    absent = [name for name in REQUIRED if not hasattr(captioner, name)]
    own = type(captioner)
    if own.logits is Captioner.logits and own.step is Captioner.step:
        absent.append("logits()")
    if own.encode is Captioner.encode and own.encode_features is Captioner.encode_features:
        absent.append("encode()")
    if absent:
        raise CapfixError(
            f"The captioner of {adapter} does not say its {', '.join(absent)}.",
            "These must be given; docs/captioners.md shows a whole adapter.",
        )
    return captioner
