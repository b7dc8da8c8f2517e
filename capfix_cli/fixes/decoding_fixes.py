"""The decoding fixes that are tried, as the catalogue's modules hold them."""

from __future__ import annotations

from collections.abc import Mapping

from capfix_cli.fixes.catalogue import FIXES
from capfix_cli.fixes.fix_spec import DecodingFix

# What the tree asks for, by name, in the document's order.
DECODING_FIXES: Mapping[str, DecodingFix] = {
    trial.name: trial for spec in FIXES for trial in spec.trials
}
# What the search tries beside them: values that the catalogue and the papers recommend, and
# audio-contrastive decoding with the strategies that it can be joined to.
SEARCHED: tuple[DecodingFix, ...] = tuple(trial for spec in FIXES for trial in spec.searched)


def asked_by(question: str) -> tuple[str, ...]:
    """Name the trials that a question of the tree needs, in the order in which they are made."""
    return tuple(name for name, trial in DECODING_FIXES.items() if question in trial.asked)
