"""What an inert stand-in holds: its attributes, its items, and what it was called with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from capfix_cli.checkpoints.safe_pickle.safe_unpickler import Stub

# Attributes in which classes that wrap a dict or a list keep it: OmegaConf, DotMap, ml_collections,
# collections.UserDict and UserList, addict, python-box, pyrsistent and their kin.
_WRAPPED = ("_content", "_val", "_map", "_fields", "_store", "_storage", "_data", "_dict", "data")
CLASS_LEVEL = 8  # wrappers within wrappers


def class_of(stub: Stub) -> str:
    """Give the dotted name of the class that a stub stands for."""
    return type(stub)._name


def attributes_of(stub: Stub) -> Mapping[Any, Any]:
    """Give the attributes that an object was saved with; slots count."""
    state = stub.__dict__.get("state")
    parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)
    found: dict[Any, Any] = {}
    for part in parts:
        if isinstance(part, Mapping):
            found.update(part)
    return found


def items_of(stub: Stub) -> Mapping[Any, Any] | list[Any] | None:
    """Give the items of a class derived from dict, list or set; None where it has none."""
    items = stub.__dict__.get("items")
    if not items:
        return None
    if stub.__dict__.get("listed") and all(type(key) is int for key in items):
        return list(items.values())
    return dict(items)


def arguments_of(stub: Stub) -> tuple[Any, ...]:
    """Give what a class was called with when the object was saved."""
    given: tuple[Any, ...] = stub.__dict__.get("arguments", ())
    return given


def wrapped_by(stub: Stub) -> Any:
    """Give the dict, list or value that a wrapper of settings holds; None for any other class."""
    attributes = attributes_of(stub)
    private = [key for key in attributes if isinstance(key, str) and key.startswith("_")]
    for name in _WRAPPED:
        held = attributes.get(name)
        alone = len(private) == len(attributes) or (name == "data" and len(attributes) == 1)
        if name in attributes and alone and (name == "_val" or _is_container(held)):
            return held
    arguments = arguments_of(stub)
    if not attributes and len(arguments) == 1 and _is_container(arguments[0]):
        return arguments[0]
    return None


def _is_container(value: Any) -> bool:
    return isinstance(value, Mapping | list | Stub)


def mapping_of(value: Any) -> Mapping[Any, Any] | None:
    """See a dict, a class derived from one, or an object's attributes as a mapping; else None."""
    for _ in range(CLASS_LEVEL):
        if isinstance(value, Mapping):
            return value
        if not isinstance(value, Stub):
            return None
        items = items_of(value)
        if isinstance(items, list):
            return None
        if items is not None:
            return {**attributes_of(value), **items}
        held = wrapped_by(value)
        if held is None:
            return attributes_of(value) or None
        value = held
    return None


def list_of(value: Any) -> list[Any] | tuple[Any, ...] | None:
    """See a list, a tuple or a class derived from one as a list; else None."""
    for _ in range(CLASS_LEVEL):
        if isinstance(value, list | tuple):
            return value
        if not isinstance(value, Stub):
            return None
        items = items_of(value)
        if items is not None:
            return items if isinstance(items, list) else None
        state = value.__dict__.get("state")
        if class_of(value).endswith("multiarray._reconstruct") and isinstance(state, tuple):
            value = state[-1] if state else None  # NumPy's array of objects lists them
            return value if isinstance(value, list) else None
        value = wrapped_by(value)
    return None
