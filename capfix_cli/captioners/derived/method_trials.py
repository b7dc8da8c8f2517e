"""What trying a network's methods needs: clips and words to try, and a look at what came."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import torch
from torch import Tensor

from capfix_cli.captioners.derived.audio_forms import FrontEndFunction, probe_waveform
from capfix_cli.captioners.derived.programs import CallSettings, LengthForm, Program

PLACES = 6  # words that a method is tried with
AGREE = 1e-3  # of the scores' spread: two ways of computing one thing differ by less
LENGTH_FORMS: tuple[LengthForm, ...] = ("tensor", "list", "column")


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


def time_axis(front_end: FrontEndFunction, rate: int) -> int | None:
    """Find the axis of a front end's output that grows with the clip."""
    with torch.no_grad(), contextlib.suppress(Exception):
        short, long = (front_end(probe_waveform(rate, seconds)) for seconds in (2.0, 3.0))
        axes = [
            axis
            for axis, (one, two) in enumerate(zip(short.shape, long.shape, strict=True))
            if one != two
        ]
        return axes[0] if len(axes) == 1 else 0 if not axes else None
    return None


def clips_of(front_end: FrontEndFunction, axis: int, rate: int, seconds: float) -> Clips | None:
    """Make three clips of so many seconds that differ; None where the front end takes none."""
    with torch.no_grad(), contextlib.suppress(Exception):
        made = [
            front_end(probe_waveform(rate, seconds, seed)).movedim(axis, 0) for seed in (0, 1, 2)
        ]
        return Clips(audio=torch.stack(made), turned=axis > 0)
    return None
