"""A captioner that runs a user's own code for every score, and keeps what it heard."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils import _pytree as pytree

from capfix_cli.captioners.base import Captioner, Memory
from capfix_cli.captioners.derived.own_script import as_text
from capfix_cli.captioners.derived.programs import (
    GenerateProgram,
    Program,
    own_captions,
)
from capfix_cli.captioners.derived.recurrent_steps import RecurrentSteps
from capfix_cli.captioners.derived.word_free_modules import (
    HeldModule,
    handed_back,
    recorded,
)
from capfix_cli.checkpoints.vocabulary import Vocabulary

SIZES = "sizes"  # [B, numbers] int64: a clip's frames, and how large its parts of the memory are
AUDIO = "audio"  # the features themselves, where scoring words looks at them again
IGNORED = -100  # a target that a loss leaves out, as torch has it


@dataclass(frozen=True, kw_only=True)
class Derivation:
    """How a captioner was derived, for the report and for whoever doubts it.

    Attributes:
        network: name of the class.
        scores_from: the method that scores words.
        captions_from: the user's own captioning; empty where none was found.
        agree: whether the two give the same scores; None where there is one of them.
        front_end: name of the function that makes features; empty for waveforms.
        audio: how the audio is given, in words.
        kept: the modules that only the audio decides.
        found: argument or fact -> where it comes from.
    """

    network: str
    scores_from: str
    captions_from: str = ""
    agree: bool | None = None
    front_end: str = ""
    audio: str = ""
    kept: tuple[str, ...] = ()
    found: Mapping[str, str] | None = None


class DerivedCaptioner(Captioner):
    """A network of the user's, run by its own methods.

    Clips of different lengths are never padded together: each is heard as if it were alone.

    Args:
        network: in eval mode.
        program: what scores words.
        whole: what scores whole captions in one pass, where that is another of its methods.
        own: the user's own captioning, to compare with; None where there is none.
        front_end: one clip's samples -> [frames, F] or samples; None where features are given.
        vocabulary: words and special ids.
        sample_rate: Hz.
        max_length: most words of a caption.
        derivation: how all this was found.
    """

    def __init__(
        self,
        *,
        network: nn.Module,
        program: Program,
        whole: Program | None,
        own: GenerateProgram | None,
        front_end: Callable[[Tensor], Tensor] | None,
        vocabulary: Vocabulary,
        sample_rate: int,
        max_length: int,
        derivation: Derivation,
    ) -> None:
        self.module, self.program, self.own = network, program, own
        self.whole = whole
        self.front_end = front_end
        self.vocabulary = vocabulary.words
        self.bos_id, self.eos_id = vocabulary.bos_id, vocabulary.eos_id
        self.pad_id, self.unk_id = vocabulary.pad_id, vocabulary.unk_id
        self.sample_rate, self.max_length = sample_rate, max_length
        self.derivation = derivation
        self.held: list[HeldModule] = []
        self.needs_audio = True
        self.blank: frozenset[str] = frozenset()  # parts of which only the shape is looked at
        self.clip_shape: tuple[int, ...] = ()
        self.steps: RecurrentSteps | None = None
        self.copies = True  # until it is known that nothing is written into what is kept
        self.dims: dict[str, int] = {}  # axes of each part, clips left out
        self.autoregressive = not getattr(program, "at_once", False)

    @property
    def parts(self) -> list[str]:
        """The names of what is kept of a clip, in order."""
        names = [part_name(one, at) for one in self.held for at in one.kept_leaves]
        return [*names, AUDIO] if self.needs_audio or not names else names

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        module: nn.Module = self.module  # type: ignore[assignment]
        return next((w.device for w in module.parameters()), torch.device("cpu"))

    def keep(
        self, held: Sequence[HeldModule], *, needs_audio: bool, blank: Collection[str] = ()
    ) -> None:
        """Keep the outputs of these modules as the memory.

        Args:
            held: modules that only the audio decides.
            needs_audio: whether the rest still looks at the features.
            blank: parts of their outputs that the rest needs no numbers of.
        """
        self.held, self.needs_audio, self.blank = list(held), needs_audio, frozenset(blank)
        self.derivation = replace(self.derivation, kept=tuple(one.name for one in held))

    def features(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Waveforms [B, samples] and [B] -> [B, frames, F] and [B] frames, clip by clip."""
        if self.front_end is None:
            return waveforms.to(self.device), lengths.to(self.device)
        rows = zip(waveforms.cpu(), lengths.tolist(), strict=True)
        with torch.no_grad():
            clips = [self.front_end(row[:length]).clone() for row, length in rows]
        frames = torch.tensor([len(clip) for clip in clips], device=self.device)
        return pad_sequence(clips, batch_first=True).to(self.device), frames

    def encode_features(self, features: Tensor, lengths: Tensor) -> Memory:
        """Run the network on clips of one length together, and keep what the audio decides."""
        parts: dict[int, dict[str, Tensor]] = {}
        for frames, rows in _groups(lengths.tolist()):
            clips = features[rows, :frames]
            parts |= {row: {} for row in rows}
            heard = self._heard(clips)
            self.dims = {name: part.ndim - 1 for name, part in heard.items()}
            for key, value in heard.items():
                for place, row in enumerate(rows):
                    parts[row][key] = value[place]
        return self._stacked([parts[row] for row in sorted(parts)], lengths.tolist())

    def _stacked(self, clips: Sequence[Mapping[str, Tensor]], frames: Sequence[int]) -> Memory:
        """Put clips' memories below one another, zero-padded, with the size of each beside."""
        memory: dict[str, Tensor] = {}
        sizes = [[length] for length in frames]
        for name in self.parts:
            found = [clip[name] for clip in clips]
            for row, part in zip(sizes, found, strict=True):
                row.extend(part.shape)
            if name not in self.blank:
                largest = [max(sides) for sides in zip(*(p.shape for p in found), strict=True)]
                memory[name] = torch.stack([_padded(part, largest) for part in found])
        memory[SIZES] = torch.tensor(sizes, dtype=torch.long, device=self.device)
        return memory

    def _heard(self, clips: Tensor) -> dict[str, Tensor]:
        """[G, frames, F] -> memory of G clips of one length, each part [G, ...]."""
        kept: dict[str, list[Tensor]] = {}
        batches = clips.unsqueeze(1) if self.program.alone else (clips,)
        for batch in batches:
            start = self.start_prefix(len(batch)).to(self.device)
            with recorded(self.module) as outputs:  # type: ignore[arg-type]
                if self.held:
                    self.program.run(batch, start)
            for one in self.held:
                leaves, _ = outputs[one.name][0]
                for place, axis in one.kept_leaves.items():
                    leaf = leaves[place]
                    leaf = leaf.unsqueeze(0) if axis < 0 else leaf.movedim(axis, 0)
                    kept.setdefault(part_name(one, place), []).append(leaf)
        memory = {name: torch.cat(found) for name, found in kept.items()}
        memory[AUDIO] = clips
        return memory

    def logits(self, prefix: Tensor, memory: Memory) -> Tensor:
        """[B, T] -> [B, V], by the whole prefix."""
        return self.score_with(self.program, prefix, memory)[:, -1]

    def sequence_logits(self, tokens: Tensor, memory: Memory) -> Tensor:
        """[B, T] -> [B, T, V] in one pass."""
        return self.score_with(self.whole or self.program, tokens, memory)

    def step(self, token: Tensor, state: Any, memory: Memory) -> tuple[Tensor, Any]:
        """Feed one word a clip: through the user's own loop where that works, else anew."""
        if self.steps is None:
            return super().step(token, state, memory)
        token = token.to(self.device)
        alone = self.steps.program.alone
        found: list[tuple[list[int], Tensor, tuple[Tensor, ...]]] = []
        for rows, clips, kept in self._batches(memory, alone=alone):
            with handed_back(self.module, kept, copied=self.copies):  # type: ignore[arg-type]
                if state is None:
                    told = self.steps.first(clips, token[rows])
                else:
                    told = self.steps.next(clips, token[rows], tuple(s[rows] for s in state))
            found.append((rows, *told))
        order = torch.tensor([row for rows, _, _ in found for row in rows]).argsort()
        scores = torch.cat([part for _, part, _ in found])[order]
        parts = zip(*(part for _, _, part in found), strict=True)
        return scores, tuple(torch.cat(list(same))[order] for same in parts)

    def score_with(self, program: Program, tokens: Tensor, memory: Memory) -> Tensor:
        """Score the word after each token by one of the network's methods, [B, T, V]."""
        tokens = tokens.to(self.device)
        found: list[tuple[list[int], Tensor]] = []
        for rows, clips, kept in self._batches(memory, alone=program.alone):
            with handed_back(self.module, kept, copied=self.copies):  # type: ignore[arg-type]
                found.append((rows, program.run(clips, tokens[rows])))
        scores = torch.empty(len(tokens), *found[0][1].shape[1:], device=found[0][1].device)
        for rows, part in found:
            scores[rows] = part
        return scores

    def _batches(
        self, memory: Memory, *, alone: bool
    ) -> Iterator[tuple[list[int], Tensor, dict[str, Any]]]:
        """Yield rows of one size: which they are, their audio, and what their modules gave."""
        sizes = [tuple(row) for row in memory[SIZES].tolist()]
        for size, rows in _groups(sizes):
            whole = len(rows) == len(sizes)  # the usual case: nothing is copied
            found = {n: p if whole else p[rows] for n, p in memory.items() if n != SIZES}
            parts = self._cut(found, size[1:], len(rows))
            for chosen in [[at] for at in range(len(rows))] if alone else [None]:
                some = parts if chosen is None else {n: p[chosen] for n, p in parts.items()}
                count = len(rows) if chosen is None else 1
                clips = some[AUDIO] if AUDIO in some else self._blank(count, size[0])
                kept = rows if chosen is None else [rows[chosen[0]]]
                yield kept, clips, self._outputs(some)

    def _blank(self, rows: int, frames: int) -> Tensor:
        """Stand for audio that nothing looks at any more; it takes no room."""
        shape = (frames, *self.clip_shape)
        return torch.zeros((1, *shape), device=self.device).expand(rows, *shape)

    def _cut(
        self, found: Mapping[str, Tensor], sizes: Sequence[int], rows: int
    ) -> dict[str, Tensor]:
        """Take the padding of rows of one size off again, and stand in for what is blank."""
        cut: dict[str, Tensor] = {}
        waiting = list(sizes)
        for name in self.parts:
            dims = self.dims[name]
            ends, waiting = waiting[:dims], waiting[dims:]
            if name in self.blank:
                zero = torch.zeros([1] * (dims + 1), device=self.device)
                cut[name] = zero.expand(rows, *ends)
            else:
                cut[name] = found[name][(slice(None), *(slice(0, end) for end in ends))]
        return cut

    def _outputs(self, parts: Mapping[str, Tensor]) -> dict[str, Any]:
        outputs = {}
        for one in self.held:
            leaves = []
            for place, axis in enumerate(one.rows):
                if axis is None:
                    leaves.append(one.fixed[place])
                else:
                    leaf = parts[part_name(one, place)]
                    leaves.append(leaf[0] if axis < 0 else leaf.movedim(0, axis))
            outputs[one.name] = pytree.tree_unflatten(leaves, one.form)
        return outputs

    def own_captions(self, waveforms: Tensor, lengths: Tensor) -> list[str] | None:
        """Let the network's own captioning say what it says of each clip, one at a time.

        One that searches with several beams is given one: what is compared is what it scores.

        Args:
            waveforms: [B, samples], zero-padded.
            lengths: [B] samples.

        Returns:
            A caption a clip; None where it has no captioning of its own.
        """
        if self.own is None:
            return None
        told = []
        for row, length in zip(waveforms, lengths.tolist(), strict=True):
            features, frames = self.features(row[None, :length], torch.tensor([length]))
            result = self.own.result(features[:, : int(frames[0])], narrow=True)
            said = own_captions(result, 1, len(self.vocabulary))
            told.append("" if said is None else as_text(said[0], self))
        return told


class TrainableDerivedCaptioner(DerivedCaptioner):
    """One whose ``forward`` scores the words of training, so that it can be trained further."""

    def loss(self, waveforms: Tensor, lengths: Tensor, captions: Sequence[str]) -> Tensor:
        """Give the mean cross-entropy a token, end tokens included.

        Args:
            waveforms: [B, samples].
            lengths: [B] samples.
            captions: of each clip.
        """
        program = self.whole or self.program
        features, frames = self.features(waveforms, lengths)
        ids = [torch.tensor([self.bos_id, *self.tokenize(c), self.eos_id]) for c in captions]
        padded = pad_sequence(ids, batch_first=True, padding_value=IGNORED)
        padded = padded[:, : self.max_length + 1].to(self.device)
        fed = padded[:, :-1].masked_fill(padded[:, :-1] == IGNORED, self._filler())
        targets = padded[:, 1:]
        total, count = torch.zeros((), device=self.device), 0
        for length, rows in _groups(frames.tolist()):
            scores = program.run(features[rows, :length], fed[rows])
            total = total + torch.nn.functional.cross_entropy(
                scores.flatten(0, 1), targets[rows].flatten(), reduction="sum"
            )
            count += int((targets[rows] != IGNORED).sum())
        return total / max(1, count)

    def _filler(self) -> int:
        return self.eos_id if self.pad_id is None else self.pad_id


def part_name(module: HeldModule, place: int) -> str:
    """Name one tensor of a kept module's output."""
    return f"{module.name}/{place}"


def _groups(keys: Sequence[Any]) -> list[tuple[Any, list[int]]]:
    """List the rows of each key, keys in the order of their first row."""
    groups: dict[Any, list[int]] = {}
    for row, key in enumerate(keys):
        groups.setdefault(key, []).append(row)
    return list(groups.items())


def _padded(part: Tensor, sizes: Sequence[int]) -> Tensor:
    """Fill a tensor up with zeros at the end of each axis."""
    missing = [size - own for size, own in zip(sizes, part.shape, strict=True)]
    if not any(missing):
        return part
    pads = [number for gap in reversed(missing) for number in (0, gap)]
    return torch.nn.functional.pad(part, pads)
