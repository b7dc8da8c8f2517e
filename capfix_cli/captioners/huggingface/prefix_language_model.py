"""An audio encoder before a causal language model, through a projected prefix.

CLAP or a CNN, a mapping to a few embeddings, GPT-2: the layout of ClipCap (Mokady et al., arXiv
2111.09734), and of many captioners since.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from capfix_cli.captioners.base import Memory, State
from capfix_cli.captioners.generic import Generic
from capfix_cli.captioners.huggingface.cached_prompt import CachedPromptCaptioner, spread_rows
from capfix_cli.captioners.huggingface.end_tokens import EndTokens
from capfix_cli.checkpoints.vocabulary import Vocabulary
from capfix_cli.core.errors import CapfixError


class PrefixLanguageModelCaptioner(CachedPromptCaptioner, Generic):
    """A network whose audio is a prefix of embeddings before a causal language model's words.

    Args:
        module: the whole network, for eval mode and layer traces.
        encoder: features [B, frames, F] (and lengths with ``encoder_takes_lengths``) -> anything
            that ``project`` takes.
        project: what the encoder gave -> the prefix [B, P, D], or [B, D] of one place, or a pair of
            the prefix and [B, P] which of its places are a clip's.
        language_model: a causal language model of transformers, D wide.
        tokenizer: of its words: transformers' own, or a :class:`Vocabulary`.
        prompt: text between prefix and caption, or its token ids; none by default.
        begin: token that was fed before every caption in training, by id; by default the caption
            begins right after prefix and prompt.
        end: token that ends captions, by id; by default the tokenizer's.
        common: as :class:`capfix_cli.EncodeDecodeCaptioner` takes it: ``front_end``,
            ``sample_rate``, ``max_length``, ...

    Raises:
        CapfixError: no end token is known, or the tokenizer has words that the language model
            lacks.
    """

    def __init__(
        self,
        *,
        project: Callable[[Any], Any],
        language_model: Any,
        tokenizer: Any,
        prompt: str | Sequence[int] | None = None,
        begin: int | None = None,
        end: int | None = None,
        **common: Any,
    ) -> None:
        words = _words(tokenizer, language_model, begin, end)
        super().__init__(vocabulary=words, **common)
        self.project, self.tokenizer, self.begin = project, tokenizer, begin
        self.use_language_model(language_model, EndTokens(words.eos_id))
        if isinstance(prompt, str):
            prompt = self.tokenize(prompt)
        self.prompt = list(prompt or ())

    def encode_features(self, features: Tensor, lengths: Tensor) -> Memory:
        """Features -> {audio: the prefix [B, P, D], heard [B, P]}."""
        prefix = self.project(super().encode_features(features, lengths))
        prefix, heard = prefix if isinstance(prefix, tuple) else (prefix, None)
        if prefix.ndim == 2:
            prefix = prefix.unsqueeze(1)
        wanted = self.language_model.get_input_embeddings().weight.shape[1]
        if prefix.ndim != 3 or prefix.shape[2] != wanted:
            raise CapfixError(
                f"project() gave {list(prefix.shape)}, where the language model takes a prefix of"
                f" [clips, places, {wanted}].",
                "Reshape it there: x.view(len(x), -1, width).",
            )
        if heard is None:
            heard = torch.ones(prefix.shape[:2], dtype=torch.bool, device=prefix.device)
        return {"audio": prefix, "heard": heard.bool()}

    def open_prompt(self, memory: Memory) -> Memory:
        """Read the prefix and the prompt."""
        prefix, heard = memory["audio"], memory["heard"]
        if not bool(heard.all()):
            # What is said follows what was heard: places that hold nothing come first.
            order = heard.int().argsort(dim=1, stable=True)
            prefix = prefix.gather(1, order.unsqueeze(2).expand_as(prefix))
            heard = heard.gather(1, order)
        embed = self.language_model.get_input_embeddings()
        if self.prompt:
            ids = torch.tensor(self.prompt, device=prefix.device).expand(len(prefix), -1)
            prefix = torch.cat([prefix, embed(ids).to(prefix.dtype)], dim=1)
            heard = torch.cat([heard, torch.ones_like(ids, dtype=torch.bool)], dim=1)
        return self.fill({"inputs_embeds": prefix.to(embed.weight.dtype)}, heard.long())

    def start(self, memory: Memory) -> State:
        """Nothing is said yet."""
        return {**super().start(memory), "place": 0}

    def step(self, token: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        """One token a row; the first one is fed where captions begin with a token."""
        place = state["place"]
        if place == 0 and self.begin is None:
            prepared = self.prepare(memory)
            each = len(token) // len(prepared["mask"])
            return spread_rows(prepared["scores"], each), {**state, "place": 1}
        scores, state = super().step(token, state, memory)
        return scores, {**state, "place": place + 1}

    def sequence_logits(self, tokens: Tensor, memory: Memory) -> Tensor:
        """[R, T] -> [R, T, V] in one pass over the prefix's cache."""
        if self.begin is not None:
            return super().sequence_logits(tokens, memory)
        prepared = self.prepare(memory)
        each = len(tokens) // len(prepared["mask"])
        first: Tensor = spread_rows(prepared["scores"], each).unsqueeze(1)
        if tokens.shape[1] == 1:
            return first
        return torch.cat([first, super().sequence_logits(tokens[:, 1:], prepared)], dim=1)

    def detokenize(self, ids: Sequence[int]) -> str:
        """Text of the ids, special tokens left out."""
        if isinstance(self.tokenizer, Vocabulary):
            return super().detokenize(ids)
        said = [token for token in ids if token not in {self.bos_id, self.eos_id, self.pad_id}]
        return " ".join(self.tokenizer.decode(said, skip_special_tokens=True).split())

    def tokenize(self, text: str) -> list[int]:
        """Ids of a text, without special tokens."""
        if isinstance(self.tokenizer, Vocabulary):
            return super().tokenize(text)
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)


def _words(tokenizer: Any, model: Any, begin: int | None, end: int | None) -> Vocabulary:
    """Name the language model's tokens and the special ones among them."""
    width = model.get_output_embeddings().weight.shape[0]
    special: tuple[int | None, ...]
    if isinstance(tokenizer, Vocabulary):
        known = dict(enumerate(tokenizer.words))
        special = (tokenizer.eos_id, tokenizer.bos_id, tokenizer.pad_id, tokenizer.unk_id)
    else:
        known = {id_: str(piece) for piece, id_ in tokenizer.get_vocab().items()}
        names = ("eos", "bos", "pad", "unk")
        special = tuple(getattr(tokenizer, f"{name}_token_id", None) for name in names)
    eos, bos, pad, unk = special
    eos = end if end is not None else eos
    if eos is None:
        raise CapfixError(
            "What ends a caption is not known: the tokenizer of the language model names nothing.",
            "Give end=, the id of the token that training put last.",
        )
    if max(known) >= width:
        raise CapfixError(
            f"The tokenizer has ids up to {max(known)}, the language model {width} words.",
            "Tokenizer and language model must be of the same model.",
        )
    opens = next(token for token in (begin, bos, eos) if token is not None)
    return Vocabulary(tuple(known.get(id_, "") for id_ in range(width)), opens, eos, pad, unk)
