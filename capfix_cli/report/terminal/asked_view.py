"""What asking a captioner that gives text alone came to, on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from capfix_cli.report.terminal.style import columns, heading, share
from capfix_cli.schemas.asked_record import Asked

LONGEST = 90  # characters of a caption


def print_asked(console: Console, asked: Asked | None) -> None:
    """Print what was asked, what it cost, where anything was sent, and what experiments showed."""
    if asked is None:
        return
    console.print(heading("Asked, not opened: what its answers show"))
    table = columns("experiment", "clips", "share", "95 % interval")
    for probe in asked.probes:
        interval = f"{share(probe.low)} to {share(probe.high)}"
        table.add_row(probe.what, str(probe.clips), share(probe.value), interval)
    if asked.probes:
        console.print(table)
    if asked.of_silence is not None:
        console.print(Text(f"of silence it says: {_shown(asked.of_silence)}"), soft_wrap=True)
    if asked.of_noise:
        console.print(Text(f"of noise it says: {_shown(asked.of_noise[0])}"), soft_wrap=True)
    for line in _cost(asked):
        console.print(Text(line, style="dim"), soft_wrap=True)


def _cost(asked: Asked) -> list[str]:
    again = f", {asked.retries} made again" if asked.retries else ""
    kept = f", {asked.from_kept} answers kept from before" if asked.from_kept else ""
    lines = [
        f"{asked.calls} calls, {asked.calls_a_clip:.1f} a clip, in {asked.seconds:.0f} s"
        f"{again}{kept}"
    ]
    if asked.kind == "endpoint":
        lines.append(
            f"{asked.sent:.1f} MB of audio went to {asked.source}, and nothing anywhere else"
        )
    else:
        lines.append("nothing was sent anywhere by capfix: it runs on this machine")
    if asked.left_out:
        lines.append(f"the endpoint takes no {', '.join(asked.left_out)}: left out")
    return lines


def _shown(text: str) -> str:
    if not text:
        return "nothing"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
