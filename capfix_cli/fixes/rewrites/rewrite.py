"""The code to write for one architecture fix, fitted to a user's own model."""

from __future__ import annotations

from dataclasses import dataclass

from capfix_cli.core.errors import CapfixError
from capfix_cli.fixes.catalogue import FIXES, fix
from capfix_cli.fixes.rewrites.architecture_names import ArchitectureNames, find
from capfix_cli.schemas.inspection_record import Inspection

# Fixes that change a network; the others change its data, its loss or its decoding.
WRITERS = {spec.id: spec.rewrite.write for spec in FIXES if spec.rewrite is not None}


@dataclass(frozen=True)
class Rewrite:
    """What to write and how to know that it was done.

    Attributes:
        fix: id in the catalogue.
        title: the fix's name.
        code: Python that runs as it stands once its ``None`` are filled in.
        checks: what must hold afterwards, one sentence each.
        to_fill_in: names in the code whose number the checkpoint does not tell.
    """

    fix: str
    title: str
    code: str
    checks: tuple[str, ...]
    to_fill_in: tuple[str, ...]


def rewrite(fix_id: str, inspection: Inspection) -> Rewrite:
    """Write the code of a fix with the names and numbers of a model.

    Args:
        fix_id: 2.1 to 2.5 or 5.1.
        inspection: of the user's checkpoint.

    Raises:
        CapfixError: a fix that is no rewrite, or one that this model has no place for.
    """
    if fix_id not in WRITERS:
        raise CapfixError(
            f"Fix {fix_id} has no code to write for a model of yours.",
            f"There is some for {', '.join(WRITERS)}; `capfix fixes {fix_id}` shows what it does.",
        )
    found: ArchitectureNames = find(inspection)
    written = WRITERS[fix_id](found)
    return Rewrite(fix_id, fix(fix_id).title, written.code, written.checks, written.to_fill_in)
