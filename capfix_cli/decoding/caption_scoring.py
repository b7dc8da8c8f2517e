"""How likely a captioner finds given captions: whole captions in one pass where it can do that."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from capfix_cli.captioners.base import Captioner, Memory, device_of
from capfix_cli.core.thresholds import BATCH_TOLERANCE
from capfix_cli.decoding import logit_processors as processors
from capfix_cli.decoding import logit_warpers as filters
from capfix_cli.decoding import nested_tensors as nested

Tokens = tuple[int, ...]  # a caption's ids, its end token included where it ended

MOST_SCORES = 2**25  # numbers of a [rows, places, words] tensor of scores: 128 MiB in float32
LOWEST_LOGIT = -1e4  # nats of a token that cannot come: far below any that can, and yet a number
_CHECKED = "_sequence_logits_agree"  # remembered on the captioner: its answer does not change


def reference_tokens(captioner: Captioner, text: str) -> Tokens:
    """Give a reference's ids with its end token; none where no word of it is known.

    It is cut to the longest caption that the captioner may give: its positions may not reach
    farther, and on a GPU an index beyond a table ends the whole process.
    """
    words = captioner.tokenize(text)
    return (*words, captioner.eos_id)[: captioner.max_length] if words else ()


@torch.inference_mode()
def score_sequences(
    captioner: Captioner, prepared: Memory, captions: Sequence[Tokens], clips: int
) -> Tensor:
    """Give ln p(caption | clip), the sum over the tokens as given.

    Args:
        captioner: gives the logits.
        prepared: the captioner's ``prepare`` of ``clips`` clips.
        captions: clip by clip, equally many of each; several of a clip need ``shares_memory``.
        clips: of the memory.

    Returns:
        [captions] float64 in nats, on the CPU.
    """
    if not captions:
        return torch.zeros(0, dtype=torch.float64)
    longest = max(1, *map(len, captions))
    padded = torch.tensor([[*tokens, *[0] * (longest - len(tokens))] for tokens in captions])
    lengths = torch.tensor([len(tokens) for tokens in captions])
    start = captioner.start_prefix(len(captions)).to(device_of(prepared))
    fed = torch.cat([start, padded[:, :-1].to(start)], dim=1)
    if _scores_sequences(captioner, prepared, fed):
        return _at_once(captioner, prepared, fed, padded, lengths)
    return _step_by_step(captioner, prepared, clips, padded, lengths)


def rows_at_once(captioner: Captioner, places: int, most: int) -> int:
    """Say how many captions of that many places may be scored together."""
    return max(1, min(most, MOST_SCORES // max(1, places * len(captioner.vocabulary))))


def _scores_sequences(captioner: Captioner, prepared: Memory, fed: Tensor) -> bool:
    """Say whether whole captions can be scored at once, and rightly.

    A decoder without a causal mask would let a place see the words after it: tried once against
    the same prefix alone.
    """
    known: bool | None = captioner.__dict__.get(_CHECKED)
    if known is not None:
        return known
    if type(captioner).sequence_logits is Captioner.sequence_logits or fed.shape[1] < 3:
        return False
    try:
        found = captioner.sequence_logits(fed, prepared)
    except NotImplementedError:
        found = None
    known = found is not None and found.shape[:2] == fed.shape
    if known and found is not None:
        known = _causal(captioner, prepared, fed, found)
    captioner.__dict__[_CHECKED] = known
    return known


def _causal(captioner: Captioner, prepared: Memory, fed: Tensor, found: Tensor) -> bool:
    middle = max(1, fed.shape[1] // 2)
    alone = captioner.sequence_logits(fed[:, :middle], prepared)[:, -1].double()
    within = found[:, middle - 1].double()
    spread = alone.nan_to_num(neginf=0.0).std(dim=-1).mean().clamp_min(1e-12)
    apart = (alone - within).nan_to_num(posinf=0.0, neginf=0.0).abs().max()
    return bool(apart / spread <= BATCH_TOLERANCE.value)


def _at_once(
    captioner: Captioner, prepared: Memory, fed: Tensor, padded: Tensor, lengths: Tensor
) -> Tensor:
    places = padded.shape[1]
    logits = captioner.sequence_logits(fed, prepared)[:, -places:]
    clean, _ = filters.finite_or_end(logits.flatten(0, 1), captioner.eos_id)
    clean = clean.view(logits.shape)
    target = padded.to(clean.device)
    value = torch.stack(
        [
            _log_probability(clean[:, place], target[:, place], place, captioner)
            for place in range(places)
        ],
        dim=1,
    )
    inside = torch.arange(places) < lengths.unsqueeze(1)
    return torch.where(inside, value.double().cpu(), 0.0).sum(dim=1)


def _step_by_step(
    captioner: Captioner, prepared: Memory, clips: int, padded: Tensor, lengths: Tensor
) -> Tensor:
    each = len(padded) // clips
    logits, state = captioner.open(prepared)
    if each > 1:  # the clips share their memory: what was opened is spread over their captions
        logits = logits.repeat_interleave(each, dim=0)
        state = nested.repeat(state, each, captioner.state_batch_dim, copy=True)
    total = torch.zeros(len(padded), dtype=torch.float64)
    for position in range(padded.shape[1]):
        target = padded[:, position].to(logits.device)
        clean, _ = filters.finite_or_end(logits, captioner.eos_id)
        value = _log_probability(clean, target, position, captioner)
        total += torch.where(position < lengths, value.double().cpu(), 0.0)
        if position + 1 < padded.shape[1]:
            logits, state = captioner.step(target, state, prepared)
    return total


def _log_probability(scores: Tensor, target: Tensor, place: int, captioner: Captioner) -> Tensor:
    """[R, V] scores and [R] words -> [R] nats; what the captioner forbids at a place is no word."""
    scores = processors.forbid(scores, captioner.forbidden_tokens(place))
    found = scores.log_softmax(dim=1).gather(1, target.unsqueeze(1)).squeeze(1)
    return found.clamp_min(LOWEST_LOGIT)
