"""Repairs without training: each wraps a captioner and gives another, tried as decodings are."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.captioners.base import Captioner, Memory
from capfix_cli.checkpoints.weights import load_weights
from capfix_cli.core.errors import CapfixError
from capfix_cli.core.thresholds import END_LIKELY, MOVED, OFF_NATS
from capfix_cli.diagnosis.causes.finding import DiagnosisContext
from capfix_cli.probes.captioner_variants import derive
from capfix_cli.probes.network_modules import eval_forced

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Repair:
    """One repair, ready to be tried.

    Attributes:
        cause: that it mends.
        name: in words.
        line: the line to change in one's own code.
        captioner: the repaired one.
        one_by_one: encode clips alone, so that nothing is padded.
        applied: to be entered while it is tried; weights are put back afterwards.
    """

    cause: str
    name: str
    line: str
    captioner: Captioner
    one_by_one: bool = False
    applied: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext


def repairs_for(cause: str, case: DiagnosisContext, checkpoint: str) -> Iterator[Repair]:
    """List what can be tried against a cause, the likeliest first.

    Args:
        cause: one that was found.
        case: where it was found.
        checkpoint: path of the weights.
    """
    maker = _MAKERS.get(cause)
    if maker is not None:
        try:
            yield from maker(case, checkpoint)
        except ProbeFailed:
            return


_METHODS = ("encode", "features", "encode_features", "logits", "sequence_logits")
_STEPS = ("prepare", "open", "start", "step")


def _train_mode(case: DiagnosisContext, checkpoint: str) -> Iterator[Repair]:
    captioner = case.captioner

    def held(name: str) -> Callable[..., Any]:
        method = getattr(captioner, name)

        def call(self: Captioner, *given: Any) -> Any:
            with eval_forced(captioner):
                return method(*given)

        return call

    changed = derive(captioner, **{name: held(name) for name in (*_METHODS, *_STEPS)})
    yield Repair("evaluation.train-mode", "every layer in eval mode", "model.eval()", changed)


def _one_by_one(cause: str) -> Callable[[DiagnosisContext, str], Iterator[Repair]]:
    def make(case: DiagnosisContext, checkpoint: str) -> Iterator[Repair]:
        yield Repair(
            cause,
            "clips one by one, nothing padded",
            "encode one clip at a time (--batch-size 1)",
            case.captioner,
            one_by_one=True,
        )

    return make


def _padding(case: DiagnosisContext, checkpoint: str) -> Iterator[Repair]:
    """Pad in front where that is what the captioner does not hear; else, or if that fails, not."""
    captioner = case.captioner
    found = case.probes.invariance
    if found.in_front is not None and found.in_front <= MOVED.value * found.clip:

        def encode(self: Captioner, waveforms: Tensor, lengths: Tensor) -> Memory:
            import torch

            size = waveforms.shape[1]
            rows = [row.roll(size - int(n)) for row, n in zip(waveforms, lengths, strict=True)]
            return captioner.encode(torch.stack(rows), torch.full_like(lengths, size))

        yield Repair(
            "evaluation.padding",
            "padding in front of the clips",
            "pad on the left, as training did: padding_side='left'",
            derive(captioner, encode=encode),
        )
    yield from _one_by_one("evaluation.padding")(case, checkpoint)


def _front_end(case: DiagnosisContext, checkpoint: str) -> Iterator[Repair]:
    best = case.probes.recovery.best
    if best is not None and best.front_end is not None:
        front = best.front_end
        yield Repair(front.cause, front.name, front.line, front.apply(case.captioner))


def _special(case: DiagnosisContext, checkpoint: str) -> Iterator[Repair]:
    captioner, words = case.captioner, case.captioner.vocabulary
    changes: dict[str, int] = {}
    try:
        rival, likely = case.probes.language.rival
        if case.probes.language.end < END_LIKELY.value and likely > 0.5:
            changes["eos_id"] = rival
        opening = case.probes.opening
        if opening.loss - opening.rival[1] > OFF_NATS.value:
            changes["bos_id"] = opening.rival[0]
    except ProbeFailed:
        ends = case.probes.endings
        if ends.last[1] > 0.5:  # what captions that never end go on with
            changes["eos_id"] = ends.last[0]
    if changes:
        line = ", ".join(f"{name} = {i}  # {str(words[i])!r}" for name, i in changes.items())
        changed = derive(captioner, **changes)
        if "bos_id" in changes:

            def start_prefix(self: Captioner, batch: int) -> Tensor:
                prefix = captioner.start_prefix(batch).clone()
                prefix[:, 0] = self.bos_id
                return prefix

            changed = derive(changed, start_prefix=start_prefix)
        yield Repair("vocabulary.special-tokens", "other special tokens", line, changed)


def _words(case: DiagnosisContext, checkpoint: str) -> Iterator[Repair]:
    captioner = case.captioner
    known = case.probes.language
    shift, loss = known.shift
    if not shift or known.loss - loss <= OFF_NATS.value:
        return
    special = {captioner.bos_id, captioner.eos_id, captioner.pad_id, captioner.unk_id}
    moved = shift_words(captioner.vocabulary, shift, special)
    changed = derive(captioner, vocabulary=moved)
    changed.__dict__.pop("_words", None)
    yield Repair(
        "vocabulary.mismatch",
        f"words moved by {shift}",
        f"vocabulary = shift the words by {shift}: special tokens are missing or too many",
        changed,
    )


def shift_words(words: Sequence[str], shift: int, keep: Collection[int | None]) -> list[str]:
    """Move words by some places; those that fall out take the places that are left free.

    >>> shift_words(["<eos>", "b", "c", "d", "a"], 1, {0})
    ['<eos>', 'a', 'b', 'c', 'd']
    """
    moved: list[str | None] = [word if place in keep else None for place, word in enumerate(words)]
    out = []
    for place, word in enumerate(words):
        if place in keep:
            continue
        if 0 <= place + shift < len(moved) and place + shift not in keep:
            moved[place + shift] = word
        else:
            out.append(word)
    waiting = iter(out)
    return [next(waiting) if word is None else word for word in moved]


def _prefixes(case: DiagnosisContext, checkpoint: str) -> Iterator[Repair]:
    """Load the weights again, names matched by their ends: ``module.`` and ``model.`` aside."""
    import torch

    module = case.captioner.module
    if module is None:
        return
    try:
        found = load_weights(checkpoint)
    except (CapfixError, OSError, ValueError):
        return
    matched = match_names(module, found)
    own = module.state_dict()
    fresh = [n for n, tensor in matched.items() if not torch.equal(tensor, own[n].cpu())]
    if not fresh:
        return

    @contextlib.contextmanager
    def applied() -> Iterator[None]:
        before = {name: own[name].detach().clone() for name in fresh}
        with torch.no_grad():
            for name in fresh:
                own[name].copy_(matched[name])
        try:
            yield
        finally:
            with torch.no_grad():
                for name, tensor in before.items():
                    own[name].copy_(tensor)

    yield Repair(
        "weights.missing",
        f"{len(fresh)} tensors loaded by the ends of their names",
        f"load them by name: {fresh[0]} and {len(fresh) - 1} more are in the file under a prefix"
        " (strip module., model., or the part's name), with strict=True",
        case.captioner,
        applied=applied,
    )


def match_names(module: nn.Module, found: dict[str, Tensor]) -> dict[str, Tensor]:
    """Match a network's names with a file's where one ends in the other and shapes agree.

    A name that two of the file's end in is left alone.
    """
    matched: dict[str, Tensor] = {}
    for name, tensor in module.state_dict().items():
        near = [
            key
            for key, value in found.items()
            if value.shape == tensor.shape
            and (key == name or key.endswith(f".{name}") or name.endswith(f".{key}"))
        ]
        exact = [key for key in near if key == name]
        if len(exact or near) == 1:
            matched[name] = found[(exact or near)[0]]
    return matched


_MAKERS: dict[str, Callable[[DiagnosisContext, str], Iterator[Repair]]] = {
    "evaluation.train-mode": _train_mode,
    "evaluation.batch-dependence": _one_by_one("evaluation.batch-dependence"),
    "evaluation.padding": _padding,
    "input.feature-scale": _front_end,
    "input.sample-rate": _front_end,
    "vocabulary.special-tokens": _special,
    "vocabulary.mismatch": _words,
    "weights.missing": _prefixes,
}
