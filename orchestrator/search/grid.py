"""Every combination of finite parameters, in the order of the spec, the last parameter fastest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from orchestrator.errors import UsageError
from orchestrator.search.space import Space
from orchestrator.search.static import Exhausted, StaticSearch
from orchestrator.spec.model import Spec
from orchestrator.spec.problems import all_of


class Grid:
    """The product of the axes.  A point is computed from its number: memory is constant.

    Where an axis is conditional and its condition does not hold, its first value stands for all.
    """

    def __init__(self, space: Space, algorithm: str = "grid") -> None:
        endless = [name for name, kind in space.axes.items() if kind.size is None]
        if endless:
            kinds = all_of(sorted({space.axes[name].key for name in endless}))
            raise UsageError(
                f"search.algorithm: {algorithm} cannot count the values of {all_of(endless)} ({kinds}).",
                remedy="Use a choice, range, linspace or integer there, or search.algorithm: random.",
            )
        self._space = space
        self._sizes = [(name, kind.size or 1) for name, kind in reversed(space.axes.items())]
        self.size = 1
        for _, size in self._sizes:
            self.size *= size
        self.repetitions = space.repetitions
        self.selective = bool(space.constraints or space.conditional)

    def at(self, number: int, repetition: int, given: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """``given`` are values that come with the point from elsewhere."""
        if number >= self.size:
            raise Exhausted
        coordinates = {}
        for name, size in self._sizes:
            number, coordinates[name] = divmod(number, size)
        space = self._space
        point = space.point(coordinates, repetition, given)
        for name in space.conditional:
            if coordinates[name] and not space.active(name, point):
                return None
        return point if space.allows(point) else None


class OneAfterAnother:
    """Grids that follow one another."""

    def __init__(self, grids: Sequence[Grid]) -> None:
        self._grids = grids
        self._ends = list(accumulate(grid.size for grid in grids))
        self.size = self._ends[-1]
        self.repetitions = grids[0].repetitions
        self.selective = any(grid.selective for grid in grids)

    def at(self, number: int, repetition: int) -> dict[str, Any] | None:
        begin = 0
        for grid, end in zip(self._grids, self._ends, strict=True):
            if number < end:
                return grid.at(number - begin, repetition)
            begin = end
        raise Exhausted


def grid(spec: Spec) -> StaticSearch:
    constraints = spec.search.constraints
    if spec.search.grids:
        spaces = [Space({**spec.parameters, **own}, constraints) for own in spec.search.grids]
        return StaticSearch(OneAfterAnother([Grid(space) for space in spaces]), spec.search.trials)
    return StaticSearch(Grid(Space(spec.parameters, constraints)), spec.search.trials)
