"""The user's own code as a scorer of words: its ``forward``, or its own captioning, forced."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from capfix_cli.captioners.derived.audio_forms import AudioForm
from capfix_cli.captioners.derived.choice_forcing import Enough, ForcedChoices
from capfix_cli.captioners.derived.roles import Assignment, Role, parameters_of
from capfix_cli.captioners.derived.score_layout import ScoreLayout
from capfix_cli.captioners.derived.settings_values import plain_name

TokenForm = Literal["ids", "time-first", "one-hot"]
LengthForm = Literal["tensor", "list", "column"]


@dataclass(frozen=True, kw_only=True)
class CallSettings:
    """What the parameters of a user's method may be given beside audio and words.

    Attributes:
        words: how many words the vocabulary has.
        start: id of the token that opens a caption.
        end: id of the one that ends it.
        pad: id that fills batches.
        others: ids of further tokens that are no words, such as the one of unknown words.
        limit: most words of a caption.
        vocabulary: what a parameter that wants the vocabulary gets.
        spelled: the words in the order of their ids.
        network: what a parameter that wants the network gets.
        extra: parameters that are set whatever they are for, by name.
        named: values that the user gave for parameters of methods, by name.
        limits: most words as constants and settings beside the network have it, by name.
    """

    words: int
    start: int
    end: int
    pad: int
    others: tuple[int, ...] = ()
    limit: int = 30
    vocabulary: Any = None
    spelled: tuple[str, ...] = ()
    network: Any = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    named: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)

    def given_to(self, call: Callable[..., Any]) -> dict[str, Any]:
        """Give the values that the user gave for parameters which a method has."""
        if not self.named:
            return {}
        known = parameters_of(call)
        return {name: value for name, value in self.named.items() if name in known}

    def of(self, role: Role, rows: int, frames: int, places: int, form: LengthForm) -> Any:
        """Give the value of a role other than audio and words."""
        fixed: dict[Role, Any] = {
            "limit": self.limit,
            "start": self.start,
            "end": self.end,
            "pad": self.pad,
            "beams": 1,
            "device": torch.device("cpu"),
            "forcing": 1.0,
            "temperature": 1.0,
            "vocabulary": self.vocabulary,
            "network": self.network,
            "encoder": getattr(self.network, "encoder", None),
            "decoder": getattr(self.network, "decoder", None),
            "none": None,
        }
        if role in fixed:
            return fixed[role]
        return _lengths(rows, frames if role == "audio_lengths" else places, form)


def _lengths(rows: int, length: int, form: LengthForm) -> Any:
    if form == "list":
        return [length] * rows
    whole = torch.full((rows,), length, dtype=torch.long)
    return whole.unsqueeze(1) if form == "column" else whole


@dataclass(frozen=True, kw_only=True)
class ForwardProgram:
    """``forward(audio, words)``, or a pair of methods that amounts to it.

    Attributes:
        call: the method.
        name: of it, for messages.
        assignment: parameter -> role.
        audio_form: how the audio is given.
        token_form: how the words are.
        length_form: how lengths are.
        settings: what the other parameters get.
        layout: where the scores stand; None before it is found.
    """

    call: Callable[..., Any]
    name: str
    assignment: Assignment
    audio_form: AudioForm
    token_form: TokenForm
    length_form: LengthForm
    settings: CallSettings
    layout: ScoreLayout | None = None
    alone = False

    def result(self, audio: Tensor, tokens: Tensor) -> Any:
        """Call the method on clips [B, *features] and words [B, T]; its result as it is."""
        # Some methods leave out the last word, which training never feeds: one more is given.
        fed = torch.cat([tokens, tokens[:, -1:]], dim=1)
        frames = audio.shape[1]
        given: dict[str, Any] = dict(self.settings.extra)
        for name, role in self.assignment.items():
            if role == "audio":
                given[name] = self.audio_form.arrange(audio)
            elif role == "tokens":
                given[name] = self._words(fed)
            else:
                given[name] = self.settings.of(
                    role, len(tokens), frames, fed.shape[1], self.length_form
                )
        given |= self.settings.given_to(self.call)
        with contextlib.redirect_stdout(sys.stderr):
            return self.call(**given)

    def _words(self, tokens: Tensor) -> Tensor:
        if self.token_form == "one-hot":
            return torch.nn.functional.one_hot(tokens, self.settings.words).float()
        return tokens.T if self.token_form == "time-first" else tokens

    def run(self, audio: Tensor, tokens: Tensor) -> Tensor:
        """Score the word after each token.

        Args:
            audio: [B, *features].
            tokens: [B, T] int64, begin token included.

        Returns:
            [B, T, V]
        """
        if self.layout is None:
            raise ValueError(f"the scores of {self.name} were not found")
        return self.layout.read(self.result(audio, tokens), len(tokens), tokens.shape[1]).float()


@dataclass(frozen=True, kw_only=True)
class GenerateProgram:
    """The user's own captioning, made to say given words and heard while it chooses them.

    Attributes:
        call: the method or function.
        name: of it, for messages.
        assignment: parameter -> role.
        audio_form: how the audio is given.
        length_form: how lengths are.
        settings: what the other parameters get.
        alone: whether it takes one clip at a time.
        at_once: whether it chooses all words at once.
        narrowed: parameters of beam search, which are set to one beam while words are chosen.
    """

    call: Callable[..., Any]
    name: str
    assignment: Assignment
    audio_form: AudioForm
    length_form: LengthForm
    settings: CallSettings
    alone: bool = False
    at_once: bool = False
    narrowed: tuple[str, ...] = ()

    def result(self, audio: Tensor, *, narrow: bool = False) -> Any:
        """Let it caption clips [B, *features] as it does; its result as it is."""
        given: dict[str, Any] = dict(self.settings.extra)
        given |= dict.fromkeys(self.narrowed, 1) if narrow else {}
        for name, role in self.assignment.items():
            given[name] = (
                self.audio_form.arrange(audio)
                if role == "audio"
                else self.settings.limits[plain_name(name)]
                if role == "limit" and plain_name(name) in self.settings.limits
                else self.settings.of(
                    role, len(audio), audio.shape[1], self.settings.limit, self.length_form
                )
            )
        given |= self.settings.given_to(self.call)
        with contextlib.redirect_stdout(sys.stderr):
            return self.call(**given)

    def forced(self, audio: Tensor, tokens: Tensor, *, finish: bool = False) -> ForcedChoices:
        """Let it caption clips while the words are chosen for it.

        Args:
            audio: [B, *features].
            tokens: [B, T] words, begin token included.
            finish: whether it goes on by itself afterwards, or stops at the last score.
        """
        words = self.settings.words
        enough = None if finish else tokens.shape[1]
        choices = ForcedChoices(words, len(tokens), tokens[:, 1:], enough)
        with contextlib.suppress(Enough), choices:
            self.result(audio, narrow=True)
        return choices

    def run(self, audio: Tensor, tokens: Tensor) -> Tensor:
        """Score the word after each token, [B, T, V], as :meth:`ForwardProgram.run` does."""
        if self.alone and len(tokens) > 1:
            rows = zip(audio.unsqueeze(1), tokens.unsqueeze(1), strict=True)
            return torch.cat([self.run(clip, row) for clip, row in rows])
        if self.at_once:
            return self._all_places(audio, tokens)
        choices = self.forced(audio, tokens)
        places = tokens.shape[1]
        if not choices.scores:
            raise ValueError(f"{self.name} chose no word")
        scores = torch.stack(choices.scores[:places], dim=1)
        if scores.shape[1] < places:  # it ends by itself: what it would say there is the end
            scores = torch.cat([scores, self._over(scores, places - scores.shape[1])], dim=1)
        return scores

    def _all_places(self, audio: Tensor, tokens: Tensor) -> Tensor:
        choices = self.forced(audio, tokens[:, :1])
        if choices.whole is None:
            raise ValueError(f"{self.name} chose no word")
        scores, places = choices.whole, tokens.shape[1]
        if scores.shape[1] < places:
            scores = torch.cat([scores, self._over(scores, places - scores.shape[1])], dim=1)
        return scores[:, :places]

    def _over(self, scores: Tensor, places: int) -> Tensor:
        over = torch.full((len(scores), places, scores.shape[2]), -1e4)
        over[:, :, self.settings.end] = 0.0
        return over


Program = ForwardProgram | GenerateProgram
Words = list[list[int]] | list[str]


def own_captions(result: Any, rows: int, words: int) -> Words | None:
    """Read what a user's captioning gave: ids or text, a caption a clip.

    Args:
        result: as it came.
        rows: clips that it was given.
        words: how many words there are.

    Returns:
        None where it is neither.
    """
    if isinstance(result, Tensor):
        return _ids_of(result, rows, words)
    if isinstance(result, str):
        result = [result]
    if isinstance(result, dict):
        result = list(result.values())
    if not isinstance(result, Sequence) or not result:
        return None
    found = _texts(result, rows) or _id_lists(result, rows, words)
    if found is None:  # (captions, scores), (captions, attention)
        several = (own_captions(part, rows, words) for part in result if not _is_plain(part))
        found = next((one for one in several if one is not None), None)
    return found


def _is_plain(part: Any) -> bool:
    return isinstance(part, int | float) or part is None


def _texts(result: Sequence[Any], rows: int) -> list[str] | None:
    """Read captions as text: one a clip, the words of one clip, or a list of words a clip."""
    if all(isinstance(part, str) for part in result):
        if len(result) == rows:
            return list(result)
        return [" ".join(result)] if rows == 1 else None
    if len(result) == rows and all(_is_words(part) for part in result):
        return [" ".join(part) for part in result]
    return None


def _id_lists(result: Sequence[Any], rows: int, words: int) -> list[list[int]] | None:
    """Read captions as lists of ids, or of tensors of one."""
    if rows == len(result) and (listed := _lists_of(result, words)) is not None:
        return listed
    if rows > 1:
        return None
    flat = [part.item() if _is_one(part) else part for part in result]
    return [flat] if all(type(i) is int and 0 <= i < words for i in flat) else None


def _is_one(part: Any) -> bool:
    return isinstance(part, Tensor) and part.numel() == 1


def _is_words(part: Any) -> bool:
    return isinstance(part, list | tuple) and bool(part) and all(isinstance(w, str) for w in part)


def _lists_of(result: Sequence[Any], words: int) -> list[list[int]] | None:
    rows = []
    for part in result:
        row = part.tolist() if isinstance(part, Tensor) else part
        if not isinstance(row, list | tuple):
            return None
        if not all(type(i) is int and 0 <= i < words for i in row):
            return None
        rows.append(list(row))
    return rows


def _ids_of(result: Tensor, rows: int, words: int) -> list[list[int]] | None:
    if result.is_floating_point() or result.dtype == torch.bool or not result.numel():
        return None
    if bool((result < 0).any()) or bool((result >= words).any()):
        return None
    flat = result.squeeze(-1) if result.ndim == 3 and result.shape[-1] == 1 else result
    if flat.ndim == 1 and rows == 1:
        return [flat.tolist()]
    if flat.ndim == 2 and flat.shape[0] == rows:
        return flat.tolist()
    if flat.ndim == 2 and flat.shape[1] == rows:
        return flat.T.tolist()
    return None
