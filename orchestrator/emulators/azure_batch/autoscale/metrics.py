"""The samples that formulas read: one every 30 seconds, kept for a day.

Nothing samples in the background. What is counted is told to `Metrics.note` whenever it changes, before it changes;
the samples due since then are filled in with the old value, which is what a sampler would have seen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ..timefmt import DAY, SECOND, Micros

_KEPT = DAY

Snapshot = dict[str, float]


@dataclass(frozen=True, slots=True)
class Sample:
    time: Micros
    values: Snapshot


class Metrics:
    """The samples of one pool.

    Args:
        period_seconds: seconds between two.
        begin: time of the pool's making.
        read: the counts as they are.
    """

    def __init__(self, period_seconds: float, begin: Micros, read: Callable[[], Snapshot]) -> None:
        self.period: Micros = round(period_seconds * SECOND)
        self.begin = begin
        self._read = read
        self._samples: deque[Sample] = deque()
        self._next: Micros = begin

    def note(self, now: Micros) -> None:
        """Fill in the samples due until `now`. Cheap where none is due: call it before every change."""
        if now < self._next:
            return
        oldest = now - _KEPT
        if self._next < oldest:
            self._samples.clear()
            self._next += (oldest - self._next) // self.period * self.period
        values = self._read()
        while self._next <= now:
            self._samples.append(Sample(self._next, values))
            self._next += self.period
        while self._samples and self._samples[0].time < oldest:
            self._samples.popleft()

    @property
    def samples(self) -> deque[Sample]:
        return self._samples

    def between(self, start: Micros, end: Micros) -> list[Sample]:
        """The samples from `start` to `end`, oldest first."""
        return [sample for sample in self._samples if start <= sample.time <= end]

    def possible(self, start: Micros, end: Micros) -> int:
        """How many samples that time has room for."""
        return max(1, round((end - start) / self.period))
