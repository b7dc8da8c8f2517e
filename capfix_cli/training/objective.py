"""A recipe's training loss through the Captioner contract: own captioners and users' alike."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from capfix_cli.captioners.base import Captioner, Memory
from capfix_cli.captioners.own.own_captioner import OwnCaptioner
from capfix_cli.core.errors import CapfixError
from capfix_cli.decoding import nested_tensors as nested
from capfix_cli.training import losses
from capfix_cli.training.schedules import sampling_share
from capfix_cli.training.training_config import TrainingConfig, TrainingOptions
from capfix_cli.training.training_limits import ALPHA_LIMIT

Encode = Callable[[Tensor, Tensor], Memory]  # signals and lengths -> memory
Gather = Callable[[Tensor], Tensor]  # sums a number over the processes that train together


@dataclass(frozen=True)
class Tokens:
    """Captions as the decoder learns them.

    Attributes:
        inputs: [B, T] int64, start prefix first.
        targets: [B, T] int64, end token last.
        real: [B, T], True where a target counts.
    """

    inputs: Tensor
    targets: Tensor
    real: Tensor


class Objective:
    """Cross-entropy, and beside it whatever the recipe switches on.

    Args:
        captioner: gives memories and scores; its module is what learns.
        options: the switches.
        total: sums a count over processes; for one process the count itself.
    """

    def __init__(
        self, captioner: Captioner, options: TrainingOptions, total: Gather = lambda count: count
    ) -> None:
        self.captioner = captioner
        self.options = options
        self.total = total

    def __call__(
        self, memory: Memory, captions: Sequence[str], progress: float, mix: Any = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Give the loss of a batch, and its parts by name.

        Args:
            memory: of the batch's clips, with gradients.
            captions: one a clip.
            progress: share of training that is over.
            mix: None, or (captions of the clips mixed in, [B] share of each clip's own sound).
        """
        tokens = tokens_of(self.captioner, captions)
        logits = self._scores(tokens, memory, progress)
        weights = tokens.real.to(logits.dtype)
        if mix is not None:
            other, share = mix
            weights = weights * share.to(logits.device).unsqueeze(1)
            words = self._words(logits, tokens, weights)
            second = tokens_of(self.captioner, other)
            left = second.real.to(logits.dtype) * (1 - share.to(logits.device)).unsqueeze(1)
            words = words + self._words(self._logits(second.inputs, memory), second, left)
            count = weights.sum() + left.sum()
        else:
            words, count = self._words(logits, tokens, weights), weights.sum()
        parts = {"words": words / self.total(count.detach()).clamp(min=1e-9)}
        loss = parts["words"]
        if self.options.diversity_alpha:
            parts["repeats"] = self._repeats(logits, tokens)
            loss = loss + min(self.options.diversity_alpha, ALPHA_LIMIT.value) * parts["repeats"]
        if self.options.listening_weight and len(captions) > 1:
            parts["listening"] = self._listening(tokens, logits, memory)
            loss = loss + self.options.listening_weight * parts["listening"]
        return loss, parts

    def of_batch(
        self, batch: Mapping[str, Any], encode: Encode, progress: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Give the loss of a batch of ``training_batches``, and its parts."""
        memory = encode(batch["signals"], batch["lengths"])
        mix = (batch["other"], batch["share"]) if "other" in batch else None
        loss, parts = self(memory, batch["captions"], progress, mix)
        return learnable(loss), parts

    def _logits(self, inputs: Tensor, memory: Memory) -> Tensor:
        """[B, T] inputs -> [B, T, V]: all places at once, or word by word where it has to be."""
        with contextlib.suppress(NotImplementedError):
            return self.captioner.sequence_logits(inputs, memory).float()
        state, each = self.captioner.start(memory), []
        for column in inputs.unbind(dim=1):
            scores, state = self.captioner.step(column, state, memory)
            each.append(scores)
        return torch.stack(each, dim=1).float()

    def _scores(self, tokens: Tokens, memory: Memory, progress: float) -> Tensor:
        """Score the targets, with the decoder's own words among those fed where that is on."""
        options = self.options
        share = sampling_share(options.scheduled_sampling, options.sampling_schedule, progress)
        inputs = tokens.inputs
        if share > 0:
            with torch.no_grad():
                guessed = self._logits(inputs, memory)
            inputs = losses.mix_inputs(inputs, guessed, share)
        return self._logits(inputs, memory)

    def _words(self, logits: Tensor, tokens: Tokens, weights: Tensor) -> Tensor:
        each = losses.token_losses(logits, tokens.targets, self.options.label_smoothing)
        return (each * weights).sum()

    def _repeats(self, logits: Tensor, tokens: Tokens) -> Tensor:
        if self.options.diversity_form == "unlikelihood":
            return losses.unlikelihood(logits, tokens.inputs, tokens.targets, tokens.real)
        return losses.repeat_penalty(logits, tokens.real)

    def _listening(self, tokens: Tokens, logits: Tensor, memory: Memory) -> Tensor:
        """Try each caption on its own clip and on the next few of the batch."""
        batch = tokens.inputs.shape[0]
        columns = [self._total(logits, tokens)]
        for step in range(1, min(self.options.listening_negatives, batch - 1) + 1):
            rows = (torch.arange(batch) + step) % batch
            other = nested.select(memory, rows, self.captioner.memory_batch_dim)
            columns.append(self._total(self._logits(tokens.inputs, other), tokens))
        return losses.listening_loss(torch.stack(columns, dim=1))

    def _total(self, logits: Tensor, tokens: Tokens) -> Tensor:
        """[B] ln p(caption | clip); never smoothed, so that it is what listening measures."""
        return -(losses.token_losses(logits, tokens.targets) * tokens.real).sum(dim=1)


class TheirLoss:
    """The loss that an adapter gives, as it is."""

    def __init__(self, captioner: Captioner) -> None:
        self.captioner = captioner

    def of_batch(
        self, batch: Mapping[str, Any], encode: Encode, progress: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Give the loss of a batch of waveforms."""
        loss = self.captioner.loss(batch["signals"], batch["lengths"], batch["captions"])
        return learnable(loss), {"words": loss}


def takes_their_loss(captioner: Captioner, setup: TrainingConfig) -> bool:
    """Say whether an adapter's own loss does: it is not ours, and no switch needs the scores."""
    options = setup.training
    needs_scores = (
        *(options.label_smoothing, options.scheduled_sampling, options.diversity_alpha),
        *(options.listening_weight, setup.augmentation.mixup),
    )
    brings = type(captioner).loss is not Captioner.loss
    return brings and not isinstance(captioner, OwnCaptioner) and not any(needs_scores)


def learnable(loss: Tensor) -> Tensor:
    """Refuse a loss without gradients.

    Raises:
        CapfixError: the adapter computes under ``no_grad`` or detaches its tensors.
    """
    if not loss.requires_grad:
        raise CapfixError(
            "The captioner's loss has no gradient: nothing would be learnt.",
            "Take torch.no_grad(), inference_mode() and detach() out of the adapter's encode(),"
            " logits() and loss().",
        )
    return loss


def tokens_of(captioner: Captioner, captions: Sequence[str]) -> Tokens:
    """Tokenise captions into what the decoder is fed and what it must say.

    Captions longer than the captioner's limit are cut there, with no end token to learn.
    """
    prefix = captioner.start_prefix(1)[0]
    limit = captioner.max_length
    device = device_of(captioner)
    fed, wanted = [], []
    for text in captions:
        said = [*captioner.tokenize(text), captioner.eos_id][: limit + 1]
        row = torch.tensor(said, dtype=torch.long)
        fed.append(torch.cat([prefix.cpu(), row[:-1]]))
        # What follows each token of the prefix but the last is given, not learnt.
        wanted.append(torch.cat([torch.full((len(prefix) - 1,), -1), row]))
    fill = captioner.pad_id if captioner.pad_id is not None else captioner.eos_id
    inputs = pad_sequence(fed, batch_first=True, padding_value=fill)
    targets = pad_sequence(wanted, batch_first=True, padding_value=-1)
    real = targets >= 0
    return Tokens(inputs.to(device), targets.clamp(min=0).to(device), real.to(device))


def device_of(captioner: Captioner) -> torch.device:
    """Where the captioner's weights are."""
    module = captioner.module
    first = None if module is None else next(module.parameters(), None)
    return torch.device("cpu") if first is None else first.device
