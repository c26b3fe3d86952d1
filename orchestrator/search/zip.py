"""All parameters side by side: the first values, the second values, and so on."""

from __future__ import annotations

from typing import Any

from orchestrator.errors import UsageError
from orchestrator.search.space import Space
from orchestrator.search.static import Exhausted, StaticSearch
from orchestrator.spec.model import Spec
from orchestrator.spec.problems import all_of


class Zip:
    """As many points as every parameter has values; a parameter of one value keeps it."""

    def __init__(self, space: Space) -> None:
        sizes = {name: kind.size for name, kind in space.axes.items() if kind.size != 1}
        endless = [name for name, size in sizes.items() if size is None]
        if endless:
            raise UsageError(
                f"search.algorithm: a zip cannot count the values of {all_of(endless)}.",
                remedy="Use a choice, range, linspace or integer there.",
            )
        if len(set(sizes.values())) > 1:
            lengths = all_of(f"{name} has {size}" for name, size in sizes.items())
            raise UsageError(
                f"search.algorithm: a zip needs as many values in each parameter, but {lengths}.",
                remedy="Make them equally long, or use search.algorithm: grid.",
            )
        self._space = space
        self._axes = list(sizes)
        self.size = next(iter(sizes.values()), 1) or 1
        self.repetitions = space.repetitions
        self.selective = bool(space.constraints)

    def at(self, number: int, repetition: int) -> dict[str, Any] | None:
        if number >= self.size:
            raise Exhausted
        point = self._space.point(dict.fromkeys(self._axes, number), repetition)
        return point if self._space.allows(point) else None


def zip_(spec: Spec) -> StaticSearch:
    return StaticSearch(Zip(Space(spec.parameters, spec.search.constraints)), spec.search.trials)
