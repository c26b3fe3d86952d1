"""Every combination of finite parameters, in the order of the spec, the last parameter fastest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.errors import UsageError
from orchestrator.search.static import Static
from orchestrator.spec.model import Spec
from orchestrator.spec.parameters import Kind
from orchestrator.spec.problems import one_of

# Axes up to this many values are computed once: decimal arithmetic a value would dominate the planning of a
# large grid.  The bound keeps the memory of any grid constant.
LISTED = 4096


class Axis:
    """The values of one finite parameter."""

    def __init__(self, kind: Kind) -> None:
        size = kind.size
        assert size is not None
        self.size = size
        self._kind = kind
        self._listed = [kind.value_at(index) for index in range(size)] if size <= LISTED else None

    def __getitem__(self, index: int) -> Any:
        return self._kind.value_at(index) if self._listed is None else self._listed[index]


class GridSearch(Static):
    """The product of the axes.  A point is computed from its number: memory is constant."""

    def __init__(self, parameters: Mapping[str, Kind], trials: int | None = None) -> None:
        endless = [name for name, kind in parameters.items() if kind.size is None]
        if endless:
            kinds = one_of(sorted({parameters[name].key for name in endless}))
            raise UsageError(
                f"search.algorithm: a grid cannot count the values of {one_of(endless)} ({kinds}).",
                remedy="Use a choice, range, linspace or integer there, or search.algorithm: random.",
            )
        self._axes = {name: Axis(kind) for name, kind in parameters.items()}
        self.points = 1
        for axis in self._axes.values():
            self.points *= axis.size
        self._size = self.points if trials is None else min(trials, self.points)

    @property
    def size(self) -> int:
        return self._size

    def ask(self, trial: int) -> dict[str, Any] | None:
        if not 0 <= trial < self._size:
            return None
        values = []
        rest = trial
        for axis in reversed(self._axes.values()):
            rest, index = divmod(rest, axis.size)
            values.append(axis[index])
        return dict(zip(self._axes, reversed(values), strict=True))


def grid(spec: Spec) -> GridSearch:
    return GridSearch(spec.parameters, spec.search.trials)
