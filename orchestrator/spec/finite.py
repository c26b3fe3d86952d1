"""The kinds of parameter whose values can be counted."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, model_validator

from orchestrator.spec.kind import (
    EXACT,
    LARGEST,
    Kind,
    arguments_schema,
    decimal,
    listed_values,
    parameter_value,
    positional,
)
from orchestrator.spec.problems import describe, wrong
from orchestrator.spec.quantities import number, whole, whole_within


def _whole_bounds(value: Any) -> tuple[int, int]:
    value = positional(value, ("low", "high"))
    for item in value:
        number(item)
    low, high = (whole(item) for item in value)
    if low > high:
        raise wrong(f"has its bounds reversed: {low} is above {high}", f"write [{high}, {low}]")
    if high - low >= LARGEST:
        raise wrong("has too many values")
    return low, high


def _steps(value: Any) -> tuple[int | float, ...]:
    given = positional(value, ("start", "stop", "step"), least=2)
    read = tuple(number(item) for item in given)
    exact = tuple(item if isinstance(item, int) else found for item, found in zip(given, read, strict=True))
    start, stop, step = exact if len(exact) == 3 else (*exact, 1)
    if step == 0:
        raise wrong("has a step of 0")
    if stop == start or (stop > start) != (step > 0):
        raise wrong(
            f"is empty: it starts at {start:g} and stops before {stop:g} in steps of {step:g}",
            "the stop is left out, as in Python's range",
        )
    if _range_size(start, stop, step) > LARGEST:
        raise wrong("has too many values")
    return exact


def _positive_whole_bounds(value: Any) -> tuple[int, int]:
    low, high = _whole_bounds(value)
    if low < 1:
        raise wrong(f"needs bounds of 1 or more for its logarithm, not {low}")
    return low, high


def _weights(value: Any) -> list[float]:
    weights = [number(item) for item in value] if isinstance(value, list | tuple) else None
    if weights is None:
        raise wrong(f"needs a list of numbers, not {describe(value)}")
    if any(weight < 0 for weight in weights) or not 0 < sum(weights) < math.inf:
        raise wrong("needs numbers of 0 or more, one of them above 0")
    return weights


def _points(value: Any) -> tuple[float, float, int]:
    value = positional(value, ("first", "last", "count"))
    first, last = number(value[0]), number(value[1])
    count = whole(value[2])
    if not 1 <= count <= LARGEST:
        raise wrong(f"needs a count of 1 or more, not {count}")
    if first == last and count > 1:
        raise wrong(f"has {count} values that are all {first:g}")
    return first, last, count


def _range_size(start: float, stop: float, step: float) -> int:
    width = EXACT.subtract(decimal(stop), decimal(start))
    steps = EXACT.divide(width, decimal(step))
    if steps > 2 * LARGEST:
        return 2 * LARGEST
    # The tolerance serves steps that are themselves rounded, such as 0.3333333333333333 for a third.
    if not all(isinstance(item, int) for item in (start, stop, step)):
        steps = EXACT.subtract(steps, Decimal("1e-9"))
    return max(1, math.ceil(steps))


class Fixed(Kind):
    """One value, the same in every trial.  Short spelling: the value itself."""

    key: ClassVar[str] = "fixed"

    fixed: Annotated[Any, BeforeValidator(parameter_value)] = Field(
        description="The value: a text, number, true, false, null, or a list or mapping (inserted as JSON text).",
        examples=[5, "adam", [64, 64]],
    )

    @property
    def size(self) -> int:
        return 1

    def _value(self, index: int) -> Any:
        return self.fixed


class Choice(Kind):
    """One of the listed values.  Short spelling: the list itself."""

    key: ClassVar[str] = "choice"

    choice: Annotated[list[Any], BeforeValidator(listed_values)] = Field(
        description="The values, of any kinds; lists and mappings are inserted into a command as JSON text.",
        min_length=1,
        examples=[[64, 128, 256], ["adam", "sgd"]],
    )
    weights: Annotated[list[float], BeforeValidator(_weights)] | None = Field(
        None,
        description="How likely each value is, in any unit. Left out: all equally. A grid takes every value all the "
        "same, and tpe, gp, cmaes and nsga2 find out for themselves which values are worth trying.",
        examples=[[3, 1, 1]],
    )
    tied: str | None = Field(
        None,
        description="Another choice of the same length. This one takes the value at the same place as that one, as if "
        "both were columns of a table.",
        examples=["model"],
    )

    @property
    def axis(self) -> bool:
        return self.tied is None

    @property
    def reads(self) -> frozenset[str]:
        return super().reads if self.tied is None else super().reads | {self.tied}

    @property
    def size(self) -> int:
        return len(self.choice)

    def _value(self, index: int) -> Any:
        return self.choice[index]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.weights is not None and self.tied is not None:
            raise wrong("cannot stand beside 'tied'", "the tied parameter's weights decide", at=["weights"])
        if self.weights is not None and len(self.weights) != len(self.choice):
            raise wrong(f"needs {len(self.choice)} numbers, one a value, not {len(self.weights)}", at=["weights"])
        return self


class Range(Kind):
    """Evenly spaced numbers from start up to, but without, stop: Python's ``range``, for floats too.

    Whole numbers stay whole.  Floats are counted and computed in decimal, so ``[0.1, 0.5, 0.1]`` is exactly
    0.1, 0.2, 0.3, 0.4.  A step may be negative.
    """

    key: ClassVar[str] = "range"

    range: Annotated[
        tuple[int | float, ...],
        BeforeValidator(_steps),
        arguments_schema(("start", "stop", "step"), least=2),
    ] = Field(
        description="[start, stop, step]: stop is left out, step is 1 unless given; as Python's range, floats allowed.",
        examples=[[0, 10, 2], [0.1, 0.5, 0.1]],
    )

    @property
    def start(self) -> float:
        return self.range[0]

    @property
    def stop(self) -> float:
        return self.range[1]

    @property
    def step(self) -> float:
        return self.range[2] if len(self.range) == 3 else 1

    @property
    def size(self) -> int:
        return _range_size(self.start, self.stop, self.step)

    def _value(self, index: int) -> int | float:
        start, step = self.start, self.step
        if isinstance(start, int) and isinstance(step, int) and isinstance(self.stop, int):
            return start + index * step
        return float(EXACT.add(decimal(start), EXACT.multiply(decimal(step), Decimal(index))))


class Linspace(Kind):
    """A number of evenly spaced floats from first to last, both included."""

    key: ClassVar[str] = "linspace"

    linspace: Annotated[
        tuple[float, float, int],
        BeforeValidator(_points),
        arguments_schema(("first", "last", "count")),
    ] = Field(
        description="[first, last, count]: count floats, evenly spaced, both ends included; as numpy.linspace.",
        examples=[[0, 1, 5]],
    )

    @property
    def size(self) -> int:
        return self.linspace[2]

    def _value(self, index: int) -> float:
        first, last, count = self.linspace
        if index == 0:
            return first
        if index == count - 1:
            return last
        width = EXACT.subtract(decimal(last), decimal(first))
        part = EXACT.divide(EXACT.multiply(width, Decimal(index)), Decimal(count - 1))
        return float(EXACT.add(decimal(first), part))


class Integer(Kind):
    """A whole number between two bounds, each equally likely."""

    key: ClassVar[str] = "integer"

    integer: Annotated[
        tuple[int, int],
        BeforeValidator(_whole_bounds),
        arguments_schema(("low", "high"), item="integer"),
    ] = Field(description="[low, high]: a whole number, both ends included.", examples=[[1, 8]])
    step: Annotated[int, whole_within(1)] = Field(
        1, description="Only low, low + step, low + 2 step, ... up to high.", examples=[32]
    )

    @property
    def low(self) -> int:
        return self.integer[0]

    @property
    def high(self) -> int:
        return self.integer[1]

    @property
    def size(self) -> int:
        return (self.high - self.low) // self.step + 1

    def _value(self, index: int) -> int:
        return self.low + index * self.step


class LogInteger(Kind):
    """A whole number between two bounds whose logarithm is evenly distributed, such as a batch size.

    It is the nearest whole number to a float of which each power of two is equally likely.
    """

    key: ClassVar[str] = "loginteger"

    loginteger: Annotated[
        tuple[int, int],
        BeforeValidator(_positive_whole_bounds),
        arguments_schema(("low", "high"), item="integer"),
    ] = Field(
        description="[low, high], from 1: a whole number whose logarithm is evenly distributed, both ends included.",
        examples=[[1, 1024]],
    )

    @property
    def low(self) -> int:
        return self.loginteger[0]

    @property
    def high(self) -> int:
        return self.loginteger[1]

    @property
    def size(self) -> int:
        return self.high - self.low + 1

    def _value(self, index: int) -> int:
        return self.low + index
