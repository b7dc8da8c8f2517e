"""Was a rewrite done? Two inspections compared, as far as weights and settings can tell."""

from __future__ import annotations

from capfix_cli.core.errors import CapfixError
from capfix_cli.fixes.catalogue import FIXES
from capfix_cli.fixes.rewrites.inspection_values import Done
from capfix_cli.schemas.inspection_record import FixDone, Inspection

_REWRITES = {spec.id: spec.rewrite for spec in FIXES if spec.rewrite is not None}


def was_done(fix_id: str, before: Inspection, after: Inspection) -> Done:
    """Compare two checkpoints of a model for the trace that a fix leaves.

    Args:
        fix_id: 2.1 to 2.5 or 5.1.
        before: of the checkpoint that the fix was written for.
        after: of the one that should have it.

    Raises:
        CapfixError: a fix that changes no network.
    """
    if fix_id not in _REWRITES:
        raise CapfixError(
            f"Fix {fix_id} changes no network: two checkpoints do not tell whether it was done.",
            f"They do for {', '.join(_REWRITES)}.",
        )
    return _REWRITES[fix_id].was_done(before, after)


def all_done(before: Inspection, after: Inspection) -> tuple[FixDone, ...]:
    """Ask of every fix of the network whether it was done between two checkpoints."""
    return tuple(FixDone(fix, *was_done(fix, before, after)) for fix in _REWRITES)
