"""capfix: finds out why an audio captioner says the same thing about every sound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from capfix_cli.captioners.base import Captioner as Captioner
    from capfix_cli.errors import CapfixError as CapfixError

__all__ = ["CapfixError", "Captioner", "__version__"]


def __getattr__(name: str) -> Any:
    """Import the public classes on first use, so that ``capfix --help`` stays light."""
    if name == "Captioner":
        from capfix_cli.captioners.base import Captioner

        return Captioner
    if name == "CapfixError":
        from capfix_cli.errors import CapfixError

        return CapfixError
    raise AttributeError(f"module 'capfix_cli' has no attribute {name!r}")
