"""Parameters as Optuna sees them.

Optuna knows floats, whole numbers and categories.  A finite kind is the number of its value, ordered where the values
are; a distribution without an Optuna counterpart is the share of its probability, so that the prior stays what the user
wrote and the sampler still moves along the value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import singledispatch
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from orchestrator.search.quantile import LEAST, MOST, coordinate, share_below
from orchestrator.search.space import LISTED, Space, same
from orchestrator.spec.arrangements import Combinations, Permutations
from orchestrator.spec.distributions import LogUniform, Uniform
from orchestrator.spec.finite import Choice, Integer, Linspace, LogInteger, Range
from orchestrator.spec.kind import Distribution, Kind


class NoSuchValue(ValueError):
    """A value that this parameter cannot have."""


def distribution(kind: Kind) -> BaseDistribution:
    """The distribution of what :func:`inner` gives for this parameter."""
    if isinstance(kind, LogInteger):
        return IntDistribution(kind.low, kind.high, log=True)
    if kind.size is not None:
        unordered = isinstance(kind, Choice | Combinations | Permutations) and kind.size <= LISTED
        return CategoricalDistribution(range(kind.size)) if unordered else IntDistribution(0, kind.size - 1)
    if isinstance(kind, Uniform | LogUniform):
        return FloatDistribution(kind.low, kind.high, log=isinstance(kind, LogUniform))
    return FloatDistribution(0.0, 1.0)


def outer(kind: Kind, value: Any) -> Any:
    """The coordinate of a value that Optuna has suggested."""
    if isinstance(kind, LogInteger):
        return int(value) - kind.low
    if kind.size is not None:
        return int(value)
    assert isinstance(kind, Distribution)
    if isinstance(kind, Uniform | LogUniform):
        return kind.rounded(min(max(float(value), kind.low), kind.high))
    return coordinate(kind, float(value))


def inner(kind: Kind, place: Any) -> Any:
    """What Optuna is told of a coordinate.

    Always computed from the coordinate, also of a point that Optuna itself has just suggested: after a resume only the
    coordinates are known, and both lives of a run must tell it the same.
    """
    if isinstance(kind, LogInteger):
        return int(place) + kind.low
    if kind.size is not None or isinstance(kind, Uniform | LogUniform):
        return place
    assert isinstance(kind, Distribution)
    return min(max(share_below(kind, place), LEAST), MOST)


def locate(space: Space, params: Mapping[str, Any]) -> dict[str, Any]:
    """The coordinates of the active axes at a point.  Raises NoSuchValue where one cannot have its value."""
    found = {}
    for name, kind in space.axes.items():
        if kind.size == 1 or not space.active(name, params):
            continue
        if name not in params:
            raise NoSuchValue(name)
        if kind.size is None:
            found[name] = _inside(kind, params[name])
        else:
            found[name] = _number_of(kind, params[name], space.tied_to(name), params)
    return found


def _inside(kind: Kind, value: Any) -> float:
    assert isinstance(kind, Distribution)
    if isinstance(value, bool) or not isinstance(value, int | float) or not kind.low <= value <= kind.high:
        raise NoSuchValue(value)
    return float(value)


def _number_of(kind: Kind, value: Any, tied: Mapping[str, Choice], params: Mapping[str, Any]) -> int:
    """The number of this value; where a value stands in several rows, the row whose tied values fit."""
    for number in _candidates(kind, value):
        rows_fit = all(same(params.get(name), other.choice[number]) for name, other in tied.items())
        if same(kind.value_at(number), value) and rows_fit:
            return number
    raise NoSuchValue(value)


@singledispatch
def _candidates(kind: Kind, value: Any) -> range:
    """The numbers that this value can have."""
    assert kind.size is not None
    return range(kind.size)


@_candidates.register(Integer)
@_candidates.register(LogInteger)
@_candidates.register(Range)
@_candidates.register(Linspace)
@_candidates.register(Uniform)
def _evenly_spaced(kind: Kind, value: Any) -> range:
    assert kind.size is not None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return range(0)
    first, last = kind.value_at(0), kind.value_at(kind.size - 1)
    if first == last:
        return range(kind.size)
    near = round((value - first) / (last - first) * (kind.size - 1))
    return range(max(near - 1, 0), min(near + 2, kind.size))


@_candidates.register
def _arranged(kind: Permutations, value: Any) -> range:
    """Computed: there are too many to look at each.  Of equal values the first counts."""
    left, number = list(kind.permutations), 0
    for item in value if isinstance(value, list) else ():
        place = _first(left, item, 0)
        if place is None:
            return range(0)
        del left[place]
        following = kind.taken - (len(kind.permutations) - len(left))
        if following < 0:
            return range(0)
        number += place * math.perm(len(left), following)
    return range(number, min(number + 1, kind.size))


@_candidates.register
def _taken(kind: Combinations, value: Any) -> range:
    """Computed, as those of permutations."""
    pool = len(kind.combinations) + (kind.length - 1 if kind.replacement else 0)
    number, place, found = 0, 0, 0
    for taken, item in enumerate(value if isinstance(value, list) else ()):
        first = _first(kind.combinations, item, found)
        if first is None or taken >= kind.length:
            return range(0)
        following = first + taken if kind.replacement else first
        number += sum(math.comb(pool - skipped - 1, kind.length - taken - 1) for skipped in range(place, following))
        place, found = following + 1, first if kind.replacement else first + 1
    return range(number, min(number + 1, kind.size))


def _first(values: Sequence[Any], wanted: Any, start: int) -> int | None:
    return next((place for place in range(start, len(values)) if same(values[place], wanted)), None)
