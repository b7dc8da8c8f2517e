"""Finding a network's own captioning by experiment: how it is called, and that it can be forced."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from capfix_cli.captioners.derived.audio_forms import forms_of
from capfix_cli.captioners.derived.method_pairs import one_part_captioning
from capfix_cli.captioners.derived.method_trials import (
    LENGTH_FORMS,
    Clips,
    Failures,
    ordinary_words,
    tokens_to_try,
)
from capfix_cli.captioners.derived.network_source import own_functions
from capfix_cli.captioners.derived.programs import CallSettings, GenerateProgram, own_captions
from capfix_cli.captioners.derived.roles import (
    Assignment,
    assignments,
    guessed_role,
    parameters_of,
)

FORCED = 3  # words that captioning is made to say, to see whether it says them
_CAPTIONS = re.compile(
    r"caption|generat|greedy|beam|decod|sampl|predict|infer|translat|describe|transcrib|search|say"
    r"|beschreib|erzeug",
    re.I,
)
_NO_CAPTIONING = re.compile(
    r"train|save|load|loss|eval|plot|make|build|create|reference|checkpoint|step|write|^forward$",
    re.I,
)
_BEAMS = re.compile(r"beam|^k$|width|breite", re.I)


def find_captioning(
    network: nn.Module,
    module: ModuleType | None,
    clips: Clips,
    settings: CallSettings,
    failures: Failures,
) -> Iterator[GenerateProgram]:
    """Yield the network's own ways of captioning that can be forced to say given words.

    Methods come before functions that take the network; names only order them.
    """
    for name, call, words in _captioning_methods(network, module):
        for program in _generate_candidates(name, call, clips, settings, needs_network=words):
            failures.tried += 1
            try:
                with torch.no_grad():
                    found = _works(program, clips.audio)
            except Exception as error:
                failures.last = (name, error)
                continue
            if found is not None:
                yield found


def _captioning_methods(
    network: nn.Module, module: ModuleType | None
) -> list[tuple[str, Callable[..., Any], bool]]:
    found: list[tuple[str, Callable[..., Any], bool]] = []
    kind = type(network)
    for name in dir(kind):
        if name.startswith("_") or hasattr(nn.Module, name) or _NO_CAPTIONING.search(name):
            continue
        method = getattr(network, name, None)
        if callable(method) and not isinstance(method, nn.Module) and _CAPTIONS.search(name):
            found.append((f"{kind.__name__}.{name}", method, False))
    found += [(name, call, False) for name, call in one_part_captioning(network)]
    for name, function in {} if module is None else own_functions(module).items():
        if _CAPTIONS.search(name) and not _NO_CAPTIONING.search(name) and not name.startswith("_"):
            found.append((name, function, True))
    return sorted(found, key=lambda row: (row[2], "beam" in row[0].lower()))


def _generate_candidates(
    name: str,
    call: Callable[..., Any],
    clips: Clips,
    settings: CallSettings,
    *,
    needs_network: bool,
) -> Iterator[GenerateProgram]:
    forms = forms_of(clips.audio.ndim - 1, turned=clips.turned, alone=True)
    narrowed = tuple(
        parameter
        for parameter, one in parameters_of(call).items()
        if type(one.default) is int and one.default > 1 and _BEAMS.search(parameter)
    )
    for assignment in _captioning_assignments(call, needs_network=needs_network):
        lengths = LENGTH_FORMS if "audio_lengths" in assignment.values() else ("tensor",)
        for form in forms:
            for length_form in lengths:
                yield GenerateProgram(
                    call=call,
                    name=name,
                    assignment=assignment,
                    audio_form=form,
                    length_form=length_form,
                    settings=settings,
                    narrowed=narrowed,
                )


def _captioning_assignments(
    call: Callable[..., Any], *, needs_network: bool
) -> Iterator[Assignment]:
    """Yield assignments; a function that is no method of the network must take it."""
    parameters = parameters_of(call)
    if not needs_network:
        yield from assignments(parameters, words=False)
        return
    parts = {n: r for n in parameters if (r := guessed_role(n)) in {"encoder", "decoder"}}
    if len(parts) == 2:
        rest = {other: one for other, one in parameters.items() if other not in parts}
        for found in assignments(rest, words=False):
            yield {**parts, **found}
    for name in sorted(parameters, key=lambda one: guessed_role(one) != "network"):
        rest = {other: one for other, one in parameters.items() if other != name}
        for found in assignments(rest, words=False):
            yield {name: "network", **found}


def _works(program: GenerateProgram, audio: Tensor) -> GenerateProgram | None:
    """Say how a captioning method works: on several clips, on one, or all words at once.

    It must give captions, and the captions must be those that it was made to say.
    """
    if program.audio_form.rows is not None:
        with contextlib.suppress(Exception):
            if _obeys(program, audio):
                return program
    single = replace(program, alone=True)
    if _obeys(single, audio[:1]):
        return single
    whole = replace(program, alone=True, at_once=True)
    return whole if _all_at_once(whole, audio[:1]) else None


def _obeys(program: GenerateProgram, audio: Tensor) -> bool:
    """Make it say a few words, and see whether the captions that it gives begin with them."""
    settings, rows = program.settings, len(audio)
    tokens = tokens_to_try(settings, rows, FORCED + 1)
    wanted = tokens[:, 1:]
    said: list[Any] = []

    def keep(**given: Any) -> Any:
        said.append(program.call(**given))
        return said[-1]

    choices = replace(program, call=keep).forced(audio, tokens, finish=True)
    if len(choices.scores) < FORCED or not said:
        return False
    captions = own_captions(said[0], rows, settings.words)
    if captions is None:
        return False
    return all(_begins(captions[row], wanted[row].tolist(), settings) for row in range(rows))


def _begins(caption: list[int] | str, wanted: Sequence[int], settings: CallSettings) -> bool:
    if isinstance(caption, str):
        told = [settings.spelled[word] for word in wanted]
        return all(word in caption.split() for word in told)
    kept = caption[1:] if caption[:1] == [settings.start] else caption
    return list(kept[: len(wanted)]) == list(wanted)


def _all_at_once(program: GenerateProgram, audio: Tensor) -> bool:
    tokens = torch.full((len(audio), 1), program.settings.start)
    said: list[Any] = []

    def keep(**given: Any) -> Any:
        said.append(program.call(**given))
        return said[-1]

    choices = replace(program, call=keep).forced(audio, tokens, finish=True)
    return (
        choices.whole is not None
        and len(choices.scores) == 1
        and choices.whole.shape[1] > 1
        and bool(said)
        and own_captions(said[0], len(audio), program.settings.words) is not None
    )


def find_end_token(program: GenerateProgram, audio: Tensor) -> int | None:
    """Find the token that ends a caption: the one after which the network's own loop says no more.

    Args:
        program: the network's own captioning.
        audio: [B, *features], of which the first clip is captioned.
    """
    settings, clip = program.settings, audio[:1]
    ordinary = ordinary_words(replace(settings, others=()), 1, 2 * FORCED)
    plain = _said(program, clip, ordinary)
    for token in range(settings.words):
        if token in ordinary:
            continue
        tried = ordinary.clone()
        tried[0, 1] = token
        choices, words = _said(program, clip, tried)
        if choices == 2 < plain[0] or words <= 1 < plain[1]:
            return token
    return None


@torch.no_grad()
def _said(program: GenerateProgram, clip: Tensor, words: Tensor) -> tuple[int, int]:
    """Make it say words; count its choices, and the words that it gave."""
    said: list[Any] = []

    def keep(**given: Any) -> Any:
        said.append(program.call(**given))
        return said[-1]

    tokens = torch.cat([torch.full((1, 1), program.settings.start), words], dim=1)
    choices = replace(program, call=keep).forced(clip, tokens, finish=True)
    captions = own_captions(said[0], 1, program.settings.words) if said else None
    given = captions[0] if captions else []
    return len(choices.scores), len(given.split() if isinstance(given, str) else given)
