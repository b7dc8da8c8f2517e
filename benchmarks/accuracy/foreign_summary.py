"""Sums up ``benchmarks/accuracy/foreign.py``: how often it was right, and how sure when wrong."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from scipy import stats

from benchmarks.zoo.foreign.faults import FAULTS, SOUND

Row = dict[str, Any]
UNKNOWN = "unknown"
SURE = 0.5
# A fault that leaves the captions about as good as they were can hardly be told by them: twice the
# standard error of the share of 64 clips' events that are named, and words a caption.
LEFT_NAMED, LEFT_WORDS = 0.1, 0.2
# True of a captioner besides its fault: it learns one way to say what it hears.
BESIDES = {"at-once": {"data.single-caption"}}
BINS = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)
# What the places on the audio's way may be called.
PLACES = {
    "input": ("input", "waveform", "features", "front"),
    "encoder": ("encoder",),
    "memory": ("memory", "wiring", "encoder"),
    "decoder": ("decoder", "next word"),
    "words": ("words", "word", "decoder", "next word", "vocabulary"),
}


def share(hits: Sequence[bool]) -> dict[str, Any]:
    """Give the share of hits with Wilson's 95 % interval."""
    if not hits:
        return {"right": 0, "of": 0, "share": None, "low": None, "high": None}
    between = stats.binomtest(sum(hits), len(hits)).proportion_ci(method="wilson")
    return {
        "right": sum(hits),
        "of": len(hits),
        "share": round(sum(hits) / len(hits), 3),
        "low": round(float(between.low), 3),
        "high": round(float(between.high), 3),
    }


def ranked(row: Row, proved: bool = False) -> list[tuple[str, float]]:
    """Give causes and confidences, first first, without what is true of it besides its fault."""
    besides = BESIDES.get(row["architecture"], set())
    return [
        (name, confidence)
        for name, confidence, status in row.get("causes", [])
        if name not in besides and not (proved and status != "proved")
    ]


def right(row: Row, most: int = 1) -> bool:
    """Say whether a right cause is among the first so many."""
    return any(name in FAULTS[row["fault"]].right for name, _ in ranked(row)[:most])


def wrong_and_sure(row: Row) -> bool:
    """Say whether the first cause is a wrong one, and held with some confidence."""
    causes = ranked(row)
    if not causes or causes[0][0] == UNKNOWN or causes[0][1] < SURE:
        return False
    return row["fault"] == SOUND or not right(row)


def lost_at_right(row: Row) -> bool | None:
    """Say whether the place is right where the cause is not known; None elsewhere."""
    fault = FAULTS.get(row["fault"])
    if fault is None or fault.lost_at is None or row.get("lost_at") is None:
        return None
    if not ranked(row) or ranked(row)[0][0] != UNKNOWN:
        return None
    return str(row["lost_at"]).lower().startswith(PLACES[fault.lost_at])


def harmless(row: Row, rows: Sequence[Row]) -> bool:
    """Say whether a fault left the captions as good as those of the sound captioner."""
    fault = FAULTS.get(row["fault"])
    if fault is None or fault.where == "data" or "named" not in row:
        return False
    for other in rows:
        same = all(other[name] == row[name] for name in ("world", "architecture", "seed"))
        if same and other["fault"] == SOUND and "named" in other:
            named = row["named"] >= other["named"] - LEFT_NAMED
            return bool(named and abs(row["words"] / other["words"] - 1) < LEFT_WORDS)
    return False


def _group(rows: Sequence[Row], harmed: Sequence[Row]) -> dict[str, Any]:
    """Figures of some rows; ``harmed`` are those of them whose fault can be heard or read."""
    sound = [row for row in rows if row["fault"] == SOUND]
    places = [found for row in harmed if (found := lost_at_right(row)) is not None]
    return {
        "first": share([right(row) for row in harmed]),
        "among two": share([right(row, 2) for row in harmed]),
        "sound without a proved cause": share(
            [not _told(row, proved=True) and "error" not in row for row in sound]
        ),
        "sound without any cause": share(
            [not _told(row, proved=False) and "error" not in row for row in sound]
        ),
        "sound called healthy": share([row.get("verdict") == "healthy" for row in sound]),
        "wrong with confidence .5": share([wrong_and_sure(row) for row in [*harmed, *sound]]),
        "lost_at": share(places),
        "refused": sum(str(row.get("error", "")).startswith("refused") for row in rows),
        "crashed": sum(str(row.get("error", "")).startswith("crashed") for row in rows),
    }


def _told(row: Row, proved: bool) -> bool:
    return any(name != UNKNOWN for name, _ in ranked(row, proved))


def _reliability(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Compare how sure the first causes are with how often they are right."""
    pairs = [
        (ranked(row)[0][1], row["fault"] != SOUND and right(row))
        for row in rows
        if ranked(row) and ranked(row)[0][0] != UNKNOWN
    ]
    found = []
    for low, high in itertools.pairwise(BINS):
        inside = [pair for pair in pairs if low <= pair[0] < high or pair[0] == high == BINS[-1]]
        mean = sum(pair[0] for pair in inside) / len(inside) if inside else None
        found.append({"from": low, "to": high, "mean": mean, **share([p[1] for p in inside])})
    return found


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """Give the figures of all rows, by kind of fault, by architecture and by world."""
    quiet = {row["job"] for row in rows if harmless(row, rows)}
    harmed = [row for row in rows if row["fault"] != SOUND and row["job"] not in quiet]

    def by(tell: Callable[[Row], str]) -> dict[str, Any]:
        values = list(dict.fromkeys(map(tell, rows)))
        return {
            value: _group(
                [row for row in rows if tell(row) == value],
                [row for row in harmed if tell(row) == value],
            )
            for value in values
        }

    return {
        "all": _group(rows, harmed),
        "by kind": by(lambda row: str(row["fault"])),
        "by architecture": by(lambda row: str(row["architecture"])),
        "by world": by(lambda row: str(row["world"])),
        "by place": by(_where),
        "reliability of the first cause": _reliability(
            [row for row in rows if row["job"] not in quiet]
        ),
        # Apart: what changes no caption is no wrong answer to leave out, nor one to name.
        "harmless": {
            "jobs": sorted(quiet),
            "named all the same": share([right(row) for row in rows if row["job"] in quiet]),
        },
        "sound captioners": [
            {name: row.get(name) for name in ("job", "named", "named_by_chance", "verdict", "bits")}
            for row in rows
            if row["fault"] == SOUND
        ],
    }


def _where(row: Row) -> str:
    return SOUND if row["fault"] == SOUND else FAULTS[row["fault"]].where


def _shown(name: str, found: dict[str, Any]) -> str:
    if not found["of"]:
        return ""
    between = f"{found['low']:.0%}-{found['high']:.0%}"
    return f"{name} {found['right']} of {found['of']} ({found['share']:.0%}, {between})"


def lines(figures: dict[str, Any]) -> Iterator[str]:
    """Give the summary in words."""
    for part in ("by kind", "by architecture", "by world", "by place"):
        yield f"\n{part}"
        for name, group in figures[part].items():
            yield f"  {name:18} {_line(group)}"
    yield f"\nall: {_line(figures['all'])}"
    quiet = figures["harmless"]
    told = _shown("named all the same", quiet["named all the same"])
    yield f"harmless: {len(quiet['jobs'])}; {told}"
    yield "how sure the first cause is, and how often right:"
    for found in figures["reliability of the first cause"]:
        if found["of"]:
            yield f"  {found['from']:.2f}-{found['to']:.2f}: {_shown('right', found)}"


def _line(group: dict[str, Any]) -> str:
    shown = [_shown(name, found) for name, found in group.items() if isinstance(found, dict)]
    shown += [f"{name} {group[name]}" for name in ("refused", "crashed") if group[name]]
    return "; ".join(text for text in shown if text)
