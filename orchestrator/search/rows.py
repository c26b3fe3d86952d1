"""Points that come from elsewhere, row by row, each combined with every combination of the spec's own parameters."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from orchestrator.search.grid import Grid
from orchestrator.search.space import Space
from orchestrator.search.static import Exhausted, StaticSearch
from orchestrator.spec.model import Spec

Row = dict[str, Any]


class Rows:
    """The rows of a stream.  ``begin`` starts it; it must give the same rows every time.

    Holds one row at a time: going on is cheap, going back starts the stream again.
    """

    def __init__(self, begin: Callable[[], Iterator[Row]]) -> None:
        self._begin = begin
        self._rows = begin()
        self._number = -1
        self._row: Row = {}

    def at(self, number: int) -> Row:
        """The row of this number.  Raises Exhausted past the last."""
        if number < self._number:
            self._rows, self._number = self._begin(), -1
        while self._number < number:
            row = next(self._rows, None)
            if row is None:
                raise Exhausted
            self._number, self._row = self._number + 1, row
        return self._row


class RowsTimesGrid:
    """Every row with every point of the grid, the grid fastest."""

    def __init__(self, rows: Rows, count: int | None, grid: Grid) -> None:
        self._rows = rows
        self._grid = grid
        self.size = None if count is None else count * grid.size
        self.repetitions = grid.repetitions
        self.selective = grid.selective

    def at(self, number: int, repetition: int) -> dict[str, Any] | None:
        row, rest = divmod(number, self._grid.size)
        return self._grid.at(rest, repetition, self._rows.at(row))


def rows_search(
    spec: Spec, names: Collection[str], begin: Callable[[], Iterator[Row]], count: int | None
) -> StaticSearch:
    """The search over rows that all have these names; ``count`` is their number where it is known."""
    space = Space(spec.parameters, spec.search.constraints, given=names)
    return StaticSearch(RowsTimesGrid(Rows(begin), count, Grid(space, spec.algorithm)), spec.search.trials)
