"""Settings saved beside weights, looked up by name however deep they lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

# What a parameter is called that takes the settings as one object.
SETTINGS_NAMES = frozenset(
    ("config", "cfg", "args", "opt", "opts", "hparams", "hparam", "params", "conf", "hp", "options")
)
MOST_DEEP = 6  # levels of nested settings that are looked into


class SettingsObject(dict[str, Any]):
    """Settings as ``config["hidden"]``, ``config.hidden`` and ``vars(config)["hidden"]``.

    A network's constructor takes its settings in any of these ways, and capfix does not know which.
    """

    def __getattr__(self, name: str) -> Any:
        """Give a setting as an attribute."""
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(name) from error

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        """What ``vars()`` gives."""
        return self


def as_object(settings: Mapping[str, Any]) -> SettingsObject:
    """Make settings that can be asked in every usual way, nested ones too."""
    return SettingsObject(
        {
            str(key): as_object(value) if isinstance(value, Mapping) else value
            for key, value in settings.items()
        }
    )


def flattened(settings: Mapping[str, Any]) -> SettingsObject:
    """Make one object of settings in which inner ones are found at the top as well.

    A constructor is handed the part of the settings that its training script knew.
    """
    flat: dict[str, Any] = {}
    for name, value in named_values(settings):
        flat.setdefault(name, as_object(value) if isinstance(value, Mapping) else value)
    return SettingsObject(flat)


def named_values(settings: Any, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield every setting by its last name, those of the outermost level first."""
    if depth > MOST_DEEP or not isinstance(settings, Mapping):
        return
    for key, value in settings.items():
        yield str(key), value
    for value in settings.values():
        yield from named_values(value, depth + 1)


def look_up(settings: Any, name: str) -> tuple[bool, Any]:
    """Find a setting by name, whatever its case and its dashes.

    Returns:
        Whether it is there, and its value. Values that contradict one another are not there: which
        of them is meant cannot be told.
    """
    wanted = plain_name(name)
    found = [value for key, value in named_values(settings) if plain_name(key) == wanted]
    if not found or any(_differ(value, found[0]) for value in found[1:]):
        return False, None
    return True, found[0]


def plain_name(name: str) -> str:
    """Give a name without its case, dashes and underscores."""
    return name.lower().replace("-", "").replace("_", "")


def _differ(one: Any, other: Any) -> bool:
    try:
        return bool(one != other)
    except (ValueError, RuntimeError):  # arrays and tensors
        return True
