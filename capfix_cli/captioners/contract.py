"""Does a captioner keep the contract? Tried on synthetic audio, each clause by its name."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from capfix_cli.captioners.base import Captioner, Memory
from capfix_cli.thresholds import BATCH_TOLERANCE

SECONDS = (1.0, 2.5, 4.0)  # of the synthetic clips: padding and order must not matter
WORDS = 4  # of the prefix on which step is compared with logits


@dataclass(frozen=True)
class Clause:
    """One clause of the contract and how it went.

    Attributes:
        name: of the clause.
        kept: whether the captioner keeps it.
        what: what was found, in words.
        note: kept, yet worth reading.
    """

    name: str
    kept: bool
    what: str
    note: bool = False


class Broken(Exception):  # noqa: N818 - a clause is broken, the program is not
    """A clause without which the later ones cannot be tried."""


def check_contract(captioner: Captioner) -> list[Clause]:
    """Try every clause in order; the list ends at one that the next ones rest on."""
    found: list[Clause] = []
    # What models print while they run belongs to no result.
    with torch.inference_mode(), contextlib.redirect_stdout(sys.stderr):
        try:
            for clause in _clauses(captioner):
                found.append(clause)
                if not clause.kept and clause.name in {"attributes", "memory", "logits", "step"}:
                    break
        except Broken as stop:
            name, _, what = str(stop).partition(": ")
            found.append(Clause(name, False, what))
    return found


def smoke(captioner: Captioner) -> str | None:
    """Say what is wrong at first sight, None where nothing is.

    Attributes, memory, scores, a step and the text are tried; batches and padding are not.
    """
    with torch.inference_mode(), contextlib.redirect_stdout(sys.stderr):
        try:
            for clause in _first_sight(captioner):
                if not clause.kept:
                    return clause.what
        except Broken as stop:
            return str(stop).partition(": ")[2]
    return None


def _first_sight(captioner: Captioner) -> Iterator[Clause]:
    yield _attributes(captioner)
    waveforms, lengths = synthetic_audio(captioner, SECONDS[:2])
    count = len(lengths)
    memory = _called("encode", lambda: captioner.encode(waveforms, lengths))
    yield _memory(captioner, memory, count)
    yield _logits(captioner, memory, count)
    prefix = _prefix(captioner, count)
    yield _later(captioner, memory, prefix)[0]
    if type(captioner).step is not Captioner.step:
        clause, _ = _stepped(captioner, memory, prefix)
        if clause is not None:
            yield clause
    yield _text(captioner)


def synthetic_audio(
    captioner: Captioner, seconds: tuple[float, ...] = SECONDS
) -> tuple[Tensor, Tensor]:
    """Noise through different tones: [B, samples] in [-1, 1] zero-padded, and [B] lengths."""
    generator = torch.Generator().manual_seed(0)
    least = max(1, captioner.min_samples)
    lengths = [max(least, int(part * captioner.sample_rate)) for part in seconds]
    waveforms = torch.zeros(len(lengths), max(lengths))
    for row, length in enumerate(lengths):
        time = torch.arange(length) / captioner.sample_rate
        tone = 0.3 * torch.sin(2 * torch.pi * 220.0 * (row + 1) * time)
        waveforms[row, :length] = tone + 0.05 * torch.randn(length, generator=generator)
    return waveforms, torch.tensor(lengths)


def _clauses(captioner: Captioner) -> Iterator[Clause]:
    yield _attributes(captioner)
    waveforms, lengths = synthetic_audio(captioner)
    count = len(lengths)
    memory = _called("encode", lambda: captioner.encode(waveforms, lengths))
    yield _memory(captioner, memory, count)
    yield _logits(captioner, memory, count)
    prefix = _prefix(captioner, count)
    clause, together = _later(captioner, memory, prefix)
    if not clause.kept:
        yield clause
    yield _batch(captioner, waveforms, lengths, prefix, together)
    yield _padding(captioner, waveforms, lengths, prefix, together)
    yield _stepping(captioner, memory, prefix)
    yield _prefix_matters(captioner, memory, prefix, together)
    yield _ending(captioner, memory, count)
    yield _text(captioner)


def _called(name: str, call: Callable[[], Any]) -> Any:
    """Call a method of the captioner; what it raises is told with its place.

    Raises:
        Broken: it raised.
    """
    try:
        return call()
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        last = frames[-1]
        # The user's own line helps more than a line inside PyTorch.
        own = [f for f in frames[1:] if "site-packages" not in f.filename]
        place = own[-1] if own else last
        text = " ".join(str(error).split())[:200]
        raise Broken(
            f"{name}: {name}() raised {type(error).__name__}: {text} "
            f"(at {place.filename}:{place.lineno})"
        ) from error


def _attributes(captioner: Captioner) -> Clause:
    wrong = []
    if not isinstance(captioner.sample_rate, int) or captioner.sample_rate <= 0:
        wrong.append(f"sample_rate is {captioner.sample_rate!r}, not a number of Hz")
    size = len(captioner.vocabulary)
    for name in ("bos_id", "eos_id", "pad_id", "unk_id"):
        id_ = getattr(captioner, name)
        if id_ is None and name in {"pad_id", "unk_id"}:
            continue
        if not isinstance(id_, int) or isinstance(id_, bool) or not 0 <= id_ < size:
            wrong.append(f"{name} is {id_!r}, not an id of the vocabulary's {size} tokens")
    if not all(isinstance(word, str) for word in captioner.vocabulary):
        wrong.append("vocabulary holds something other than strings")
    if not isinstance(captioner.memory_batch_dim, int) or captioner.memory_batch_dim < 0:
        wrong.append(f"memory_batch_dim is {captioner.memory_batch_dim!r}, not an axis")
    if not isinstance(captioner.max_length, int) or captioner.max_length < 1:
        wrong.append(f"max_length is {captioner.max_length!r}, not a number of tokens")
    told = f"{size} tokens at {captioner.sample_rate} Hz"
    return Clause("attributes", not wrong, "; ".join(wrong) or told)


def _tensors(value: Any, place: str = "memory") -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield place, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _tensors(inner, f"{place}[{key!r}]")
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _tensors(inner, f"{place}[{number}]")


def _memory(captioner: Captioner, memory: Memory, count: int) -> Clause:
    tensors = list(_tensors(memory))
    if not tensors:
        return Clause(
            "memory", False, f"encode() gave a {type(memory).__name__} without any tensor"
        )
    axis = captioner.memory_batch_dim
    for place, tensor in tensors:
        shape = list(tensor.shape)
        if tensor.ndim <= axis or tensor.shape[axis] != count:
            other = [dim for dim, size in enumerate(shape) if size == count]
            hint = f"; axis {other[0]} has: set memory_batch_dim = {other[0]}" if other else ""
            return Clause(
                "memory",
                False,
                f"{place} of encode() is {shape}: axis {axis} (memory_batch_dim) does not count "
                f"the {count} clips{hint}",
            )
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            return Clause("memory", False, f"{place} of encode() holds NaN or infinity")
    return Clause("memory", True, ", ".join(f"{list(t.shape)}" for _, t in tensors[:3]))


def _start_prefix(captioner: Captioner, count: int) -> Tensor:
    """What every caption begins with, its form checked.

    Raises:
        Broken: not [clips, tokens] of int64.
    """
    start = _called("start_prefix", lambda: captioner.start_prefix(count))
    if not isinstance(start, Tensor):
        raise Broken(f"start_prefix: start_prefix() gave a {type(start).__name__}, not a tensor")
    if start.ndim != 2 or start.shape[0] != count or not start.shape[1]:
        raise Broken(
            f"start_prefix: start_prefix({count}) gave {list(start.shape)}, "
            f"not [{count}, at least 1]"
        )
    if start.dtype != torch.int64:
        raise Broken(f"start_prefix: start_prefix() gave {start.dtype}, not torch.int64")
    return start


def _prefix(captioner: Captioner, count: int, shift: float = 0.0) -> Tensor:
    """A start and some words, ``shift`` of the vocabulary on: [count, T]."""
    start = _start_prefix(captioner, count)
    special = {captioner.bos_id, captioner.eos_id, captioner.pad_id, captioner.unk_id}
    words = [id_ for id_ in range(len(captioner.vocabulary)) if id_ not in special]
    on = int(shift * len(words))
    picked = [words[(7 * place + on) % len(words)] for place in range(WORDS)] if words else []
    own = torch.tensor(picked, dtype=torch.long).repeat(count, 1)
    return torch.cat([start, own], dim=1)


def _logits(captioner: Captioner, memory: Memory, count: int) -> Clause:
    start = _start_prefix(captioner, count)
    logits = _called("logits", lambda: captioner.logits(start, memory))
    return _scores("logits", logits, captioner, count)


def _later(captioner: Captioner, memory: Memory, prefix: Tensor) -> tuple[Clause, Tensor]:
    """Score the word after some words, where what goes wrong is not seen at the first."""
    scores = _called("logits", lambda: captioner.logits(prefix, memory))
    clause = _scores("logits", scores, captioner, prefix.shape[0])
    if clause.kept:
        return clause, scores
    what = f"after {prefix.shape[1]} tokens {clause.what}"
    return Clause("logits", False, what), scores


def _scores(name: str, logits: Any, captioner: Captioner, count: int) -> Clause:
    """Check shape, dtype and numbers of next-token scores."""
    size = len(captioner.vocabulary)
    wrong = None
    if not isinstance(logits, Tensor):
        wrong = f"{name}() gave a {type(logits).__name__}, not a tensor"
    elif logits.ndim == 3:
        wrong = (
            f"{name}() gave {list(logits.shape)}, not [{count}, {size}]: give the last place "
            "alone, scores[:, -1]"
        )
    elif logits.ndim == 2 and logits.shape[0] == count and logits.shape[1] != size:
        wrong = (
            f"{name}() scores {logits.shape[1]} tokens, the vocabulary has {size}: they are not "
            "of the same training"
        )
    elif list(logits.shape) != [count, size]:
        wrong = f"{name}() gave {list(logits.shape)}, not [{count}, {size}] (clips, tokens)"
    elif not logits.is_floating_point():
        wrong = f"{name}() gave {logits.dtype}, not floating-point scores: no argmax in it"
    elif bool(torch.isnan(logits).any() or torch.isposinf(logits).any()):
        wrong = f"{name}() holds NaN or infinity: the weights or the features are broken"
    return Clause(name, wrong is None, wrong or f"[{count}, {size}], finite")


def _apart(one: Tensor, other: Tensor) -> float:
    """Largest difference of two sets of scores as a share of their spread over words."""
    one, other = one.double().nan_to_num(neginf=0.0), other.double().nan_to_num(neginf=0.0)
    spread = one.std(dim=-1).mean().clamp_min(1e-12)
    return float((one - other).abs().max() / spread)


def _moved(name: str, apart: float, broken: str, kept: str) -> Clause:
    fine = apart <= BATCH_TOLERANCE.value
    return Clause(name, fine, kept if fine else f"{broken} ({apart:.2g} of their spread)")


def _encoded(captioner: Captioner, waveforms: Tensor, lengths: Tensor, prefix: Tensor) -> Tensor:
    memory = _called("encode", lambda: captioner.encode(waveforms, lengths))
    scores: Tensor = _called("logits", lambda: captioner.logits(prefix, memory))
    return scores


def _batch(
    captioner: Captioner, waveforms: Tensor, lengths: Tensor, prefix: Tensor, together: Tensor
) -> Clause:
    order = torch.arange(len(lengths)).flip(0)
    turned = _encoded(captioner, waveforms[order], lengths[order], prefix[order])
    # Three times the longest clip: nothing is padded, so only its neighbours could matter.
    longest = int(lengths.argmax())
    same = _encoded(captioner, waveforms[longest:][:1], lengths[longest:][:1], prefix[:1])
    apart = max(_apart(together[order], turned), _apart(together[longest][None], same))
    return _moved(
        "batch",
        apart,
        "a clip's scores depend on the clips beside it, or on its row",
        "a clip's scores do not depend on its batch",
    )


def _padding(
    captioner: Captioner, waveforms: Tensor, lengths: Tensor, prefix: Tensor, together: Tensor
) -> Clause:
    apart = 0.0
    for row, length in enumerate(lengths.tolist()):
        try:
            alone = _encoded(
                captioner, waveforms[row : row + 1, :length], lengths[row : row + 1], prefix[:1]
            )
        except Broken as stop:  # beside longer clips it went through
            short = f"{length / captioner.sample_rate:g} s alone"
            raise Broken(f"{stop}, given {short}: is that too short? Set min_samples") from stop
        apart = max(apart, _apart(together[row : row + 1], alone))
    return _moved(
        "padding",
        apart,
        "a clip's scores depend on how far its batch is padded: mask by lengths, or use "
        "--batch-size 1",
        "padding does not move a clip's scores",
    )


def _stepping(captioner: Captioner, memory: Memory, prefix: Tensor) -> Clause:
    if type(captioner).step is Captioner.step:
        return Clause("step", True, "not given; whole prefixes are scored instead", note=True)
    clause, scores = _stepped(captioner, memory, prefix)
    if clause is not None:
        return clause
    whole = _called("logits", lambda: captioner.logits(prefix, memory))
    return _moved(
        "step",
        _apart(whole, scores),
        "step() disagrees with logits() on the same prefix",
        "step() agrees with logits()",
    )


def _stepped(captioner: Captioner, memory: Memory, prefix: Tensor) -> tuple[Clause | None, Tensor]:
    """Feed a prefix token by token: what is wrong with the steps' form, and the last scores."""
    state = _called("start", lambda: captioner.start(memory))
    scores = torch.empty(0)
    for token in prefix.unbind(dim=1):
        found = _called("step", partial(captioner.step, token, state, memory))
        if not isinstance(found, tuple) or len(found) != 2:
            return Clause("step", False, "step() must give (scores [B, V], state)"), scores
        scores, state = found
        clause = _scores("step", scores, captioner, prefix.shape[0])
        if not clause.kept:
            return clause, scores
    for place, tensor in _tensors(state, "state"):
        if tensor.ndim and tensor.shape[0] != prefix.shape[0]:
            what = f"{place} is {list(tensor.shape)}: clips must come first"
            return Clause("step", False, what), scores
    return None, scores


def _prefix_matters(captioner: Captioner, memory: Memory, prefix: Tensor, scores: Tensor) -> Clause:
    other = _prefix(captioner, prefix.shape[0], shift=0.5)
    if torch.equal(other, prefix):
        return Clause("autoregressive", True, "the vocabulary has no words to try", note=True)
    moved = _apart(scores, _called("logits", lambda: captioner.logits(other, memory)))
    if captioner.autoregressive:
        blind = moved <= BATCH_TOLERANCE.value
        what = "the words before do not move the scores" if blind else "scores follow the prefix"
        return Clause("autoregressive", True, what, note=blind)
    fine = moved <= BATCH_TOLERANCE.value
    what = "scores ignore the prefix, as said" if fine else "scores follow the prefix: say True"
    return Clause("autoregressive", fine, what)


def _ending(captioner: Captioner, memory: Memory, count: int) -> Clause:
    """The end token must be possible within the longest caption."""
    prefix = _start_prefix(captioner, count)
    state = _called("start", lambda: captioner.start(memory))
    logits = torch.empty(0)
    for token in prefix.unbind(dim=1):
        logits, state = _called("step", partial(captioner.step, token, state, memory))
    for place in range(captioner.max_length):
        if bool((logits[:, captioner.eos_id] > -torch.inf).any()):
            told = f"eos_id {captioner.eos_id} can come from word {place + 1} on"
            return Clause("end token", True, told)
        token = logits.argmax(dim=1)
        logits, state = _called("step", partial(captioner.step, token, state, memory))
    return Clause(
        "end token", False, f"eos_id {captioner.eos_id} can never come: its score is -inf"
    )


def _text(captioner: Captioner) -> Clause:
    ids = [captioner.bos_id, *_prefix(captioner, 1)[0].tolist(), captioner.eos_id]
    text = _called("detokenize", lambda: captioner.detokenize(ids))
    if not isinstance(text, str):
        return Clause("detokenize", False, f"detokenize() gave a {type(text).__name__}, no string")
    left = [captioner.vocabulary[id_] for id_ in (captioner.bos_id, captioner.eos_id)]
    found = [token for token in left if token and token in text.split()]
    if found:
        return Clause("detokenize", False, f"detokenize() leaves {found[0]} in the caption")
    return Clause("detokenize", True, f"{text!r:.60}")
