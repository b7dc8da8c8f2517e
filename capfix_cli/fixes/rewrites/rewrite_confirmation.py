"""Was a rewrite done? Two inspections compared, as far as weights and settings can tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from capfix_cli.core.errors import CapfixError
from capfix_cli.fixes.rewrites.architecture_names import find
from capfix_cli.fixes.rewrites.encoder_rewrites import LEAST_DEPTH
from capfix_cli.schemas.records import FixDone, Inspection

ATTENDING = {"additive-attention", "cross-attention", "attention"}


class Done(NamedTuple):
    """Whether a fix is in the newer checkpoint.

    Attributes:
        done: None where weights and settings cannot tell.
        evidence: what was compared, or why it cannot be told.
    """

    done: bool | None
    evidence: tuple[str, ...]


def was_done(fix_id: str, before: Inspection, after: Inspection) -> Done:
    """Compare two checkpoints of a model for the trace that a fix leaves.

    Args:
        fix_id: 2.1 to 2.5 or 5.1.
        before: of the checkpoint that the fix was written for.
        after: of the one that should have it.

    Raises:
        CapfixError: a fix that changes no network.
    """
    if fix_id not in _READERS:
        raise CapfixError(
            f"Fix {fix_id} changes no network: two checkpoints do not tell whether it was done.",
            f"They do for {', '.join(_READERS)}.",
        )
    return _READERS[fix_id](before, after)


def all_done(before: Inspection, after: Inspection) -> tuple[FixDone, ...]:
    """Ask of every fix of the network whether it was done between two checkpoints."""
    return tuple(FixDone(fix, *was_done(fix, before, after)) for fix in _READERS)


def _setting(inspection: Inspection, *place: str) -> Any:
    """Give a value of capfix's own settings, None where the checkpoint has none."""
    value: Any = inspection.config
    for name in place:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _value(inspection: Inspection, fact: str) -> Any:
    found = inspection.facts.get(fact)
    return None if found is None else found.value


def _said(fact: str, before: Inspection, after: Inspection) -> str:
    """``conditioning: concatenated, was not-concatenated``, and what it rests on."""
    found = after.facts.get(fact)
    why = "" if found is None or not found.evidence else f" ({found.evidence[0]})"
    return f"{fact}: {_value(after, fact)}, was {_value(before, fact)}{why}"


def _keep_time(before: Inspection, after: Inspection) -> Done:
    pooling = _setting(after, "config", "encoder", "pooling") or _setting(
        after, "encoder", "pooling"
    )
    if pooling in {"time", "frequency"}:
        return Done(pooling == "frequency", (f"its settings say encoder.pooling: {pooling}",))
    return Done(
        None,
        (
            "pooling leaves no trace in weights: `capfix diagnose` puts frames in another order"
            " and says whether the encoder hears it",
            _said("encoder.conv-layers", before, after),
        ),
    )


def _every_step(before: Inspection, after: Inspection) -> Done:
    said = _said("conditioning", before, after)
    kind = _value(after, "conditioning")
    if kind == "concatenated":
        one, two = find(before).recurrence, find(after).recurrence
        grown = []
        if one is not None and two is not None:
            grown = [f"{two.weight} takes {two.inputs}, was {one.inputs}"]
            if two.inputs <= one.inputs:
                return Done(None, (*grown, "it was as wide before: what is beside words is open"))
        return Done(True, (said, *grown))
    if kind in ATTENDING:
        return Done(True, (said, "attention gives the audio at every word, too"))
    return Done(None if kind is None else False, (said,))


def _attention(before: Inspection, after: Inspection) -> Done:
    kind = _value(after, "conditioning")
    done = None if kind is None else kind in ATTENDING
    return Done(done, (_said("conditioning", before, after),))


def _deeper(before: Inspection, after: Inspection) -> Done:
    old, new = (_value(i, "encoder.conv-layers") for i in (before, after))
    said = (_said("encoder.conv-layers", before, after), _said("encoder.residual", before, after))
    if not isinstance(old, int) or not isinstance(new, int):
        return Done(None, said)
    residual = _value(after, "encoder.residual")
    deep_enough = new > old or (new >= LEAST_DEPTH and new == old)
    if not deep_enough:
        return Done(False, said)
    # A sum without a layer of its own leaves no trace.
    return Done(True if residual else None, said)


def _transformer(before: Inspection, after: Inspection) -> Done:
    kind = _value(after, "decoder.kind")
    done = None if kind is None else kind == "transformer"
    return Done(done, (_said("decoder.kind", before, after), _said("conditioning", before, after)))


def _dropout(before: Inspection, after: Inspection) -> Done:
    rate = _setting(after, "config", "dropout") or _setting(after, "dropout")
    if isinstance(rate, int | float) and not isinstance(rate, bool):
        return Done(rate > 0, (f"its settings say dropout: {rate}",))
    return Done(
        None,
        ("dropout leaves no trace in weights: two passes in train mode differ where it is",),
    )


_READERS: dict[str, Callable[[Inspection, Inspection], Done]] = {
    "2.1": _keep_time,
    "2.2": _every_step,
    "2.3": _attention,
    "2.4": _deeper,
    "2.5": _transformer,
    "5.1": _dropout,
}
