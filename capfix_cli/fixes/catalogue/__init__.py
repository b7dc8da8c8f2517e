"""The catalogue of fixes, one module each: a module here that holds ``FIX`` is a fix."""

from __future__ import annotations

import importlib
import pkgutil

from capfix_cli.core.errors import CapfixError
from capfix_cli.core.suggest import nearest
from capfix_cli.fixes.fix_spec import CATEGORY_TITLES, IMPACTS, FixSetting, FixSpec, Impact

__all__ = [
    "CATEGORY_TITLES",
    "FIXES",
    "IMPACTS",
    "PRIORITY_TITLES",
    "FixSetting",
    "FixSpec",
    "Impact",
    "by_priority",
    "fix",
]


def _discover() -> tuple[FixSpec, ...]:
    """Find every fix of this package, in the document's order.

    Raises:
        ValueError: two modules hold a fix of one id, or of one place in a priority.
    """
    found: dict[str, FixSpec] = {}
    places: dict[tuple[int, int], str] = {}
    for entry in pkgutil.iter_modules(__path__):
        spec = getattr(importlib.import_module(f"{__name__}.{entry.name}"), "FIX", None)
        if spec is None:
            continue
        other = places.setdefault((spec.priority, spec.order), spec.id)
        if spec.id in found or other != spec.id:
            raise ValueError(f"{entry.name}: {spec.id} has the id or the place of {other}")
        found[spec.id] = spec
    return tuple(sorted(found.values(), key=lambda spec: [int(n) for n in spec.id.split(".")]))


FIXES: tuple[FixSpec, ...] = _discover()

PRIORITY_TITLES: dict[int, str] = {
    1: "Quick wins: decoding, no retraining",
    2: "One retraining: let the audio through to every word",
    3: "Further training: attention and a closer match to real use",
    4: "Last resort: a new architecture or borrowed weights",
}


def by_priority() -> dict[int, tuple[FixSpec, ...]]:
    """Give every fix once, by priority, each priority in the order in which to try it.

    The document places 1.1, 1.3, 2.1-2.3, 2.5, 3.2, 3.4 and pre-trained models (our 2.6) in its
    plan, and 3.1 in its decision tree beside 2.1 and 2.2. It leaves the rest open; ours:

    - 1.2 and 1.4 to 1.7 need no training either, so they are tried before any training.
    - 4.1-4.3 come with the first retraining, which on the same skewed captions would learn the
      same favourite caption again. 4.3 leads because it costs a line.
    - 2.4, 3.3 and 3.5 refine a model that listens already: they wait for priority 3.
    - 3.6 trains listening itself: after the document's own of priority 3.
    - 5.1-5.3 guard against overfitting and instability, seldom why captions collapse: last of 3.
    """
    ordered = sorted(FIXES, key=lambda spec: (spec.priority, spec.order))
    return {
        priority: tuple(spec for spec in ordered if spec.priority == priority)
        for priority in PRIORITY_TITLES
    }


def fix(query: str) -> FixSpec:
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


def _names(entry: FixSpec) -> tuple[str, ...]:
    return (entry.id, _plain(entry.title), *map(_plain, entry.aliases))


def _suggestion(wanted: str) -> str:
    owner = {name: entry for entry in FIXES for name in _names(entry)}
    near = nearest(wanted, owner)
    if near is None:
        return "`capfix fixes` lists them all."
    entry = owner[near]
    return f"Did you mean {entry.id} ({entry.title})? `capfix fixes` lists them all."
