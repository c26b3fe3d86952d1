"""Points that fill the space more evenly than chance: Sobol's and Halton's sequences and Latin hypercubes.

The points of the unit cube are scipy's (``scipy.stats.qmc``); each coordinate reaches its parameter through the
inverse of the parameter's distribution function, so every kind of parameter can be searched so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from numpy.random import default_rng
from scipy.stats import qmc

from orchestrator.search.quantile import coordinate
from orchestrator.search.space import Space
from orchestrator.search.static import Exhausted, StaticSearch
from orchestrator.search.stream import derived_seed
from orchestrator.spec.model import Spec

# Sobol's sequence ends after 2 ** BITS points.  With more bits than these scipy's fast_forward fails.
BITS = 32


class Cube(Protocol):
    def at(self, number: int) -> Sequence[float]:
        """A point of the unit cube.  Raises Exhausted past the last."""


class Sequential:
    """An endless sequence, of which scipy generates one point after the other."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._number = -1
        self._point: Sequence[float] = ()

    def at(self, number: int) -> Sequence[float]:
        if number != self._number:
            if number <= self._number:
                self._engine.reset()
                self._number = -1
            if number > self._number + 1:
                self._engine.fast_forward(number - self._number - 1)
            self._point = self._engine.random(1)[0].tolist()
            self._number = number
        return self._point


class LatinHypercube:
    """As many points as there are trials: 8 bytes a point and parameter."""

    def __init__(self, engine: Any, points: int) -> None:
        self._points = engine.random(points)

    def at(self, number: int) -> Sequence[float]:
        if number >= len(self._points):
            raise Exhausted
        point: list[float] = self._points[number].tolist()
        return point


class QuasiRandom:
    size = None

    def __init__(self, space: Space, cube: Cube) -> None:
        self._space = space
        self._cube = cube
        self._moving = moving(space)
        self.repetitions = space.repetitions
        self.selective = bool(space.constraints)

    def at(self, number: int, repetition: int) -> dict[str, Any] | None:
        shares = self._cube.at(number)
        coordinates = {
            name: coordinate(kind, share) for (name, kind), share in zip(self._moving.items(), shares, strict=True)
        }
        point = self._space.point(coordinates, repetition)
        return point if self._space.allows(point) else None


def moving(space: Space) -> dict[str, Any]:
    """The axes that have more than one value."""
    return {name: kind for name, kind in space.axes.items() if kind.size != 1}


def sobol(spec: Spec) -> StaticSearch:
    return _search(spec, lambda dimensions, random: Sequential(qmc.Sobol(dimensions, bits=BITS, rng=random)))


def halton(spec: Spec) -> StaticSearch:
    return _search(spec, lambda dimensions, random: Sequential(qmc.Halton(dimensions, rng=random)))


def latin_hypercube(spec: Spec) -> StaticSearch:
    space = Space(spec.parameters)
    points = -(-(spec.search.trials or 1) // space.repetitions)
    return _search(spec, lambda dimensions, random: LatinHypercube(qmc.LatinHypercube(dimensions, rng=random), points))


def _search(spec: Spec, cube: Any) -> StaticSearch:
    space = Space(spec.parameters, spec.search.constraints)
    random = default_rng(derived_seed(spec.search.seed, 0, spec.algorithm))
    return StaticSearch(QuasiRandom(space, cube(len(moving(space)), random)), spec.search.trials)
