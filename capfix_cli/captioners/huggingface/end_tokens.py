"""Models that end a text with any of several tokens, as a captioner that ends with one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from capfix_cli.core.errors import CapfixError

CERTAIN = 1e4  # nats between the end token and all else once another end token was said


@dataclass(frozen=True)
class EndTokens:
    """The tokens that end a text.

    A captioner has one end token. The likeliest of several is offered in its place, so that greedy
    captions end where the model's own do; after any other of them, drawn or in a beam, nothing but
    the end follows, at no cost. No probability is lost or gained.

    Attributes:
        first: stands for all of them.
        others: the rest.
    """

    first: int
    others: tuple[int, ...] = ()

    @classmethod
    def of(cls, model: Any, tokenizer: Any) -> EndTokens:
        """Read them where transformers keeps them.

        Raises:
            CapfixError: nothing names an end token.
        """
        configs = (model.generation_config, model.config, model.config.get_text_config())
        for config in configs:
            told = getattr(config, "eos_token_id", None)
            told = [told] if isinstance(told, int) else told
            if told:
                return cls(int(told[0]), tuple(int(token) for token in told[1:]))
        if tokenizer.eos_token_id is None:
            raise CapfixError(
                "Neither config nor tokenizer of the model names its eos_token_id.",
                "Put eos_token_id into generation_config.json.",
            )
        return cls(tokenizer.eos_token_id)

    def after(self, scores: Tensor, tokens: Tensor) -> Tensor:
        """Put the scores after tokens into the form of one end token.

        Shape: scores [..., V] and tokens [...] that they come after -> [..., V].
        """
        if not self.others:
            return scores
        every = torch.tensor([self.first, *self.others], device=scores.device)
        ends = scores[..., every]
        best = ends.argmax(dim=-1, keepdim=True)
        # The likeliest changes places with the first.
        swapped = ends.scatter(-1, best, ends[..., :1])
        swapped[..., :1] = ends.gather(-1, best)
        scores = scores.clone()
        scores[..., every] = swapped
        over = torch.isin(tokens.to(scores.device), every[1:])
        if bool(over.any()):
            scores[over] = -CERTAIN
            scores[..., self.first] = torch.where(over, 0.0, scores[..., self.first])
        return scores
