"""The kinds of a parameter.  Each is one class whose discriminating key is its spelling in a spec.

A kind is *finite* when its values can be counted; then ``size`` is their number and ``value_at(i)`` the
i-th of them, computed and never listed, so that a range of a billion values costs nothing.  What is not
finite is sampled, by ``orchestrator.search``.

A further kind is one class here, entered into ``KINDS`` and ``Parameter``; beside the field that spells it,
it may have more fields.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Context, Decimal
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, WithJsonSchema

from orchestrator.spec.problems import describe, did_you_mean, one_of, wrong
from orchestrator.spec.quantities import number, printable, whole

# More values than this cannot be numbered exactly by a double, and no sweep reaches them.
LARGEST = 2**53
DEEPEST = 32

# Enough digits for the sum of any two doubles of a sensible scale; results are rounded to a double once.
_EXACT = Context(prec=60)


def parameter_value(value: Any, depth: int = 0) -> Any:
    """A value that a parameter may take: what JSON can hold, with finite numbers only."""
    if depth > DEEPEST:
        raise wrong(f"is nested more than {DEEPEST} deep")
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise wrong("must be finite: NaN and infinity are no values of a parameter")
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        if abs(value) >= 10**300:
            raise wrong("is too large a number")
        return value
    if isinstance(value, list | tuple):
        return [parameter_value(item, depth + 1) for item in value]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise wrong("needs texts for keys")
        return {printable(key): parameter_value(item, depth + 1) for key, item in value.items()}
    raise wrong(f"cannot be {describe(value)}", "use text, numbers, true, false, null, lists and mappings of them")


def _values(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        raise wrong(f"needs a list of values, not {describe(value)}")
    if not value:
        raise wrong("needs at least one value")
    return [parameter_value(item) for item in value]


def _numbers(value: Any, names: Sequence[str], least: int | None = None) -> list[float]:
    shape = f"[{', '.join(names)}]"
    if not isinstance(value, list | tuple):
        raise wrong(f"needs {shape}, not {describe(value)}")
    if not (len(names) if least is None else least) <= len(value) <= len(names):
        raise wrong(f"needs {shape}, not {len(value)} value{'s' if len(value) != 1 else ''}")
    return [number(item) for item in value]


def _bounds(value: Any) -> tuple[float, float]:
    low, high = _numbers(value, ("low", "high"))
    if low == high:
        raise wrong(f"has the same bound {low:g} twice", "write the value alone for a fixed parameter")
    if low > high:
        raise wrong(f"has its bounds reversed: {low:g} is above {high:g}", f"write [{high:g}, {low:g}]")
    if not math.isfinite(high - low):
        raise wrong("is too wide: the distance of its bounds is not finite")
    return low, high


def _positive_bounds(value: Any) -> tuple[float, float]:
    low, high = _bounds(value)
    if low <= 0:
        raise wrong(f"needs bounds above 0 for its logarithm, not {low:g}")
    return low, high


def _whole_bounds(value: Any) -> tuple[int, int]:
    _numbers(value, ("low", "high"))
    low, high = (whole(item) for item in value)
    if low > high:
        raise wrong(f"has its bounds reversed: {low} is above {high}", f"write [{high}, {low}]")
    if high - low >= LARGEST:
        raise wrong("has too many values")
    return low, high


def _mean_and_deviation(value: Any) -> tuple[float, float]:
    mean, deviation = _numbers(value, ("mean", "standard deviation"))
    if deviation <= 0:
        raise wrong(f"needs a standard deviation above 0, not {deviation:g}")
    return mean, deviation


def _steps(value: Any) -> tuple[int | float, ...]:
    _numbers(value, ("start", "stop", "step"), least=2)
    exact = tuple(item if isinstance(item, int) else number(item) for item in value)
    start, stop, step = exact if len(exact) == 3 else (*exact, 1)
    if step == 0:
        raise wrong("has a step of 0")
    if (stop - start) * math.copysign(1, step) <= 0:
        raise wrong(
            f"is empty: it starts at {start:g} and stops before {stop:g} in steps of {step:g}",
            "the stop is left out, as in Python's range",
        )
    if _range_size(start, stop, step) > LARGEST:
        raise wrong("has too many values")
    return exact


def _points(value: Any) -> tuple[float, float, int]:
    first, last, _ = _numbers(value, ("first", "last", "count"))
    count = whole(value[2])
    if not 1 <= count <= LARGEST:
        raise wrong(f"needs a count of 1 or more, not {count}")
    if first == last and count > 1:
        raise wrong(f"has {count} values that are all {first:g}")
    return first, last, count


def _decimal(value: float) -> Decimal:
    """The number as it is written, not as the nearest double stores it: 0.1 is one tenth."""
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


def _range_size(start: float, stop: float, step: float) -> int:
    width = _EXACT.subtract(_decimal(stop), _decimal(start))
    steps = _EXACT.divide(width, _decimal(step))
    if steps > 2 * LARGEST:
        return 2 * LARGEST
    # The tolerance serves steps that are themselves rounded, such as 0.3333333333333333 for a third.
    if not all(isinstance(item, int) for item in (start, stop, step)):
        steps = _EXACT.subtract(steps, Decimal("1e-9"))
    return max(1, math.ceil(steps))


class Kind(BaseModel):
    """What every kind of parameter has in common."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: ClassVar[str]

    @property
    def kind(self) -> str:
        """The key that spells this kind."""
        return self.key

    @property
    def finite(self) -> bool:
        """Whether the values can be counted."""
        return self.size is not None

    @property
    def size(self) -> int | None:
        """How many values there are; None for a distribution."""
        return None

    def value_at(self, index: int) -> Any:
        """The value number ``index``, from 0.  Raises IndexError, or TypeError for a distribution."""
        size = self.size
        if size is None:
            raise TypeError(f"the values of a {self.key} parameter cannot be counted")
        if not 0 <= index < size:
            raise IndexError(f"value {index} of {size}")
        return self._value(index)

    def _value(self, index: int) -> Any:
        raise NotImplementedError


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

    choice: Annotated[list[Any], BeforeValidator(_values)] = Field(
        description="The values, of any kinds; lists and mappings are inserted into a command as JSON text.",
        min_length=1,
        examples=[[64, 128, 256], ["adam", "sgd"]],
    )

    @property
    def size(self) -> int:
        return len(self.choice)

    def _value(self, index: int) -> Any:
        return self.choice[index]


class Range(Kind):
    """Evenly spaced numbers from start up to, but without, stop: Python's ``range``, for floats too.

    Whole numbers stay whole.  Floats are counted and computed in decimal, so ``[0.1, 0.5, 0.1]`` is exactly
    0.1, 0.2, 0.3, 0.4.  A step may be negative.
    """

    key: ClassVar[str] = "range"

    range: Annotated[
        tuple[int | float, ...],
        BeforeValidator(_steps),
        WithJsonSchema({"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 3}),
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
        return float(_EXACT.add(_decimal(start), _EXACT.multiply(_decimal(step), Decimal(index))))


class Linspace(Kind):
    """A number of evenly spaced floats from first to last, both included."""

    key: ClassVar[str] = "linspace"

    linspace: Annotated[
        tuple[float, float, int],
        BeforeValidator(_points),
        WithJsonSchema({"type": "array", "items": {"type": "number"}, "minItems": 3, "maxItems": 3}),
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
        width = _EXACT.subtract(_decimal(last), _decimal(first))
        part = _EXACT.divide(_EXACT.multiply(width, Decimal(index)), Decimal(count - 1))
        return float(_EXACT.add(_decimal(first), part))


class Integer(Kind):
    """A whole number between two bounds, each equally likely."""

    key: ClassVar[str] = "integer"

    integer: Annotated[
        tuple[int, int],
        BeforeValidator(_whole_bounds),
        WithJsonSchema({"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}),
    ] = Field(description="[low, high]: a whole number, both ends included.", examples=[[1, 8]])

    @property
    def low(self) -> int:
        return self.integer[0]

    @property
    def high(self) -> int:
        return self.integer[1]

    @property
    def size(self) -> int:
        return self.high - self.low + 1

    def _value(self, index: int) -> int:
        return self.low + index


_PAIR = WithJsonSchema({"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2})


class Uniform(Kind):
    """A float between two bounds, with the same density everywhere."""

    key: ClassVar[str] = "uniform"

    uniform: Annotated[tuple[float, float], BeforeValidator(_bounds), _PAIR] = Field(
        description="[low, high]: a float of at least low and below high, evenly distributed.",
        examples=[[0.0, 0.5]],
    )

    @property
    def low(self) -> float:
        return self.uniform[0]

    @property
    def high(self) -> float:
        return self.uniform[1]


class LogUniform(Kind):
    """A float between two bounds above 0 whose logarithm is evenly distributed, such as a learning rate."""

    key: ClassVar[str] = "loguniform"

    loguniform: Annotated[tuple[float, float], BeforeValidator(_positive_bounds), _PAIR] = Field(
        description="[low, high], both above 0: a float whose logarithm is evenly distributed.",
        examples=[[1e-4, 1e-1]],
    )

    @property
    def low(self) -> float:
        return self.loguniform[0]

    @property
    def high(self) -> float:
        return self.loguniform[1]


class Normal(Kind):
    """A normally distributed float."""

    key: ClassVar[str] = "normal"

    normal: Annotated[tuple[float, float], BeforeValidator(_mean_and_deviation), _PAIR] = Field(
        description="[mean, standard deviation]: a float of the normal distribution; the deviation is above 0.",
        examples=[[0.0, 1.0]],
    )

    @property
    def mean(self) -> float:
        return self.normal[0]

    @property
    def deviation(self) -> float:
        return self.normal[1]


KINDS: dict[str, type[Kind]] = {
    kind.key: kind for kind in (Fixed, Choice, Range, Linspace, Uniform, LogUniform, Integer, Normal)
}


def _kind_of(value: Any) -> str | None:
    if isinstance(value, Kind):
        return value.key
    return next((key for key in value if key in KINDS), None)


def _spelled_out(value: Any) -> Any:
    """The full form of a short spelling: a scalar is fixed, a list is a choice."""
    if isinstance(value, Kind):
        return value
    if isinstance(value, list | tuple):
        return {"choice": value}
    if not isinstance(value, dict):
        return {"fixed": value}
    kinds = [key for key in value if key in KINDS]
    if len(kinds) > 1:
        raise wrong(f"mixes {one_of(kinds).replace(' or ', ' and ')}", "a parameter is of one kind", at=[kinds[1]])
    if not kinds:
        if not value:
            raise wrong("is an empty mapping", f"write a value, a list, or one of {one_of(KINDS)}")
        first = next(iter(value))
        hint = did_you_mean(first, KINDS) or f"the kinds are {one_of(KINDS).replace(' or ', ' and ')}"
        raise wrong(f"unknown kind of parameter '{first}'", hint, at=[first])
    return value


Parameter = Annotated[
    Annotated[Fixed, Tag("fixed")]
    | Annotated[Choice, Tag("choice")]
    | Annotated[Range, Tag("range")]
    | Annotated[Linspace, Tag("linspace")]
    | Annotated[Uniform, Tag("uniform")]
    | Annotated[LogUniform, Tag("loguniform")]
    | Annotated[Integer, Tag("integer")]
    | Annotated[Normal, Tag("normal")],
    Discriminator(_kind_of),
    BeforeValidator(_spelled_out),
]
"""Any kind of parameter, and its short spellings: a scalar for Fixed, a list for Choice."""
