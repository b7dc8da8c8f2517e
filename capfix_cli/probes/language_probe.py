"""What references say about a decoder: its loss, its certainty, where it ends, how it runs free."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from capfix_cli.captioners.base import Captioner, Memory
from capfix_cli.decoding.caption_scoring import Tokens
from capfix_cli.probes.next_word import along, inside

SHIFTS = 4
TEMPERATURES = tuple(2 ** (step / 4) for step in range(-8, 17))  # 1/4 to 16


@dataclass(frozen=True)
class Language:
    """A decoder held to references, teacher-forced.

    Attributes:
        loss: mean loss in nats a word, end included.
        unigram: the same of the words' own frequencies, the clip's own references left out.
        bigram: the same of pairs of words, smoothed.
        uniform: ln of the vocabulary: the loss of a guess.
        early: loss over the first half of the captions.
        late: loss over the second.
        accuracy: share of words that the likeliest word is.
        certainty: mean probability of the likeliest word.
        temperature: that minimises the loss: above 1 where the decoder is too sure.
        tempered: the loss at that temperature: what the decoder knows, however sure it is.
        end: mean probability of the end token where references end.
        rival: the other word that is likeliest there, and its probability.
        unknown: share of the references' words that are unknown or left out.
        words: how many words were scored.
        shift: by which the words' ids fit best, and the loss it gives: 0 where the word list fits.
    """

    loss: float
    unigram: float
    bigram: float
    uniform: float
    early: float
    late: float
    accuracy: float
    certainty: float
    temperature: float
    tempered: float
    end: float
    rival: tuple[int, float]
    unknown: float
    words: int
    shift: tuple[int, float]


@torch.inference_mode()
def measure_language(
    captioner: Captioner,
    memory: Memory,
    references: Sequence[Tokens],
    *,
    own_texts: Sequence[Sequence[Tokens]],
    all_texts: Sequence[Sequence[Tokens]],
    unknown: float,
) -> Language:
    """Score one reference a clip.

    Args:
        captioner: any.
        memory: of the clips.
        references: one a clip, end token included.
        own_texts: all references of each of these clips, end token included.
        all_texts: those of every clip, these among them: what words are counted on.
        unknown: share of the references' words outside the vocabulary.
    """
    found, mask = along(captioner, memory, references), inside(references)
    places = found.shape[1]
    target = torch.tensor([[*r[:places], *[0] * (places - len(r))] for r in references])
    own = found.gather(2, target.unsqueeze(2)).squeeze(2).clamp_min(-1e4)
    words = int(mask.sum())
    lengths = mask.sum(dim=1, keepdim=True)
    second = torch.arange(places).unsqueeze(0) >= (lengths + 1) // 2
    top, likeliest = found.max(dim=2)
    ends = [
        (row, len(r) - 1)
        for row, r in enumerate(references)
        if len(r) <= places and r[-1] == captioner.eos_id
    ]
    at_end = (
        torch.stack([found[row, place] for row, place in ends]).exp().mean(dim=0) if ends else None
    )
    end, rival = 1.0, (captioner.eos_id, 0.0)
    if at_end is not None:
        end = float(at_end[captioner.eos_id])
        rest = at_end.clone()
        rest[captioner.eos_id] = 0.0
        rival = (int(rest.argmax()), float(rest.max()))
    temperature, tempered = best_temperature(found[mask], target[mask].unsqueeze(1))
    unigram, bigram = _counted(references, own_texts, all_texts, len(captioner.vocabulary), places)
    return Language(
        loss=-float((own * mask).sum() / words),
        unigram=unigram,
        bigram=bigram,
        uniform=math.log(max(2, found.shape[2])),
        early=-_mean(own, mask & ~second),
        late=-_mean(own, mask & second),
        accuracy=float(((likeliest == target) & mask).sum() / words),
        certainty=float((top.exp() * mask).sum() / words),
        temperature=temperature,
        tempered=tempered,
        end=end,
        rival=rival,
        unknown=unknown,
        words=words,
        shift=_best_shift(found, target, mask, captioner.eos_id),
    )


def _best_shift(found: Tensor, target: Tensor, mask: Tensor, eos_id: int) -> tuple[int, float]:
    """Move all words' ids by a few places: a list that lacks a special token is off by one."""
    losses = {}
    for shift in (0, *(s * sign for s in range(1, SHIFTS + 1) for sign in (1, -1))):
        moved = torch.where(target == eos_id, target, target + shift)
        right = mask & (moved >= 0) & (moved < found.shape[2])
        value = found.gather(2, moved.clamp(0, found.shape[2] - 1).unsqueeze(2)).squeeze(2)
        losses[shift] = -_mean(value.clamp_min(-1e4), right)
    best = min(losses, key=losses.__getitem__)
    return best, losses[best]


def _mean(values: Tensor, mask: Tensor) -> float:
    return float((values * mask).sum() / mask.sum().clamp_min(1))


def best_temperature(scores: Tensor, words: Tensor) -> tuple[float, float]:
    """Scale scores to the least loss (temperature scaling, arXiv 1706.04599).

    Args:
        scores: [N, V] log-probabilities.
        words: [N, 1] the right ones.

    Returns:
        the temperature and its loss in nats a word.
    """
    flat = scores.clamp_min(-1e4)
    losses = [-float((flat / t).log_softmax(dim=1).gather(1, words).mean()) for t in TEMPERATURES]
    return min(zip(TEMPERATURES, losses, strict=True), key=lambda pair: pair[1])


def _counted(
    references: Sequence[Tokens],
    own_texts: Sequence[Sequence[Tokens]],
    all_texts: Sequence[Sequence[Tokens]],
    words: int,
    places: int,
) -> tuple[float, float]:
    """Loss of word counts and of pair counts, each clip's own references left out.

    Pairs are smoothed towards single words as Witten and Bell do: by how many kinds of word have
    followed.
    """
    single: Counter[int] = Counter()
    pairs: dict[int, Counter[int]] = {}
    for texts in all_texts:
        _count(texts, single, pairs, 1)
    losses = [0.0, 0.0]
    total = 0
    for own, texts in zip(references, own_texts, strict=True):
        _count(texts, single, pairs, -1)
        seen = sum(single.values())
        before = -1
        for word in own[:places]:
            # One more of each word: those not seen are not impossible.
            alone = (single[word] + 1) / (seen + words)
            follow = pairs.get(before, Counter())
            count, kinds = sum(follow.values()), sum(1 for n in follow.values() if n > 0)
            after = (follow[word] + max(1, kinds) * alone) / (count + max(1, kinds))
            losses[0] -= math.log(alone)
            losses[1] -= math.log(after)
            total += 1
            before = word
        _count(texts, single, pairs, 1)
    return losses[0] / max(1, total), losses[1] / max(1, total)


def _count(
    texts: Sequence[Tokens], single: Counter[int], pairs: dict[int, Counter[int]], sign: int
) -> None:
    for tokens in texts:
        before = -1
        for word in tokens:
            single[word] += sign
            pairs.setdefault(before, Counter())[word] += sign
            before = word


@dataclass(frozen=True)
class FreeRunning:
    """Whether captions that run free end in pairs of words that nobody says.

    Attributes:
        early: share of pairs in the first halves of own captions that no reference has.
        late: in the second halves.
        people: the same of references against those of other clips, in the second halves.
    """

    early: float
    late: float
    people: float


def measure_running(
    captions: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]
) -> FreeRunning:
    """Compare pairs of words, place by place.

    Args:
        captions: the captioner's own, as words.
        references: of the same clips, as words.
    """
    known: Counter[tuple[str, str]] = Counter(
        pair for texts in references for text in texts for pair in _pairs(text)
    )
    early, late = [], []
    for caption in captions:
        pairs = _pairs(caption)
        half = (len(pairs) + 1) // 2
        early += [known[pair] == 0 for pair in pairs[:half]]
        late += [known[pair] == 0 for pair in pairs[half:]]
    people = []
    for texts in references:
        own = Counter(pair for text in texts for pair in _pairs(text))
        for text in texts[:1]:
            pairs = _pairs(text)
            people += [known[p] - own[p] <= 0 for p in pairs[(len(pairs) + 1) // 2 :]]
    return FreeRunning(_share(early), _share(late), _share(people))


def _pairs(words: Sequence[str]) -> list[tuple[str, str]]:
    return list(pairwise([*words, ""]))


def _share(values: Sequence[bool]) -> float:
    return sum(values) / len(values) if values else 0.0
