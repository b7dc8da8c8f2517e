"""Whether a model was ever trained: what its layers' values say together."""

from __future__ import annotations

import re
from collections.abc import Sequence

from capfix_cli.checkpoints.formats.tensor_values import readable
from capfix_cli.checkpoints.xray.initial_layers import Layer, Tensors, read_layers
from capfix_cli.schemas.inspection_record import Fact

SHOWN = 8  # places or layers in one piece of evidence


def read_training(tensors: Tensors) -> dict[str, Fact]:
    """State whether weights are untrained, and how many layers are as they were created.

    ``weights.untrained`` is true where every layer that can be judged holds initial values, false
    where none does, and undecided where some do; the evidence then names them. Embeddings decide
    nothing: rare words stay as they were, and some models freeze them. Nor does a norm beside
    trained norms in one block: it was created and is never called.

    Raises:
        CapfixError: the file cannot be read.
    """
    if not any(map(readable, tensors.values())):
        why = "the values lie in no layout that can be read without loading the file"
        return {
            "weights.untrained": Fact(None, 0.0, (why,)),
            "weights.initial-layers": Fact(None, 0.0, (why,)),
        }
    layers = read_layers(tensors)
    judged = [r for r in layers if r.kind != "table" and r.state != "unjudged"]
    if not judged:
        why = "no layer has values enough to tell them from initial ones"
        return {
            "weights.untrained": Fact(None, 0.0, (why,)),
            "weights.initial-layers": Fact(None, 0.0, (why,)),
        }
    initial = [layer for layer in judged if layer.state == "initial"]
    where = [_places(judged, initial)] if initial else []
    of = f"of {len(judged)} that can be judged"
    count = Fact(len(initial), _sure(judged), (of, *where, *_one_of_each(initial)))
    return {"weights.untrained": _untrained(layers, judged), "weights.initial-layers": count}


def _untrained(layers: Sequence[Layer], judged: Sequence[Layer]) -> Fact:
    changed = [layer for layer in judged if layer.state == "changed"]
    trained_norms = {p for r in changed if r.kind == "norm" for p in _above(r.name)}
    unused = [
        layer
        for layer in judged
        if layer.state == "initial"
        and layer.kind == "norm"
        and layer.name.rpartition(".")[0] in trained_norms
    ]
    initial = [layer for layer in judged if layer.state == "initial" and layer not in unused]
    apart = [
        f"{layer.name} may be initial too ({layer.why}), which decides nothing"
        for layer in layers
        if layer.kind == "table" and layer.state == "initial"
    ][:2]
    if unused:
        apart.append(f"{_places(judged, unused)} never used: trained norms stand beside")
    if not initial:
        none = f"none of {len(judged) - len(unused)} layers is initial"
        return Fact(False, _sure(judged), (none, *_one_of_each(changed), *apart))
    examples = _one_of_each(initial)
    if not changed:
        every = f"all {len(judged)} layers that can be judged hold initial values"
        return Fact(True, _sure(judged), (every, *examples, *apart))
    where = f"{_places(judged, initial)} still initial ({len(initial)} of {len(judged)} layers)"
    rest = f"{_places(judged, changed)} changed ({len(changed)} layers)"
    return Fact(None, 0.0, (where, *examples, rest, *apart))


def _sure(votes: Sequence[Layer]) -> float:
    """Norms are exact and weights a distribution: both together are surest, one layer is little."""
    both = len({layer.kind for layer in votes}) == 2
    return (0.95 if both else 0.85) - (0.15 if len(votes) < 3 else 0.0)


def _one_of_each(layers: Sequence[Layer]) -> list[str]:
    """Give an example of each kind of layer, with its reason."""
    first: dict[str, str] = {}
    for layer in layers:
        first.setdefault(layer.kind, f"{layer.name}: {layer.why}")
    return list(first.values())


def _places(votes: Sequence[Layer], chosen: Sequence[Layer]) -> str:
    places = shortest_places([r.name for r in votes], [r.name for r in chosen])
    places = list(dict.fromkeys(re.sub(r"\.\d+(?=\.)", ".*", place) for place in places))
    more = f" and {len(places) - SHOWN} more" if len(places) > SHOWN else ""
    return ", ".join(places[:SHOWN]) + more


def shortest_places(names: Sequence[str], chosen: Sequence[str]) -> list[str]:
    """Name chosen modules by the shortest places that hold no others.

    >>> shortest_places(["enc.a", "enc.b", "dec.a", "dec.b"], ["enc.a", "enc.b", "dec.b"])
    ['enc.*', 'dec.b']

    Args:
        names: dotted names of all modules.
        chosen: some of them.

    Returns:
        places in order; one that stands for several modules ends in ``.*``.
    """
    others = set(names) - set(chosen)
    barred = {prefix for name in others for prefix in _above(name)} | others
    below: dict[str, list[str]] = {}
    for name in chosen:
        place = next((prefix for prefix in _above(name) if prefix not in barred), name)
        below.setdefault(place, []).append(name)
    return [held[0] if len(held) == 1 else f"{place}.*" for place, held in below.items()]


def _above(name: str) -> list[str]:
    """``a.b.c`` -> ``a``, ``a.b``."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]
