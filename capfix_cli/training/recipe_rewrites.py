"""The code that a recipe carries for fixes that change a user's own architecture."""

from __future__ import annotations

from collections.abc import Iterable

from capfix_cli.captioners.base import Captioner
from capfix_cli.captioners.own.own_captioner import OwnCaptioner
from capfix_cli.checkpoints.inspection import inspect_checkpoint
from capfix_cli.core.errors import CapfixError
from capfix_cli.fixes.rewrites.rewrite import rewrite
from capfix_cli.training.switches import SWITCHES


def is_trainable(captioner: Captioner) -> bool:
    """Say whether a captioner of the user's brings its module and its loss."""
    own = isinstance(captioner, OwnCaptioner)
    return not own and captioner.module is not None and type(captioner).loss is not Captioner.loss


def rewrites_for(checkpoint: str, fixes: Iterable[str]) -> dict[str, str]:
    """Write the code of each fix that changes the architecture, fitted to a checkpoint.

    A fix for which the checkpoint has no place gets the reason as a comment.
    """
    wanted = [fix for fix in fixes if fix in SWITCHES and SWITCHES[fix].architecture]
    if not wanted:
        return {}
    try:
        inspection = inspect_checkpoint(checkpoint)
    except CapfixError as error:
        return dict.fromkeys(wanted, f"# {error.message}\n")
    written = {}
    for fix in wanted:
        try:
            found = rewrite(fix, inspection)
            checks = "".join(f"# Afterwards: {check}\n" for check in found.checks)
            written[fix] = f"{found.code.rstrip()}\n{checks}"
        except CapfixError as error:
            written[fix] = f"# {error.message}\n"
    return written
