"""How a person's function wants its clips: by its annotations and names, else by trying."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from capfix_cli.captioners.text.text_captioner import GivenClip
from capfix_cli.captioners.text.wav_files import ClipFiles
from capfix_cli.core.errors import CapfixError

Form = Literal["path", "array", "tensor", "rows"]
RATES = ("sample_rate", "sampling_rate", "samplerate", "sr", "fs", "rate", "orig_sr")
_FILES = re.compile(r"(?:^|_)(?:path|file|filename|fname|filepath|wav_file)s?(?:_list)?$")
_WAVES = ("waveform", "wav", "samples", "signal", "array", "y", "x")
SPOKEN = {
    "path": "a path",
    "array": "a numpy waveform",
    "tensor": "a tensor [samples]",
    "rows": "a tensor [1, samples]",
}


@dataclass(frozen=True)
class CallForm:
    """One way of calling a function.

    Attributes:
        form: what it is given of a clip: a path as str, a [samples] float32 array, a [samples] or
            a [1, samples] tensor.
        several: whether it is given a list of them.
    """

    form: Form
    several: bool

    @property
    def told(self) -> str:
        """In words."""
        one = SPOKEN[self.form]
        return f"a list with {one} a clip" if self.several else one


@dataclass(frozen=True)
class FunctionSignature:
    """What a function's parameters say.

    Attributes:
        forms: ways of calling it that they leave open, the likeliest first.
        rate: the parameter that takes the sample rate; None where there is none.
        rate_by_name: whether that one may be given by name.
        names: of all parameters that may be given by name.
    """

    forms: tuple[CallForm, ...]
    rate: str | None
    rate_by_name: bool
    names: frozenset[str]


def read_signature(function: Callable[..., Any], who: str) -> FunctionSignature:
    """Read what a function takes.

    Raises:
        CapfixError: it takes nothing, or needs what capfix does not know.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return FunctionSignature(_ordered(None, None, rate=False), None, False, frozenset())
    plain = [p for p in parameters if p.kind not in {p.VAR_POSITIONAL, p.VAR_KEYWORD}]
    if not plain:
        if any(p.kind == p.VAR_POSITIONAL for p in parameters):
            return FunctionSignature(_ordered(None, None, rate=False), None, False, frozenset())
        raise CapfixError(f"{who} takes no audio.", "Define it as caption(path) -> str.")
    first, *others = plain
    rate = next((p for p in others if p.name.lower() in RATES), None)
    unknown = [p.name for p in others if p.default is p.empty and p not in {rate}]
    if unknown:
        raise CapfixError(
            f"{who} needs {', '.join(unknown)}, which capfix does not know.",
            "Give a function of the clip alone: def caption(path): return mine(path, ...).",
        )
    named = frozenset(p.name for p in others if p.kind != p.POSITIONAL_ONLY)
    forms = _ordered(_annotation(function, first), first.name.lower(), rate=rate is not None)
    name = None if rate is None else rate.name
    return FunctionSignature(forms, name, name in named, named)


def _annotation(function: Callable[..., Any], parameter: inspect.Parameter) -> str | None:
    """The first parameter's annotation as text."""
    if parameter.annotation is parameter.empty:
        return None
    try:
        hints = typing.get_type_hints(function)
    except Exception:  # names that only a type checker sees
        hints = {}
    found = hints.get(parameter.name, parameter.annotation)
    text = found if isinstance(found, str) else getattr(found, "__name__", "")
    if not isinstance(found, type) and not isinstance(found, str):
        text = str(found)
    if typing.get_args(found):
        text = str(found)
    return text


def _ordered(annotation: str | None, name: str | None, *, rate: bool) -> tuple[CallForm, ...]:
    """Name the ways of calling that fit, the likeliest first.

    >>> [form.told for form in _ordered("list[str]", "x", rate=False)]
    ['a list with a path a clip']
    """
    told = _annotated(annotation)
    if told is not None:
        return told
    several: tuple[bool, ...] = (False, True)
    forms: tuple[Form, ...] = ("path", "array", "tensor", "rows")
    if name is not None and _FILES.search(name):
        forms = ("path",)
        several = (True, False) if name.endswith(("s", "_list")) else (False, True)
    elif name is not None and (rate or name.rstrip("s") in _WAVES or name in _WAVES):
        forms = ("array", "tensor", "rows")
        several = (True, False) if name.endswith("s") and name != "samples" else (False, True)
    return tuple(CallForm(form, many) for form in forms for many in several)


def _annotated(annotation: str | None) -> tuple[CallForm, ...] | None:
    """Read an annotation; None where it says nothing of audio."""
    if annotation is None:
        return None
    low = annotation.lower()
    many = re.search(r"\b(?:list|sequence|iterable|tuple|collection)\b", low) is not None
    forms: tuple[Form, ...] = ()
    if re.search(r"\b(?:str|\w*path|pathlike)\b", low):
        forms += ("path",)
    if re.search(r"ndarray|arraylike|float", low):
        forms += ("array",)
    if "tensor" in low:
        forms += ("tensor", "rows")
    if not forms:
        return None
    plural = (True,) if many else (False,)
    return tuple(CallForm(form, each) for form in forms for each in plural)


def arguments(
    signature: FunctionSignature, form: CallForm, clips: Sequence[GivenClip], files: ClipFiles
) -> tuple[list[Any], dict[str, Any]]:
    """Put the clips of one call, and their rate where it is asked for, in a function's terms."""
    given = [_as(clip, form.form, files) for clip in clips]
    by_place: list[Any] = [given if form.several else given[0]]
    by_name: dict[str, Any] = {}
    if signature.rate is not None:
        if signature.rate_by_name:
            by_name[signature.rate] = clips[0].rate
        else:
            by_place.append(clips[0].rate)
    return by_place, by_name


def _as(clip: GivenClip, form: Form, files: ClipFiles) -> Any:
    if form == "path":
        return files.path_of(clip)
    if form == "array":
        return clip.samples.numpy().copy()  # a function may write into what it is given
    return clip.samples.clone() if form == "tensor" else clip.samples.clone().unsqueeze(0)
