"""Captioners around a language model of transformers that reads the audio before it speaks.

What comes before the words, audio and prompt, is the same for all beams, draws and trials of a
clip: its cache is computed once and shared.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

from capfix_cli.captioners.base import Captioner, Memory, State
from capfix_cli.captioners.huggingface.end_tokens import EndTokens
from capfix_cli.captioners.huggingface.kept_prompts import KeptPrompts
from capfix_cli.captioners.huggingface.prompt_cache import PromptCaches


class CachedPromptCaptioner(Captioner):
    """What such captioners share.

    A subclass gives ``encode`` and :meth:`open_prompt`, and calls :meth:`use_language_model`.
    """

    shares_memory = True

    def use_language_model(self, model: Any, ends: EndTokens) -> None:
        """Name the language model, as transformers has them, and what ends a text."""
        self.language_model, self.ends = model, ends
        takes = inspect.signature(model.forward).parameters
        self.takes = set(takes)
        # transformers 5.2x renamed the argument, and warns of the old name.
        self.cache_name = "cache" if "cache" in takes else "past_key_values"
        self.caches: PromptCaches | None = None
        self.kept = KeptPrompts()

    def open_prompt(self, memory: Memory) -> Memory:
        """Read audio and prompt -> what :meth:`fill` gives."""
        raise NotImplementedError(f"{type(self).__name__} must define open_prompt()")

    def prepare(self, memory: Memory) -> Memory:
        """Give the prompt's cache, computed once for a memory that is in use."""
        if "mask" in memory:
            return memory
        key, training = memory["audio"], self.language_model.training
        prepared = self.kept.find(key, training)
        if prepared is None:
            with torch.inference_mode():
                prepared = self.open_prompt(memory)
            self.kept.keep(key, training, prepared)
        return prepared

    def start(self, memory: Memory) -> State:
        """Nothing is said yet."""
        prepared = self.prepare(memory)
        return {"said": prepared["said"], "mask": prepared["mask"]}

    def step(self, token: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        """One token a row; the state is the keys and values of what the rows said."""
        scores, state = self.go_on(token.unsqueeze(1), state, self.prepare(memory))
        return self.ends.after(scores[:, -1], token), state

    def logits(self, prefix: Tensor, memory: Memory) -> Tensor:
        """[B, T] -> [B, V] by the whole prefix."""
        return self.sequence_logits(prefix, memory)[:, -1]

    def sequence_logits(self, tokens: Tensor, memory: Memory) -> Tensor:
        """[R, T] -> [R, T, V] in one pass over the prompt's cache."""
        prepared = self.prepare(memory)
        each = len(tokens) // len(prepared["mask"])
        scores, _ = self.go_on(tokens, spread_rows(self.start(prepared), each), prepared)
        return self.ends.after(scores, tokens)

    def fill(self, fed: dict[str, Any], mask: Tensor) -> Memory:
        """Run the language model over what comes before the words -> {prompt, said, mask, scores}.

        Args:
            fed: what it takes, by name.
            mask: [B, T] which places are a clip's.

        Returns:
            the prompt's cache, where rows go on from, the mask, and the scores of what comes next.
        """
        if "logits_to_keep" in self.takes:  # else [B, T, V]: gigabytes of a large vocabulary
            fed = {**fed, "logits_to_keep": 1}
        out = self._forward(fed, mask, mask.shape[1], None)
        cache = out[self.cache_name]
        if self.caches is None:
            self.caches = PromptCaches(cache)
            self.shares_memory = self.caches.shared
        prompt, said = self.caches.split(cache)
        scores = out.logits[:, -1].float()
        return {"prompt": prompt, "said": said, "mask": mask, "scores": scores}

    def go_on(self, tokens: Tensor, state: State, prepared: Memory) -> tuple[Tensor, State]:
        """[R, t] tokens -> [R, t, V] scores after each, and the new state."""
        assert self.caches is not None
        mask = state["mask"]
        tokens = tokens.to(mask.device)
        whole = torch.cat([mask, mask.new_ones(tokens.shape)], dim=1)
        length = prepared["mask"].shape[1]
        cache = self.caches.join(prepared["prompt"], state["said"], length)
        out = self._forward({"input_ids": tokens}, whole, tokens.shape[1], cache)
        said = self.caches.read(out[self.cache_name])
        return out.logits.float(), {"said": said, "mask": whole}

    def _forward(self, fed: dict[str, Any], mask: Tensor, places: int, cache: Any) -> Any:
        positions = (mask.long().cumsum(dim=1) - 1).clamp_min(0)[:, -places:]
        fed = dict(fed)
        if "position_ids" in self.takes:
            fed["position_ids"] = positions
        # As generate() does: without padding there is nothing to mask.
        fed["attention_mask"] = None if bool(mask.all()) else mask
        return self.language_model(
            **fed, **{self.cache_name: cache}, use_cache=True, return_dict=True
        )


def spread_rows(value: Any, times: int) -> Any:
    """Give every row of a nesting ``times`` times, side by side."""
    if times == 1:
        return value
    if isinstance(value, Tensor):
        return value.repeat_interleave(times, dim=0)
    if isinstance(value, dict):
        return {key: spread_rows(inner, times) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(spread_rows(inner, times) for inner in value)
    return value
