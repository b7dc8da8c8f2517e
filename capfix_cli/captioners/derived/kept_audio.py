"""How long a derived captioner's captions may be, and what it keeps of the audio: by trying."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import torch
from torch import Tensor

from capfix_cli.captioners.derived.derived_captioner import AUDIO, DerivedCaptioner
from capfix_cli.captioners.derived.method_trials import tokens_to_try
from capfix_cli.captioners.derived.programs import CallSettings, GenerateProgram, Program
from capfix_cli.captioners.derived.word_free_modules import find_word_free

LONGEST = 30  # words of a caption, where nothing of the network's ends it before


def longest_caption(
    programs: Sequence[Program | None], audio: Tensor, settings: CallSettings
) -> int:
    """Find the longest caption that the network's own captioning says, or its scores reach.

    Words beyond the end of its own loop are words that it never says.
    """
    best = LONGEST
    for one in programs:
        if one is None or getattr(one, "at_once", False):
            continue
        low, high = 1, best
        while low < high:
            middle = (low + high + 1) // 2
            if _scores(one, audio[:1], settings, middle):
                low = middle
            else:
                high = middle - 1
        best = low
    return best


def _scores(program: Program, audio: Tensor, settings: CallSettings, places: int) -> bool:
    tokens = tokens_to_try(settings, 1, places)
    try:
        with torch.no_grad():
            if isinstance(program, GenerateProgram):
                return len(program.forced(audio, tokens).scores) >= places
            return program.run(audio, tokens).shape[1] >= places
    except Exception:  # a table of positions ends, or a loop has its own limit
        return False


@torch.no_grad()
def keep_what_is_heard(captioner: DerivedCaptioner, audio: Tensor, settings: CallSettings) -> None:
    """Keep what only the audio decides, as long as every score stays what it was.

    Args:
        captioner: whose memory it will be.
        audio: [3, *features], of clips that differ.
        settings: of its methods.
    """
    program, network = captioner.program, captioner.module
    tokens = tokens_to_try(settings, 3, 5)
    try:
        held = find_word_free(network, program.run, audio, tokens, alone=program.alone)  # type: ignore[arg-type]
    except Exception:  # what cannot be watched is computed anew for every word
        return
    if not held:
        return
    wanted = program.run(audio, tokens)
    lengths = torch.full((len(audio),), audio.shape[1])

    def same() -> bool:
        with contextlib.suppress(Exception):
            memory = captioner.encode_features(audio, lengths)
            before = {name: part.clone() for name, part in memory.items()}
            again = captioner.score_with(program, tokens, memory)
            untouched = all(torch.equal(before[name], memory[name]) for name in memory)
            return untouched and torch.allclose(wanted, again, rtol=1e-4, atol=1e-5)
        return False

    for needs_audio in (False, True):
        captioner.keep(held, needs_audio=needs_audio)
        if same():
            break
    else:
        captioner.keep((), needs_audio=True)
        return
    # Of what lies before another kept module mostly the shape alone is looked at.
    for name in captioner.parts:
        if name != AUDIO:
            kept = captioner.blank
            captioner.keep(held, needs_audio=needs_audio, blank={*kept, name})
            if not same():
                captioner.keep(held, needs_audio=needs_audio, blank=kept)
    captioner.copies = False
    captioner.copies = not same()
