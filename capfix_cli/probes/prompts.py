"""Other tokens to open captions with: start, task and language tokens of the vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from capfix_cli.captioners.base import Captioner, Memory
from capfix_cli.decoding.caption_scoring import Tokens
from capfix_cli.decoding.decode import EncodedBatch, decode
from capfix_cli.decoding.decoding_options import GREEDY
from capfix_cli.probes.captioner_variants import derive
from capfix_cli.probes.language_probe import best_temperature
from capfix_cli.probes.next_word import along, inside
from capfix_cli.probes.special_tokens import special_ids

Prefix = tuple[int, ...]
WORDS = 4  # of a reference, by which a prefix is judged


@dataclass(frozen=True)
class Prompts:
    """How captions are opened, and what opens them best.

    Attributes:
        own: the prefix as it is.
        best: the best other prefix; the own one where there is no other.
        own_score: of the own prefix: loss of references' first words in nats, or without
            references the share of distinct captions.
        best_score: of the best other, on other clips than those that it was chosen by.
        tried: how many were.
        by: ``references`` or ``own captions``.
        words: the prompt in words that opens captions best; None where no other one does better
            than other tokens.
    """

    own: Prefix
    best: Prefix
    own_score: float
    best_score: float
    tried: int
    by: str
    words: str | None = None


def with_prefix(captioner: Captioner, prefix: Prefix) -> Captioner:
    """Give the captioner that opens every caption with other tokens."""

    def start_prefix(self: Captioner, batch: int) -> torch.Tensor:
        return torch.tensor([prefix], dtype=torch.long).expand(batch, -1)

    return derive(captioner, start_prefix=start_prefix, open=Captioner.open)


def list_prefixes(captioner: Captioner) -> list[Prefix]:
    """List the own prefix with one token exchanged, added or left out, special tokens alone."""
    own = tuple(captioner.start_prefix(1)[0].tolist())
    others = [t for t in special_ids(captioner) if t not in {captioner.unk_id, captioner.pad_id}]
    # One opening token alone is looked for with the other special tokens.
    places = range(len(own)) if len(own) > 1 else ()
    found = [(*own[:place], token, *own[place + 1 :]) for place in places for token in others]
    found += [(*own, token) for token in others if token != captioner.eos_id]
    found += [own[:place] + own[place + 1 :] for place in range(len(own)) if len(own) > 1]
    return [prefix for prefix in dict.fromkeys(found) if prefix != own]


@torch.inference_mode()
def measure_prompts(
    captioner: Captioner, memory: Memory, names: Sequence[str], references: Sequence[Tokens] | None
) -> Prompts:
    """Try other prefixes on one half of the clips, and judge the best of them on the other.

    Args:
        captioner: any.
        memory: of clips.
        names: of them.
        references: one a clip, or None: then what counts is how many captions differ.
    """
    from capfix_cli.decoding import nested_tensors as nested

    rows = len(names)
    halves = [torch.arange(half, rows, 2) for half in (0, 1)]
    parts = [nested.select(memory, half, captioner.memory_batch_dim) for half in halves]

    def score(opened: Captioner, half: int) -> float:
        if references is not None:
            texts = [references[row][:WORDS] for row in halves[half].tolist()]
            found, mask = along(opened, parts[half], texts), inside(texts)
            words = torch.tensor([[*text, *[0] * (found.shape[1] - len(text))] for text in texts])
            # Lower is better: turned round, so that more is better for both kinds of score.
            return -best_temperature(found[mask], words[mask].unsqueeze(1))[1]
        chosen = tuple(names[row] for row in halves[half].tolist())
        captions = decode(opened, EncodedBatch(chosen, parts[half]), GREEDY, 0)
        said = {c.tokens for c in captions if c.tokens and c.ended}
        return len(said) / max(1, len(captions))

    own = tuple(captioner.start_prefix(1)[0].tolist())
    prefixes = list_prefixes(captioner)
    ways: list[tuple[Prefix | str, Captioner]] = [(p, with_prefix(captioner, p)) for p in prefixes]
    ways += captioner.rephrased().items()
    best, opened = max(ways, key=lambda way: score(way[1], 0), default=(own, captioner))
    return Prompts(
        own=own,
        best=own if isinstance(best, str) else best,
        own_score=score(captioner, 1),
        best_score=score(opened, 1),
        tried=len(ways),
        by="own captions" if references is None else "references",
        words=best if isinstance(best, str) else None,
    )
