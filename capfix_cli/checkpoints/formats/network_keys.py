"""Which keys of a checkpoint hold the network: all of it under one, or each part under its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from capfix_cli.checkpoints.formats.tensor_info import TensorInfo
from capfix_cli.checkpoints.safe_pickle.safe_unpickler import Stub

# Keys that hold the whole model, as SCIENCE section 5 lists them.
_WHOLE = re.compile(r"^(model|net|network|state_?dict|model_?state_?dict|params|weights)$", re.I)
DEEPEST = 8  # levels that are searched for tensors


def is_whole(key: Any) -> bool:
    """Say whether a key holds the whole network."""
    return _WHOLE.match(str(key)) is not None


def part_name(key: Any) -> str | None:
    """Give the part of the network that a key names: ``encoder_state_dict`` is ``encoder``.

    An optimiser, a scheduler and an average of the weights are no parts of it: None.
    """
    text = str(key)
    if re.search(r"optim|sched|ema|scaler", text):
        return None
    return re.sub(r"_?(model_?)?(state_?dict|weights)$", "", text) or text


def parts_of(value: Any) -> list[str]:
    """List the parts of a checkpoint that keeps them apart; none where the network is whole."""
    if not isinstance(value, Mapping):
        return []
    if any(isinstance(item, TensorInfo) for item in value.values()):
        return []
    held = {key: item for key, item in value.items() if holds_tensors(item, 0)}
    if any(is_whole(key) for key in held):
        return []
    names = [name for key in held if (name := part_name(key)) is not None]
    return names if len(names) > 1 else []


def holds_tensors(item: Any, depth: int) -> bool:
    """Say whether tensors lie in a value, however deep."""
    if isinstance(item, TensorInfo):
        return True
    item = item.__dict__.get("state") if isinstance(item, Stub) else item
    if not isinstance(item, Mapping) or depth > DEEPEST:
        return False
    return any(holds_tensors(inner, depth + 1) for inner in item.values())
