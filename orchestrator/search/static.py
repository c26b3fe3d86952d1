"""Searches whose points do not depend on results: a source of points, numbered, and the trials made of them."""

from __future__ import annotations

import sys
from typing import Any, Protocol

from orchestrator.errors import UsageError
from orchestrator.search.base import Params, Told

# A source whose points can be refused is counted beforehand up to this many points; it takes a fraction of a second.
COUNTED = 20_000
# So many points are computed beforehand, a few milliseconds: most formulas without a value have none at one of them.
TRIED = 1_000
# After this many refused points in a row there is no hope of another: seconds of work, not hours.
HOPELESS = 5_000_000
HOPELESS_ENDLESS = 20_000  # of a source that never ends


class Exhausted(Exception):
    """The source has no point of this number or above."""


class Source(Protocol):
    """Numbered points.  ``size`` is None where only reaching the end shows it.

    ``repetitions`` is how many trials each point gets.  With ``selective``, some numbers stand for no point.
    """

    @property
    def size(self) -> int | None: ...

    @property
    def repetitions(self) -> int: ...

    @property
    def selective(self) -> bool: ...

    def at(self, number: int, repetition: int) -> dict[str, Any] | None:
        """The point of this number; None where it is refused.  Raises Exhausted at the end.

        Asked with numbers that mostly ascend, so a source may stream.
        """


class StaticSearch:
    """The trials of a source: every point of it, in order, each one ``repetitions`` times, ``trials`` at most."""

    def __init__(self, source: Source, trials: int | None = None) -> None:
        self._source = source
        # The last point that was found, its number in the source, and what it is.
        self._point = self._number = -1
        self._found: dict[str, Any] = {}
        points = source.size
        if source.selective:
            if self._seek(0) is None:
                raise UsageError(
                    "search.constraints: no point of the search space satisfies them.", remedy="Loosen one of them."
                )
            points = self._count() if points is not None and points <= COUNTED else None
        self._trials = trials
        self._size = trials if points is None else min(points * source.repetitions, trials or sys.maxsize)
        if points is not None and not source.selective:
            for number in range(min(points, TRIED, -(-(trials or sys.maxsize) // source.repetitions))):
                source.at(number, 0)

    @property
    def size(self) -> int | None:
        return self._size

    @property
    def adaptive(self) -> bool:
        return False

    def ask(self, trial: int) -> dict[str, Any] | None:
        if trial < 0 or (self._trials is not None and trial >= self._trials):
            return None
        point, repetition = divmod(trial, self._source.repetitions)
        number = self._seek(point) if self._source.selective else point
        if number is None:
            return None
        if self._source.selective and repetition == 0:
            return self._found
        try:
            return self._source.at(number, repetition)
        except Exhausted:
            return None

    def replay(self, trial: int, params: Params) -> None:
        """Nothing to remember: each point follows from its number."""

    def tell(self, told: Told) -> None:
        """Nothing to learn."""

    def _seek(self, point: int) -> int | None:
        """The number in the source of the point of this number; None at the end."""
        if point < self._point:
            self._point = self._number = -1
        while self._point < point:
            following = self._next(self._number + 1)
            if following is None:
                return None
            self._point, self._number = self._point + 1, following
        return self._number

    def _next(self, number: int) -> int | None:
        """The first number from this one on that stands for a point."""
        most = HOPELESS if self._source.size is not None else HOPELESS_ENDLESS
        for candidate in range(number, number + most):
            try:
                found = self._source.at(candidate, 0)
            except Exhausted:
                return None
            if found is not None:
                self._found = found
                return candidate
        raise UsageError(
            f"search.constraints: none of {most:,} points in a row satisfies them.", remedy="Loosen one of them."
        )

    def _count(self) -> int:
        count = 0
        while self._seek(count) is not None:
            count += 1
        return count
