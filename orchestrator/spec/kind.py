"""What every kind of parameter has in common, and how their numbers are read.

A kind is *finite* when its values can be counted; then ``size`` is their number and ``value_at(i)`` the i-th of them,
computed and never listed, so that a range of a billion values costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from orchestrator.spec.problems import describe, did_you_mean, one_of, wrong
from orchestrator.spec.quantities import number, printable

# More values than this cannot be numbered exactly by a double, and no sweep reaches them.
LARGEST = 2**53
DEEPEST = 32

# Enough digits for the sum of any two doubles of a sensible scale; results are rounded to a double once.
EXACT = Context(prec=60)


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


def listed_values(value: Any) -> list[Any]:
    """A list of at least one value that a parameter may take."""
    if not isinstance(value, list | tuple):
        raise wrong(f"needs a list of values, not {describe(value)}")
    if not value:
        raise wrong("needs at least one value")
    return [parameter_value(item) for item in value]


def positional(value: Any, names: Sequence[str], least: int | None = None) -> list[Any]:
    """The arguments of a kind in order, from a list, from a mapping by name, or from a number that is the only one.

    At least ``least`` of them are needed; by default all.
    """
    least = len(names) if least is None else least
    shape = f"[{', '.join(names)}]"
    if least == 1 and isinstance(value, int | float | str) and not isinstance(value, bool):
        return [value]
    if isinstance(value, dict):
        return _named(value, names, least)
    if not isinstance(value, list | tuple):
        raise wrong(f"needs {shape}, not {describe(value)}")
    if not least <= len(value) <= len(names):
        raise wrong(f"needs {shape}, not {len(value)} value{'s' if len(value) != 1 else ''}")
    return list(value)


def _named(value: dict[str, Any], names: Sequence[str], least: int) -> list[Any]:
    for key in value:
        if key not in names:
            hint = did_you_mean(key, names) or f"the names are {one_of(names).replace(' or ', ' and ')}"
            raise wrong(f"knows no '{key}'", hint, at=[str(key)])
    given = [name for name in names if name in value]
    missing = [name for name in names[: max(least, len(given))] if name not in value]
    if missing:
        raise wrong(f"needs {one_of(missing).replace(' or ', ' and ')} too")
    return [value[name] for name in given]


def numbers(value: Any, names: Sequence[str], least: int | None = None) -> list[float]:
    """The arguments of a kind as finite numbers."""
    return [number(item) for item in positional(value, names, least)]


def arguments_schema(names: Sequence[str], least: int | None = None, item: str = "number") -> WithJsonSchema:
    """The JSON Schema of what :func:`positional` reads."""
    least = len(names) if least is None else least
    ordered = {"type": "array", "items": {"type": item}, "minItems": least, "maxItems": len(names)}
    named = {
        "type": "object",
        "properties": {name: {"type": item} for name in names},
        "required": list(names[:least]),
        "additionalProperties": False,
    }
    return WithJsonSchema({"anyOf": [ordered, named, *([{"type": item}] if least == 1 else [])]})


def decimal(value: float) -> Decimal:
    """The number as it is written, not as the nearest double stores it: 0.1 is one tenth."""
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


def _conditions(value: Any) -> dict[str, list[Any]]:
    if not isinstance(value, dict) or not value:
        raise wrong(f"needs a mapping of parameters to values, not {describe(value)}", "write it like {optimizer: sgd}")
    return {
        str(name): listed_values(wanted) if isinstance(wanted, list | tuple) else [parameter_value(wanted)]
        for name, wanted in value.items()
    }


class Kind(BaseModel):
    """What every kind of parameter has in common."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: ClassVar[str]
    countable: ClassVar[bool] = True
    """Whether the values of this kind can be counted whatever its arguments are."""

    when: Annotated[dict[str, list[Any]], BeforeValidator(_conditions)] | None = Field(
        None,
        description="Only in trials where these other parameters have this value, or one of these values. In the "
        "others it is `otherwise`.",
        examples=[{"optimizer": "sgd"}, {"optimizer": ["sgd", "rmsprop"], "depth": 3}],
    )
    otherwise: Annotated[Any, BeforeValidator(parameter_value)] = Field(
        None, description="The value where the conditions of `when` do not hold.", examples=[0]
    )

    @property
    def kind(self) -> str:
        """The key that spells this kind."""
        return self.key

    @property
    def axis(self) -> bool:
        """Whether it is a dimension of the search space; not so when its value follows from other parameters."""
        return True

    @property
    def reads(self) -> frozenset[str]:
        """The parameters that must have their value before this one can."""
        return frozenset(self.when or ())

    @property
    def finite(self) -> bool:
        """Whether the values can be counted."""
        return self.size is not None

    @property
    def size(self) -> int | None:
        """How many values there are; None for a distribution."""
        return None

    def value_at(self, index: int) -> Any:
        """The value number ``index``, from 0.  Raises IndexError from ``size`` on, TypeError for a distribution."""
        size = self.size
        if size is None:
            raise TypeError(f"the values of a {self.key} parameter cannot be counted")
        if not 0 <= index < size:
            raise IndexError(f"value {index} of {size}")
        return self._value(index)

    def _value(self, index: int) -> Any:
        raise NotImplementedError


class Distribution(Kind):
    """A kind whose values are drawn.  ``low`` and ``high`` bound them and may be infinite."""

    countable: ClassVar[bool] = False

    step: Annotated[float, BeforeValidator(number)] | None = Field(
        None,
        description="Round to multiples of this step (inside the bounds, where there are any).",
        examples=[0.05],
    )

    @property
    def low(self) -> float:
        return -math.inf

    @property
    def high(self) -> float:
        return math.inf

    def rounded(self, value: float) -> float:
        """``value`` at the nearest multiple of ``step`` that lies between the bounds; itself without a step."""
        if self.step is None:
            return value
        count = self._multiples(value, ROUND_HALF_EVEN)
        if math.isfinite(self.low):
            count = max(count, self._multiples(self.low, ROUND_CEILING))
        if math.isfinite(self.high):
            count = min(count, self._multiples(self.high, ROUND_FLOOR))
        return float(EXACT.multiply(Decimal(count), decimal(self.step)))

    def _multiples(self, value: float, rounding: str) -> int:
        assert self.step is not None
        quotient = EXACT.divide(decimal(value), decimal(self.step))
        return int(quotient.to_integral_value(rounding=rounding))

    @model_validator(mode="after")
    def _step_fits(self) -> Self:
        if self.step is None:
            return self
        if not (math.isfinite(self.step) and self.step > 0):
            raise wrong(f"must be above 0, not {self.step:g}", at=["step"])
        if math.isfinite(self.high) and self._multiples(self.low, ROUND_CEILING) > self._multiples(
            self.high, ROUND_FLOOR
        ):
            raise wrong(f"leaves no value: no multiple of {self.step:g} lies between the bounds", at=["step"])
        return self
