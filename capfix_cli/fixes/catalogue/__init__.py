"""The catalogue of fixes, in the document's numbering, and how to look one up."""

from __future__ import annotations

import difflib

from capfix_cli.core.errors import CapfixError
from capfix_cli.fixes.catalogue import architecture, data, decoding, regularisation, training
from capfix_cli.fixes.fix_spec import CATEGORY_TITLES, IMPACTS, Fix, FixSetting, Impact

__all__ = [
    "CATEGORY_TITLES",
    "FIXES",
    "IMPACTS",
    "PRIORITY_TITLES",
    "Fix",
    "FixSetting",
    "Impact",
    "by_priority",
    "fix",
]

FIXES: tuple[Fix, ...] = (
    *decoding.FIXES,
    *architecture.FIXES,
    *training.FIXES,
    *data.FIXES,
    *regularisation.FIXES,
)

PRIORITY_TITLES: dict[int, str] = {
    1: "Quick wins: decoding, no retraining",
    2: "One retraining: let the audio through to every word",
    3: "Further training: attention and a closer match to real use",
    4: "Last resort: a new architecture or borrowed weights",
}

# The order inside each priority. The document places 1.1, 1.3, 2.1-2.3, 2.5, 3.2, 3.4 and
# pre-trained models (our 2.6) in its plan, and 3.1 in its decision tree beside 2.1 and 2.2.
# It leaves the rest open; ours:
# - 1.2 and 1.4 to 1.7 need no training either, so they are tried before any training.
# - 4.1-4.3 come with the first retraining, which on the same skewed captions would learn the
#   same favourite caption again. 4.3 leads because it costs a line.
# - 2.4, 3.3 and 3.5 refine a model that listens already: they wait for priority 3.
# - 3.6 trains listening itself: after the document's own of priority 3.
# - 5.1-5.3 guard against overfitting and instability, seldom why captions collapse: last of 3.
_ORDER: dict[int, tuple[str, ...]] = {
    1: ("1.1", "1.3", "1.2", "1.4", "1.5", "1.6", "1.7"),
    2: ("2.1", "2.2", "3.1", "4.3", "4.1", "4.2"),
    3: ("2.3", "3.2", "3.4", "3.6", "2.4", "3.3", "3.5", "5.3", "5.1", "5.2"),
    4: ("2.5", "2.6"),
}


def by_priority() -> dict[int, tuple[Fix, ...]]:
    """Give every fix once, by priority, each priority in the order in which to try it."""
    by_id = {entry.id: entry for entry in FIXES}
    return {priority: tuple(by_id[id_] for id_ in ids) for priority, ids in _ORDER.items()}


def fix(query: str) -> Fix:
    """Find the fix that ``query`` names: an id, a title, an alias, or part of one title only.

    Case, hyphens, underscores and extra spaces do not count.

    Raises:
        CapfixError: no fix or several fixes match; the hint names the nearest.
    """
    wanted = _plain(query)
    for entry in FIXES:
        if wanted in _names(entry):
            return entry
    partial = [entry for entry in FIXES if wanted and wanted in _plain(entry.title)]
    if len(partial) == 1:
        return partial[0]
    if partial:
        listed = ", ".join(f"{entry.id} {entry.title}" for entry in partial)
        raise CapfixError(
            f"{query!r} matches {len(partial)} fixes: {listed}.",
            "Give the number of one; `capfix fixes` lists them all.",
        )
    raise CapfixError(f"There is no fix {query!r}.", _suggestion(wanted))


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("-", " ").replace("_", " ").split())


def _names(entry: Fix) -> tuple[str, ...]:
    return (entry.id, _plain(entry.title), *map(_plain, entry.aliases))


def _suggestion(wanted: str) -> str:
    owner = {name: entry for entry in FIXES for name in _names(entry)}
    near = difflib.get_close_matches(wanted, owner, n=1)
    if not near:
        return "`capfix fixes` lists them all."
    entry = owner[near[0]]
    return f"Did you mean {entry.id} ({entry.title})? `capfix fixes` lists them all."
