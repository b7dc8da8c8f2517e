"""The one error that is the user's to mend; anything else is a bug and keeps its traceback."""

from __future__ import annotations

EXIT_OK = 0  # done, whatever the verdict
EXIT_BUG = 1  # capfix itself failed
EXIT_USAGE = 2  # unusable arguments or input
EXIT_VERDICT = 3  # --fail-on matched


class CapfixError(Exception):
    """Something the user can mend: one line that says what, and one hint that says how.

    Attributes:
        message: what is wrong, in one line.
        hint: what to do about it, in one line; empty where the message says it all.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = " ".join(message.split())
        self.hint = " ".join(hint.split())

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()
