"""Fixes 2.1 and 2.4 for a convolutional encoder: time is kept, and depth comes with shortcuts."""

from __future__ import annotations

from capfix_cli.checkpoints.formats.tensor_info import TensorInfo
from capfix_cli.fixes.rewrites.architecture_names import ArchitectureNames, Size, shown
from capfix_cli.fixes.rewrites.code_writing import Written, nothing_to_rewrite, one_line, write

LEAST_DEPTH, MOST_DEPTH = 3, 4  # the document, 2.4: from 2 layers to 3 or 4

_AXIS = """\
# Your features are [batch, 1, mels, frames]? Then 2. Or [batch, 1, frames, mels]? Then 3.
MELS_AXIS = 2
"""
_BLOCK_2D = '''
class Block(nn.Module):
    """A convolution that shrinks mel bands and never frames$and_shortcut."""

    def __init__(self, c_in: int, c_out: int, kernel: int) -> None:
        super().__init__()
        stride = (2, 1) if MELS_AXIS == 2 else (1, 2)
        # It was a pooling over both: MaxPool2d(2) leaves half of the frames, each time.
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride=stride, padding=kernel // 2)
        self.norm = nn.BatchNorm2d(c_out)
$shortcut
    def forward(self, x):
        y = torch.relu(self.norm(self.conv(x)))
        return $sum


class Encoder(nn.Module):
    """Features in your layout -> frames [batch, frames, AUDIO]."""

    def __init__(self) -> None:
        super().__init__()
        sizes = zip(CHANNELS[:-1], CHANNELS[1:], KERNELS)
        self.blocks = nn.Sequential(*(Block(*size) for size in sizes))
        self.out = nn.Linear(CHANNELS[-1], AUDIO)

    def forward(self, features):
        x = self.blocks(features).mean(dim=MELS_AXIS)
        return self.out(x.transpose(1, 2))
'''

_BLOCK_1D = '''
class Block(nn.Module):
    """A convolution over frames that keeps every one of them$and_shortcut."""

    def __init__(self, c_in: int, c_out: int, kernel: int) -> None:
        super().__init__()
        # It was followed by a pooling over frames: leave that out.
        self.conv = nn.Conv1d(c_in, c_out, kernel, padding=kernel // 2)
        self.norm = nn.BatchNorm1d(c_out)
$shortcut
    def forward(self, x):
        y = torch.relu(self.norm(self.conv(x)))
        return $sum


class Encoder(nn.Module):
    """Features [batch, mels, frames] -> frames [batch, frames, AUDIO]."""

    def __init__(self) -> None:
        super().__init__()
        sizes = zip(CHANNELS[:-1], CHANNELS[1:], KERNELS)
        self.blocks = nn.Sequential(*(Block(*size) for size in sizes))
        self.out = nn.Linear(CHANNELS[-1], AUDIO)

    def forward(self, features):
        return self.out(self.blocks(features).transpose(1, 2))
'''


def keep_time(found: ArchitectureNames) -> Written:
    """2.1: the user's convolutions, with no step over frames."""
    kernels = _kernels(found, "2.1")
    where = (
        f"It stands for {kernels[0].name.rpartition('.')[0]} and what follows it up to the"
        " decoder. Where one vector is wanted, and not frames, take frames.mean(dim=1) last."
    )
    checks = (
        "encoder(x).shape[1] is the number of frames of x, for clips of two lengths.",
        "The output changes when a clip's frames are put in another order.",
        "Time pooling is invisible in weights: `capfix diagnose` shuffles frames and says whether"
        " it still is there.",
    )
    return _write(
        "2.1",
        found,
        kernels=kernels,
        depth=len(kernels),
        where=where,
        checks=checks,
        residual=found.residual,
    )


def deeper(found: ArchitectureNames) -> Written:
    """2.4: at least three of the user's convolutions, each with a shortcut."""
    kernels = _kernels(found, "2.4")
    if len(kernels) > MOST_DEPTH or (found.residual and len(kernels) >= LEAST_DEPTH):
        around = " and shortcuts" if found.residual else ""
        raise nothing_to_rewrite("2.4", found, f"it has {len(kernels)} convolutions{around}")
    depth = max(LEAST_DEPTH, len(kernels))
    where = (
        f"It stands for {kernels[0].name.rpartition('.')[0]} and what follows it up to the"
        f" decoder: {len(kernels)} convolution(s) become {depth}, each with a shortcut."
    )
    checks = (
        f"`capfix inspect` says encoder.conv-layers: {depth} and encoder.residual: True.",
        "Early in training the loss falls no slower than before.",
    )
    return _write(
        "2.4", found, kernels=kernels, depth=depth, where=where, checks=checks, residual=True
    )


def _kernels(found: ArchitectureNames, fix_id: str) -> tuple[TensorInfo, ...]:
    if found.encoder == "transformer":
        raise nothing_to_rewrite(
            fix_id, found, "its encoder is a Transformer: if time is lost, a mean takes it after it"
        )
    if not found.convolutions:
        raise nothing_to_rewrite(fix_id, found, "no convolution was found in its encoder")
    dimensions = len(found.convolutions[0].shape)
    return tuple(t for t in found.convolutions if len(t.shape) == dimensions)


def _write(
    fix_id: str,
    found: ArchitectureNames,
    *,
    kernels: tuple[TensorInfo, ...],
    depth: int,
    where: str,
    checks: tuple[str, ...],
    residual: bool,
) -> Written:
    channels = [kernels[0].shape[1], *(t.shape[0] for t in kernels)]
    widths = [t.shape[-1] for t in kernels]
    more = depth - len(kernels)
    channels += channels[-1:] * more
    widths += widths[-1:] * more
    # A kernel of an even width cannot keep the number of frames: the next odd one can.
    widths = [width + 1 - width % 2 for width in widths]
    two = len(kernels[0].shape) == 4
    convolution = "nn.Conv2d(c_in, c_out, 1, stride=stride)" if two else "nn.Conv1d(c_in, c_out, 1)"
    constants = (
        f"CHANNELS = {channels}  # as in {one_line(shown(kernels[0]))} and on\nKERNELS = {widths}\n"
    )
    if two:
        constants += _AXIS
    words = {
        "and_shortcut": ", and a way around it" if residual else "",
        "shortcut": f"        self.shortcut = {convolution}\n" if residual else "",
        "sum": "y + self.shortcut(x)" if residual else "y",
    }
    numbers = {"AUDIO": Size(found.audio.value, found.audio.why)}
    template = _BLOCK_2D if two else _BLOCK_1D
    return write(
        fix_id,
        found,
        where=where,
        numbers=numbers,
        template=template,
        words=words,
        checks=checks,
        constants=constants,
    )
