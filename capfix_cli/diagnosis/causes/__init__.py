"""Causes, one module each: a module here that holds ``CAUSE`` is a cause, nothing else lists it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping

from capfix_cli.diagnosis.causes.cause_spec import CauseSpec


def discover() -> Mapping[str, CauseSpec]:
    """Find every cause of this package: id -> spec, the gate first, then along the audio's path.

    Raises:
        ValueError: two modules hold a cause of one id, or of one place.
    """
    found: dict[str, CauseSpec] = {}
    places: dict[tuple[bool, int], str] = {}
    for entry in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{entry.name}")
        spec = getattr(module, "CAUSE", None)
        if spec is None:
            continue
        other = places.setdefault((spec.gate, spec.order), spec.id)
        if spec.id in found or other != spec.id:
            raise ValueError(f"{entry.name}: {spec.id} has the id or the place of {other}")
        found[spec.id] = spec
    ordered = sorted(found.values(), key=lambda spec: (not spec.gate, spec.order))
    return {spec.id: spec for spec in ordered}
