"""``--network MODULE:CLASS``: a network built, loaded and wrapped without a line of adapter."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from capfix_cli.captioners.derived.constructor import Known, build_network
from capfix_cli.captioners.derived.derived_captioner import DerivedCaptioner
from capfix_cli.captioners.derived.method_pairs import EncoderWithDecoder
from capfix_cli.captioners.derived.network_facts import candidate_words, make_vocabulary
from capfix_cli.captioners.derived.network_source import (
    Source,
    find_function,
    find_source,
    own_functions,
)
from capfix_cli.captioners.derived.roles import parameters_of
from capfix_cli.captioners.derived.vocabulary_forms import vocabulary_forms
from capfix_cli.captioners.derived.wrap import wrap
from capfix_cli.checkpoints.formats.checkpoint_content import key_name
from capfix_cli.checkpoints.formats.checkpoint_folder import read_whole
from capfix_cli.checkpoints.formats.network_keys import holds_tensors
from capfix_cli.checkpoints.formats.plain_values import PlainValues
from capfix_cli.checkpoints.model_options import ModelOptions
from capfix_cli.checkpoints.safe_pickle.safe_unpickler import Stub
from capfix_cli.checkpoints.weights import load_weights
from capfix_cli.core.errors import CapfixError


def load_network(
    name: str, checkpoint: str, device: str, options: ModelOptions
) -> DerivedCaptioner:
    """Build the class that was named, load the checkpoint into it, and derive a captioner.

    Args:
        name: ``MODULE:CLASS`` or ``FILE.py:CLASS``; a function that returns a network will do.
        checkpoint: its weights.
        device: where to compute.
        options: what the command line says beside.

    Raises:
        CapfixError: no such class, an argument that nothing tells, weights that do not fit, or a
            network whose methods cannot be made out; the message names the option that helps.
    """
    source = find_source(name)
    settings = settings_of(checkpoint)
    weights = load_weights(checkpoint)
    rows = {tensor.shape[0] for tensor in weights.values() if tensor.ndim > 0}
    words = candidate_words(source.module, settings, checkpoint, rows)
    given, methods = _told_apart(source, parse_arguments(options.network_args))
    known = Known(
        settings=settings,
        vocabularies=vocabulary_forms(words, source.module),
        given=given,
        words=None if words is None else len(words),
        special=_special(words),
        folder=Path(checkpoint).parent,
    )
    network, found = _built(source, known, weights, checkpoint)
    return wrap(
        network.to(device),
        vocabulary=options.vocabulary,
        sample_rate=options.sample_rate,
        front_end=None
        if options.front_end is None
        else find_function(options.front_end, "--front-end"),
        settings=settings,
        checkpoint=checkpoint,
        found=found,
        module=source.module,
        arguments=methods,
    )


def _special(words: Mapping[str, int] | None) -> dict[str, int]:
    """Give the ids of special tokens that a constructor may ask for."""
    if not words:
        return {}
    try:
        vocabulary, open_ = make_vocabulary(words, {})
    except CapfixError:
        return {}
    found = {"start": vocabulary.bos_id, "end": vocabulary.eos_id, "pad": vocabulary.pad_id}
    unknown = {{"bos": "start", "eos": "end"}[kind] for kind in open_}
    return {k: v for k, v in found.items() if v is not None and k not in unknown}


def _told_apart(source: Source, given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part what the user gave into arguments of the constructor and of methods.

    Raises:
        CapfixError: a name that neither has.
    """
    made = [one for one in (source.made, source.decoder) if one is not None]
    built = {name for one in made for name in parameters_of(one)}
    methods = {
        name
        for one in made
        for method in vars(one if isinstance(one, type) else type(one)).values()
        if callable(method)
        for name in parameters_of(method)
    }
    methods |= {n for one in own_functions(source.module).values() for n in parameters_of(one)}
    for name in given:
        if name not in built | methods:
            raise CapfixError(
                f"--network-args: nothing of {source.name} takes {name!r}.",
                f"Its constructor takes {', '.join(sorted(built)) or 'nothing'}.",
            )
    return (
        {name: value for name, value in given.items() if name in built},
        {name: value for name, value in given.items() if name not in built},
    )


def settings_of(checkpoint: str) -> dict[str, Any]:
    """Give all that a checkpoint says beside its tensors, under whatever names.

    Raises:
        CapfixError: it cannot be read.
    """
    value = read_whole(checkpoint).value
    value = value.__dict__.get("state") if isinstance(value, Stub) else value
    if not isinstance(value, Mapping):
        return {}
    plain = PlainValues()
    beside = {key: item for key, item in value.items() if not holds_tensors(item, 0)}
    return {key_name(key): plain.of(item, 0) for key, item in beside.items()}


def _built(
    source: Source, known: Known, weights: Mapping[str, Tensor], checkpoint: str
) -> tuple[nn.Module, Mapping[str, str]]:
    """Build what was named and put the weights into it."""
    if source.decoder is not None:
        return _built_as_two(source, known, weights, checkpoint)
    if isinstance(source.made, nn.Module):
        network, found = source.made, {}
    else:
        shapes = {key: tuple(tensor.shape) for key, tensor in _bare(weights).items()}
        built = build_network(source.made, _short(source.made), replace(known, shapes=shapes))
        network, found = built.network, dict(built.found)
    _fill(network, checkpoint, weights)
    return network, found


def _built_as_two(
    source: Source, known: Known, weights: Mapping[str, Tensor], checkpoint: str
) -> tuple[nn.Module, Mapping[str, str]]:
    """Build an encoder and a decoder, each from its own part of the weights.

    Raises:
        CapfixError: the checkpoint does not keep two parts.
    """
    parts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in weights.items():
        first, _, rest = key.partition(".")
        parts.setdefault(first, {})[rest or key] = tensor
    if len(parts) != 2:
        raise CapfixError(
            f"{checkpoint} holds {len(parts)} parts ({', '.join(list(parts)[:4])}), not an"
            " encoder and a decoder.",
            "Give both files, joined by a comma, or name the one class that holds both.",
        )
    made = []
    found: dict[str, str] = {}
    names = sorted(parts, key=lambda name: "dec" in name.lower())
    for name, make in zip(names, (source.made, source.decoder), strict=True):
        shapes = {key: tuple(tensor.shape) for key, tensor in parts[name].items()}
        built = build_network(make, _short(make), replace(known, shapes=shapes, given={}))
        _fill(built.network, checkpoint, parts[name])
        made.append(built.network)
        found |= built.found
    return EncoderWithDecoder(*made).eval(), found


def _short(made: Any) -> str:
    return getattr(made, "__name__", type(made).__name__)


def _bare(weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Drop a first name that all tensors share: a module that holds the network under any name."""
    firsts = {key.partition(".")[0] for key in weights}
    if len(firsts) != 1 or any("." not in key for key in weights):
        return weights
    return {key.partition(".")[2]: tensor for key, tensor in weights.items()}


def _fill(network: nn.Module, checkpoint: str, weights: Mapping[str, Tensor]) -> None:
    """Load the weights, whatever the names that all of them begin with.

    Raises:
        CapfixError: tensors that are missing, misshapen or have no place.
    """
    own = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    firsts = {key.partition(".")[0] for key in own}
    inside = {f"{first}.{key}": tensor for first in firsts for key, tensor in weights.items()}
    # The last: a network that holds the trained one, whose name was taken for a wrapper's.
    for some in (weights, _bare(weights), inside if len(firsts) == 1 else weights):
        if {key: tuple(tensor.shape) for key, tensor in some.items()} == own:
            network.load_state_dict(dict(some))
            network.eval()
            return
    load_weights(checkpoint, network=network)


def parse_arguments(text: str | None) -> dict[str, Any]:
    """Read ``NAME=VALUE,...`` as Python writes values; what is no such value is text.

    Raises:
        CapfixError: a part without a name.
    """
    found: dict[str, Any] = {}
    if not text:
        return found
    for part in _parts(text):
        name, equals, value = part.partition("=")
        if not equals or not name.strip().isidentifier():
            raise CapfixError(
                f"--network-args: {part!r} is not NAME=VALUE.",
                "For example: --network-args hidden=256,n_heads=4",
            )
        try:
            found[name.strip()] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            found[name.strip()] = value.strip()
    return found


def _parts(text: str) -> list[str]:
    """Split at commas outside of brackets and quotes."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
        if letter == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return [part for part in parts if part.strip()]
