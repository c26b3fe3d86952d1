"""A search space: which parameters are free, and how the others follow from them.

A point is decided by one *coordinate* an axis: the number of its value for a finite kind, the value itself for a
distribution.  What is tied, conditional, derived or fixed follows from the coordinates.  Searches choose coordinates;
this module turns them into points.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from graphlib import TopologicalSorter
from typing import Any

from pydantic_core import PydanticCustomError

from orchestrator.errors import UsageError
from orchestrator.spec.arrangements import Derived, Numbered
from orchestrator.spec.finite import Choice
from orchestrator.spec.formula import Formula, FormulaError
from orchestrator.spec.kind import Kind, parameter_value

Coordinates = Mapping[str, Any]
Point = dict[str, Any]

# Axes up to this many values are computed once: decimal arithmetic a value would dominate the planning of a large grid.
# The bound keeps the memory of any space constant.
LISTED = 4096


class Values:
    """The values of one finite parameter, by number."""

    def __init__(self, kind: Kind) -> None:
        if kind.size is None:
            raise TypeError(f"the values of a {kind.key} parameter cannot be counted")
        self.size = kind.size
        self._kind = kind
        self._listed = [kind.value_at(index) for index in range(self.size)] if self.size <= LISTED else None

    def __getitem__(self, index: int) -> Any:
        return self._kind.value_at(index) if self._listed is None else self._listed[index]


class Space:
    """The parameters of a sweep and its constraints.

    ``axes`` are the free parameters in the order of the spec.  ``repetitions`` is how many trials each point gets.
    """

    def __init__(
        self, parameters: Mapping[str, Kind], constraints: Sequence[str] = (), given: Collection[str] = ()
    ) -> None:
        """``given`` are the names of values that come with each point from elsewhere, such as a table's columns."""
        self.parameters = {name: kind for name, kind in parameters.items() if name not in given}
        self.constraints = [Formula(text) for text in constraints]
        numbered = {name: kind for name, kind in self.parameters.items() if isinstance(kind, Numbered)}
        self.axes = {name: kind for name, kind in self.parameters.items() if kind.axis and name not in numbered}
        self.conditional = [name for name, kind in self.axes.items() if kind.when is not None]
        self.repetitions = 1
        self._repeats = {name: kind.size or 1 for name, kind in numbered.items()}
        for size in self._repeats.values():
            self.repetitions *= size
        known = {*self.parameters, *given}
        graph = {name: kind.reads & known for name, kind in self.parameters.items()}
        order = [name for name in TopologicalSorter(graph).static_order() if name in self.parameters]
        self._steps = [(name, self._step(name, self.parameters[name])) for name in order]
        self._plain = order == list(self.parameters) or not any(kind.reads for kind in self.parameters.values())
        if self._plain:
            self._steps = [(name, self._step(name, kind)) for name, kind in self.parameters.items()]

    def point(self, coordinates: Coordinates, repetition: int = 0, given: Mapping[str, Any] | None = None) -> Point:
        """The values of all parameters.  Raises UsageError where a derived one has none."""
        values: Point = dict(given) if given else {}
        if self._repeats:
            coordinates = {**coordinates, **self._repetition(repetition)}
        for name, step in self._steps:
            values[name] = step(coordinates, values)
        if self._plain:
            return values
        return {**(given or {}), **{name: values[name] for name in self.parameters}}

    def choose(self, choice: Callable[[str, Kind], Any]) -> tuple[dict[str, Any], Point]:
        """Coordinates chosen one after the other, only for axes that are active and have several values; and the point.

        ``choice`` is called after all that decides whether an axis is active.
        """
        values: Point = {}
        coordinates: dict[str, Any] = dict.fromkeys(self._repeats, 0)
        for name, step in self._steps:
            kind = self.parameters[name]
            if name in self.axes and kind.size != 1 and self.active(name, values):
                coordinates[name] = choice(name, kind)
            values[name] = step(coordinates, values)
        return {name: coordinates[name] for name in self.axes if name in coordinates}, values

    def tied_to(self, name: str) -> dict[str, Choice]:
        """The parameters whose values come from the same row as this one's."""
        return {
            other: kind for other, kind in self.parameters.items() if isinstance(kind, Choice) and kind.tied == name
        }

    def allows(self, point: Mapping[str, Any]) -> bool:
        """Whether every constraint holds.  Raises UsageError where one has no value."""
        try:
            return all(formula(point) for formula in self.constraints)
        except FormulaError as error:
            raise UsageError(f"search.constraints: {error}.") from None

    def active(self, name: str, point: Mapping[str, Any]) -> bool:
        """Whether the condition of this parameter, if it has one, holds at this point."""
        when = self.parameters[name].when
        return when is None or all(_among(point[other], wanted) for other, wanted in when.items())

    def _repetition(self, repetition: int) -> dict[str, int]:
        chosen = {}
        for name, size in reversed(self._repeats.items()):
            repetition, chosen[name] = divmod(repetition, size)
        return chosen

    def _step(self, name: str, kind: Kind) -> Callable[[Coordinates, Point], Any]:
        """What computes this parameter from the coordinates and the parameters before it."""
        step = self._value(name, kind)
        if kind.when is None:
            return step
        when, otherwise = kind.when, kind.otherwise

        def conditional(coordinates: Coordinates, point: Point) -> Any:
            holds = all(_among(point[other], wanted) for other, wanted in when.items())
            return step(coordinates, point) if holds else otherwise

        return conditional

    def _value(self, name: str, kind: Kind) -> Callable[[Coordinates, Point], Any]:
        if isinstance(kind, Derived):
            formula = kind.formula

            def derived(coordinates: Coordinates, point: Point) -> Any:
                try:
                    return parameter_value(formula(point))
                except FormulaError as error:
                    raise UsageError(f"parameters.{name}: {error}.") from None
                except PydanticCustomError as error:
                    raise UsageError(
                        f"parameters.{name}: the value of '{formula.shown}'{formula.at(point)} {error}."
                    ) from None

            return derived
        if not kind.finite:
            return lambda coordinates, point: coordinates[name]
        values = Values(kind)
        if values.size == 1:
            only = values[0]
            return lambda coordinates, point: only
        source = kind.tied if isinstance(kind, Choice) and kind.tied is not None else name
        return lambda coordinates, point: values[coordinates[source]]


def same(left: Any, right: Any) -> bool:
    """Equal, and not one a boolean and the other a number: ``true`` is not 1."""
    return bool(left == right) and isinstance(left, bool) == isinstance(right, bool)


def _among(value: Any, wanted: Sequence[Any]) -> bool:
    return any(same(value, item) for item in wanted)
