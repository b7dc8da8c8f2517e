"""Is what capfix runs what the user runs? Their captions of the same clips are the proof."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from capfix_cli.audio.audio_batches import Waveform, read_waveform
from capfix_cli.audio.audio_files import Clip
from capfix_cli.captioners.base import Captioner
from capfix_cli.captioners.derived.derived_captioner import DerivedCaptioner
from capfix_cli.captioners.derived.network_source import find_function
from capfix_cli.captioners.derived.own_script import OwnScript
from capfix_cli.captions.caption_layouts import EVERY, read_caption_file
from capfix_cli.captions.clip_names import pair_names
from capfix_cli.captions.own_captions import compare_captions
from capfix_cli.core.errors import CapfixError
from capfix_cli.core.progress import ProgressCallback
from capfix_cli.decoding.encode_pass import EncodedClips
from capfix_cli.diagnosis.command_settings import Settings
from capfix_cli.schemas.identity_record import Identity

COMPARED = 256  # clips at most that a user's code captions again: as many as are sampled


def read_own_captions(path: str) -> dict[str, str]:
    """Read what the user's script said: name in the file -> its caption.

    Raises:
        CapfixError: unreadable, or no column of captions.
    """
    file = read_caption_file(path, EVERY)
    said = {name: next(iter(clip.said), "") for name, clip in file.clips.items()}
    if not any(said.values()):
        raise CapfixError(
            f"{path} has no captions of a model.", "It needs a file_name and a caption a clip."
        )
    return said


def prove_identity(
    captioner: Captioner,
    clips: EncodedClips,
    settings: Settings,
    checkpoint: str,
    progress: ProgressCallback,
) -> Identity | None:
    """Compare capfix's greedy captions with the user's own of the same clips.

    The file of captions that was given comes first, then the function, then the network's own
    captioning, where it was found.

    Raises:
        CapfixError: the file is of other clips, or the function gives no captions.
    """
    greedy = {caption.file_name: caption.text for caption in clips.captions}
    if settings.own_captions is not None:
        said = read_own_captions(settings.own_captions)
        pairs = pair_names(said, list(greedy)).by_clip
        if not pairs:
            raise CapfixError(
                f"None of the {len(greedy)} clips has a caption in {settings.own_captions}.",
                "file_name must be the clip's path in the audio folder, or its bare name.",
            )
        yours = {clip: said[name] for clip, name in pairs.items()}
        return compare_captions(yours, greedy, settings.own_captions)
    chosen = [clip for clip in clips.clip_set.clips if clip.name in greedy][:COMPARED]
    if settings.own_generate is not None:
        function = find_function(settings.own_generate, "--generate")
        script = OwnScript(function, settings.own_generate, captioner, checkpoint)
        yours = {
            clip.name: script.caption(clip.path, one.samples)
            for clip, one in _read(chosen, captioner, progress)
        }
        return compare_captions(yours, greedy, settings.own_generate)
    if isinstance(captioner, DerivedCaptioner) and captioner.own is not None:
        yours = {}
        for clip, one in _read(chosen, captioner, progress):
            length = torch.tensor([len(one.samples)])
            told = captioner.own_captions(one.samples[None], length)
            yours[clip.name] = (told or [""])[0]
        source = captioner.own.name + (" with one beam" if captioner.own.narrowed else "")
        return compare_captions(yours, greedy, source)
    return None


def _read(
    chosen: list[Clip], captioner: Captioner, progress: ProgressCallback
) -> Iterator[tuple[Clip, Waveform]]:
    for done, clip in enumerate(chosen):
        progress("comparing with your own captions", done, len(chosen))
        read = read_waveform(clip, captioner.sample_rate, captioner.min_samples)
        if isinstance(read, Waveform):
            with torch.no_grad():
                yield clip, read
    progress("comparing with your own captions", len(chosen), len(chosen))
