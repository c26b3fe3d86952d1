"""Independent random points, each a pure function of the seed and its number."""

from __future__ import annotations

from typing import Any

from orchestrator.errors import UsageError
from orchestrator.search.draw import draw
from orchestrator.search.space import Space
from orchestrator.search.static import StaticSearch
from orchestrator.search.stream import generator
from orchestrator.spec.model import Spec

# Where fewer than one point in so many satisfies the constraints, drawing is the wrong way to find one.
ATTEMPTS = 10_000


class Draws:
    """Endless points.  See :mod:`orchestrator.search.stream` for where the numbers come from.

    A point that a constraint refuses is drawn again, so the others stay what they are without the constraint.
    """

    size = None
    selective = False

    def __init__(self, space: Space, seed: int) -> None:
        self._space = space
        self._seed = seed
        self._drawn = {name: kind for name, kind in space.axes.items() if kind.size != 1}
        self.repetitions = space.repetitions
        self.at(0, 0)  # constraints that nothing satisfies, formulas without a value

    def at(self, number: int, repetition: int) -> dict[str, Any]:
        return self._space.point(self.coordinates(number), repetition)

    def coordinates(self, number: int) -> dict[str, Any]:
        """Those of the first drawn point that the constraints allow."""
        for attempt in range(ATTEMPTS):
            coordinates = {
                name: draw(kind, generator(self._seed, number, name, attempt)) for name, kind in self._drawn.items()
            }
            if not self._space.constraints or self._space.allows(self._space.point(coordinates)):
                return coordinates
        raise UsageError(
            f"search.constraints: none of {ATTEMPTS:,} random points satisfies them.",
            remedy="Loosen one of them, or narrow the parameters to where they hold.",
        )


def random(spec: Spec) -> StaticSearch:
    trials = spec.search.trials if spec.search.trials is not None else spec.points
    if trials is None:
        raise UsageError(
            "search.trials: a random search over distributions has no end of its own.",
            remedy="Say how many trials you want, such as trials: 40.",
        )
    return StaticSearch(Draws(Space(spec.parameters, spec.search.constraints), spec.search.seed), trials)
