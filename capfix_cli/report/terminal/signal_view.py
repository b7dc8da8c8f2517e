"""The audio's way through a network as bars, and what could not be tested."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from capfix_cli.core.thresholds import SIGNAL_DEAD
from capfix_cli.report.terminal.style import heading
from capfix_cli.schemas.diagnosis_record import NotTested, SignalPlace

WIDTH = 24  # characters of a full bar
MOST = 18  # places shown; of more, those between are left out evenly
NAME = 34  # characters of a place's name


def print_signal(console: Console, places: Sequence[SignalPlace]) -> None:
    """Print the share of between-clip variation, place by place, and where it dies."""
    if not places:
        return
    console.print(heading("Signal path: how much of each place differs from clip to clip"))
    lost = first_dead(places)
    for place in _chosen(places, lost):
        bar = bar_of(place.share)
        style = "red" if place.share < SIGNAL_DEAD.value else "cyan"
        line = Text(f"  {_short(place.place):{NAME}} ")
        line.append(f"{bar:{WIDTH}}", style=style).append(f" {_share(place.share)}")
        if lost is not None and place == lost:
            line.append("  <- lost here", style="bold red")
        console.print(line, soft_wrap=True)


def first_dead(places: Sequence[SignalPlace]) -> SignalPlace | None:
    """Name the first place from which on nothing of the clips' differences is left."""
    dead = None
    for place in reversed(places):
        if place.share >= SIGNAL_DEAD.value:
            break
        dead = place
    return dead


def bar_of(share: float) -> str:
    """Draw a share; the smallest that is alive still shows.

    >>> bar_of(0.5), bar_of(0.001), bar_of(0.0)
    ('############', '.', '')
    """
    full = round(WIDTH * min(1.0, max(0.0, share)))
    return "#" * full or ("." if share >= SIGNAL_DEAD.value else "")


def print_not_tested(console: Console, causes: Sequence[NotTested]) -> None:
    """Say in one paragraph what could not be looked for, and what that needs."""
    if not causes:
        return
    by_need: dict[str, list[str]] = {}
    for one in causes:
        by_need.setdefault(one.needs, []).append(one.cause)
    told = "; ".join(f"{', '.join(names)} (needs {need})" for need, names in by_need.items())
    console.print(Text(f"\nNot tested: {told}."), style="dim")


def _chosen(places: Sequence[SignalPlace], lost: SignalPlace | None) -> list[SignalPlace]:
    """Keep the ends and what lies outside layers; thin out layers where there are many."""
    layers = [p for p in places if p.place.startswith(("encoder ", "decoder ")) and p is not lost]
    layers = [p for p in layers if p.place != "decoder state"]
    room = max(1, MOST - (len(places) - len(layers)))
    step = max(1, -(-len(layers) // room))
    shown = {id(p) for p in layers[::step]}
    dropped = {id(p) for p in layers} - shown
    return [p for p in places if id(p) not in dropped]


def _short(name: str) -> str:
    return name if len(name) <= NAME else f"{name[: NAME // 3]}…{name[-(NAME - NAME // 3 - 1) :]}"


def _share(share: float) -> str:
    return f"{share:.3f}" if share >= 0.0005 or share == 0 else f"{share:.0e}"
