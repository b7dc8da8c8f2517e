"""Audio that libsndfile does not read: M4A, AAC, WebM, video; through ffmpeg or torchcodec."""

from __future__ import annotations

import functools
import importlib.util
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from capfix_cli.captions.captions_file import printable
from capfix_cli.core.errors import CapfixError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONVERTED = (
    *(".m4a", ".aac", ".mp4", ".webm", ".mkv", ".mov", ".avi", ".wma"),
    *(".mka", ".m4b", ".m4v", ".3gp", ".amr", ".mp2", ".ac3", ".mpg", ".mpeg", ".flv"),
)
# The containers of these suffixes, and no others: a playlist that is named .mp4 would make ffmpeg
# open whatever it names.
_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,aac,matroska,webm,avi,asf,amr,mp3,ac3,mpegts,mpeg,flv,wav,ogg"
_SAFE = ("-nostdin", "-hide_banner", "-protocol_whitelist", "file", "-format_whitelist", _FORMATS)
HEADER_SECONDS = 30  # for which a header may be looked for
LONGEST = 2 * 3600  # seconds of a file that are decoded: more is no clip
SLOWEST = 600  # seconds that one file may take

_DURATION = re.compile(r"Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)")
_AUDIO = re.compile(r"Stream #.*Audio: .*?(\d+) Hz, ([^,\n]+)")
_CHANNELS = {"mono": 1, "stereo": 2}


class NotConverted(Exception):  # noqa: N818 - it is an answer, not a failure
    """A file that cannot be decoded, with the reason in words."""


@dataclass(frozen=True)
class AudioStream:
    """What a file's header says of its first audio stream.

    Attributes:
        seconds: its length; 0 where the header does not tell.
        sample_rate: Hz.
    """

    seconds: float
    sample_rate: int


@functools.cache
def find_ffmpeg() -> str | None:
    """Find the program ffmpeg: on the path, or the one that imageio-ffmpeg ships."""
    found = shutil.which("ffmpeg")
    if found is None and importlib.util.find_spec("imageio_ffmpeg") is not None:
        import imageio_ffmpeg

        try:
            found = imageio_ffmpeg.get_ffmpeg_exe()
        except RuntimeError:
            return None
    return found


def can_convert() -> bool:
    """Say whether ffmpeg or torchcodec is here."""
    return find_ffmpeg() is not None or importlib.util.find_spec("torchcodec") is not None


def cannot_convert(label: str, paths: Sequence[Path]) -> CapfixError:
    """Say which files nothing here can decode, with the command that converts them."""
    kinds = Counter(path.suffix.lower() for path in paths)
    suffix = kinds.most_common(1)[0][0]
    counted = ", ".join(f"{count} {kind[1:].upper()}" for kind, count in kinds.most_common(3))
    folder = paths[0].parent
    return CapfixError(
        f"{printable(label)} holds {counted}, which needs ffmpeg or torchcodec, and neither is"
        " installed.",
        f"Install ffmpeg, or convert them where it is: for f in {printable(str(folder))}/*{suffix};"
        ' do ffmpeg -i "$f" "${f%.*}.wav"; done',
    )


def stream_of(path: Path) -> AudioStream:
    """Read the header of a file; no samples are decoded.

    Raises:
        NotConverted: nothing here decodes it, or it holds no audio.
    """
    program = find_ffmpeg()
    if program is None:
        return _stream_by_torchcodec(path)
    # Without an output ffmpeg tells what it found in the input, and ends with status 1.
    told = _run([program, *_SAFE, "-i", _url(path)], HEADER_SECONDS).stderr.decode(
        "utf-8", "replace"
    )
    stream = _AUDIO.search(told)
    if stream is None:
        raise NotConverted("holds no audio" if "Stream #" in told else _reason(told))
    length = _DURATION.search(told)
    parts = [float(part) for part in length.groups()] if length is not None else [0.0, 0.0, 0.0]
    seconds = parts[0] * 3600 + parts[1] * 60 + parts[2]
    return AudioStream(seconds, int(stream.group(1)))


def decode(path: Path) -> tuple[NDArray[np.float32], int]:
    """Decode the first audio stream of a file.

    At most ``LONGEST`` seconds are decoded, by a program that is ended when it takes too long.

    Returns:
        [samples] float32, its channels mixed to one, and the rate in Hz.

    Raises:
        NotConverted: it cannot be decoded; the reason in words.
    """
    import numpy as np

    program = find_ffmpeg()
    if program is None:
        return _decode_by_torchcodec(path)
    rate = stream_of(path).sample_rate
    output = ("-map", "0:a:0", "-t", str(LONGEST), "-vn", "-sn", "-dn", "-ar", str(rate))
    mean = ("-ac", "1", "-f", "f32le", "-c:a", "pcm_f32le", "pipe:1")
    done = _run([program, *_SAFE, "-v", "error", "-i", _url(path), *output, *mean], SLOWEST)
    if done.returncode and not done.stdout:
        raise NotConverted(_reason(done.stderr.decode("utf-8", "replace")))
    usable = len(done.stdout) - len(done.stdout) % 4
    return np.frombuffer(done.stdout[:usable], dtype="<f4").copy(), rate


def _url(path: Path) -> str:
    return f"file:{path}"  # so that no name is taken for an option or another protocol


def _run(command: Sequence[str], seconds: float) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise NotConverted(f"unreadable: ffmpeg took over {seconds:g} s") from error
    except OSError as error:
        raise NotConverted(f"unreadable: ffmpeg does not start ({error.strerror})") from error


def _reason(told: str) -> str:
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    kept = [line for line in lines if "At least one output file" not in line]
    last = kept[-1].rpartition(": ")[2] if kept else "no reason given"
    return f"unreadable by ffmpeg: {printable(last)[:100].rstrip('.')}"


def _stream_by_torchcodec(path: Path) -> AudioStream:
    about = _torchcodec(path).metadata
    seconds = about.duration_seconds or about.duration_seconds_from_header or 0.0
    return AudioStream(float(seconds), int(about.sample_rate))


def _decode_by_torchcodec(path: Path) -> tuple[NDArray[np.float32], int]:
    decoder = _torchcodec(path)
    try:
        samples = decoder.get_samples_played_in_range(0.0, float(LONGEST))
    except (RuntimeError, ValueError) as error:
        raise NotConverted(f"unreadable by torchcodec: {error!s:.100}") from error
    mono: NDArray[np.float32] = samples.data.mean(dim=0).float().numpy()
    return mono, int(samples.sample_rate)


def _torchcodec(path: Path):  # type: ignore[no-untyped-def]  # its own type, where it is installed
    if importlib.util.find_spec("torchcodec") is None:
        raise NotConverted(
            f"{path.suffix[1:].upper()} needs ffmpeg or torchcodec, and neither is installed"
        )
    try:
        from torchcodec.decoders import AudioDecoder

        return AudioDecoder(str(path))
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        line = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
        raise NotConverted(f"unreadable by torchcodec: {line:.100}") from error
