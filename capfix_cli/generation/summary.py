"""What is said about a pass: how far it came, and what about it is out of the ordinary."""

from __future__ import annotations

from capfix_cli.captions.captions_file import printable
from capfix_cli.generation.caption_folder import Delivery, Generated
from capfix_cli.generation.partial_output import part_path
from capfix_cli.schemas.clip_records import count_reasons


def tell(generated: Generated, delivery: Delivery) -> list[str]:
    """Say what was written, and what about it is out of the ordinary."""
    notes = []
    if delivery.output is not None:
        found = f", {delivery.found:,} of them from before" if delivery.found else ""
        notes.append(f"{generated.clips:,} captions written to {delivery.output}{found}")
    if generated.skipped:
        first, count = generated.skipped[0], len(generated.skipped)
        files = "file" if count == 1 else "files"
        why = f"{printable(first.path)}: {first.reason}"
        if len({clip.reason for clip in generated.skipped}) > 1:
            why = f"{why}; {printable(count_reasons(generated.skipped))}"
        notes.append(f"{count:,} {files} skipped ({why})")
    if generated.lengthened:
        clips = "clip was" if generated.lengthened == 1 else "clips were"
        notes.append(
            f"{generated.lengthened:,} {clips} shorter than the captioner's minimum and got zeros"
            " at the end"
        )
    if generated.non_finite:
        clips = "clip" if generated.non_finite == 1 else "clips"
        notes.append(
            f"{generated.non_finite:,} {clips} got scores that are no numbers, hence an empty"
            " caption: `capfix diagnose` looks for the cause"
        )
    elif generated.empty:
        notes.append(
            f"{generated.empty:,} of {generated.made:,} captions are empty: the end came first."
            " --min-new-tokens 3 forbids that"
        )
    if generated.truncated:
        notes.append(
            f"{generated.truncated:,} of {generated.made:,} captions did not end and were cut off"
            " at the longest length"
        )
    return notes


def stopped(delivery: Delivery) -> str:
    """Say how far an interrupted command came, and how to go on."""
    if not delivery.clips:
        return "Stopped before the first clip."
    far = f"Stopped: {delivery.kept:,} of {delivery.clips:,} clips are captioned"
    if delivery.output is None:
        return f"{far}. With --output FILE they would be kept, and the command could be resumed."
    if not delivery.kept:
        return f"{far}."
    return f"{far} and kept in {part_path(delivery.output)}; the same command resumes."
