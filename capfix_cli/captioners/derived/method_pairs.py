"""Networks that are called in two parts: ``encode`` and ``decode``, or an encoder and a decoder."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from capfix_cli.captioners.derived.roles import guessed_role, parameters_of

_ENCODES = re.compile(r"encod|enc$|embed_audio|audio_feat|extract|hear|listen|kodier", re.I)
_DECODES = re.compile(r"decod|dec$|predict|scores|logits|dekodier", re.I)
_STEPWISE = re.compile(r"step|generate|greedy|beam|sample", re.I)

TwoPart = Callable[[Any, Any], Any]


class EncoderWithDecoder(nn.Module):
    """Two networks that are trained together and saved as two: one hears, the other says.

    Args:
        encoder: audio -> what the decoder is given.
        decoder: that and words -> scores.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder


def two_part_calls(network: nn.Module) -> Iterator[tuple[str, TwoPart]]:
    """Yield functions (audio, words) -> result that call two parts one after the other.

    What the first gives is handed to the second as it is, its first element, and spread out; before
    the words and after them.

    Args:
        network: whose methods, or whose two networks, are the parts.
    """
    parts: list[tuple[str, Callable[..., Any], Callable[..., Any]]] = []
    if isinstance(network, EncoderWithDecoder):
        parts.append(("decoder(encoder(audio), words)", network.encoder, network.decoder))
    kind = type(network)
    methods = {
        name: getattr(network, name)
        for name in dir(kind)
        if not name.startswith("_") and not hasattr(nn.Module, name)
    }
    for first, encode in methods.items():
        if not _ENCODES.search(first) or not callable(encode):
            continue
        for second, decode in methods.items():
            if callable(decode) and _DECODES.search(second) and not _STEPWISE.search(second):
                parts.append((f"{kind.__name__}.{first} and {second}", encode, decode))
    for name, encode, decode in parts:
        needed = [n for n, one in _signature(decode).items() if one.default is one.empty]
        words_first = bool(needed) and guessed_role(needed[0]) == "tokens"
        for before in (not words_first, words_first):
            for spread in _SPREADS:
                yield name, _call(encode, decode, spread, before=before)


def _signature(part: Callable[..., Any]) -> dict[str, Any]:
    return parameters_of(part.forward if isinstance(part, nn.Module) else part)


def _whole(heard: Any) -> tuple[Any, ...]:
    return (heard,)


def _first(heard: Any) -> tuple[Any, ...]:
    if not isinstance(heard, tuple | list):
        raise TypeError("there is one thing to hand over")
    return (heard[0],)


def _spread(heard: Any) -> tuple[Any, ...]:
    if not isinstance(heard, tuple | list):
        raise TypeError("there is one thing to hand over")
    return tuple(heard)


_SPREADS = (_whole, _first, _spread)


def _call(
    encode: Callable[..., Any],
    decode: Callable[..., Any],
    spread: Callable[[Any], tuple[Any, ...]],
    *,
    before: bool,
) -> TwoPart:
    def call(audio: Any, words: Any) -> Any:
        heard = spread(encode(audio))
        return decode(*heard, words) if before else decode(words, *heard)

    return call


def one_part_captioning(network: nn.Module) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    """Yield the captioning methods of a decoder, given what its encoder makes of the audio."""
    if not isinstance(network, EncoderWithDecoder):
        return
    kind = type(network.decoder)
    for name in dir(kind):
        if name.startswith("_") or hasattr(nn.Module, name) or not _STEPWISE.search(name):
            continue
        method = getattr(network.decoder, name)
        if not callable(method):
            continue
        for spread in _SPREADS:
            yield f"{kind.__name__}.{name}", _caption(network.encoder, method, spread)


def _caption(
    encode: Callable[..., Any], method: Callable[..., Any], spread: Callable[[Any], tuple[Any, ...]]
) -> Callable[[Any], Any]:
    def call(audio: Any) -> Any:
        return method(*spread(encode(audio)))

    return call
