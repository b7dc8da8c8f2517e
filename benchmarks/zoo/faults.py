"""One known fault at a time, put into a sound captioner; each names the cause that it is.

Some faults are put into the captioner (its input, its weights, the way it is run), some into the
audio; those of training are trained (``benchmarks/accuracy/causes_training.py``).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor, nn

from capfix_cli.captioners.base import Captioner
from capfix_cli.captioners.huggingface.huggingface_captioner import HuggingFaceCaptioner
from capfix_cli.captioners.own.own_captioner import OwnCaptioner
from capfix_cli.decoding import nested_tensors as nested
from capfix_cli.probes.captioner_variants import derive, on_features, on_waveforms
from capfix_cli.probes.front_end_candidates import RATES


@dataclass(frozen=True)
class World:
    """What a break may use besides the captioner.

    Attributes:
        memory: of some training clips.
        references: as token ids, of the test clips, end included.
        seed: which variant of a fault.
    """

    memory: Any
    references: Sequence[tuple[int, ...]]
    seed: int


Break = Callable[[Any, World], Any]  # None where the fault cannot be there


def _copy(captioner: Any) -> Any:
    changed = copy.copy(captioner)
    changed.module = copy.deepcopy(captioner.module)
    return changed


def _encoder(captioner: Any) -> Any:
    module = captioner.module
    return module.encoder if isinstance(captioner, OwnCaptioner) else module.get_encoder()


def _decoder(captioner: Any) -> Any:
    module = captioner.module
    return module.decoder if isinstance(captioner, OwnCaptioner) else module.get_decoder()


def _constant(world: World, memory: Any, dim: int = 0) -> Any:
    """The mean memory in the form of another: the same for all clips and frames."""
    means: list[Tensor] = []

    def take(tensor: Tensor) -> Tensor:
        if tensor.is_floating_point():
            axes = tuple(range(tensor.ndim - 1))
            means.append(tensor.mean(dim=axes))
        return tensor

    nested.apply(world.memory, take)
    waiting = iter(means)

    def put(tensor: Tensor) -> Tensor:
        return next(waiting).expand_as(tensor) if tensor.is_floating_point() else tensor

    return nested.apply(memory, put)


# Input

_SCALES: tuple[Callable[[Tensor], Tensor], ...] = (
    lambda x: x / math.log(10),
    lambda x: 10 / math.log(10) * x,
    lambda x: (x + 5.0) / 4.0,
    lambda x: x / 2,
    torch.exp,
)


def feature_scale(captioner: Any, world: World) -> Any:
    """Feed features on another scale."""
    if isinstance(captioner, HuggingFaceCaptioner):
        factor = (math.log(10), 1.0, 10.0)[world.seed % 3]  # ln, log10 and dB of power
        return on_features(captioner, lambda x: factor * (4 * x - 4))
    kind = world.seed % (len(_SCALES) + 1)
    if kind == len(_SCALES):
        return on_waveforms(captioner, lambda samples: 32768 * samples)
    return on_features(captioner, _SCALES[kind])


def sample_rate(captioner: Any, world: World) -> Any:
    """Claim another sample rate."""
    others = [r for r in RATES if r != captioner.sample_rate]
    return derive(captioner, sample_rate=others[world.seed % len(others)])


# Weights


def weights_missing(captioner: Any, world: World) -> Any:
    """Leave a part as its constructor made it."""
    changed = _copy(captioner)
    encoder, decoder = _encoder(changed), _decoder(changed)
    own = isinstance(captioner, OwnCaptioner)
    deep = [encoder.blocks, encoder.out] if own else [encoder.layers, encoder.layer_norm]
    torch.manual_seed(world.seed)
    for part in ([encoder], [decoder], deep)[world.seed % 3]:
        for layer in part.modules():
            if own and hasattr(layer, "reset_parameters"):
                layer.reset_parameters()
            elif not own:
                layer._is_hf_initialized = False
                for parameter in layer.parameters(recurse=False):
                    parameter._is_hf_initialized = False
                changed.module._init_weights(layer)  # as for keys that a file lacks
    return changed


def weights_untrained(captioner: Any, world: World) -> Any:
    """Leave all of it so."""
    torch.manual_seed(world.seed)
    if isinstance(captioner, OwnCaptioner):
        fresh: Any = OwnCaptioner(captioner.config, captioner.vocabulary)
    else:
        fresh = copy.copy(captioner)
        fresh.module = type(captioner.module)(captioner.module.config)
    fresh.module.eval()
    return fresh


# Evaluation


def batch_dependence(captioner: Any, world: World) -> Any:
    """A position is indexed by the row of the batch and not by time."""

    def encode(self: Captioner, waveforms: Tensor, lengths: Tensor) -> Any:
        memory = captioner.encode(waveforms, lengths)

        def shift(tensor: Tensor) -> Tensor:
            if not tensor.is_floating_point():
                return tensor
            rows = torch.arange(tensor.shape[0]).view(-1, *[1] * (tensor.ndim - 1))
            column = torch.arange(tensor.shape[-1]) / tensor.shape[-1]
            wave = torch.sin(rows * (1 + 9 * column))  # alone, a clip is as it should be
            return tensor + (1 + world.seed % 3) * tensor.std() * wave

        return nested.apply(memory, shift)

    return derive(captioner, encode=encode)


def train_mode(captioner: Any, world: World) -> Any:
    """Put the network in training mode whenever it encodes."""
    changed = _copy(captioner)
    for layer in changed.module.modules():
        if isinstance(layer, nn.Dropout | nn.Dropout2d):
            layer.p = max(layer.p, 0.3)
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.momentum = 0.0  # what it remembers is not to change while it is looked at
        if isinstance(getattr(layer, "dropout", None), float):  # of transformers
            layer.dropout = max(layer.dropout, 0.3)

    def encode(self: Captioner, waveforms: Tensor, lengths: Tensor) -> Any:
        changed.module.train()
        return changed.encode_features(*changed.features(waveforms, lengths))

    return derive(changed, encode=encode)


def padding(captioner: Any, world: World) -> Any:
    """Lengths are not used: padding counts as sound, as it always does for Whisper."""
    if isinstance(captioner, HuggingFaceCaptioner):
        return None

    def encode(self: Captioner, waveforms: Tensor, lengths: Tensor) -> Any:
        return captioner.encode(waveforms, torch.full_like(lengths, waveforms.shape[1]))

    return derive(captioner, encode=encode)


# Vocabulary


def vocabulary(captioner: Any, world: World) -> Any:
    """Mix the word list, or move it by one."""
    words = list(captioner.vocabulary)
    special, rest = words[:4], words[4:]
    if world.seed % 2:
        rest = rest[1:] + rest[:1]
    else:
        order = np.random.default_rng(world.seed).permutation(len(rest))
        rest = [rest[i] for i in order]
    mixed = [*special, *rest]
    changed = derive(captioner, vocabulary=mixed)
    changed.__dict__.pop("_words", None)
    if isinstance(captioner, HuggingFaceCaptioner):

        def tokenize(self: Captioner, text: str) -> list[int]:
            return [mixed.index(words[number]) for number in captioner.tokenize(text)]

        def detokenize(self: Captioner, ids: Sequence[int]) -> str:
            return " ".join(mixed[number] for number in ids if number >= len(special))

        changed = derive(changed, tokenize=tokenize, detokenize=detokenize)
    return changed


def special_tokens(captioner: Any, world: World) -> Any:
    """End with the padding, or exchange begin and end."""
    if world.seed % 2:
        return derive(captioner, eos_id=0, pad_id=None)
    begin, end = captioner.bos_id, captioner.eos_id
    return derive(captioner, bos_id=end, eos_id=begin, forced=[end])


# Encoder and conditioning


def encoder_collapsed(captioner: Any, world: World) -> Any:
    """Bring all memories near their mean."""

    def encode(self: Captioner, waveforms: Tensor, lengths: Tensor) -> Any:
        memory = captioner.encode(waveforms, lengths)
        constant = _constant(world, memory)
        kept = iter(_floats(constant))
        return nested.apply(
            memory,
            lambda t: 0.003 * t + 0.997 * next(kept) if t.is_floating_point() else t,
        )

    return derive(captioner, encode=encode)


def _floats(memory: Any) -> list[Tensor]:
    found: list[Tensor] = []

    def take(tensor: Tensor) -> Tensor:
        if tensor.is_floating_point():
            found.append(tensor)
        return tensor

    nested.apply(memory, take)
    return found


class _Pooled(nn.Module):
    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        frames, mask = self.encoder(features, lengths)
        inside = mask.unsqueeze(2)
        mean = (frames * inside).sum(1, keepdim=True) / inside.sum(1, keepdim=True)
        return mean * inside, mask


def time_pooling(captioner: Any, world: World) -> Any:
    """Average the frames over time and hand out the mean for each."""
    if isinstance(captioner, HuggingFaceCaptioner):

        def encode(self: Captioner, waveforms: Tensor, lengths: Tensor) -> Any:
            hidden = captioner.encode(waveforms, lengths)["hidden"]
            return {"hidden": hidden.mean(1, keepdim=True).expand_as(hidden).contiguous()}

        return derive(captioner, encode=encode)
    if captioner.config.encoder.pooling == "time":
        return None
    changed = _copy(captioner)
    changed.module.encoder = _Pooled(changed.module.encoder)
    return changed


def _by_prefix(captioner: Any, logits: Callable[..., Any]) -> Captioner:
    return derive(
        captioner,
        logits=logits,
        sequence_logits=Captioner.sequence_logits,
        start=Captioner.start,
        step=Captioner.step,
        open=Captioner.open,
        prepare=Captioner.prepare,
        shares_memory=False,
    )


def ignored(captioner: Any, world: World) -> Any:
    """Let the decoder hear the mean memory for ever."""

    def logits(self: Captioner, prefix: Tensor, memory: Any) -> Any:
        return captioner.logits(prefix, _constant(world, memory))

    return _by_prefix(captioner, logits)


def first_step_only(captioner: Any, world: World) -> Any:
    """Let it hear the clip at the first word, or two, alone."""

    def logits(self: Captioner, prefix: Tensor, memory: Any) -> Any:
        heard = memory if prefix.shape[1] <= 1 + world.seed % 2 else _constant(world, memory)
        return captioner.logits(prefix, heard)

    return _by_prefix(captioner, logits)


def constant_attention(captioner: Any, world: World) -> Any:
    """Make the scores of attention a thousandth."""
    changed = _copy(captioner)
    decoder = _decoder(changed)
    scores: list[Any] = []
    if getattr(decoder, "attention", None) is not None:
        scores = [decoder.attention.score]
    elif hasattr(decoder, "layers"):
        own = isinstance(captioner, OwnCaptioner)
        scores = [
            layer.cross_attention.query if own else layer.encoder_attn.q_proj
            for layer in decoder.layers
        ]
    if not scores:
        return None
    with torch.no_grad():
        for layer in scores:
            for weight in layer.parameters():
                weight.mul_(1e-3)
    return changed


# Decoder


def prefix_blind(captioner: Any, world: World) -> Any:
    """Feed the begin token for ever."""

    def logits(self: Captioner, prefix: Tensor, memory: Any) -> Any:
        return captioner.logits(torch.full_like(prefix, captioner.bos_id), memory)

    return _by_prefix(captioner, logits)


def overconfident(captioner: Any, world: World) -> Any:
    """Multiply the scores of words."""
    changed = _copy(captioner)
    factor = (4.0, 6.0, 8.0)[world.seed % 3]
    own = isinstance(captioner, OwnCaptioner)
    out = changed.module.decoder.out if own else changed.module.proj_out
    for name, parameter in list(out.named_parameters()):
        setattr(out, name, nn.Parameter(factor * parameter.detach()))  # no longer tied
    return changed


def search(captioner: Any, world: World) -> Any:
    """One bland caption leads at the first word by a little, and is then followed to its end."""
    favourite = world.references[world.seed % len(world.references)]

    def logits(self: Captioner, prefix: Tensor, memory: Any) -> Any:
        scores = captioner.logits(prefix, memory).log_softmax(dim=1)
        said = prefix[:, 1:]
        place = said.shape[1]
        if place >= len(favourite):
            return scores
        follows = (said == torch.tensor(favourite[:place])).all(dim=1)
        weight = 0.55 if place == 0 else 0.995
        mixed = scores + math.log(1 - weight)
        own = torch.logaddexp(
            mixed[:, favourite[place]], torch.full((len(mixed),), math.log(weight))
        )
        mixed[:, favourite[place]] = own
        return torch.where(follows.unsqueeze(1), mixed, scores)

    return _by_prefix(captioner, logits)


def exposure_bias(captioner: Any, world: World) -> Any:
    """Sound as long as the words before are people's; after its own it loses the thread."""
    known = {tuple(r[:n]) for r in world.references for n in range(len(r) + 1)}
    size = len(captioner.vocabulary)

    def logits(self: Captioner, prefix: Tensor, memory: Any) -> Any:
        scores = captioner.logits(prefix, memory)
        lost = [tuple(row[1:]) not in known for row in prefix.tolist()]
        wander = scores.clone()
        for row, words in enumerate(prefix.tolist()):
            # The next word of a walk that no sentence takes.
            nxt = 4 + (words[-1] * 7 + len(words) * 13 + world.seed) % (size - 4)
            wander[row, nxt] += 12.0
        return torch.where(torch.tensor(lost).unsqueeze(1), wander, scores)

    return _by_prefix(captioner, logits)


BREAKS: dict[str, Break] = {
    "input.feature-scale": feature_scale,
    "input.sample-rate": sample_rate,
    "weights.missing": weights_missing,
    "weights.untrained": weights_untrained,
    "evaluation.batch-dependence": batch_dependence,
    "evaluation.train-mode": train_mode,
    "evaluation.padding": padding,
    "vocabulary.mismatch": vocabulary,
    "vocabulary.special-tokens": special_tokens,
    "encoder.collapsed": encoder_collapsed,
    "encoder.time-pooling": time_pooling,
    "conditioning.ignored": ignored,
    "conditioning.first-step-only": first_step_only,
    "conditioning.constant-attention": constant_attention,
    "decoder.prefix-blind": prefix_blind,
    "decoder.overconfident": overconfident,
    "decoding.search": search,
    "training.exposure-bias": exposure_bias,
}


def silent_audio(source: Path, folder: Path, seed: int) -> Path:
    """Copy a folder, two of three clips silenced."""
    return _copied(source, folder, lambda number, samples: samples * (number % 3 == 0))


def duplicate_audio(source: Path, folder: Path, seed: int) -> Path:
    """Copy a folder, every clip one of three."""
    first = [soundfile.read(path)[0] for path in sorted(source.iterdir())[:3]]
    return _copied(source, folder, lambda number, samples: first[number % 3])


def _copied(source: Path, folder: Path, change: Callable[[int, Any], Any]) -> Path:
    if not folder.exists():
        folder.mkdir(parents=True)
        for number, path in enumerate(sorted(source.iterdir())):
            samples, rate = soundfile.read(path)
            soundfile.write(folder / path.name, change(number, samples), rate, subtype="PCM_16")
    return folder


AUDIO = {"input.silent-audio": silent_audio, "input.duplicate-audio": duplicate_audio}
