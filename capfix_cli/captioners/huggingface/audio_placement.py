"""Where in a language model the audio's embeddings come in: found by trial, not by name.

Every audio language model embeds the prompt, puts the audio's embeddings into the places of a
placeholder token and hands the whole to its decoder. The module that is handed it first is found by
watching which input differs between two clips at some places and at no others. There the audio can
be taken out, once a clip, and put in again without the audio's network being run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Inputs = dict[str, Tensor]
CANDIDATES = 4  # a decoder's own input is among the first: its rotary places may see it before


class _HeardError(Exception):
    """Ends a pass of the network once the audio has been heard."""


@dataclass(frozen=True)
class AudioPlacement:
    """The input of a module that holds prompt and audio, [B, T, D].

    Attributes:
        module: that is handed it.
        key: its name, or its place among the arguments without names.
        token: id that the prompt has at the places of the audio.
    """

    module: nn.Module
    key: str | int
    token: int

    def take(self, model: Any, fed: Inputs) -> tuple[Tensor, Tensor]:
        """Run the network up to the decoder and give the audio's embeddings.

        Returns:
            [B, A, D], zeros after each clip's last, and [B, A] which places are a clip's.
        """
        held: list[Tensor] = []

        def look(_: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
            held.append(_pick(args, named, self.key))
            raise _HeardError

        handle = self.module.register_forward_pre_hook(look, with_kwargs=True)
        try:
            with contextlib.suppress(_HeardError):
                model(**fed, use_cache=False)
        finally:
            handle.remove()
        whole = held[0]
        places = (fed["input_ids"] == self.token) & (fed["attention_mask"] != 0)
        counts = places.sum(dim=1)
        heard = torch.arange(int(counts.max()), device=counts.device) < counts.unsqueeze(1)
        audio = whole.new_zeros(*heard.shape, whole.shape[2])
        audio[heard] = whole[places]
        return audio, heard

    @contextlib.contextmanager
    def given(self, ids: Tensor, mask: Tensor, audio: Tensor, heard: Tensor) -> Iterator[None]:
        """Let the decoder hear these embeddings in one pass over a prompt of these ids."""
        places = (ids == self.token) & (mask != 0)

        def put(_: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
            whole = _pick(args, named, self.key).clone()
            whole[places] = audio[heard].to(whole.dtype)
            if isinstance(self.key, str):
                return args, named | {self.key: whole}
            return (*args[: self.key], whole, *args[self.key + 1 :]), named

        handle = self.module.register_forward_pre_hook(put, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()


def _pick(args: tuple[Any, ...], named: dict[str, Any], key: str | int) -> Any:
    return named[key] if isinstance(key, str) else args[key]


@torch.inference_mode()
def find_placements(model: Any, fed: Inputs) -> list[AudioPlacement]:
    """Find where two clips differ at the places of one token, and nowhere else.

    Args:
        model: an audio language model.
        fed: of two clips of one length with different sound.

    Returns:
        The first inputs that are so, in the order of the pass: which of them the decoder goes on
        from shows when it is given other audio there. None where audio comes in otherwise.
    """
    ids = fed["input_ids"]
    found: list[AudioPlacement] = []

    def look(module: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        keys: list[str | int] = [*named, *range(len(args))]
        for key in keys:
            value = _pick(args, named, key)
            if isinstance(value, Tensor) and value.shape[:2] == ids.shape and value.ndim == 3:
                token = _audio_token(value, ids)
                if token is not None:
                    found.append(AudioPlacement(module, key, token))
        if len(found) >= CANDIDATES:
            raise _HeardError

    handles = [
        module.register_forward_pre_hook(look, with_kwargs=True)
        for module in model.modules()
        if module is not model
    ]
    try:
        with contextlib.suppress(_HeardError):
            model(**fed, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _audio_token(value: Tensor, ids: Tensor) -> int | None:
    """Name the one id at whose places two rows differ, if there is one."""
    if not value.is_floating_point():
        return None
    differs = (value[0] != value[1]).any(dim=1)
    tokens = set(ids[0][differs].tolist())
    if len(tokens) != 1 or bool((ids[0] != ids[1]).any()):
        return None
    return int(tokens.pop())
