"""Hugging Face encoder-decoders that turn audio into text, from a local folder."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from capfix_cli.captioners.base import Captioner, Memory, State
from capfix_cli.captioners.huggingface.shared_attention import (
    KeysValues,
    install,
    make_cache,
    read_cache,
)
from capfix_cli.core.errors import CapfixError
from capfix_cli.core.thresholds import BATCH_TOLERANCE

# Tokens of a caption where the folder gives no limit. The longest captions of AudioCaps have some
# 50 words, of Clotho 20 (their papers); a word is about 1.3 pieces of a subword vocabulary.
MOST_TOKENS = 64
Inputs = Callable[[Tensor, Tensor], dict[str, Tensor]]


class HuggingFaceCaptioner(Captioner):
    """An encoder-decoder of transformers, its cache and its forced prefix used.

    Args:
        model: with ``get_encoder()`` and the usual ``forward``.
        tokenizer: of its words.
        inputs: (waveforms [B, samples], lengths [B]) -> what the encoder takes by name:
            ``input_features``, ``input_values`` or ``inputs_embeds``, and ``attention_mask``.
        sample_rate: Hz that ``inputs`` hears.
        prefix: tokens that every caption begins with; by default as the generation config says.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        inputs: Inputs,
        sample_rate: int,
        prefix: Sequence[int] | None = None,
    ) -> None:
        self.module, self.tokenizer, self.inputs = model, tokenizer, inputs
        self.way: str | None = None  # found on the first memory: see _find_way
        self.layers = 0  # of the decoder
        self.encoded: Any = None  # kind of what the encoder gives, once it gave something
        # transformers 5.2x renamed the argument, and warns of the old name.
        takes = inspect.signature(model.forward).parameters
        self.cache_name = "cache" if "cache" in takes else "past_key_values"
        self.sample_rate = sample_rate
        config = model.generation_config
        width = model.get_output_embeddings().weight.shape[0]
        known = {id_: piece for piece, id_ in tokenizer.get_vocab().items()}
        if max(known) >= width:
            raise CapfixError(
                f"The tokenizer has ids up to {max(known)}, the output layer {width} rows.",
                "Tokenizer and weights must be of the same model.",
            )
        # Rows beyond the tokenizer's are padding of the matrix: they are no words.
        self.vocabulary = [known.get(id_, "") for id_ in range(width)]
        self.forced = list(prefix) if prefix is not None else forced_prefix(model, tokenizer)
        self.bos_id = self.forced[0]
        self.eos_id = _token(config, model, "eos_token_id", tokenizer.eos_token_id)
        self.pad_id = _token(config, model, "pad_token_id", tokenizer.pad_token_id, needed=False)
        self.unk_id = tokenizer.unk_token_id
        self.never = list(getattr(config, "suppress_tokens", None) or [])
        self.never_first = list(getattr(config, "begin_suppress_tokens", None) or [])
        self.max_length = _limit(config, model, len(self.forced))

    def encode(self, waveforms: Tensor, lengths: Tensor) -> Memory:
        """Waveforms -> {hidden [B, frames, D], mask [B, ...] where the model uses one}."""
        return self._encode(self.inputs(waveforms, lengths))

    def _encode(self, inputs: dict[str, Tensor]) -> Memory:
        device = next(self.module.parameters()).device  # type: ignore[union-attr]
        fed = {name: part.to(device) for name, part in inputs.items()}
        # Whisper's and Speech2Text's encoders take features alone or with their mask.
        found = self.module.get_encoder()(**fed, return_dict=True)  # type: ignore[union-attr,operator]
        memory = {"hidden": found.last_hidden_state, "mask": fed.get("attention_mask")}
        # Moonshine's says which of its frames are a clip's, and its decoder asks the encoder.
        memory["heard"] = getattr(found, "attention_mask", None)
        self.encoded = type(found)
        return {name: part for name, part in memory.items() if part is not None}

    def start_prefix(self, batch: int) -> Tensor:
        """[B, T0]: the start token and what the model is forced to say after it."""
        return torch.tensor(self.forced).repeat(batch, 1)

    def prepare(self, memory: Memory) -> Memory:
        """Open the caption, and keep of the audio what every layer attends to."""
        if self.way is None:
            self.way = self._find_way(memory)
            self.shares_memory = self.way != "plain"
        prepared = dict(memory)
        if self.way == "frames":
            prepared["audio"] = self._audio(memory)
        prefix = self.start_prefix(len(memory["hidden"]))
        out = self._forward(prefix, memory, make_cache((), self._over(prepared)))
        cache = out[self.cache_name]
        if self.way != "frames":
            prepared["over"] = read_cache(cache.cross_attention_cache)
        prepared["opening"] = (out.logits[:, -1], read_cache(cache.self_attention_cache))
        return prepared

    def open(self, memory: Memory) -> tuple[Tensor, State]:
        """Give what :meth:`prepare` found at the end of the forced prefix."""
        if "opening" not in memory:
            memory = self.prepare(memory)
        scores, state = memory["opening"]
        return scores, state

    def logits(self, prefix: Tensor, memory: Memory) -> Tensor:
        """[B, T] -> [B, V] by the whole prefix."""
        scores: Tensor = self._forward(prefix, memory, None).logits[:, -1]
        return scores

    def sequence_logits(self, tokens: Tensor, memory: Memory) -> Tensor:
        """[R, T] -> [R, T, V] in one pass, over one copy of each clip's audio."""
        cache = make_cache((), self._over(memory)) if "opening" in memory else None
        scores: Tensor = self._forward(tokens, memory, cache).logits
        return scores

    def start(self, memory: Memory) -> State:
        """Nothing is cached yet."""
        return ()

    def step(self, token: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        """One token with the model's own cache; the state is its keys and values, rows first."""
        if "opening" not in memory:
            memory = self.prepare(memory)
        out = self._forward(token.unsqueeze(1), memory, make_cache(state, self._over(memory)))
        return out.logits[:, -1], read_cache(out[self.cache_name].self_attention_cache)

    def forbidden_tokens(self, position: int) -> Sequence[int]:
        """What the generation config forbids."""
        return self.never + self.never_first if position == 0 else self.never

    def detokenize(self, ids: Sequence[int]) -> str:
        """Text of the ids, special tokens left out."""
        return " ".join(self.tokenizer.decode(list(ids), skip_special_tokens=True).split())

    def tokenize(self, text: str) -> list[int]:
        """Ids of a text, without special tokens."""
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)

    def _audio(self, memory: Memory) -> Tensor:
        """[B, frames, D] as the decoder's layers take it."""
        project = getattr(self.module, "enc_to_dec_proj", None)
        hidden: Tensor = memory["hidden"]
        return hidden if project is None else project(hidden)

    def _over(self, memory: Memory) -> tuple[KeysValues, ...]:
        """Give what each layer attends to; nothing where transformers shall compute it."""
        if "audio" in memory:
            frames = memory["audio"].unsqueeze(1)
            return ((frames, frames),) * self.layers
        over: tuple[KeysValues, ...] = memory.get("over", ())
        return over

    def _find_way(self, memory: Memory) -> str:
        """Try on one clip which way of hearing gives the scores that transformers gives.

        ``frames``: two rows over the encoder's frames; ``shared``: two rows over one copy of keys
        and values; ``plain``: neither works for this architecture.
        """
        one = {name: part[:1] for name, part in memory.items()}
        prefix = self.start_prefix(2)
        prefix = torch.cat([prefix, torch.tensor([[self.eos_id], [self.forced[-1]]])], dim=1)
        alone = [self._forward(row[None], one, make_cache((), ())) for row in prefix]
        scores = torch.cat([out.logits[:, -1] for out in alone])
        over = read_cache(alone[0][self.cache_name].cross_attention_cache)
        self.layers = len(over)
        if not install(self.module):
            return "plain"
        spread = scores.double().std(dim=1).mean().clamp_min(1e-12)
        frames = self._audio(one).unsqueeze(1)
        for way, heard in (("frames", ((frames, frames),) * self.layers), ("shared", over)):
            try:
                both = self._forward(prefix, one, make_cache((), heard)).logits[:, -1]
            except (RuntimeError, ValueError, IndexError, TypeError, AttributeError):
                continue
            if bool((both - scores).abs().max() / spread <= BATCH_TOLERANCE.value):
                return way
        return "plain"

    def _forward(self, tokens: Tensor, memory: Memory, cache: Any) -> Any:
        from transformers.modeling_outputs import BaseModelOutput

        extra = {"attention_mask": memory["mask"]} if "mask" in memory else {}
        encoded = BaseModelOutput(last_hidden_state=memory["hidden"])
        if self.encoded is not None and hasattr(self.encoded, "attention_mask"):
            encoded = self.encoded(
                last_hidden_state=memory["hidden"], attention_mask=memory.get("heard")
            )
        return self.module(  # type: ignore[misc]
            encoder_outputs=encoded,
            decoder_input_ids=tokens.to(memory["hidden"].device),
            use_cache=cache is not None,
            return_dict=True,
            **{self.cache_name: cache},
            **extra,
        )


class SpectrogramCaptioner(HuggingFaceCaptioner):
    """One whose encoder takes ``input_features``, apart from which other front ends can be tried.

    Arguments are those of :class:`HuggingFaceCaptioner`.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        inputs: Inputs,
        sample_rate: int,
        prefix: Sequence[int] | None = None,
    ) -> None:
        super().__init__(model, tokenizer, inputs, sample_rate, prefix)
        noise = 0.1 * torch.randn(sample_rate, generator=torch.Generator().manual_seed(0))
        fed = inputs(noise.unsqueeze(0), torch.tensor([sample_rate]))
        self.masked = "attention_mask" in fed
        bands = getattr(model.config, "num_mel_bins", None)
        self.bands_first = fed["input_features"].shape[1] == bands  # as Whisper takes them

    def features(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Waveforms -> [B, frames, bands] and how many of the frames the encoder hears, [B]."""
        fed = self.inputs(waveforms, lengths)
        frames = fed["input_features"]
        if self.bands_first:
            frames = frames.transpose(1, 2)
        counts = torch.full((len(frames),), frames.shape[1])
        return frames, fed["attention_mask"].sum(1).long() if self.masked else counts

    def encode_features(self, features: Tensor, lengths: Tensor) -> Memory:
        """[B, frames, bands] -> as :meth:`encode`."""
        fed = {"input_features": features.transpose(1, 2) if self.bands_first else features}
        if self.masked:
            inside = torch.arange(features.shape[1]) < lengths.cpu().unsqueeze(1)
            fed["attention_mask"] = inside.long()
        return self._encode(fed)


def _token(config: Any, model: Any, name: str, fallback: int | None, needed: bool = True) -> Any:
    """Find a special id where transformers keeps it; never guess it."""
    for place in (config, model.config, getattr(model.config, "decoder", None)):
        value = getattr(place, name, None)
        value = value[0] if isinstance(value, list | tuple) and value else value
        if isinstance(value, int):
            return value
    if fallback is None and needed:
        raise CapfixError(
            f"Neither config nor tokenizer of the model names its {name}.",
            f"Put {name} into generation_config.json.",
        )
    return fallback


def forced_prefix(model: Any, tokenizer: Any, forced: Any = None) -> list[int]:
    """The start token, then the forced ones: of the generation config, else the tokenizer's."""
    config = model.generation_config
    start = _token(config, model, "decoder_start_token_id", tokenizer.bos_token_id)
    forced = forced or getattr(config, "forced_decoder_ids", None)
    forced = forced or getattr(model.config, "forced_decoder_ids", None)
    if forced:
        return [start, *(int(token) for _, token in sorted(forced) if token is not None)]
    own = getattr(tokenizer, "prefix_tokens", None)  # Whisper's: language, task, no timestamps
    if own and own[0] == start:
        return list(own)
    first = getattr(config, "forced_bos_token_id", None)
    return [start] if first is None else [start, int(first)]


def _limit(config: Any, model: Any, prefix: int) -> int:
    room = next(
        (
            value - prefix
            for place in (model.config, getattr(model.config, "decoder", None))
            for name in ("max_target_positions", "max_position_embeddings", "n_positions")
            if isinstance(value := getattr(place, name, None), int)
        ),
        MOST_TOKENS,
    )
    told = getattr(config, "max_new_tokens", None)
    if told is None and isinstance(config.max_length, int) and config.max_length > 20:
        told = min(config.max_length - prefix, MOST_TOKENS)  # 20 is what none given looks like
    return max(1, min(told or MOST_TOKENS, room))
