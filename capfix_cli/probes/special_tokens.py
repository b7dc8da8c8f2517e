"""Special tokens: what captions hold that is no word, and which other token opens or ends them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.captioners.base import Captioner, Memory
from capfix_cli.decoding.caption_scoring import Tokens
from capfix_cli.probes.captioner_variants import derive
from capfix_cli.probes.language_probe import best_temperature
from capfix_cli.probes.next_word import along
from capfix_cli.schemas.clip_records import ClipCaption

SPECIAL = re.compile(
    r"^(<[^<>]*>|\[[A-Za-z_]+\]|\{[^{}]*\}|#(start|end)#|[sb]os|eos|pad|unk|startseq|endseq)$",
    re.IGNORECASE,
)
MOST = 12  # tokens that are tried as opening one


@dataclass(frozen=True)
class Endings:
    """What captions look like where they should end.

    Attributes:
        endless: share of captions that reach the length limit.
        special: share of captions that hold a special token as a word.
        named: the commonest of those.
        last: the token that most captions without an end hold most often in their second half,
            and its share there.
        padded: share of tokens that are the padding.
        unknown: share of tokens that are the unknown word.
    """

    endless: float
    special: float
    named: str
    last: tuple[int, float]
    padded: float
    unknown: float


def special_ids(captioner: Captioner) -> list[int]:
    """List tokens that are no words by their looks, and those at both ends of the vocabulary."""
    words = captioner.vocabulary
    size = len(words)
    looks = [i for i in range(size) if SPECIAL.match(str(words[i]))] if size < 10**6 else []
    edges = [i for i in (0, 1, 2, 3, size - 1, size - 2, size - 3, size - 4) if 0 <= i < size]
    return list(dict.fromkeys([*looks[:MOST], *edges]))[:MOST]


def measure_endings(captioner: Captioner, captions: Sequence[ClipCaption]) -> Endings:
    """Look at captions as they came."""
    endless = [c for c in captions if not c.ended]
    own = {captioner.eos_id, captioner.unk_id}  # the others have no place in a caption
    looks = {
        i
        for c in captions
        for i in set(c.tokens)
        if i < len(captioner.vocabulary)
        and i not in own
        and SPECIAL.match(str(captioner.vocabulary[i]))
    }
    holding = [c for c in captions if looks & set(c.tokens)]
    counts: dict[int, int] = {}
    late = [token for c in endless for token in c.tokens[len(c.tokens) // 2 :]]
    for token in late:
        counts[token] = counts.get(token, 0) + 1
    last = max(counts, key=lambda token: counts[token], default=captioner.eos_id)
    tokens = [token for c in captions for token in c.tokens]
    total = max(1, len(tokens))
    named = next((captioner.vocabulary[i] for i in sorted(looks)), "")
    return Endings(
        len(endless) / max(1, len(captions)),
        len(holding) / max(1, len(captions)),
        str(named),
        (last, counts.get(last, 0) / max(1, len(late))),
        tokens.count(captioner.pad_id) / total if captioner.pad_id is not None else 0.0,
        tokens.count(captioner.unk_id) / total if captioner.unk_id is not None else 0.0,
    )


@dataclass(frozen=True)
class Opening:
    """How well references' first words follow the opening token.

    Attributes:
        loss: of the first word, in nats.
        rival: the other token that opens best, and the loss it gives.
        counted: loss of how often each word comes first, clip or no clip.
    """

    loss: float
    rival: tuple[int, float]
    counted: float


def measure_opening(
    captioner: Captioner,
    memory: Memory,
    references: Sequence[Tokens],
    all_texts: Sequence[Sequence[Tokens]],
) -> Opening:
    """Open captions with other special tokens; none begins with the one for unknown words.

    Args:
        captioner: any.
        memory: of the clips.
        references: one a clip.
        all_texts: those of every clip: what first words are counted on.

    Raises:
        Untestable: the captioner opens captions by itself.
    """
    if type(captioner).start_prefix is not Captioner.start_prefix:
        raise ProbeFailed("a captioner that opens captions with bos_id")
    first = torch.tensor([tokens[0] for tokens in references]).unsqueeze(1)
    losses = {}
    others = [token for token in special_ids(captioner) if token != captioner.unk_id]
    for token in dict.fromkeys([captioner.bos_id, *others]):
        opened = derive(captioner, bos_id=token)
        found = along(opened, memory, [tokens[:1] for tokens in references])[:, 0]
        # At the temperature that fits best: being too sure is another fault.
        _, losses[token] = best_temperature(found, first)
    own = losses.pop(captioner.bos_id)
    rival = min(losses, key=losses.__getitem__, default=captioner.bos_id)
    counts = Counter(tokens[0] for texts in all_texts for tokens in texts)
    total = counts.total()
    counted = -sum(math.log(counts[tokens[0]] / total) for tokens in references) / len(references)
    return Opening(own, (rival, losses.get(rival, own)), counted)
