"""Asking a captioner that gives text: paced, bounded, tried again, kept, and counted."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue

from capfix_cli.captioners.text.kept_answers import KeptAnswers, key_of
from capfix_cli.captioners.text.text_captioner import (
    PLAIN,
    CallFailed,
    GivenClip,
    TextAnswer,
    TextCaptioner,
    Wish,
)
from capfix_cli.core.errors import CapfixError

TRIES = 5  # of a call that may well succeed later
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0  # seconds between tries; each wait is twice the last
AT_ONCE = 4  # calls to an endpoint at once where nothing is said
HOPELESS = 3  # first calls that all fail: the rest would too
FAILING = 0.5  # share of clips without an answer at which there is no use in going on


@dataclass(frozen=True, kw_only=True)
class CallLimits:
    """What calls may take.

    Attributes:
        per_minute: most calls in a minute; None is as fast as answers come.
        at_once: most calls at once.
        seconds: that all calls may take; None is no limit.
    """

    per_minute: float | None = None
    at_once: int = 1
    seconds: float | None = None


NO_LIMITS = CallLimits()


@dataclass
class CallCount:
    """What asking came to.

    Attributes:
        calls: that were made and answered.
        retries: calls that were made again.
        from_kept: answers that a run of before had been given.
        seconds: from the first call to the last answer.
        failed: name of a clip -> why it has no caption.
    """

    calls: int = 0
    retries: int = 0
    from_kept: int = 0
    seconds: float = 0.0
    failed: dict[str, str] = field(default_factory=dict)


Outcome = list[TextAnswer] | CallFailed
Told = Callable[[int, int], None]


class Asker:
    """Asks one captioner; whoever wants a caption of it goes through here.

    Args:
        captioner: to ask.
        limits: of calls.
        kept: where answers are kept; None keeps them for this run only.
        sleep: waits; tests give another.
    """

    def __init__(
        self,
        captioner: TextCaptioner,
        limits: CallLimits = NO_LIMITS,
        kept: KeptAnswers | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.captioner = captioner
        self.limits = limits
        self.kept = kept
        self.count = CallCount()
        self.out_of_time = False
        self._memory: dict[str, TextAnswer] = {}
        self._sleep = sleep
        self._started: float | None = None
        self._next = 0.0  # when the next call may start
        self._lock = threading.Lock()
        self._trouble: list[CallFailed] = []  # of what is asked now
        self._answered = 0

    def ask(
        self,
        clips: Sequence[GivenClip],
        wish: Wish = PLAIN,
        *,
        again: int = 0,
        size: int | None = None,
        fresh: bool = False,
        told: Told = lambda done, total: None,
    ) -> list[TextAnswer | None]:
        """Ask for a caption of each clip.

        Args:
            clips: in the order in which they are put together into calls.
            wish: how.
            again: asks the same once more: another number is another answer.
            size: clips of a call; as many as the captioner takes if None. Of another size than
                usual, answers are kept apart.
            fresh: ask whatever is kept, and keep nothing of it.
            told: called with clips done and in all.

        Returns:
            For each clip its answer, or None where it has none (``count.failed`` says why).

        Raises:
            CapfixError: there is no use in going on, or no time.
        """
        if fresh:
            return self._ask_fresh(clips, wish)
        usual = self.captioner.clips_a_call
        together = "" if size in {None, usual} else f"{size}"
        size = min(size or usual, usual)
        keys = [key_of(clip, wish, again, together) for clip in clips]
        groups = []
        for start in range(0, len(clips), size):
            places = range(start, min(start + size, len(clips)))
            left = [place for place in places if self._known(keys[place]) is None]
            if left:
                groups.append(left)
        done = len(clips) - sum(map(len, groups))
        self._trouble, self._answered = [], 0
        told(done, len(clips))
        for group, outcome in self._calls([[clips[p] for p in g] for g in groups], groups, wish):
            self._take(group, outcome, clips, keys)
            done += len(group)
            told(done, len(clips))
        return [self._memory.get(key) for key in keys]

    def is_known(self, clip: GivenClip, wish: Wish) -> bool:
        """Say whether a run of before was given the caption of a clip."""
        return self.kept is not None and self.kept.get(key_of(clip, wish)) is not None

    def forget(self) -> None:
        """Throw away all answers that are kept."""
        self._memory.clear()
        self.count.from_kept = 0
        if self.kept is not None:
            self.kept.forget()

    def _ask_fresh(self, clips: Sequence[GivenClip], wish: Wish) -> list[TextAnswer | None]:
        size = self.captioner.clips_a_call
        places = [range(s, min(s + size, len(clips))) for s in range(0, len(clips), size)]
        found: list[TextAnswer | None] = [None] * len(clips)
        for group, outcome in self._calls([[clips[p] for p in g] for g in places], places, wish):
            if isinstance(outcome, CallFailed):
                raise CapfixError(outcome.reason, outcome.hint)
            self.count.calls += 1
            for place, answer in zip(group, outcome, strict=True):
                found[place] = answer
        return found

    def _known(self, key: str) -> TextAnswer | None:
        if key not in self._memory and self.kept is not None:
            found = self.kept.get(key)
            if found is not None:
                self.count.from_kept += 1
                self._memory[key] = found
        return self._memory.get(key)

    def _take(
        self,
        group: Sequence[int],
        outcome: Outcome,
        clips: Sequence[GivenClip],
        keys: Sequence[str],
    ) -> None:
        """Keep a call's answers, or say of its clips why they have none."""
        if isinstance(outcome, CallFailed):
            self._trouble.append(outcome)
            for place in group:
                self.count.failed[clips[place].name] = outcome.reason
            failed = len(self._trouble)
            total = failed + self._answered
            if failed >= HOPELESS and failed > FAILING * total:
                first = self._trouble[0]
                raise CapfixError(first.reason, self._go_on(first.hint))
            return
        self.count.calls += 1
        self._answered += 1
        for place, answer in zip(group, outcome, strict=True):
            self._memory[keys[place]] = answer
            if self.kept is not None:
                self.kept.put(keys[place], answer)

    def _calls(
        self, groups: Sequence[Sequence[GivenClip]], names: Sequence[Sequence[int]], wish: Wish
    ) -> Iterator[tuple[Sequence[int], Outcome]]:
        """Make the calls, several at once where that is allowed; give each outcome as it comes."""
        at_once = self.limits.at_once if self.captioner.parallel else 1
        if at_once == 1 or len(groups) < 2:
            for group, name in zip(groups, names, strict=True):
                yield name, self._call(group, wish)
            return
        todo: SimpleQueue[tuple[Sequence[GivenClip], Sequence[int]] | None] = SimpleQueue()
        done: SimpleQueue[tuple[Sequence[int], Outcome | BaseException]] = SimpleQueue()

        def work() -> None:
            while (item := todo.get()) is not None:
                try:
                    outcome: Outcome | BaseException = self._call(item[0], wish)
                except BaseException as error:  # raised again by whoever asked
                    outcome = error
                done.put((item[1], outcome))

        # Of threads that are daemons none holds up whoever stops in the middle of a slow call.
        for _ in range(at_once):
            threading.Thread(target=work, daemon=True).start()
        left = zip(groups, names, strict=True)
        running = 0
        try:
            for item in itertools.islice(left, at_once):
                todo.put(item)
                running += 1
            while running:
                name, outcome = done.get()
                running -= 1
                if isinstance(outcome, BaseException) and not isinstance(outcome, CallFailed):
                    raise outcome
                for item in itertools.islice(left, 1):
                    todo.put(item)
                    running += 1
                yield name, outcome
        finally:
            for _ in range(at_once):
                todo.put(None)
            if running:
                self.captioner.stop()

    def _call(self, clips: Sequence[GivenClip], wish: Wish) -> Outcome:
        """Make one call, and make it again where that may help.

        Raises:
            CapfixError: no call will succeed, or the time is over.
        """
        delay = FIRST_WAIT
        for number in range(1, TRIES + 1):
            self._pace()
            try:
                answers = self.captioner.answer(clips, wish)
            except CallFailed as error:
                if not error.again:
                    return error
                heard = self.count.calls > 0 or error.busy
                if number >= _tries(error, heard=heard):
                    if not heard:  # nothing that answers is there: the next would fail as well
                        raise CapfixError(error.reason, error.hint) from error
                    return error
                self.count.retries += 1
                self._sleep(min(error.after or delay, LONGEST_WAIT * 4))
                delay = min(2 * delay, LONGEST_WAIT)
            else:
                self.count.seconds = time.monotonic() - (self._started or 0.0)
                return answers
        raise AssertionError

    def _pace(self) -> None:
        """Wait for the next call's turn.

        Raises:
            CapfixError: the time is over.
        """
        with self._lock:
            now = time.monotonic()
            if self._started is None:
                self._started = now
            start = max(now, self._next)
            limit = self.limits.seconds
            if limit is not None and start - self._started > limit:
                self.out_of_time = True
                raise CapfixError(
                    f"The {limit:g} s of --total-timeout are over.",
                    self._go_on("Allow more, or fewer clips."),
                )
            if self.limits.per_minute is not None:
                self._next = start + 60.0 / self.limits.per_minute
        if start > now:
            self._sleep(start - now)

    def _go_on(self, hint: str) -> str:
        count = len(self._memory)
        if self.kept is None or not count:
            return hint
        return f"{hint} {count} captions are kept: the same command goes on from there."


def _tries(error: CallFailed, *, heard: bool) -> int:
    """How often a call is made in all: seldom where waiting is dear or nobody is there."""
    if error.slow:
        return 2 if heard else 1
    return TRIES if heard else 2
