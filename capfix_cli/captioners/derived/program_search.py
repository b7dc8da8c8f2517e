"""Finding by experiment how a network's own methods are called, and what they give."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from capfix_cli.captioners.derived.audio_forms import forms_of
from capfix_cli.captioners.derived.method_pairs import (
    EncoderWithDecoder,
    one_part_captioning,
    two_part_calls,
)
from capfix_cli.captioners.derived.network_source import own_functions
from capfix_cli.captioners.derived.programs import (
    CallSettings,
    ForwardProgram,
    GenerateProgram,
    LengthForm,
    Program,
    TokenForm,
    own_captions,
)
from capfix_cli.captioners.derived.roles import (
    Assignment,
    assignments,
    guessed_role,
    parameters_of,
)
from capfix_cli.captioners.derived.score_layout import find_layout, tensors_in

PLACES = 6  # words that a method is tried with
FORCED = 3  # words that captioning is made to say, to see whether it says them
AGREE = 1e-3  # of the scores' spread: two ways of computing one thing differ by less
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
_TOKEN_FORMS: tuple[TokenForm, ...] = ("ids", "time-first", "one-hot")
_LENGTH_FORMS: tuple[LengthForm, ...] = ("tensor", "list", "column")


@dataclass(frozen=True, kw_only=True)
class Clips:
    """Clips that methods are tried on, and how the user's front end lays them out.

    Attributes:
        audio: [3, *features], of three clips that differ.
        turned: whether the front end gives [F, frames].
    """

    audio: Tensor
    turned: bool = False


@dataclass
class Failures:
    """What went wrong while methods were tried; the one that came farthest is told.

    Attributes:
        tried: how many calls were made.
        last: the last exception of a user's code, by the method's name.
    """

    tried: int = 0
    last: tuple[str, BaseException] | None = None


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
        lengths = _LENGTH_FORMS if "audio_lengths" in assignment.values() else ("tensor",)
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
        told = [str(settings.vocabulary[word]) for word in wanted]
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


def ordinary_words(settings: CallSettings, rows: int, places: int) -> Tensor:
    """Give [rows, places] words that are no special tokens, no two rows alike."""
    special = {settings.start, settings.end, settings.pad, *settings.others}
    words = [i for i in range(settings.words) if i not in special]
    picked = [
        [words[(7 * row + 3 * place + row * place) % len(words)] for place in range(places)]
        for row in range(rows)
    ]
    return torch.tensor(picked)


def tokens_to_try(settings: CallSettings, rows: int, places: int) -> Tensor:
    """Give [rows, places] tokens: the one that opens a caption, then ordinary words."""
    start = torch.full((rows, 1), settings.start)
    return torch.cat([start, ordinary_words(settings, rows, places - 1)], dim=1)


def find_forward(
    network: nn.Module, clips: Clips, settings: CallSettings, failures: Failures
) -> Iterator[ForwardProgram]:
    """Yield ways to call a network on audio and words that give the scores of each next word.

    Its ``forward`` comes first, then pairs of its methods, the first of which hears.
    """
    tokens = tokens_to_try(settings, 3, PLACES)
    for name, call, parameters in _scoring_calls(network):
        for assignment in assignments(parameters, words=True):
            for program in _forward_candidates(name, call, assignment, clips, settings):
                failures.tried += 1
                found = _scored(program, parameters, clips.audio, tokens, failures)
                if found is not None:
                    yield found


def _scoring_calls(
    network: nn.Module,
) -> Iterator[tuple[str, Callable[..., Any], dict[str, inspect.Parameter]]]:
    if not isinstance(network, EncoderWithDecoder):
        name = f"{type(network).__name__}.forward"
        yield name, network.__call__, parameters_of(network.forward)
    for name, call in two_part_calls(network):
        yield name, call, parameters_of(call)


def _forward_candidates(
    name: str,
    call: Callable[..., Any],
    assignment: Assignment,
    clips: Clips,
    settings: CallSettings,
) -> Iterator[ForwardProgram]:
    needs = bool(set(assignment.values()) & {"audio_lengths", "token_lengths"})
    lengths: tuple[LengthForm, ...] = _LENGTH_FORMS if needs else ("tensor",)
    forms = forms_of(clips.audio.ndim - 1, turned=clips.turned, alone=False)
    for form, token_form, length_form in itertools.product(forms, _TOKEN_FORMS, lengths):
        yield ForwardProgram(
            call=call,
            name=name,
            assignment=assignment,
            audio_form=form,
            token_form=token_form,
            length_form=length_form,
            settings=settings,
        )


def _scored(
    program: ForwardProgram,
    parameters: Any,
    audio: Tensor,
    tokens: Tensor,
    failures: Failures,
) -> ForwardProgram | None:
    """Find the scores in what a call gives; a method that draws is told to draw nothing."""
    try:
        with torch.no_grad():
            for tried in _steadied(program, parameters, audio, tokens):
                layout = find_layout(
                    lambda words, one=tried: one.result(audio, words),  # type: ignore[misc]
                    tokens,
                    program.settings.words,
                )
                if layout is not None and _rows_apart(
                    found := replace(tried, layout=layout), audio, tokens
                ):
                    return found
    except Exception as error:
        failures.last = (program.name, error)
    return None


def _steadied(
    program: ForwardProgram, parameters: Any, audio: Tensor, tokens: Tensor
) -> Iterator[ForwardProgram]:
    """Yield the program as it is; else with each of its numbers between 0 and 1 set to 1, to 0.

    A ratio of teacher forcing or of scheduled sampling makes a method feed its own words.
    """
    if _steady(program, audio, tokens):
        yield program
    for name, one in parameters.items():
        if isinstance(one.default, float | int | bool) and 0 <= one.default <= 1:
            for value in (1.0, 0.0):
                kept = type(one.default)(value) if isinstance(one.default, bool) else value
                if kept == one.default:
                    continue
                extra = {**program.settings.extra, name: kept}
                other = replace(program, settings=replace(program.settings, extra=extra))
                if _steady(other, audio, tokens):
                    yield other


def _steady(program: ForwardProgram, audio: Tensor, tokens: Tensor) -> bool:
    """Say whether two calls give the same numbers, whatever is drawn."""
    found = []
    for seed in (0, 1):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            found.append(list(tensors_in(program.result(audio, tokens))))
    return len(found[0]) == len(found[1]) and all(
        a.shape == b.shape and torch.equal(a.nan_to_num(), b.nan_to_num())
        for a, b in zip(*found, strict=True)
    )


def _rows_apart(program: ForwardProgram, audio: Tensor, tokens: Tensor) -> bool:
    """Say whether one clip's audio moves its own scores alone."""
    other = audio.clone()
    other[0] = audio[1]
    moved = (program.run(audio, tokens) - program.run(other, tokens)).nan_to_num().abs()
    return not bool((moved[1:] > 1e-4 * moved.max().clamp_min(1e-4)).any())


def heeds_audio(program: Program, audio: Tensor, settings: CallSettings) -> bool:
    """Say whether other audio gives other scores."""
    clips = audio[:1] if program.alone else audio
    tokens = tokens_to_try(settings, len(clips), PLACES)
    with torch.no_grad():
        one, other = program.run(clips, tokens), program.run(audio.roll(1, 0)[: len(clips)], tokens)
    if bool(one.isnan().any()):
        return False
    return not torch.allclose(one, other, atol=1e-6)


def scores_agree(one: Program, other: Program, audio: Tensor, settings: CallSettings) -> bool:
    """Say whether two programs score the same words alike, up to a constant a place.

    A word that one of them forbids says nothing of the scores.
    """
    tokens = tokens_to_try(settings, 3, PLACES)
    try:
        with torch.no_grad():
            first, second = (program.run(audio, tokens) for program in (one, other))
    except Exception:  # whichever cannot score this is no peer
        return False
    if first.shape != second.shape:
        return False
    both = first.isfinite() & second.isfinite()
    if int(both.sum()) * 2 < both.numel():
        return False
    apart = (first - second).masked_fill(~both, torch.nan)
    apart = (apart - apart.nanmean(dim=2, keepdim=True)).abs()
    spread = first[both].std().clamp_min(1e-9)
    return bool(apart.nan_to_num().max() / spread < AGREE)


def forbids(program: Program, audio: Tensor, settings: CallSettings) -> bool:
    """Say whether a program never lets some words come."""
    clips = audio[:1] if program.alone else audio
    with torch.no_grad():
        return bool(program.run(clips, tokens_to_try(settings, len(clips), 3)).isneginf().any())


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
