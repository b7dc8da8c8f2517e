"""The shapes in which a network may want its audio, and the functions that make its features."""

from __future__ import annotations

import contextlib
import inspect
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Literal

import torch
from torch import Tensor, nn

from capfix_cli.captioners.derived.network_source import own_classes, own_functions
from capfix_cli.captioners.derived.settings_values import SETTINGS_NAMES, flattened, look_up
from capfix_cli.core.errors import CapfixError

# A user's functions are called in search of the one that makes features, so only those whose names
# say that they read or transform audio are: others may write files or train.
_MAKES_FEATURES = re.compile(
    r"mel|feat|spec|fbank|mfcc|frame|front|preproc|transform|extract|audio|wav|merkmal|stft", re.I
)
_MAY_ACT = re.compile(
    r"save|write|train|main|download|model|folder|csv|delete|remove|caption|generat|plot|show"
    r"|eval|test|dump|export|record|play|augment|collate|dataset|loader|reference",
    re.I,
)
_RATE = re.compile(r"^(sr|fs|rate|sample_?rate|sampling_?rate|fs_?hz|abtastrate)$", re.I)

Takes = Literal["waveform", "channel", "batch", "array", "path"]
WaveformToFeatures = Callable[[Tensor], Tensor]  # [samples] -> what the network reads of one clip


@dataclass(frozen=True, kw_only=True)
class AudioForm:
    """How the features of several clips stand in one argument.

    Attributes:
        name: in words, for messages.
        arrange: [clips, *features] -> the argument.
        rows: the argument's axis that counts clips; None where it takes one clip without one.
    """

    name: str
    arrange: Callable[[Tensor], Tensor]
    rows: int | None = 0


def forms_of(dimensions: int, *, turned: bool, alone: bool) -> list[AudioForm]:
    """List the forms that features may go in, the usual ones first.

    Args:
        dimensions: of one clip's features: 1 samples, 2 [frames, F], 3 anything else.
        turned: whether the user's own front end gives [F, frames].
        alone: whether forms for one clip without an axis of clips are among them.
    """
    plain = [_form("[B, T, F]", _same), _form("[B, 1, T, F]", _channel)]
    other = [
        _form("[B, F, T]", _turned),
        _form("[B, 1, F, T]", lambda x: _turned(x).unsqueeze(1)),
    ]
    forms = {
        1: [_form("[B, N]", _same), _form("[B, 1, N]", _channel)],
        2: [
            *(other + plain if turned else plain + other),
            _form("[T, B, F]", lambda x: x.transpose(0, 1), rows=1),
        ],
    }.get(dimensions, [_form("as it is", _same)])
    if alone:
        forms = [*forms, _form("one clip", lambda x: x[0], rows=None)]
        if dimensions == 2:
            one = _form("one clip, turned", lambda x: x[0].T, rows=None)
            forms.insert(len(forms) - 1 if turned else len(forms), one)
    return forms


def _form(name: str, arrange: Callable[[Tensor], Tensor], rows: int | None = 0) -> AudioForm:
    return AudioForm(name=name, arrange=arrange, rows=rows)


def _same(clips: Tensor) -> Tensor:
    return clips


def _channel(clips: Tensor) -> Tensor:
    return clips.unsqueeze(1)


def _turned(clips: Tensor) -> Tensor:
    return clips.transpose(1, 2)


@dataclass(frozen=True, kw_only=True)
class FrontEndFunction:
    """A function of the user's that turns one clip into what the network reads.

    Attributes:
        name: of it; empty where the network takes waveforms.
        function: as it stands in the user's file; None where the network takes waveforms.
        takes: what it is given.
        rate: Hz of the waveforms that it is given.
        beside: what its other parameters get, by name.
    """

    name: str
    function: Callable[..., Any] | None
    takes: Takes = "waveform"
    rate: int = 16000
    beside: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, waveform: Tensor) -> Tensor:
        """[samples] -> features of one clip, one to three dimensions, float32.

        Raises:
            CapfixError: the function gave no numbers.
        """
        if self.function is None:
            return waveform
        with contextlib.redirect_stdout(sys.stderr):
            given = self._call(waveform)
        return _as_tensor(given, self.name)

    def _call(self, waveform: Tensor) -> Any:
        function: Any = self.function
        if self.takes == "path":
            return self._from_path(waveform)
        given: Any = {
            "waveform": waveform,
            "channel": waveform.unsqueeze(0),
            "batch": waveform.unsqueeze(0),
            "array": waveform.numpy(),
        }[self.takes]
        return function(given, **self.beside)

    def _from_path(self, waveform: Tensor) -> Any:
        import soundfile

        function: Any = self.function
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "clip.wav"
            soundfile.write(str(path), waveform.numpy(), self.rate, subtype="FLOAT")
            return function(str(path), **self.beside)


@dataclass(frozen=True, kw_only=True)
class FrontEndSettings:
    """What a front end may want beside the audio.

    Attributes:
        rate: Hz.
        settings: saved beside the weights.
        network: whose attributes may hold its settings.
    """

    rate: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    network: nn.Module | None = None

    def of(self, names: Sequence[str]) -> dict[str, Any] | None:
        """Give what these parameters want; None where one of them cannot be told."""
        found: dict[str, Any] = {}
        for name in names:
            there, value = look_up(self.settings, name)
            if _RATE.match(name):
                found[name] = self.rate
            elif name.lower().strip("_") in SETTINGS_NAMES:
                held = getattr(self.network, name, None)
                found[name] = flattened(self.settings) if held is None else held
            elif re.search("device", name, re.I):
                found[name] = torch.device("cpu")
            elif there and not isinstance(value, Mapping):
                found[name] = value
            else:
                return None
        return found


def _as_tensor(given: Any, name: str) -> Tensor:
    """Make one float tensor of what a front end gave; of several things the first."""
    if isinstance(given, tuple | list) and given and not isinstance(given[0], int | float):
        given = given[0]
    if not isinstance(given, Tensor):
        try:
            given = torch.as_tensor(given)
        except (TypeError, ValueError, RuntimeError) as error:
            raise CapfixError(
                f"{name} gave a {type(given).__name__}, not numbers.",
                "A front end takes a waveform and gives the features of one clip.",
            ) from error
    found: Tensor = given.detach().float()
    while found.ndim > 2 and found.shape[0] == 1:
        found = found[0]
    return found


def front_end_candidates(
    module: ModuleType | None, network: nn.Module, beside: FrontEndSettings
) -> Iterator[FrontEndFunction]:
    """Yield what may make the network's features: functions beside it, its methods, nothing.

    Each function is tried on a waveform in every usual way; those that fail are left out, and so
    are those that hand the waveform on.

    Args:
        module: where the network's class stands.
        network: whose methods are looked through.
        beside: what they may want beside the audio.
    """
    rate = beside.rate
    waveform = probe_waveform(rate, 2.0)
    for functions in (_functions(module, network), _callables(module)):
        found = [
            one
            for name, function in functions.items()
            if (one := how_it_is_called(name, function, waveform, beside)) is not None
            and _transforms(one, waveform)
        ]
        yield from found
        if found:
            break
    yield FrontEndFunction(name="", function=None, rate=rate)


def _functions(module: ModuleType | None, network: nn.Module) -> dict[str, Callable[..., Any]]:
    """List functions and methods whose names say that they make features."""
    functions = {} if module is None else own_functions(module)
    for name in dir(type(network)):
        if not name.startswith("_") and not hasattr(nn.Module, name):
            method = getattr(network, name, None)
            if callable(method) and not isinstance(method, nn.Module):
                functions[f"{type(network).__name__}.{name}"] = method
    return {name: one for name, one in functions.items() if _is_named_so(name)}


def _callables(module: ModuleType | None) -> dict[str, Callable[..., Any]]:
    """List objects that make features: instances beside the network, and classes of them."""
    found: dict[str, Callable[..., Any]] = {}
    for name, value in {} if module is None else dict(vars(module)).items():
        plain = isinstance(value, FunctionType | ModuleType | type)
        if callable(value) and not plain and _is_named_so(f"{name} {type(value).__name__}"):
            found[name] = value
    for name, kind in {} if module is None else own_classes(module).items():
        if "__call__" not in vars(kind) and not issubclass(kind, nn.Module):
            continue
        if _is_named_so(name) and not _required(kind):
            with contextlib.suppress(Exception), torch.random.fork_rng(devices=[]):
                found[name] = kind()
    return found


def _is_named_so(name: str) -> bool:
    short = name.rpartition(".")[2]
    return bool(_MAKES_FEATURES.search(short)) and not _MAY_ACT.search(short)


def how_it_is_called(
    name: str, function: Callable[..., Any], waveform: Tensor, beside: FrontEndSettings
) -> FrontEndFunction | None:
    """Find out what a front end takes by giving it a clip in each usual way.

    Returns:
        None where it takes none of them.
    """
    names = _required(function)
    more = beside.of(names[1:]) if names else None
    if not names or more is None:
        return None
    ways: Sequence[Takes] = ("waveform", "array", "channel", "path")
    if re.search(r"path|file|name|pfad|fn|datei", names[0], re.I):
        ways = ("path",)
    for takes in ways:
        candidate = FrontEndFunction(
            name=name, function=function, takes=takes, rate=beside.rate, beside=more
        )
        with contextlib.suppress(Exception):
            with torch.no_grad():
                found = candidate(waveform)
            if 0 < found.ndim <= 3 and found.numel() > 1:
                return candidate
    return None


def _required(function: Callable[..., Any]) -> list[str] | None:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return None
    return [
        name
        for name, one in parameters.items()
        if one.default is one.empty
        and one.kind in {one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY}
    ]


def _transforms(front_end: FrontEndFunction, waveform: Tensor) -> bool:
    """Say whether a function makes features, and does not merely hand on the samples."""
    with torch.no_grad():
        found = front_end(waveform)
        other = front_end(probe_waveform(front_end.rate, 2.0, seed=1))
    heard = not (found.shape == other.shape and torch.equal(found, other))
    return heard and found.ndim >= 2 and min(found.shape) > 1


def probe_waveform(rate: int, seconds: float, seed: int = 0) -> Tensor:
    """A sweep with noise, [samples] in [-1, 1]: something is in every band and every frame."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(int(seconds * rate)) / rate
    sweep = torch.sin(2 * torch.pi * (200 + 150 * seed + 500 * time) * time)
    return 0.3 * sweep + 0.1 * torch.randn(len(time), generator=generator)
