"""Training a user's own captioner, from its weights on, with what leaves its architecture alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from capfix_cli.audio.audio_batches import Waveform, read_waveform
from capfix_cli.captioners.base import Captioner
from capfix_cli.core.errors import CapfixError
from capfix_cli.core.text import split_words
from capfix_cli.schemas.clip_records import SkippedClip
from capfix_cli.training.caption_data import Matched
from capfix_cli.training.clip_variants import Variants
from capfix_cli.training.training_clips import TrainingClips
from capfix_cli.training.training_limits import UNKNOWN_WORDS
from capfix_cli.training.training_state import write_whole

DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
DROPOUT = 0.3  # of layers that have none (the document, 5.1)


class Waveforms(Sequence[Tensor]):
    """[samples] of every clip, decoded when asked for."""

    def __init__(
        self,
        clips: Sequence[Any],
        sample_rate: int,
        variants: Variants | None = None,
        copy: int = 0,
    ) -> None:
        self.clips, self.sample_rate = list(clips), sample_rate
        self.variants, self.copy = variants, copy

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> Tensor:  # type: ignore[override]
        clip = self.clips[index]
        wave = read_waveform(clip, self.sample_rate)
        if isinstance(wave, SkippedClip):
            raise CapfixError(f"{clip.path} became {wave.reason}.", "Put it back and start again.")
        if self.copy and self.variants is not None:
            return self.variants.alter(clip.name, wave.samples, self.sample_rate, self.copy)
        return wave.samples


def load_waveforms(
    found: Matched, captioner: Captioner, variants: Variants | None
) -> TrainingClips:
    """Read what a user's captioner is trained on; files that cannot be used are listed.

    Args:
        found: the clips and their captions.
        captioner: says which rate it hears, in Hz, and how short a clip may be.
        variants: altered copies to make, or None.

    Returns:
        Clips as waveforms of [samples], decoded when they are asked for.

    Raises:
        CapfixError: none of the clips can be used.
    """
    skipped, usable = list(found.skipped), []
    for clip in found.clips:
        wave = read_waveform(clip, captioner.sample_rate, captioner.min_samples)
        if isinstance(wave, Waveform):
            usable.append(clip)
        else:
            skipped.append(wave)
    if not usable:
        raise CapfixError(
            f"None of the {len(found.clips)} captioned clips in {found.folder} can be used.",
            "Check the audio files.",
        )
    usable.sort(key=lambda clip: clip.name)
    copies = variants.count if variants is not None else 0
    return TrainingClips(
        Waveforms(usable, captioner.sample_rate),
        [found.captions[clip.name] for clip in usable],
        tuple(skipped),
        found.unmatched,
        [clip.name for clip in usable],
        tuple(
            Waveforms(usable, captioner.sample_rate, variants, copy)
            for copy in range(1, copies + 1)
        ),
        found.absent,
    )


def check_trainable(captioner: Captioner, recipe_vocabulary: Mapping[str, Any] | None) -> None:
    """Refuse a captioner that cannot be trained, or that the recipe was not made for.

    Raises:
        CapfixError: no module, or another vocabulary than the recipe's.
    """
    if captioner.module is None:
        raise CapfixError(
            "This captioner cannot be trained: its adapter gives no module.",
            "Add it (docs/retraining.md), or set trains: capfix in the recipe.",
        )
    size = (recipe_vocabulary or {}).get("size")
    if size is not None and int(size) != len(captioner.vocabulary):
        raise CapfixError(
            f"The recipe is for a vocabulary of {size} words and this captioner has"
            f" {len(captioner.vocabulary)}.",
            "Diagnose this captioner and use the recipe of that run.",
        )


def check_words(captioner: Captioner, clips: TrainingClips) -> str:
    """Hold the captions against the captioner's vocabulary; give a note, empty where all is well.

    Raises:
        CapfixError: most of the words are unknown to it.
    """
    unknown: dict[str, int] = {}
    total = 0
    for texts in clips.captions:
        for word in {word for text in texts for word in split_words(text)}:
            ids = captioner.tokenize(word)
            total += 1
            if not ids or (captioner.unk_id is not None and captioner.unk_id in ids):
                unknown[word] = unknown.get(word, 0) + 1
    share = sum(unknown.values()) / max(1, total)
    first = ", ".join(sorted(unknown, key=lambda word: -unknown[word])[:5])
    if share > UNKNOWN_WORDS.value:
        raise CapfixError(
            f"{100 * share:.0f} % of the captions' words are not in the captioner's vocabulary"
            f" ({first} ...): they belong to another one.",
            "Give captions in its language and spelling, or set trains: capfix in the recipe.",
        )
    if not unknown:
        return ""
    return f"{len(unknown)} words of the captions are not in its vocabulary ({first})."


def give_dropout(module: nn.Module) -> int:
    """Give layers of dropout that have a rate of 0 the document's; says how many (fix 5.1)."""
    idle = [part for part in module.modules() if isinstance(part, DROPOUTS) and part.p == 0]
    for part in idle:
        part.p = DROPOUT
    return len(idle)


@contextmanager
def train_mode_for_finetuning(captioner: Captioner) -> Iterator[dict[str, Tensor]]:
    """Let every weight learn, and give the weights as they were, by name."""
    assert captioner.module is not None
    before = {k: v.detach().cpu().clone() for k, v in captioner.module.state_dict().items()}
    asked = [(p, p.requires_grad) for p in captioner.module.parameters()]
    if not any(flag for _, flag in asked):  # adapters often freeze what they load
        for parameter, _ in asked:
            parameter.requires_grad_(True)
    try:
        yield before
    finally:
        for parameter, flag in asked:
            parameter.requires_grad_(flag)


def save_in_original_layout(
    original: Path, path: Path, before: Mapping[str, Tensor], module: nn.Module
) -> str:
    """Save trained weights in the layout of the checkpoint that they came from.

    A tensor of the file is replaced by the weight of the same values, shape and a name that ends
    alike; everything else of it stays. A checkpoint that cannot be opened as plain tensors, or of
    which nothing is recognised, gives the module's own ``state_dict``.

    Args:
        original: what the captioner was loaded from; it is only read.
        path: to write.
        before: the module's weights as they were loaded.
        module: with the trained weights.

    Returns:
        A note for the user; empty where every weight found its place.
    """
    after = {name: tensor.detach().cpu() for name, tensor in module.state_dict().items()}
    opened = _open(original)
    used: set[str] = set()

    def replace(value: Any, place: str) -> Any:
        if isinstance(value, Tensor):
            name = _same(place, value, before)
            if name is None:
                return value
            used.add(name)
            return after[name].to(value.dtype).clone()
        if isinstance(value, Mapping):
            kept = {k: replace(inner, f"{place}.{k}") for k, inner in value.items()}
            return type(value)(kept) if isinstance(value, dict) else kept
        if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
            return type(value)(replace(inner, f"{place}.{i}") for i, inner in enumerate(value))
        return value

    new: Any = replace(opened, "") if opened is not None else None
    if not used:
        write_whole(path, lambda file: torch.save(after, file))
        return f"{original} has a layout of its own: {path} holds the module's state_dict."
    if original.suffix == ".safetensors":
        from safetensors.torch import save_file

        write_whole(path, lambda file: save_file(new, file))
    else:
        write_whole(path, lambda file: torch.save(new, file))
    left = [
        name for name in after if name not in used and not torch.equal(before[name], after[name])
    ]
    if left:
        return f"{len(left)} trained weights have no place in the layout of {original}: {left[0]}."
    return ""


def _open(original: Path) -> Any:
    try:
        if original.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(original)
        return torch.load(original, map_location="cpu", weights_only=True)
    except Exception:
        return None  # not plain tensors; the caller writes a state_dict


def _same(place: str, value: Tensor, before: Mapping[str, Tensor]) -> str | None:
    """Find the weight that a tensor of the file is."""
    parts = place.strip(".").split(".")
    for length in range(len(parts), 0, -1):  # the longest common ending first
        ending = ".".join(parts[-length:])
        for name, tensor in before.items():
            alike = name == ending or name.endswith(f".{ending}")
            if alike and tensor.shape == value.shape and torch.equal(tensor.to(value.dtype), value):
                return name
    return None
