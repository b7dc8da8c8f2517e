"""A look at a captioner while it trains: listening and diversity on a few clips, and a warning.

Every captioner is deaf at first. What tells a collapse from a start is that the loss falls, which
words alone can bring about, while listening does not rise.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from capfix_cli.captioners.base import Captioner
from capfix_cli.core.thresholds import LISTENING_SHARE
from capfix_cli.decoding.decode import EncodedBatch, decode_all
from capfix_cli.decoding.decoding_options import GREEDY
from capfix_cli.diagnosis.verdict import sentences_of
from capfix_cli.probes.listening import listen
from capfix_cli.probes.pair_scoring import Scorer
from capfix_cli.schemas.measured_values import Listening
from capfix_cli.training.training_limits import COMMONEST_SHARE, LISTENING_RISE, LOSS_FALL


@dataclass(frozen=True)
class EpochMetrics:
    """One look.

    Attributes:
        epoch: counted from 1.
        loss: of training since the look before; None where it is not known.
        listening: on these clips, the lower of own captions' and references'.
        distinct: share of the captions that differ.
        commonest: the caption given to most clips.
        commonest_share: to how many of them.
        warning: what is going wrong and why; empty where nothing shows.
        sentences: share of the captions that are sentences.
        degenerate: what is wrong with the others, in words; empty where most are sentences.
    """

    epoch: int
    loss: float | None
    listening: Listening
    distinct: float
    commonest: str
    commonest_share: float
    warning: str = ""
    sentences: float = 1.0
    degenerate: str = ""

    def numbers(self) -> dict[str, float]:
        """Give what a logger takes."""
        return {
            "listening_bits": self.listening.deciding_bits,
            "listening_identification": self.listening.identification,
            "distinct_captions": self.distinct,
            "commonest_caption": self.commonest_share,
            "sentences": self.sentences,
        }


def look(
    captioner: Captioner,
    chunks: Sequence[EncodedBatch],
    epoch: int,
    loss: float | None = None,
    *,
    references: Mapping[str, Sequence[str]] | None = None,
    seed: int = 0,
) -> EpochMetrics:
    """Caption clips greedily and measure; the captioner must be in eval mode.

    Args:
        captioner: with the weights of now.
        chunks: memories of at least two clips.
        epoch: counted from 1.
        loss: of training.
        references: clip -> captions, to judge rightness too.
        seed: of contrast sets.
    """
    captions = list(decode_all(captioner, chunks, GREEDY, seed))
    texts = Counter(caption.text for caption in captions)
    judged = sentences_of(captions, references)
    commonest, count = max(texts.items(), key=lambda row: (row[1], row[0]))
    return EpochMetrics(
        epoch,
        loss,
        listen(captions, Scorer(captioner, chunks), seed, references),
        len(texts) / len(captions),
        commonest,
        count / len(captions),
        sentences=judged.axis.value,
        degenerate="" if judged.are else judged.told,
    )


def collapse_warning(history: Sequence[EpochMetrics]) -> str:
    """Say that training collapses, and why; empty where it does not, or cannot be said yet.

    Two looks at least, the last two both below the threshold of listening, without a rise between
    them, and a loss that fell (where it is known). Or the last two heard and yet no sentences, and
    no more of them than before: who hears nothing yet cannot be expected to write.
    """
    if len(history) < 2:
        return ""
    before, now = history[-2:]
    ceiling = now.listening.ceiling_bits
    needed = LISTENING_SHARE.value * ceiling
    bits = now.listening.deciding_bits
    deaf = max(bits, before.listening.deciding_bits) < needed
    risen = bits - before.listening.deciding_bits > LISTENING_RISE.value * ceiling
    if not _fell(history):
        return ""
    worse = now.sentences <= before.sentences
    if bits >= needed and before.degenerate and now.degenerate and worse:
        return _no_sentences(now)
    if not deaf or risen:
        return ""
    alike = now.commonest_share >= COMMONEST_SHARE.value
    fell = "" if now.loss is None else f" while the loss fell to {now.loss:.2f}"
    said = (
        f"{100 * now.commonest_share:.0f} % of the clips get {now.commonest!r}"
        if alike
        else f"captions differ ({100 * now.distinct:.0f} % distinct) but not by what is heard"
    )
    return (
        f"Training is collapsing: at epoch {now.epoch} listening is {bits:.2f} of {ceiling:.2f}"
        f" bits (needed: {needed:.2f}) and has not risen{fell}; {said}. {_cause(now, needed)}"
    )


def _no_sentences(now: EpochMetrics) -> str:
    return (
        f"Captions are no sentences at epoch {now.epoch} and the look before: {now.degenerate}."
        " Check that the end token is a target, that labels are shifted once, and that the"
        " decoder's state is handed on."
    )


def _cause(now: EpochMetrics, needed: float) -> str:
    heard = now.listening
    if heard.reference_bits is not None and heard.reference_bits >= needed > heard.bits:
        return (
            "Cause: the scores do listen to references; greedy search hides it. Try decoding fixes"
            " (capfix diagnose) before training longer."
        )
    if heard.reference_bits is not None and heard.bits >= needed > heard.reference_bits:
        return (
            "Cause: the audio moves the captions, but not towards the right ones: check that clips"
            " and captions are paired rightly."
        )
    return (
        "Cause: the decoder learns the language without the audio. Check the features and the"
        " pairing of clips and captions; then give the audio to every word (2.2), keep time in the"
        " encoder (2.1) or train listening (3.6)."
    )


def _fell(history: Sequence[EpochMetrics]) -> bool:
    losses = [reading.loss for reading in history if reading.loss is not None]
    return len(losses) < 2 or losses[-1] < losses[0] * (1 - LOSS_FALL.value)


@contextlib.contextmanager
def evaluating(module: nn.Module | None, seed: int = 0) -> Iterator[None]:
    """Put a network in eval mode and back, layer by layer, and leave random numbers untouched."""
    if module is None:
        yield
        return
    modes = [(part, part.training) for part in module.modules()]
    devices = sorted({p.device.index or 0 for p in module.parameters() if p.is_cuda})
    module.eval()
    try:
        with torch.random.fork_rng(devices=devices), torch.inference_mode():
            torch.manual_seed(seed)
            yield
    finally:
        for part, training in modes:
            part.training = training
