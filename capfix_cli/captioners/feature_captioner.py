"""A captioner that is given features in place of audio: the same captioner, asked otherwise."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from capfix_cli.captioners.base import Captioner, Memory
from capfix_cli.core.errors import CapfixError
from capfix_cli.features.feature_layout import FeatureLayout, FieldLayout
from capfix_cli.features.feature_set import USUAL, FeatureSet

# What a network raises that is given what it cannot take.
REFUSALS = (RuntimeError, ValueError, TypeError, IndexError, AssertionError, AttributeError)
TRIED = 2  # clips on which it is tried how a captioner takes features
SYNTHETIC = (40, 24, 33, 12)  # frames of made-up clips, where none are given


@dataclass(frozen=True)
class FeatureInput:
    """What stands in the place of audio.

    Attributes:
        layout: of a clip's arrays.
        bank: [T, W] of a few clips.
        rate: frames that stand for a second.
        floating: codes are given as numbers with a fraction, since the network takes no others.
        turned: features are given as [B, D, T], since the network takes no others.
    """

    layout: FeatureLayout
    bank: tuple[Tensor, ...]
    rate: int = 1
    floating: bool = False
    turned: bool = False

    def give(self, packed: Tensor, lengths: Tensor) -> tuple[Any, Any]:
        """Give the network's features and lengths."""
        return self.layout.unpack(packed, lengths, floating=self.floating, turned=self.turned)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of how features are given."""
        notes = []
        if self.turned:
            notes.append("encode_features() takes [B, D, T], and is given that.")
        if self.floating:
            notes.append("encode_features() takes no integers: codes are given as float32.")
        return tuple(notes)


class OverFeatures(Captioner):
    """Marks captioners that read features: ``encode`` takes [B, T, W] in place of waveforms.

    Attributes:
        given: what stands in the place of audio.
    """

    given: FeatureInput


def reads_features(captioner: Captioner) -> bool:
    """Say whether a captioner is given features in place of audio."""
    return isinstance(captioner, OverFeatures)


def needs_features(captioner: Captioner) -> bool:
    """Say whether a captioner takes no audio at all."""
    return captioner.feature_width is not None and not getattr(captioner, "sample_rate", 0)


def refuse_audio(captioner: Captioner) -> None:
    """Refuse to give audio to a captioner that reads features alone.

    Raises:
        CapfixError: it does.
    """
    if needs_features(captioner) and not reads_features(captioner):
        raise CapfixError(
            f"This captioner reads features of width {captioner.feature_width}, no audio.",
            "Give them with --features PATH in place of --audio (docs/features.md).",
        )


def over_features(captioner: Captioner, clips: FeatureSet) -> Captioner:
    """Make a captioner read the clips of a set of features.

    How it takes them is tried on two clips: as [B, T, D], codes as int64; where it refuses, codes
    as float32, or [B, D, T].

    Args:
        captioner: with ``encode_features``.
        clips: of features.

    Raises:
        CapfixError: it takes audio alone, or no features of this width; says which it takes.
    """
    given = FeatureInput(clips.layout, tuple(clips.frames(32)), clips.rate)
    if not given.bank:
        raise CapfixError(
            f"No clip of features in {clips.folder} can be read.",
            "Features are arrays of finite numbers, [T, D] or [D] a clip.",
        )
    return read_input(captioner, given)


def over_synthetic(captioner: Captioner) -> Captioner:
    """Make a captioner read made-up features of the width that it names.

    Which fields are one vector a clip is tried, where it refuses frames.

    Raises:
        CapfixError: it does not take them.
    """
    width = captioner.feature_width
    named: Mapping[str, int] = width if isinstance(width, Mapping) else {"": int(width or 1)}
    first: CapfixError | None = None
    for vectors in itertools.product((False, True), repeat=len(named)):
        fields = [
            FieldLayout(name, size, vector=vector)
            for (name, size), vector in zip(named.items(), vectors, strict=True)
        ]
        try:
            return read_input(captioner, _synthetic(FeatureLayout(tuple(fields))))
        except CapfixError as error:
            first = first or error
    assert first is not None
    raise first


def _synthetic(layout: FeatureLayout) -> FeatureInput:
    draw = torch.Generator().manual_seed(0)
    clips = []
    for frames in SYNTHETIC:
        arrays = {
            one.name: torch.randn(1 if one.vector else frames, one.width, generator=draw).numpy()
            for one in layout.fields
        }
        clips.append(layout.pack(arrays))
    return FeatureInput(layout, tuple(clips), 4)


def read_input(captioner: Captioner, given: FeatureInput) -> Captioner:
    """Make a captioner read features.

    Raises:
        CapfixError: as :func:`over_features`.
    """
    if type(captioner).encode_features is Captioner.encode_features:
        raise CapfixError(
            "This captioner takes audio: it has no encode_features().",
            "Give it one, for features [B, T, D] and lengths (docs/features.md), or --audio.",
        )
    _check_width(captioner, given.layout)
    return _derived(captioner, _fitted(captioner, given))


def _check_width(captioner: Captioner, layout: FeatureLayout) -> None:
    """Hold the width that a captioner names against the arrays'.

    Raises:
        CapfixError: it is another, or fields are missing.
    """
    told = captioner.feature_width
    if told is None:
        return
    own = {one.name: one.width for one in layout.fields}
    if isinstance(told, Mapping):
        missing = [name for name in told if name not in own]
        if missing:
            raise CapfixError(
                f"The captioner reads the field {missing[0]}, and the arrays have"
                f" {', '.join(name or 'no names' for name in own)}.",
                "Name them with --feature-field, or give both files: --features A --features B.",
            )
        wrong = [(name, told[name], own[name]) for name in told if told[name] != own[name]]
    else:
        wrong = [(name, told, width) for name, width in own.items() if width != told][:1]
    for name, wanted, width in wrong:
        field = f" {name}" if name else ""
        raise CapfixError(
            f"The arrays{field} are [T, {width}], and the captioner reads features of width"
            f" {wanted}.",
            "Give the features that it was trained on, or mend feature_width in the adapter.",
        )


def _fitted(captioner: Captioner, given: FeatureInput) -> FeatureInput:
    """Find how a captioner takes the features.

    Raises:
        CapfixError: in no way; names the layer that refuses and its width.
    """
    clips = given.bank[:TRIED]
    packed = pad_sequence(list(clips), batch_first=True)
    lengths = torch.tensor([len(clip) for clip in clips])
    codes = any(one.integer for one in given.layout.fields)
    frames = any(not one.vector for one in given.layout.fields)
    ways = itertools.product(*((False, True) if may else (False,) for may in (frames, codes)))
    first: tuple[Exception, str] | None = None
    for turned, floating in ways:
        tried = dataclasses.replace(given, turned=turned, floating=floating)
        error, layer = _refusal(captioner, tried, packed, lengths)
        if error is None:
            return tried
        first = first or (error, layer)
    assert first is not None
    error, layer = first
    shapes = " and ".join(f"{one.name} [T, {one.width}]".strip() for one in given.layout.fields)
    text = " ".join(str(error).split())[:160].rstrip(".")
    raise CapfixError(
        f"The arrays are {shapes}, and the captioner does not take them{layer}:"
        f" {type(error).__name__}: {text}.",
        "Give the features that it was trained on, or mend encode_features() in the adapter: it"
        " gets [B, T, D] and lengths in frames.",
    ) from error


def _refusal(
    captioner: Captioner, given: FeatureInput, packed: Tensor, lengths: Tensor
) -> tuple[Exception | None, str]:
    """Encode two clips; give what it raises and the layer that did not take them."""
    entered: list[str] = []
    left: set[str] = set()
    hooks = []
    for name, layer in captioner.module.named_modules() if captioner.module is not None else ():
        if name and not list(layer.children()):
            hooks.append(layer.register_forward_pre_hook(_noting(entered.append, name)))
            hooks.append(layer.register_forward_hook(_noting(left.add, name)))
    device = _device(captioner)
    try:
        with torch.inference_mode():
            captioner.encode_features(*given.give(packed.to(device), lengths.to(device)))
        return None, ""
    except REFUSALS as error:
        return error, _told_layer(captioner, entered, left)
    finally:
        for hook in hooks:
            hook.remove()


def _noting(note: Callable[[str], Any], name: str) -> Callable[..., None]:
    def hook(*_: Any) -> None:
        note(name)

    return hook


WIDTHS = ("in_features", "input_size", "in_channels", "num_features", "normalized_shape")


def _told_layer(captioner: Captioner, entered: Sequence[str], left: set[str]) -> str:
    """Name the layer that was entered and not left, with the width that it takes."""
    name = next((name for name in reversed(entered) if name not in left), "")
    if not name or captioner.module is None:
        return ""
    layer = captioner.module.get_submodule(name)
    width = next((getattr(layer, one) for one in WIDTHS if hasattr(layer, one)), None)
    takes = "" if width is None else f" takes {width}"
    return f" (the layer {name}, {type(layer).__name__},{takes})" if takes else f" (at {name})"


def _device(captioner: Captioner) -> torch.device:
    module: nn.Module | None = captioner.module
    first = None if module is None else next(module.parameters(), None)
    return torch.device("cpu") if first is None else first.device


def _derived(captioner: Captioner, given: FeatureInput) -> Captioner:
    """Make the captioner's twin, whose audio is features; the network is shared."""

    def unpacked(packed: Tensor, lengths: Tensor) -> tuple[Any, Any]:
        device = _device(captioner)
        return given.give(packed.to(device), lengths.to(device))

    def encode(self: Captioner, waveforms: Tensor, lengths: Tensor) -> Memory:
        return captioner.encode_features(*unpacked(waveforms, lengths))

    def features(self: Captioner, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        device = _device(captioner)
        return waveforms.to(device), lengths.to(device)

    def loss(
        self: Captioner, waveforms: Tensor, lengths: Tensor, captions: Sequence[str]
    ) -> Tensor:
        return captioner.loss(*unpacked(waveforms, lengths), captions)

    def blank(self: Captioner, *, noise: bool, seed: int) -> tuple[Tensor, Tensor]:
        return blank_features(given, noise=noise, seed=seed)

    methods: dict[str, Any] = {"blank_audio": blank}
    if given.layout.plain:
        # The array itself stands where a front end's features would: experiments may change it.
        methods |= {"features": features, "encode_features": encode, "encode": Captioner.encode}
    else:
        methods |= {
            "encode": encode,
            "features": Captioner.features,
            "encode_features": Captioner.encode_features,
        }
    # A loss that computes its own features of audio could not take these.
    ours = needs_features(captioner) and type(captioner).loss is not Captioner.loss
    methods["loss"] = loss if ours else Captioner.loss
    kind = type(f"{type(captioner).__name__}OverFeatures", (OverFeatures, type(captioner)), methods)
    made: Captioner = object.__new__(kind)
    made.__dict__.update(captioner.__dict__)
    made.__dict__.update(given=given, sample_rate=given.rate, min_samples=1)
    return made


def blank_features(given: FeatureInput, *, noise: bool, seed: int) -> tuple[Tensor, Tensor]:
    """Give what stands for "no audio" among features, as long as a usual clip.

    Silence is zeros where features are never negative, as counts, power and what follows a ReLU
    are; else the mean frame of the set, since nought may be loud (dB). Noise is Gaussian with the
    set's moments, number by number; of codes and of several arrays, frames of all clips shuffled.

    Args:
        given: what stands in the place of audio.
        noise: else silence.
        seed: of the noise.

    Returns:
        [1, T, W] and its length.
    """
    frames = torch.cat(given.bank)
    count = max(1, min(round(USUAL * given.rate), max(len(clip) for clip in given.bank)))
    lengths = torch.tensor([count])
    draw = torch.Generator().manual_seed(seed)
    if not given.layout.plain:
        rows = torch.randint(len(frames), (count,), generator=draw)
        # A code that is there, and what most clips have of each array.
        found = frames[rows] if noise else frames.median(dim=0).values.expand(count, -1)
        return found.unsqueeze(0).clone(), lengths
    mean, deviation = frames.mean(dim=0), frames.std(dim=0, unbiased=False)
    if noise:
        found = mean + deviation * torch.randn(count, frames.shape[1], generator=draw)
    elif float(frames.min()) >= 0:
        found = torch.zeros(count, frames.shape[1])
    else:
        found = mean.expand(count, -1)
    return found.unsqueeze(0).clone(), lengths


def example_features(captioner: Captioner, shares: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Make up features for checks, of other lengths: [B, T, W] zero-padded, and [B] frames."""
    assert isinstance(captioner, OverFeatures)
    given = captioner.given
    longest = max(len(clip) for clip in given.bank)
    lengths = [max(1, round(share / max(shares) * longest)) for share in shares]
    clips = []
    for row, length in enumerate(lengths):
        clip = given.bank[row % len(given.bank)]
        repeated = clip.repeat(-(-length // len(clip)), 1)[:length]
        clips.append(repeated)
    return pad_sequence(clips, batch_first=True), torch.tensor(lengths)
