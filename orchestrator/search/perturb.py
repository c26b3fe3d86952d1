"""One parameter, changed a little: how a child's differs from its parent's in population-based training."""

from __future__ import annotations

import math
from typing import Any

from orchestrator.spec.arrangements import Combinations, Permutations
from orchestrator.spec.distributions import Uniform
from orchestrator.spec.finite import Choice
from orchestrator.spec.kind import Distribution, Kind


def perturbed(kind: Kind, place: Any, factor: float) -> Any:
    """The coordinate whose value is about ``factor`` times as large, within the bounds.

    A value that can only move in steps moves at least one.  Of a choice of numbers it is the next one up or down; a
    choice of anything else stays.
    """
    if isinstance(kind, Choice):
        return _neighbour(kind, place, up=factor > 1)
    if isinstance(kind, Combinations | Permutations):
        return place
    if kind.size is not None:
        return _scaled_number(kind, kind.size, place, factor)
    assert isinstance(kind, Distribution)
    value = _bounded(kind, place * factor)
    if kind.step is not None and value == place and factor != 1:
        value = _bounded(kind, place + (kind.step if factor > 1 else -kind.step))
    return value


def _bounded(kind: Distribution, value: float) -> float:
    highest = math.nextafter(kind.high, kind.low) if isinstance(kind, Uniform) else kind.high
    return kind.rounded(min(max(value, kind.low), highest))


def _neighbour(kind: Choice, place: int, *, up: bool) -> int:
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in kind.choice):
        return place
    order = sorted(range(kind.size), key=lambda number: kind.choice[number])
    return order[min(max(order.index(place) + (1 if up else -1), 0), kind.size - 1)]


def _scaled_number(kind: Kind, size: int, place: int, factor: float) -> int:
    first, last, value = kind.value_at(0), kind.value_at(size - 1), kind.value_at(place)
    number: int = round((value * factor - first) / (last - first) * (size - 1))
    if number == place and factor != 1:
        number += 1 if (factor > 1) == (last > first) else -1
    return min(max(number, 0), size - 1)
