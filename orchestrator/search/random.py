"""Independent random points, each a pure function of the seed and the number of the trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.errors import UsageError
from orchestrator.search.draw import draw
from orchestrator.search.static import Static
from orchestrator.search.stream import generator
from orchestrator.spec.model import Spec
from orchestrator.spec.parameters import Kind


class RandomSearch(Static):
    """``trials`` points.  See :mod:`orchestrator.search.stream` for where the numbers come from."""

    def __init__(self, parameters: Mapping[str, Kind], trials: int, seed: int = 0) -> None:
        self._parameters = dict(parameters)
        self._size = trials
        self._seed = seed

    @property
    def size(self) -> int:
        return self._size

    def ask(self, trial: int) -> dict[str, Any] | None:
        if not 0 <= trial < self._size:
            return None
        return {name: self._value(name, kind, trial) for name, kind in self._parameters.items()}

    def _value(self, name: str, kind: Kind, trial: int) -> Any:
        if kind.size == 1:
            return kind.value_at(0)
        return draw(kind, generator(self._seed, trial, name))


def random(spec: Spec) -> RandomSearch:
    trials = spec.search.trials if spec.search.trials is not None else spec.points
    if trials is None:
        raise UsageError(
            "search.trials: a random search over distributions has no end of its own.",
            remedy="Say how many trials you want, such as trials: 40.",
        )
    return RandomSearch(spec.parameters, trials, spec.search.seed)
