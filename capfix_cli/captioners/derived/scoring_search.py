"""Finding by experiment how a network scores given words, and what it gives."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from capfix_cli.captioners.derived.audio_forms import forms_of
from capfix_cli.captioners.derived.method_pairs import EncoderWithDecoder, two_part_calls
from capfix_cli.captioners.derived.method_trials import (
    LENGTH_FORMS,
    PLACES,
    Clips,
    Failures,
    tokens_to_try,
)
from capfix_cli.captioners.derived.programs import (
    CallSettings,
    ForwardProgram,
    LengthForm,
    TokenForm,
)
from capfix_cli.captioners.derived.roles import Assignment, assignments, parameters_of
from capfix_cli.captioners.derived.score_layout import find_layout, tensors_in

_TOKEN_FORMS: tuple[TokenForm, ...] = ("ids", "time-first", "one-hot")


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
    lengths: tuple[LengthForm, ...] = LENGTH_FORMS if needs else ("tensor",)
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
