"""Language models that hear: audio and a prompt in, words out, from a local folder.

The memory is what the model's own encoder and projection make of a clip, [B, A, D]; the prompt is
put around it when captions are opened, and its cache is computed once and shared by beams, draws
and trials over the same memory.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from capfix_cli.captioners.base import Captioner, Memory
from capfix_cli.captioners.huggingface.audio_placement import (
    AudioPlacement,
    Inputs,
    find_placements,
)
from capfix_cli.captioners.huggingface.audio_prompt import PROMPTS, AudioPrompt
from capfix_cli.captioners.huggingface.cached_prompt import CachedPromptCaptioner
from capfix_cli.captioners.huggingface.end_tokens import EndTokens
from capfix_cli.captioners.huggingface.kept_prompts import KeptPrompts
from capfix_cli.core.errors import CapfixError
from capfix_cli.core.thresholds import BATCH_TOLERANCE

# Tokens of a caption where the folder gives no limit, as for encoder-decoders.
MOST_TOKENS = 64
# Rounding steps of the weights' type that scores may differ by, over their spread. Another order of
# sums gave up to 7 (half precision, tiny models); audio in a wrong place or none, above 2,000.
ROUNDING = 16
WORDS_TRIED = 3  # words that are compared with the model's own generate() before anything is said
NOTHING = -1  # in place of an id where a shorter prompt has none


class AudioLanguageCaptioner(CachedPromptCaptioner):
    """An audio language model of transformers, with its prompt.

    Args:
        model: takes ``input_ids`` and a processor's audio features, and generates.
        prompt: makes its inputs.
        path: of the folder, for messages.

    Raises:
        CapfixError: its scores, word by word, are not those of its own ``generate``.
    """

    def __init__(self, model: Any, prompt: AudioPrompt, path: str) -> None:
        self.module, self.prompt, self.tokenizer = model, prompt, prompt.tokenizer
        self.sample_rate, self.path = prompt.sample_rate, path
        self.use_language_model(model, EndTokens.of(model, self.tokenizer))
        width = model.get_output_embeddings().weight.shape[0]
        known = {id_: piece for piece, id_ in self.tokenizer.get_vocab().items()}
        self.vocabulary = [str(known.get(id_, "")) for id_ in range(width)]
        self.eos_id = self.ends.first
        self.pad_id = _pad(model, self.tokenizer)
        self.unk_id = getattr(self.tokenizer, "unk_token_id", None)
        config = model.generation_config
        self.never = list(getattr(config, "suppress_tokens", None) or [])
        self.never_first = list(getattr(config, "begin_suppress_tokens", None) or [])
        told = getattr(config, "max_new_tokens", None)
        self.max_length = told if isinstance(told, int) and told > 0 else MOST_TOKENS
        self.placement: AudioPlacement | None = None
        self.skeleton: tuple[list[int], list[int]] | None = None  # ids before and after the audio
        self.filler = self.pad_id or 0
        self._rephrased: dict[str, Captioner] | None = None  # made when they are asked for
        self._study()

    def encode(self, waveforms: Tensor, lengths: Tensor) -> Memory:
        """Waveforms -> {audio [B, A, D], heard [B, A], ids [B, T] where no rule gives them}."""
        fed = self._fed(waveforms, lengths)
        with torch.inference_mode(), same_draws():
            if self.placement is None:
                return self._read_prompt(fed)
            audio, heard = self.placement.take(self.module, fed)
        memory = {"audio": audio, "heard": heard}
        if self.skeleton is None:
            memory["ids"] = fed["input_ids"].masked_fill(fed["attention_mask"] == 0, NOTHING)
        return memory

    def start_prefix(self, batch: int) -> Tensor:
        """[B, 1]: the prompt's last token, after which the caption begins."""
        return torch.full((batch, 1), self.bos_id, dtype=torch.long)

    def forbidden_tokens(self, position: int) -> Sequence[int]:
        """What the generation config forbids."""
        return self.never + self.never_first if position == 0 else self.never

    def detokenize(self, ids: Sequence[int]) -> str:
        """Text of the ids, special tokens and the prompt's end left out."""
        said = list(itertools.dropwhile(lambda token: token == self.bos_id, ids))
        return " ".join(self.tokenizer.decode(said, skip_special_tokens=True).split())

    def tokenize(self, text: str) -> list[int]:
        """Ids of a text, without special tokens."""
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)

    def rephrased(self) -> Mapping[str, Captioner]:
        """Give this model asked in the words that published ones are asked."""
        if self._rephrased is None:
            self._rephrased = {}
            if self.skeleton is not None:
                for words in PROMPTS:
                    if words != self.prompt.prompt:
                        with contextlib.suppress(CapfixError):
                            self._rephrased[words] = self.with_prompt(words)
        return self._rephrased

    def with_prompt(self, words: str) -> AudioLanguageCaptioner:
        """Give the same model asked otherwise, over the same memories.

        Raises:
            CapfixError: the prompt's ids follow no rule, or its template does not take the words.
        """
        other = copy.copy(self)
        other._rephrased = {}
        other.prompt = AudioPrompt(self.prompt.processor, words, self.path)
        other.kept = KeptPrompts()
        fed = other._fed(*_noise(self.sample_rate, 1, 1))
        other._read_skeleton(fed)
        if other.skeleton is None or self.skeleton is None:
            raise CapfixError(f"The prompt of {self.path} cannot be exchanged.")
        return other

    def _fed(self, waveforms: Tensor, lengths: Tensor) -> Inputs:
        """Give what the network takes of the processor's, where and as it takes it."""
        weights = next(self.module.parameters())  # type: ignore[union-attr]
        made = self.prompt(waveforms, lengths)
        made.setdefault("attention_mask", torch.ones_like(made["input_ids"]))
        floats = {n: p.to(weights.dtype) if p.is_floating_point() else p for n, p in made.items()}
        return {n: p.to(weights.device) for n, p in floats.items() if n in self.takes}

    def _study(self) -> None:
        """Find how the audio goes in, and compare with the model's own generate().

        Raises:
            CapfixError: neither way of going word by word gives the scores of ``generate``.
        """
        alike = self._fed(*_noise(self.sample_rate, 1, 1))
        placements = find_placements(self.module, alike)
        waveforms, lengths = _noise(self.sample_rate, 1, 1.7)
        theirs, words = self._generated(waveforms, lengths)
        for placement in (*placements, None):
            self.placement = placement
            self._read_skeleton(alike)
            apart = self._apart(waveforms, lengths, theirs, words)
            if apart <= _tolerance(self.module):
                return
        raise CapfixError(
            f"The scores of {self.path}, word by word, are not those of its own generate(): "
            f"{apart:.2g} of their spread apart.",
            "Give an adapter around it: docs/adapters.md.",
        )

    @torch.inference_mode()
    def _apart(self, waveforms: Tensor, lengths: Tensor, theirs: Tensor, words: Tensor) -> float:
        """How far scores are from those of generate, over their spread; infinite where none are."""
        prefix = torch.cat([self.start_prefix(len(words)), words[:, :-1].cpu()], dim=1)
        try:
            memory = self.encode(waveforms, lengths)
            ours, state = [], self.start(memory)
            for column in prefix.to(words.device).unbind(dim=1):
                scores, state = self.go_on(column.unsqueeze(1), state, self.prepare(memory))
                ours.append(scores[:, -1])
        except (RuntimeError, ValueError, IndexError, TypeError, AttributeError, KeyError):
            return float("inf")
        spread = theirs.double().std(dim=2).mean().clamp_min(1e-12)
        return float((torch.stack(ours, dim=1) - theirs).abs().max() / spread)

    @torch.inference_mode()
    def _generated(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """[B, n, V] raw scores and [B, n] words of the model's own generate."""
        with same_draws():
            found = self.module.generate(  # type: ignore[union-attr,operator]
                **self._fed(waveforms, lengths),
                max_new_tokens=WORDS_TRIED,
                min_new_tokens=WORDS_TRIED,
                do_sample=False,
                num_beams=1,
                return_dict_in_generate=True,
                output_logits=True,
            )
        logits = torch.stack(found.logits, dim=1).float()
        return logits, found.sequences[:, -logits.shape[1] :]

    def _read_skeleton(self, fed: Inputs) -> None:
        """Find the prompt's ids before and after the audio, where its places are one run."""
        ids = fed["input_ids"][0].tolist()
        self.bos_id = ids[-1]
        self.skeleton = None
        if self.placement is not None:
            token = self.placement.token
            first = ids.index(token)
            last = len(ids) - 1 - ids[::-1].index(token)
            if ids[first : last + 1].count(token) == last + 1 - first:
                self.skeleton = ids[:first], ids[last + 1 :]

    def _ids(self, memory: Memory) -> tuple[Tensor, Tensor]:
        """[B, T] ids of the prompt around each clip's audio and their mask, padded left."""
        if "ids" in memory:
            mask = (memory["ids"] != NOTHING).long()
            return memory["ids"].masked_fill(mask == 0, self.filler), mask
        assert self.skeleton is not None
        assert self.placement is not None
        before, after = self.skeleton
        counts = memory["heard"].sum(dim=1).tolist()
        width = len(before) + len(after) + max(counts)
        ids, mask = [], []
        for count in counts:
            own = [*before, *[self.placement.token] * count, *after]
            ids.append([self.filler] * (width - len(own)) + own)
            mask.append([0] * (width - len(own)) + [1] * len(own))
        device = memory["heard"].device
        return torch.tensor(ids, device=device), torch.tensor(mask, device=device)

    def open_prompt(self, memory: Memory) -> Memory:
        """Open the prompt around audio that was heard before."""
        assert self.placement is not None
        ids, mask = self._ids(memory)
        ids, mask = ids[:, :-1], mask[:, :-1]
        with self.placement.given(ids, mask, memory["audio"], memory["heard"]):
            return self._read_prompt({"input_ids": ids, "attention_mask": mask}, cut=False)

    def _read_prompt(self, fed: Inputs, cut: bool = True) -> Memory:
        """Run the prompt but for its last token -> its cache, and where rows go on from.

        Args:
            fed: ids, mask and what else the network takes.
            cut: the last token is still there.
        """
        places = fed["input_ids"].shape[1]
        if cut:  # whatever has a value for each id loses the last one
            fed = {
                name: part[:, :-1] if part.ndim > 1 and part.shape[1] == places else part
                for name, part in fed.items()
            }
        return self.fill(fed, fed["attention_mask"])


@contextlib.contextmanager
def same_draws() -> Iterator[None]:
    """Let networks that draw noise while they listen draw the same each time; VibeVoice does."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(0)
        yield


def _noise(rate: int, *seconds: float) -> tuple[Tensor, Tensor]:
    """Make clips of noise, of these lengths: [B, samples] and [B]."""
    lengths = torch.tensor([int(each * rate) for each in seconds])
    generator = torch.Generator().manual_seed(0)
    waveforms = 0.1 * torch.randn(len(lengths), int(lengths.max()), generator=generator)
    inside = torch.arange(waveforms.shape[1]) < lengths.unsqueeze(1)
    return waveforms * inside, lengths


def _tolerance(model: Any) -> float:
    """How far scores may be apart by rounding alone, over their spread."""
    weights = next(model.parameters()).dtype
    steps = torch.finfo(weights).eps if weights.is_floating_point else 0.0
    # Quantised weights are no floating-point numbers; what is computed with them is half precision.
    return max(BATCH_TOLERANCE.value, ROUNDING * (steps or torch.finfo(torch.bfloat16).eps))


def _pad(model: Any, tokenizer: Any) -> int | None:
    """Find the token that fills batches."""
    configs = (model.generation_config, model.config, model.config.get_text_config())
    told = (getattr(config, "pad_token_id", None) for config in configs)
    found = next((token for token in told if isinstance(token, int)), None)
    return tokenizer.pad_token_id if found is None else found
