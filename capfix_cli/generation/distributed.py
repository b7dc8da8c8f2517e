"""One process, or several that share the clips: under ``torchrun``, on one node or more.

Processes find each other as PyTorch's do. Each then tells that it is alive every few seconds, so
that one that dies ends the others with a clear line instead of keeping them waiting.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from capfix_cli.core.errors import CapfixError

NAMES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # as torchrun sets them
PATIENCE = 120.0  # seconds without a sign of life after which a process is held for dead
PATIENCE_NAME = "CAPFIX_PATIENCE"
JOINING = 300.0  # seconds in which all must have come, the slowest import of PyTorch included
BEAT = 2.0  # seconds between signs of life
LOOK = 0.1  # seconds between looks at the others
AGAIN = "What was captioned is kept: give the same command again."


@dataclass(frozen=True)
class Rank:
    """Which of several processes this is.

    Attributes:
        rank: 0 is the one that merges and speaks.
        world: how many there are.
        local: its number on its node, which picks its device.
    """

    rank: int
    world: int
    local: int


def find_place(environment: Mapping[str, str] = os.environ) -> Rank | None:
    """Read from the environment which process this is; None where it is the only one.

    Raises:
        CapfixError: the environment names places that cannot be.
    """
    if any(not environment.get(name) for name in NAMES):
        return None
    words = [environment.get(name, "0") for name in (*NAMES[:2], "LOCAL_RANK")]
    try:
        rank, world, local = map(int, words)
    except ValueError:
        rank, world, local = -1, 0, 0
    if not 0 <= rank < world or local < 0:
        raise CapfixError(
            f"RANK {words[0]} of WORLD_SIZE {words[1]} is no place among processes.",
            "Start them with torchrun, or unset these variables.",
        )
    return Rank(rank, world, local) if world > 1 else None


class ProcessGroup:
    """The processes of one command; this class is the one that works alone."""

    rank, world = 0, 1

    def __init__(self, device: str) -> None:
        self.device = device
        self.done = 0  # clips that this process has captioned
        self.others_done = 0  # and the others, as far as it is known

    @contextmanager
    def together(self) -> Iterator[None]:
        """Go on only if none of the processes raised a CapfixError within; all raise the first.

        Raises:
            CapfixError: one did.
        """
        yield

    def report(self, result: dict[str, Any]) -> list[dict[str, Any]]:
        """End this process's share: rank 0 gets every result once all have ended theirs.

        The others wait until rank 0 has released them, and get nothing.

        Raises:
            CapfixError: one of them failed or died.
        """
        return [result]

    def release(self) -> None:
        """Tell the others that all is done."""


@contextmanager
def join(device: str) -> Iterator[ProcessGroup]:
    """Find the other processes, if there are any, and leave them in order.

    Args:
        device: as given; ``cuda`` becomes the device of the process's own number on its node.

    Raises:
        CapfixError: they did not come together.
    """
    place = find_place()
    if place is None:
        yield ProcessGroup(device)
        return
    team = _MultiProcessGroup(place, f"cuda:{place.local}" if device == "cuda" else device)
    try:
        yield team
    except BaseException as error:
        team.fail(error)
        raise
    finally:
        team.leave()


class _MultiProcessGroup(ProcessGroup):
    """One of several processes.

    Every process keeps in the store that they share: ``beat/R``, a count of signs of life with the
    clips it has done; ``end/R``, its result; ``fail/R``, why it failed. Rank 0 sets ``released``.
    """

    def __init__(self, place: Rank, device: str) -> None:
        super().__init__(device)
        self.rank, self.world = place.rank, place.world
        self.patience = _patience()
        self.store = _meet(place)
        self.seen: dict[int, tuple[str, float]] = {}  # rank -> last sign of life, and when
        self.over = threading.Event()
        self.beating = threading.Thread(target=self._beat, daemon=True)
        self.beating.start()

    @contextmanager
    def together(self) -> Iterator[None]:
        from torch import distributed

        failed: tuple[str, str] | None = None
        try:
            yield
        except CapfixError as error:
            failed = error.message, error.hint
        everyone: list[tuple[str, str] | None] = [None] * self.world
        try:
            distributed.all_gather_object(everyone, failed)
        except RuntimeError as error:
            raise CapfixError("Another of the processes stopped.", AGAIN) from error
        first = next((told for told in everyone if told is not None), None)
        if first is not None:
            raise CapfixError(*first)

    def report(self, result: dict[str, Any]) -> list[dict[str, Any]]:
        self._set(f"end/{self.rank}", json.dumps(result))
        if self.rank:
            self._wait_for(0, "released")
            return []
        for other in range(1, self.world):
            self._wait_for(other, f"end/{other}")
        return [json.loads(self._get(f"end/{rank}") or "{}") for rank in range(self.world)]

    def release(self) -> None:
        self._set("released", "yes")

    def fail(self, error: BaseException) -> None:
        """Tell the others why this process goes, if they can still hear it."""
        reason = error.message if isinstance(error, CapfixError) else type(error).__name__
        with contextlib.suppress(RuntimeError):
            self.store.set(f"fail/{self.rank}", reason)

    def leave(self) -> None:
        """Stop telling that it is alive, and part."""
        from torch import distributed

        self.over.set()
        self.beating.join(self.patience)
        with contextlib.suppress(RuntimeError):
            if self._get("released"):
                distributed.barrier()  # rank 0 keeps the store: it must not go before the others
            distributed.destroy_process_group()

    def _wait_for(self, rank: int, key: str) -> None:
        self.seen.pop(rank, None)
        while self._get(key) is None:
            for other in range(self.world):
                reason = self._get(f"fail/{other}")
                if reason is not None and other != self.rank:
                    raise CapfixError(f"Process {other} of {self.world} stopped: {reason}", AGAIN)
            if self._silent_for(rank) > self.patience:
                raise CapfixError(
                    f"Process {rank} of {self.world} has given no sign of life for "
                    f"{self.patience:g} s.",
                    AGAIN,
                )
            time.sleep(LOOK)

    def _silent_for(self, rank: int) -> float:
        """Seconds since its last sign of life changed, by this process's own clock."""
        beat, now = self._get(f"beat/{rank}") or "", time.monotonic()
        last, since = self.seen.get(rank, (None, now))
        if beat != last:
            self.seen[rank], since = (beat, now), now
        return now - since

    def _beat(self) -> None:
        count = 0
        others = [rank for rank in range(self.world) if rank != self.rank]
        while not self.over.is_set():
            try:
                self.store.set(f"beat/{self.rank}", f"{count} {self.done}")
                if self.rank == 0:
                    beats = [self._get(f"beat/{rank}") or "0 0" for rank in others]
                    self.others_done = sum(int(beat.split()[1]) for beat in beats)
            except (RuntimeError, CapfixError):
                return  # the store is gone: whoever waits for it will find out
            count += 1
            self.over.wait(min(BEAT, self.patience / 4))

    def _set(self, key: str, value: str) -> None:
        with _gone():
            self.store.set(key, value)

    def _get(self, key: str) -> str | None:
        with _gone():
            # Asked first, so that nothing waits: the other thread uses the store as well.
            if not self.store.check([key]):
                return None
            found: bytes = self.store.get(key)
            return found.decode()


@contextmanager
def _gone() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise CapfixError("The process that the others meet at is gone.", AGAIN) from error


def _patience() -> float:
    text = os.environ.get(PATIENCE_NAME, "")
    try:
        found = float(text) if text else PATIENCE
    except ValueError:
        found = 0.0
    if not found > 0:
        raise CapfixError(f"{PATIENCE_NAME} is {text!r}.", "It must be a number of seconds.")
    return found


def _meet(place: Rank) -> Any:
    """Come together with the other processes and give the store that they share."""
    from torch import distributed

    if not distributed.is_available():
        raise CapfixError(
            "This PyTorch was built without torch.distributed.",
            "Run one process, without torchrun.",
        )
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    limit = timedelta(seconds=max(JOINING, _patience()))
    opened: Callable[..., Iterator[Any]] = rendezvous
    try:
        store, rank, world = next(iter(opened("env://", timeout=limit)))
        store.set_timeout(limit)
        # Only words and numbers pass between the processes: gloo carries them from any device.
        distributed.init_process_group(
            "gloo",
            store=PrefixStore("group", store),
            rank=rank,
            world_size=world,
            timeout=limit,
        )
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise CapfixError(
            f"The {place.world} processes did not come together: {reason:.150}.",
            "Start all of them with torchrun, and let MASTER_ADDR and MASTER_PORT be reachable.",
        ) from error
    return PrefixStore("capfix", store)
