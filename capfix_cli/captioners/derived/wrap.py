"""``capfix_cli.wrap(net)``: a captioner derived from a live network, by running its own methods."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from capfix_cli.captioners.derived.audio_forms import (
    FrontEndFunction,
    FrontEndSettings,
    front_end_candidates,
    how_it_is_called,
    probe_waveform,
)
from capfix_cli.captioners.derived.captioning_search import find_captioning, find_end_token
from capfix_cli.captioners.derived.derived_captioner import (
    Derivation,
    DerivedCaptioner,
    TrainableDerivedCaptioner,
)
from capfix_cli.captioners.derived.kept_audio import keep_what_is_heard, longest_caption
from capfix_cli.captioners.derived.method_trials import (
    Clips,
    Failures,
    clips_of,
    forbids,
    heeds_audio,
    scores_agree,
    time_axis,
    tokens_to_try,
)
from capfix_cli.captioners.derived.network_facts import (
    find_sample_rate,
    find_vocabulary,
    named_limits,
)
from capfix_cli.captioners.derived.programs import (
    CallSettings,
    ForwardProgram,
    GenerateProgram,
    Program,
)
from capfix_cli.captioners.derived.recurrent_steps import find_steps
from capfix_cli.captioners.derived.scoring_search import find_forward
from capfix_cli.captioners.derived.vocabulary_forms import VocabularyObject, own_vocabulary
from capfix_cli.checkpoints.vocabulary import Vocabulary
from capfix_cli.core.errors import CapfixError

_MARKED = re.compile(r"^\W.*\W$|^(unk|unknown|pad|sos|bos|eos|oov)$", re.I)  # <unk>, [UNK], UNK
MOST_FORMS = 12  # forms that a method takes and that are compared; more differ in nothing
SECONDS = (2.0, 5.0, 10.0, 1.0, 4.0, 3.0, 30.0)  # clips that a network may be made for
MOST_SAMPLED = 10.0  # seconds of bare samples, which are many


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What one front end and one length of clip led to."""

    front_end: FrontEndFunction
    time_axis: int
    clips: Clips
    own: GenerateProgram | None
    forward: ForwardProgram | None


@dataclass(frozen=True, kw_only=True)
class _Known:
    network: nn.Module
    module: ModuleType | None
    vocabulary: Vocabulary
    rate: int
    settings: CallSettings
    beside: FrontEndSettings
    failures: Failures = field(default_factory=Failures)


def wrap(
    network: nn.Module,
    *,
    vocabulary: Any = None,
    sample_rate: int | None = None,
    front_end: Callable[..., Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    checkpoint: str | None = None,
    found: Mapping[str, str] | None = None,
    module: ModuleType | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> DerivedCaptioner:
    """Make a captioner of a network, whose own methods are called to find out how they work.

    Nothing is rewritten: every score is computed by the network's ``forward``, or by its own
    captioning while the words are chosen for it.

    Args:
        network: with its trained weights.
        vocabulary: words, a word map, a file of them or a :class:`Vocabulary`; by default what
            stands in the checkpoint, in the network or beside it.
        sample_rate: Hz; by default what a setting or constant beside the network says.
        front_end: one clip's waveform (or path) -> its features; by default the function beside
            the network whose output it takes.
        settings: saved beside the weights.
        checkpoint: path of the weights, beside which words may stand.
        found: how the network was built, for the report.
        arguments: values for parameters of its methods, by name: ``max_len``, say.
        module: beside what functions and constants are looked for; by default the network's own.

    Raises:
        CapfixError: something that cannot be derived; the message names the argument that tells.
    """
    network.eval()
    module = module or sys.modules.get(type(network).__module__)
    module = None if module is not None and module.__name__.startswith("torch.") else module
    words, open_ = find_vocabulary(network, module, settings or {}, checkpoint, vocabulary)
    rate = sample_rate or find_sample_rate(network, module, settings or {})
    known = _known(network, module, words, rate, settings or {}, arguments or {})
    with torch.random.fork_rng(devices=[]):
        derived = _search(known, front_end)
        if "eos" in open_:
            end = None if derived.own is None else find_end_token(derived.own, derived.clips.audio)
            if end is None:
                raise _no_special("eos", "ends")
            known = replace(
                known,
                vocabulary=replace(words, eos_id=end),
                settings=replace(known.settings, end=end, pad=known.settings.pad or end),
            )
            derived = _search(known, front_end)
        captioner = _made(known, derived, found or {})
    # Its own loop opens captions itself; where forward agrees with it, both were opened alike.
    opened = isinstance(captioner.program, GenerateProgram) or captioner.derivation.agree
    if "bos" in open_ and not opened:
        raise _no_special("bos", "opens")
    return captioner


def _no_special(kind: str, what: str) -> CapfixError:
    return CapfixError(
        f"The words do not tell which of them {what} a caption, and nothing beside them does.",
        f"Give it by name or id: --{kind} TOKEN.",
    )


def _known(
    network: nn.Module,
    module: ModuleType | None,
    words: Vocabulary,
    rate: int,
    *beside: Mapping[str, Any],
) -> _Known:
    settings, arguments = beside
    return _Known(
        network=network,
        module=module,
        vocabulary=words,
        rate=rate,
        beside=FrontEndSettings(rate=rate, settings=settings, network=network),
        settings=CallSettings(
            words=len(words),
            start=words.bos_id,
            end=words.eos_id,
            pad=words.eos_id if words.pad_id is None else words.pad_id,
            others=_no_words(words),
            named=arguments,
            limits=named_limits(network, module, settings),
            vocabulary=own_vocabulary(module, words.words) or VocabularyObject(words),
            spelled=words.words,
            network=network,
        ),
    )


def _no_words(vocabulary: Vocabulary) -> tuple[int, ...]:
    """List tokens that stand for no word: methods that write text leave them out."""
    return tuple(i for i, word in enumerate(vocabulary.words) if _MARKED.match(word))


def _search(known: _Known, front_end: Callable[..., Any] | None) -> _Found:
    """Try front ends and lengths of clips until the network takes one; two that differ are told."""
    candidates = [
        (one, axis)
        for one in _front_ends(known, front_end)
        if (axis := time_axis(one, known.rate)) is not None
    ]
    accepted: list[_Found] = []
    for seconds in SECONDS:
        for candidate, axis in candidates:
            if candidate.name or (not accepted and seconds <= MOST_SAMPLED):
                found = _with_front_end(known, candidate, axis, seconds)
                accepted += [] if found is None else [found]
        if accepted:
            break
    else:
        raise _nothing_works(known, front_end)
    first = accepted[0]
    for other in accepted[1:]:
        if not _same_features(first, other, known.rate):
            names = f"{first.front_end.name} and {other.front_end.name}"
            raise CapfixError(
                f"{type(known.network).__name__} takes what {names} make, and they differ.",
                "Name the one of training: --front-end MODULE:FUNCTION",
            )
    return first


def _front_ends(known: _Known, front_end: Callable[..., Any] | None) -> Iterator[FrontEndFunction]:
    if front_end is None:
        yield from front_end_candidates(known.module, known.network, known.beside)
        return
    name = getattr(front_end, "__name__", type(front_end).__name__)
    found = how_it_is_called(name, front_end, probe_waveform(known.rate, 2.0), known.beside)
    if found is None:
        raise CapfixError(
            f"{name} takes neither a waveform nor a path.",
            "Give a function: one clip's samples, or its file's path -> features.",
        )
    yield found


def _with_front_end(
    known: _Known, front_end: FrontEndFunction, axis: int, seconds: float
) -> _Found | None:
    clips = clips_of(front_end, axis, known.rate, seconds)
    if clips is None:
        return None
    own = _own(known, clips)
    forward = _forward(known, clips, own)
    if own is None and forward is None:
        return None
    if not front_end.name and not _hears_samples(known, clips, own or forward):
        return None
    return _Found(front_end=front_end, time_axis=axis, clips=clips, own=own, forward=forward)


def _own(known: _Known, clips: Clips) -> GenerateProgram | None:
    """Find the network's own captioning, called so that it heeds the audio.

    A wrong form may be taken too (frames for clips, say), and then mostly nothing is heard.
    """
    deaf: GenerateProgram | None = None
    for tried, program in enumerate(
        find_captioning(known.network, known.module, clips, known.settings, known.failures)
    ):
        if heeds_audio(program, clips.audio, known.settings):
            return program
        deaf = deaf or program
        if tried > MOST_FORMS:
            break
    return deaf


def _forward(known: _Known, clips: Clips, own: GenerateProgram | None) -> ForwardProgram | None:
    """Find how ``forward`` scores words: best as the network's own captioning does."""
    best: tuple[int, ForwardProgram] | None = None
    for tried, program in enumerate(
        find_forward(known.network, clips, known.settings, known.failures)
    ):
        if own is not None and scores_agree(program, own, clips.audio, known.settings):
            return program
        rank = int(heeds_audio(program, clips.audio, known.settings))
        if best is None or rank > best[0]:
            best = (rank, program)
        if (own is None and rank) or tried > 12:
            break
    return None if best is None else best[1]


def _hears_samples(known: _Known, clips: Clips, program: Program | None) -> bool:
    """Say whether a network that takes bare samples is made for them.

    Networks over images of sound take samples too where they stand as one long row.
    """
    samples, rows = clips.audio.shape[1], len(clips.audio)
    wrong: list[str] = []

    def look(module: nn.Module, given: Any) -> None:
        first = given[0] if given and isinstance(given[0], Tensor) else None
        kinds = (nn.Conv2d, nn.Linear, nn.RNNBase, nn.TransformerEncoderLayer)
        if first is not None and isinstance(module, kinds) and samples in first.shape:
            wrong.append(type(module).__name__)

    handles = [part.register_forward_pre_hook(look) for part in known.network.modules()]
    try:
        with torch.no_grad():
            some = clips.audio[:1] if getattr(program, "alone", False) else clips.audio
            tokens = torch.full((min(rows, len(some)), 2), known.settings.start)
            assert program is not None
            program.run(some, tokens)
    finally:
        for handle in handles:
            handle.remove()
    return not wrong


def _same_features(one: _Found, other: _Found, rate: int) -> bool:
    waveform = probe_waveform(rate, 2.0, seed=5)
    with torch.no_grad():
        first = one.front_end(waveform).movedim(one.time_axis, 0)
        second = other.front_end(waveform).movedim(other.time_axis, 0)
    return first.shape == second.shape and torch.allclose(first, second, rtol=1e-3, atol=1e-4)


def _nothing_works(known: _Known, front_end: Callable[..., Any] | None) -> CapfixError:
    name, last = type(known.network).__name__, known.failures.last
    told = ""
    if last is not None:
        method, error = last
        text = " ".join(str(error).split())[:160]
        frames = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if "site-packages" not in frame.filename and "capfix_cli" not in frame.filename
        ]
        place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
        told = f" The last call of {method} failed with {type(error).__name__}: {text}{place}."
    hint = (
        "Name the function that makes its features: --front-end MODULE:FUNCTION; or write an"
        " adapter (docs/adapters.md)."
        if front_end is None
        else "Write an adapter (docs/adapters.md)."
    )
    if not known.failures.tried:
        return CapfixError(
            f"{name} has no method that takes audio and words, or audio alone, by name.",
            "Name the class inside it that does, or write an adapter (docs/adapters.md).",
        )
    return CapfixError(
        f"Of {known.failures.tried} ways to call {name}, none took audio and gave scores of"
        f" {known.settings.words} words.{told}",
        hint,
    )


def _made(known: _Known, found: _Found, built: Mapping[str, str]) -> DerivedCaptioner:
    own, forward = found.own, found.forward
    agree = None
    program: Program
    if own is not None and forward is not None:
        agree = scores_agree(forward, own, found.clips.audio, known.settings)
    # The user's own captioning is what is diagnosed; forward, where it says the same, is quicker.
    alike = agree and own is not None and not forbids(own, found.clips.audio, known.settings)
    program = forward if own is None or (alike and forward is not None) else own  # type: ignore[assignment]
    whole = forward if forward is not None and program is not forward else None
    kind = TrainableDerivedCaptioner if forward is not None else DerivedCaptioner
    front = found.front_end if found.front_end.name else None
    captioner = kind(
        network=known.network,
        program=program,
        whole=whole,
        own=own,
        front_end=None if front is None else _laid_out(front, found.time_axis),
        vocabulary=known.vocabulary,
        sample_rate=known.rate,
        max_length=longest_caption((own, program, whole), found.clips.audio, known.settings),
        derivation=Derivation(
            network=type(known.network).__name__,
            scores_from=program.name,
            captions_from="" if own is None else own.name,
            agree=agree,
            front_end=found.front_end.name,
            audio=program.audio_form.name,
            found=dict(built),
        ),
    )
    captioner.clip_shape = tuple(found.clips.audio.shape[2:])
    captioner.min_samples = int(0.1 * known.rate)
    keep_what_is_heard(captioner, found.clips.audio, known.settings)
    if own is not None and (program is own or not own.alone):
        clips = found.clips.audio[:1] if own.alone else found.clips.audio
        captioner.steps = find_steps(
            known.network, own, clips, tokens_to_try(known.settings, len(clips), 5)
        )
    return captioner


def _laid_out(front_end: FrontEndFunction, axis: int) -> Callable[[Tensor], Tensor]:
    return lambda waveform: front_end(waveform).movedim(axis, 0)
