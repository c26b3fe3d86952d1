"""The emulator's own time: it runs with the machine's, and can be moved forward."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable

from .timefmt import SECOND, Micros


class Timer:
    """Something that will happen at an emulated time, unless it is cancelled before."""

    __slots__ = ("action", "cancelled", "when")

    def __init__(self, when: Micros, action: Callable[[], None]) -> None:
        self.when = when
        self.action = action
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """Emulated time in microseconds since 1970, never going back, and the timers set on it.

    A jump does not skip what lies between: every timer that falls due on the way fires in order, each at its
    own time, as it would have in a day of waiting. Only real work (a task's process) cannot be hurried.

    Args:
        start: the emulated time now; None for the machine's own.
    """

    def __init__(self, start: Micros | None = None) -> None:
        machine = time.time_ns() // 1000
        self._origin = machine if start is None else start
        self._ahead = self._origin - machine
        self._started = time.monotonic_ns()
        self._jumped: Micros = 0
        self._held: Micros | None = None
        self._timers: list[tuple[Micros, int, Timer]] = []
        self._order = itertools.count()
        self._alarm: asyncio.TimerHandle | None = None

    def now(self) -> Micros:
        if self._held is not None:
            return self._held
        return self._origin + (time.monotonic_ns() - self._started) // 1000 + self._jumped

    def shift(self) -> Micros:
        """How far the emulated time is ahead of the machine's."""
        return self._ahead + self._jumped

    def at(self, when: Micros, action: Callable[[], None]) -> Timer:
        """Run `action` in the event loop when the emulated time is `when`."""
        timer = Timer(when, action)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        self._set_alarm()
        return timer

    def after(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Run `action` in the event loop `seconds` of emulated time from now."""
        return self.at(self.now() + round(seconds * SECOND), action)

    def advance(self, seconds: float) -> Micros:
        """Move the time forward by `seconds`, firing every timer on the way; return the new time."""
        if seconds < 0:
            raise ValueError("the emulated time cannot go back")
        start = self.now()
        target = start + round(seconds * SECOND)
        self._fire_until(target)
        self._jumped += target - start
        self._set_alarm()
        return target

    def _fire_until(self, target: Micros) -> None:
        try:
            while self._timers and self._timers[0][0] <= target:
                when, _, timer = heapq.heappop(self._timers)
                if timer.cancelled:
                    continue
                # Never back: a timer that was due before now fires now.
                self._held = max(when, self.now())
                timer.action()
        finally:
            self._held = None

    def _set_alarm(self) -> None:
        if self._held is not None:
            return
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        while self._timers and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)
        if self._timers:
            wait = max(0.0, (self._timers[0][0] - self.now()) / SECOND)
            self._alarm = asyncio.get_running_loop().call_later(min(wait, 3600.0), self._ring)

    def _ring(self) -> None:
        self._alarm = None
        now = self.now()
        due: list[Timer] = []
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            if not timer.cancelled:
                due.append(timer)
        self._set_alarm()
        for timer in due:
            if not timer.cancelled:
                timer.action()
