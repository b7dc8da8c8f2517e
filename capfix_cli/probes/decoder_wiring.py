"""How a decoder is wired: what it predicts, what it remembers, and whether its paths agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.captioners.base import Captioner, Memory, device_of
from capfix_cli.core.thresholds import BATCH_TOLERANCE
from capfix_cli.decoding import nested_tensors as nested
from capfix_cli.decoding.caption_scoring import Tokens
from capfix_cli.probes.language_probe import best_temperature
from capfix_cli.probes.network_modules import first_tensor, watched
from capfix_cli.probes.next_word import along, divergence, inside, mean_over

LAGS = (0, 1, 2)  # the word just read, the next one, and the one after
HISTORY = 3  # words of a prefix whose first two, or last, are exchanged


@dataclass(frozen=True)
class Lags:
    """How well a decoder foretells references' words at other places than the next one.

    Attributes:
        losses: nats a word, at the temperature that fits best, for each of ``LAGS``.
        words: how many words were scored at lag 1.
    """

    losses: tuple[float, float, float]
    words: int


@torch.inference_mode()
def measure_lags(captioner: Captioner, memory: Memory, references: Sequence[Tokens]) -> Lags:
    """Hold each place's scores to the word before, the word that is due, and the one after.

    Args:
        captioner: any.
        memory: of the clips.
        references: one a clip, end token included.

    Raises:
        ProbeFailed: no reference has three words.
    """
    found = along(captioner, memory, references)
    places = found.shape[1]
    scores: dict[int, list[Tensor]] = {lag: [] for lag in LAGS}
    words: dict[int, list[int]] = {lag: [] for lag in LAGS}
    for row, tokens in enumerate(references):
        # The same places for all three, so that only the word compared differs.
        for place in range(1, min(len(tokens) - 1, places)):
            for lag in LAGS:
                scores[lag].append(found[row, place])
                words[lag].append(tokens[place - 1 + lag])
    if len(words[1]) < HISTORY:
        raise ProbeFailed("references of three words or more")
    losses = [
        best_temperature(torch.stack(scores[lag]), torch.tensor(words[lag]).unsqueeze(1))[1]
        for lag in LAGS
    ]
    return Lags((losses[0], losses[1], losses[2]), len(words[1]))


@dataclass(frozen=True)
class History:
    """How far the next word moves, KL in nats, when words before it are exchanged.

    Attributes:
        last: the last word alone.
        earlier: all words but the last.
    """

    last: float
    earlier: float


@torch.inference_mode()
def measure_history(captioner: Captioner, memory: Memory, captions: Sequence[Tokens]) -> History:
    """Exchange the last word of a prefix, and those before it, for other captions' words.

    Args:
        captioner: any.
        memory: of the clips.
        captions: one a clip; those of three words or more are used.

    Raises:
        ProbeFailed: captions are too short, or too much alike.
    """
    end = captioner.eos_id
    long = [n for n, tokens in enumerate(captions) if len([t for t in tokens if t != end]) > 2]
    if len(long) < 4:
        raise ProbeFailed("captions of three words or more")
    rows = [captions[n][:HISTORY] for n in long]
    # Of the words that captions have, others than those that stand there.
    words = sorted({token for row in rows for token in row})
    if len(words) < 4:
        raise ProbeFailed("captions of more than a few words")

    def other(token: int, step: int) -> int:
        return words[(words.index(token) + step) % len(words)]

    own = [(*row, end) for row in rows]
    last = [(*row[:-1], other(row[-1], 1), end) for row in rows]
    early = [(*(other(t, 1 + n) for n, t in enumerate(row[:-1])), row[-1], end) for row in rows]
    chosen = nested.select(memory, torch.tensor(long), captioner.memory_batch_dim)
    here, there, before = (along(captioner, chosen, texts)[:, -1] for texts in (own, last, early))
    return History(float(divergence(here, there).mean()), float(divergence(here, before).mean()))


@dataclass(frozen=True)
class Paths:
    """How far two ways of scoring the same captions are apart.

    Attributes:
        names: of the methods compared.
        apart: KL in nats a word, beyond what one way asked twice is apart from itself: a captioner
            that draws, as with dropout at work, never says the same twice.
        place: the first place at which they part, 0 being a caption's first word.
        clip: KL that another clip makes: the yardstick.
    """

    names: tuple[str, str]
    apart: float
    place: int
    clip: float


def other_paths(captioner: Captioner) -> list[str]:
    """Name the methods that score captions otherwise than decoding does."""
    kind = type(captioner)
    steps = kind.step is not Captioner.step or kind.open is not Captioner.open
    found = []
    if steps and kind.logits is not Captioner.logits:
        found.append("logits")
    if kind.sequence_logits is not Captioner.sequence_logits:
        found.append("sequence_logits")
    return found


@torch.inference_mode()
def along_path(
    captioner: Captioner, memory: Memory, captions: Sequence[Tokens], path: str
) -> Tensor:
    """Give ln p of every word at every place by ``logits`` or ``sequence_logits``.

    Returns:
        [captions, places, V] on the CPU, as :func:`capfix_cli.probes.next_word.along` does.
    """
    places = inside(captions).shape[1]
    start = captioner.start_prefix(len(captions)).to(device_of(memory))
    end = captioner.eos_id
    fed = torch.tensor([[*t[:places], *[end] * (places - len(t))] for t in captions]).to(start)
    tokens = torch.cat([start, fed[:, :-1]], dim=1)
    if path == "sequence_logits":
        scores = captioner.sequence_logits(tokens, captioner.prepare(memory))[:, -places:]
    else:
        first = start.shape[1]
        scores = torch.stack(
            [captioner.logits(tokens[:, : first + n], memory) for n in range(places)], dim=1
        )
    return scores.float().nan_to_num(neginf=-1e9).log_softmax(dim=2).cpu()


@torch.inference_mode()
def measure_paths(
    captioner: Captioner, memory: Memory, captions: Sequence[Tokens], clip: float
) -> Paths:
    """Compare the ways in which a captioner scores captions.

    Args:
        captioner: any.
        memory: of the clips.
        captions: one a clip.
        clip: KL that another clip makes.

    Raises:
        ProbeFailed: it has one way only.
    """
    found = []
    mask = inside(captions)
    stepped = along(captioner, memory, captions)
    # Two draws differ from each other as much as either from a third: twice, to be beyond chance.
    drawn = 2 * mean_over(divergence(stepped, along(captioner, memory, captions)), mask)
    for name in other_paths(captioner):
        try:
            apart = divergence(stepped, along_path(captioner, memory, captions, name))
        except NotImplementedError:
            continue
        by_place = (apart * mask).sum(dim=0) / mask.sum(dim=0).clamp_min(1)
        mean = max(0.0, mean_over(apart, mask) - drawn)
        place = int((by_place > 0.1 * by_place.max()).int().argmax())
        found.append(Paths(("step", name), mean, place, clip))
    if not found:
        raise ProbeFailed("a captioner that scores captions in two ways")
    return max(found, key=lambda one: one.apart)


@dataclass(frozen=True)
class Ahead:
    """Whether earlier places of a decoder see later words, and whether it lives on that.

    Attributes:
        layer: the first layer whose earlier places move when the last word is exchanged; empty
            where none does.
        moved: by how much of its values' spread.
        peeking: loss of the words in nats where all are given at once; None where no layer gives
            scores of all places.
        stepping: the loss as captions are made, word by word.
    """

    layer: str
    moved: float
    peeking: float | None
    stepping: float


@torch.inference_mode()
def measure_ahead(captioner: Captioner, memory: Memory, captions: Sequence[Tokens]) -> Ahead:
    """Exchange the last word of a prefix and look at all places before it.

    Args:
        captioner: any with a network that takes whole prefixes.
        memory: of the clips.
        captions: one a clip: references where there are any.

    Raises:
        ProbeFailed: it takes one word at a time, or captions are too short.
    """
    if type(captioner).logits is Captioner.logits:
        raise ProbeFailed("a captioner that takes whole prefixes")
    long = [n for n, tokens in enumerate(captions) if len(tokens) >= 4]
    if len(long) < 4:
        raise ProbeFailed("captions of four words or more")
    length = min(6, *(len(captions[n]) for n in long))
    rows = torch.tensor([captions[n][:length] for n in long])
    chosen = nested.select(memory, torch.tensor(long), captioner.memory_batch_dim)
    start = captioner.start_prefix(len(long))
    fed = torch.cat([start, rows], dim=1).to(device_of(memory))
    changed = fed.clone()
    first_words = rows[:, 0].to(fed)
    changed[:, -1] = torch.where(first_words == fed[:, -1], rows[:, 1].to(fed), first_words)
    own = _layers(captioner, fed, chosen)
    other = _layers(captioner, changed, chosen)
    layer, moved = "", 0.0
    for name, tensor in own.items():
        if name not in other or other[name].shape != tensor.shape:
            continue
        spread = float(tensor.std()) or 1.0
        apart = float((tensor[:, :-1] - other[name][:, :-1]).abs().max()) / spread
        if apart > BATCH_TOLERANCE.value:
            layer, moved = name, apart
            break
    first = start.shape[1]
    width = len(captioner.vocabulary)
    scores = [t for t in own.values() if t.shape[2] == width]
    peeking = None
    target = rows[:, :-1].reshape(-1, 1)
    if scores:
        # The place of the word before foretells a word: all words but the last have it.
        at = scores[-1][:, first - 1 : first - 1 + rows.shape[1] - 1].float().cpu()
        peeking = best_temperature(at.log_softmax(dim=2).flatten(0, 1), target)[1]
    stepped = along(captioner, chosen, [tuple(row) for row in rows[:, :-1].tolist()])
    stepping = best_temperature(stepped.flatten(0, 1), target)[1]
    return Ahead(layer, moved, peeking, stepping)


def _layers(captioner: Captioner, fed: Tensor, memory: Memory) -> dict[str, Tensor]:
    """Give the outputs, [rows, places, ...], of layers that have a value a word."""
    rows, places = fed.shape
    found: dict[str, Tensor] = {}

    def watcher(name: str, layer: nn.Module, given: tuple[Any, ...], gave: Any) -> None:
        tensor = first_tensor(gave)
        if not name or tensor is None or tensor.ndim != 3 or not tensor.is_floating_point():
            return
        if tensor.shape[:2] == (rows, places):
            found[name] = tensor.detach().clone()
        elif tensor.shape[:2] == (places, rows):
            found[name] = tensor.detach().transpose(0, 1).clone()

    with watched(captioner, watcher):
        captioner.logits(fed, memory)
    return found


def stepping_by(captioner: Captioner, path: str) -> dict[str, Any]:
    """Give the methods of a captioner that steps by another of its ways of scoring.

    Args:
        captioner: any.
        path: ``logits`` or ``sequence_logits``.
    """

    def open_(self: Captioner, memory: Memory) -> tuple[Tensor, Any]:
        return Captioner.open(self, memory)

    def start(self: Captioner, memory: Memory) -> Any:
        return None

    def step(self: Captioner, token: Tensor, state: Any, memory: Memory) -> tuple[Tensor, Any]:
        token = token.unsqueeze(1)
        prefix = token if state is None else torch.cat([state, token], dim=1)
        if path == "logits":
            return captioner.logits(prefix, memory), prefix
        return captioner.sequence_logits(prefix, memory)[:, -1], prefix

    # The state is now the prefix, whose rows come first, whatever the captioner's own state is.
    plain = {"state_batch_dim": 0, "shares_memory": False}
    return {"open": open_, "start": start, "step": step, **plain}
