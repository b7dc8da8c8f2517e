"""Which parameter of a user's method takes the audio, which the words, and what the others want.

Names only order what is tried: whether an assignment is right is found by calling.
"""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

Role = Literal[
    "audio",
    "audio_lengths",
    "tokens",
    "token_lengths",
    "vocabulary",
    "limit",
    "start",
    "end",
    "pad",
    "beams",
    "device",
    "forcing",
    "temperature",
    "network",
    "encoder",
    "decoder",
    "none",
]
_HINTS: dict[Role, re.Pattern[str]] = {
    "audio_lengths": re.compile(
        r"(^|_)(audio|wav|feat|mel|frame|src|input|x|spec)\w*_?(len|laenge)|^(frames|n_frames)$",
        re.I,
    ),
    "token_lengths": re.compile(r"(cap|tok|tgt|word|target|y)\w*_?(len|laenge)|^len", re.I),
    "limit": re.compile(r"max|limit|n_?steps|length|steps|num_words|laenge", re.I),
    "start": re.compile(r"sos|bos|start|begin|cls|<s>|anfang", re.I),
    "end": re.compile(r"eos|end|stop|sep|ende", re.I),
    "pad": re.compile(r"pad|blank", re.I),
    "vocabulary": re.compile(r"vocab|word2|2word|itos|stoi|tokenizer|_dict|lang|wortschatz", re.I),
    "beams": re.compile(r"beam|^k$|width", re.I),
    "forcing": re.compile(r"teach|forc|sampling|^tf|epsilon|ratio|ss_prob", re.I),
    "temperature": re.compile(r"temp|tau", re.I),
    "device": re.compile(r"device|gpu|cuda", re.I),
    "encoder": re.compile(r"^(encoder|enc|encoder_?(net|model|rnn|cnn)|kodierer)$", re.I),
    "decoder": re.compile(r"^(decoder|dec|decoder_?(net|model|rnn)|dekodierer)$", re.I),
    "network": re.compile(r"model|^net|netz|captioner|^m$", re.I),
    "tokens": re.compile(
        r"cap|tok|tgt|target|word|label|text|ids|^y$|trg|sent|seq|decoder_in|dec_in|prefix|wort",
        re.I,
    ),
    "audio": re.compile(
        r"audio|wav|mel|feat|spec|^x$|src|input|sound|signal|img|image|frames|clip|ton|enc", re.I
    ),
}
Assignment = Mapping[str, Role]
MOST = 60  # assignments of one method that are tried


def parameters_of(function: Callable[..., object]) -> dict[str, inspect.Parameter]:
    """Give the named parameters of a bound method or function."""
    try:
        found = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}
    kinds = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    return {name: one for name, one in found.items() if one.kind in kinds}


def guessed_role(name: str) -> Role | None:
    """Guess what a parameter wants by its name; None where its name tells nothing."""
    return next((role for role, pattern in _HINTS.items() if pattern.search(name)), None)


def assignments(
    parameters: Mapping[str, inspect.Parameter], *, words: bool
) -> Iterator[Assignment]:
    """Yield ways to fill a method's parameters, the likeliest first.

    Args:
        parameters: of the method.
        words: whether it must be given words beside the audio.
    """
    names = list(parameters)
    required = [name for name in names if parameters[name].default is inspect.Parameter.empty]
    pairs: Iterator[tuple[str, ...]]
    pairs = itertools.permutations(names, 2) if words else ((name,) for name in names)
    # Samples given in place of words can cost a square of their number, for a mask: what a name
    # says of a parameter is believed there as long as another one is left.
    possible = [pair for pair in pairs if _may_be(pair, names)]
    ranked = sorted(possible, key=lambda pair: _rank(pair, names, required))
    made = 0
    for pair in ranked:
        chosen: dict[str, Role] = dict(zip(pair, ("audio", "tokens"), strict=False))
        rest = [name for name in required if name not in chosen]
        for fill in itertools.product(*(_wanted(name, words=words) for name in rest)):
            made += 1
            if made > MOST:
                return
            yield {**chosen, **dict(zip(rest, fill, strict=True))}


def _may_be(pair: tuple[str, ...], names: list[str]) -> bool:
    """Say whether names allow a pair: none of it is for something else while others are free."""
    for name, role in zip(pair, ("audio", "tokens"), strict=False):
        free = [other for other in names if guessed_role(other) in {role, None}]
        if guessed_role(name) not in {role, None} and free:
            return False
    hinted = [guessed_role(name) for name in pair]
    in_order = [name for name in names if name in pair] == list(pair)
    return in_order or any(role is not None for role in hinted)


def _rank(pair: tuple[str, ...], names: list[str], required: list[str]) -> tuple[int, ...]:
    hinted = sum(
        guessed_role(name) == role for name, role in zip(pair, ("audio", "tokens"), strict=False)
    )
    wrong = sum(
        guessed_role(name) not in {role, None}
        for name, role in zip(pair, ("audio", "tokens"), strict=False)
    )
    needed = sum(name in required for name in pair)
    return (wrong - hinted, -needed, *(names.index(name) for name in pair))


def _wanted(name: str, *, words: bool) -> list[Role]:
    """List what a required parameter may want: what its name says, else the usual companions."""
    role = guessed_role(name)
    usual: list[Role] = (
        ["token_lengths", "audio_lengths"] if words else ["limit", "vocabulary", "start"]
    )
    if role is None or role in {"audio", "tokens"}:
        return usual
    if role in {"token_lengths", "audio_lengths", "limit"}:
        return list(dict.fromkeys([role, "token_lengths", "audio_lengths", "limit"]))
    return [role, *usual]
