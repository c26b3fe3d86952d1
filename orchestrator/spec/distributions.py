"""The kinds of parameter that are drawn from a distribution.

Except where it says otherwise a distribution is that of ``numpy.random.Generator``, and its arguments mean what they
mean there (https://numpy.org/doc/stable/reference/random/generator.html).  Arguments are a list in the order given, or
a mapping by their names.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, model_validator

from orchestrator.spec.kind import EXACT, LARGEST, Distribution, arguments_schema, decimal, numbers
from orchestrator.spec.problems import wrong

# In deviations from the mean: beyond anything that is ever drawn. There a value must still be a double.
FARTHEST = 10


def _check_bounds(low: float, high: float) -> None:
    if low == high:
        raise wrong(f"has the same bound {low:g} twice", "write the value alone for a fixed parameter")
    if low > high:
        raise wrong(f"has its bounds reversed: {low:g} is above {high:g}", f"write [{high:g}, {low:g}]")
    if not math.isfinite(high - low):
        raise wrong("is too wide: the distance of its bounds is not finite")


def _bounds(value: Any) -> tuple[float, float]:
    low, high = numbers(value, ("low", "high"))
    _check_bounds(low, high)
    return low, high


def _positive_bounds(value: Any) -> tuple[float, float]:
    low, high = _bounds(value)
    if low <= 0:
        raise wrong(f"needs bounds above 0 for its logarithm, not {low:g}")
    return low, high


def _check_deviation(deviation: float) -> None:
    if deviation <= 0:
        raise wrong(f"needs a standard deviation above 0, not {deviation:g}")


def _mean_and_deviation(value: Any) -> tuple[float, float]:
    mean, deviation = numbers(value, ("mean", "deviation"))
    _check_deviation(deviation)
    if not math.isfinite(abs(mean) + FARTHEST * deviation):
        raise wrong("is too wide: its values would pass the largest number")
    return mean, deviation


def _mean_and_deviation_of_logarithm(value: Any) -> tuple[float, float]:
    mean, deviation = _mean_and_deviation(value)
    if mean + FARTHEST * deviation > 700:
        raise wrong("is too wide: its values would pass the largest number", "mean and deviation are of the logarithm")
    return mean, deviation


def _truncated(value: Any) -> tuple[float, float, float, float]:
    mean, deviation, low, high = numbers(value, ("mean", "deviation", "low", "high"))
    _check_deviation(deviation)
    _check_bounds(low, high)
    if low > mean + 30 * deviation or high < mean - 30 * deviation:
        raise wrong("has bounds more than 30 standard deviations from its mean")
    if high - low < 1e-6 * deviation:
        raise wrong("has bounds less than a millionth of a standard deviation apart", "write a uniform")
    return mean, deviation, low, high


def _low_mode_high(value: Any) -> tuple[float, float, float]:
    low, mode, high = numbers(value, ("low", "mode", "high"))
    _check_bounds(low, high)
    if not low <= mode <= high:
        raise wrong(f"needs its mode between its bounds, not {mode:g}", "the order is [low, mode, high]")
    # Its formulas hold products of distances.
    if not 1e-150 <= high - low <= 1e150:
        raise wrong(f"has bounds {high - low:g} apart, which is beyond what can be computed")
    return low, mode, high


def _alpha_and_beta(value: Any) -> tuple[float, float]:
    alpha, beta = numbers(value, ("alpha", "beta"))
    if not (1e-3 <= alpha <= 1e6 and 1e-3 <= beta <= 1e6):
        raise wrong(f"needs alpha and beta from 0.001 to 1,000,000, not {alpha:g} and {beta:g}")
    return alpha, beta


def _shape_and_scale(value: Any) -> tuple[float, float]:
    shape, scale = [*numbers(value, ("shape", "scale"), least=1), 1.0][:2]
    # Below it the largest values of a Pareto distribution would be no doubles.
    if not 0.1 <= shape <= 1e6:
        raise wrong(f"needs a shape from 0.1 to 1,000,000, not {shape:g}")
    _check_scale(scale)
    return shape, scale


def _scale(value: Any) -> float:
    (scale,) = numbers(value, ("scale",))
    _check_scale(scale)
    return scale


def _check_scale(scale: float) -> None:
    if not 1e-300 <= scale <= 1e100:
        raise wrong(f"needs a scale above 0, not {scale:g}")


class Uniform(Distribution):
    """A float between two bounds, with the same density everywhere; with a step, one of evenly spaced values."""

    key: ClassVar[str] = "uniform"

    uniform: Annotated[tuple[float, float], BeforeValidator(_bounds), arguments_schema(("low", "high"))] = Field(
        description="[low, high]: a float of at least low and below high, evenly distributed. With `step`: low, "
        "low + step, ... up to high, each equally likely.",
        examples=[[0.0, 0.5]],
    )

    @property
    def low(self) -> float:
        return self.uniform[0]

    @property
    def high(self) -> float:
        return self.uniform[1]

    @property
    def size(self) -> int | None:
        if self.step is None:
            return None
        width = EXACT.subtract(decimal(self.high), decimal(self.low))
        # The tolerance serves steps that are themselves rounded, such as 0.3333333333333333 for a third.
        return int(EXACT.add(EXACT.divide(width, decimal(self.step)), decimal(1e-9))) + 1

    def _value(self, index: int) -> float:
        assert self.step is not None
        exact = EXACT.add(decimal(self.low), EXACT.multiply(decimal(self.step), decimal(index)))
        return min(float(exact), self.high)

    @model_validator(mode="after")
    def _not_too_many(self) -> Self:
        if (self.size or 0) > LARGEST:
            raise wrong("has too many values")
        return self


class LogUniform(Distribution):
    """A float between two bounds above 0 whose logarithm is evenly distributed, such as a learning rate."""

    key: ClassVar[str] = "loguniform"

    loguniform: Annotated[tuple[float, float], BeforeValidator(_positive_bounds), arguments_schema(("low", "high"))] = (
        Field(
            description="[low, high], both above 0: a float whose logarithm is evenly distributed.",
            examples=[[1e-4, 1e-1]],
        )
    )

    @property
    def low(self) -> float:
        return self.loguniform[0]

    @property
    def high(self) -> float:
        return self.loguniform[1]


class Normal(Distribution):
    """A normally distributed float (numpy's ``normal``)."""

    key: ClassVar[str] = "normal"

    normal: Annotated[
        tuple[float, float], BeforeValidator(_mean_and_deviation), arguments_schema(("mean", "deviation"))
    ] = Field(
        description="[mean, standard deviation]: a float of the normal distribution; the deviation is above 0.",
        examples=[[0.0, 1.0]],
    )

    @property
    def mean(self) -> float:
        return self.normal[0]

    @property
    def deviation(self) -> float:
        return self.normal[1]


class LogNormal(Distribution):
    """A float whose natural logarithm is normally distributed (numpy's ``lognormal``)."""

    key: ClassVar[str] = "lognormal"

    lognormal: Annotated[
        tuple[float, float],
        BeforeValidator(_mean_and_deviation_of_logarithm),
        arguments_schema(("mean", "deviation")),
    ] = Field(
        description="[mean, standard deviation] of the value's natural logarithm.",
        examples=[[-7.0, 1.0]],
    )

    @property
    def mean(self) -> float:
        return self.lognormal[0]

    @property
    def deviation(self) -> float:
        return self.lognormal[1]

    @property
    def low(self) -> float:
        return 0.0


class TruncatedNormal(Distribution):
    """A normally distributed float of which only what lies between two bounds counts (scipy's ``truncnorm``)."""

    key: ClassVar[str] = "truncated_normal"

    truncated_normal: Annotated[
        tuple[float, float, float, float],
        BeforeValidator(_truncated),
        arguments_schema(("mean", "deviation", "low", "high")),
    ] = Field(
        description="[mean, standard deviation, low, high]: the normal distribution between two bounds. Mean and "
        "deviation are those before it is cut.",
        examples=[[0.5, 0.2, 0.0, 1.0]],
    )

    @property
    def mean(self) -> float:
        return self.truncated_normal[0]

    @property
    def deviation(self) -> float:
        return self.truncated_normal[1]

    @property
    def low(self) -> float:
        return self.truncated_normal[2]

    @property
    def high(self) -> float:
        return self.truncated_normal[3]


class Triangular(Distribution):
    """A float whose density rises evenly from low to the mode and falls evenly to high (numpy's ``triangular``)."""

    key: ClassVar[str] = "triangular"

    triangular: Annotated[
        tuple[float, float, float], BeforeValidator(_low_mode_high), arguments_schema(("low", "mode", "high"))
    ] = Field(
        description="[low, mode, high]: the density is highest at the mode and falls evenly to both bounds.",
        examples=[[0.0, 0.2, 1.0]],
    )

    @property
    def low(self) -> float:
        return self.triangular[0]

    @property
    def mode(self) -> float:
        return self.triangular[1]

    @property
    def high(self) -> float:
        return self.triangular[2]


class Beta(Distribution):
    """A float from 0 to 1 of the beta distribution (numpy's ``beta``)."""

    key: ClassVar[str] = "beta"

    beta: Annotated[tuple[float, float], BeforeValidator(_alpha_and_beta), arguments_schema(("alpha", "beta"))] = Field(
        description="[alpha, beta]: a float from 0 to 1 with mean alpha / (alpha + beta).", examples=[[2, 5]]
    )

    @property
    def low(self) -> float:
        return 0.0

    @property
    def high(self) -> float:
        return 1.0


class Gamma(Distribution):
    """A float above 0 of the gamma distribution (numpy's ``gamma``)."""

    key: ClassVar[str] = "gamma"

    gamma: Annotated[
        tuple[float, float], BeforeValidator(_shape_and_scale), arguments_schema(("shape", "scale"), least=1)
    ] = Field(description="[shape, scale]: mean shape * scale. The scale is 1 unless given.", examples=[[2.0, 0.5]])

    @property
    def low(self) -> float:
        return 0.0


class Weibull(Distribution):
    """A float above 0 of the Weibull distribution (numpy's ``weibull``, times the scale)."""

    key: ClassVar[str] = "weibull"

    weibull: Annotated[
        tuple[float, float], BeforeValidator(_shape_and_scale), arguments_schema(("shape", "scale"), least=1)
    ] = Field(description="[shape, scale]: the scale is 1 unless given, as in numpy.", examples=[[1.5, 10.0]])

    @property
    def low(self) -> float:
        return 0.0


class Exponential(Distribution):
    """A float above 0 of the exponential distribution (numpy's ``exponential``)."""

    key: ClassVar[str] = "exponential"

    exponential: Annotated[float, BeforeValidator(_scale), arguments_schema(("scale",))] = Field(
        description="The scale, which is the mean: 1 / lambda.", examples=[0.1]
    )

    @property
    def low(self) -> float:
        return 0.0


class Pareto(Distribution):
    """A float from 0 of the Pareto II or Lomax distribution (numpy's ``pareto``, times the scale).

    Add 1 before scaling for the classical Pareto distribution: ``{derived: 3 * (1 + x)}``.
    """

    key: ClassVar[str] = "pareto"

    pareto: Annotated[
        tuple[float, float], BeforeValidator(_shape_and_scale), arguments_schema(("shape", "scale"), least=1)
    ] = Field(
        description="[shape, scale]: Pareto II (Lomax), which begins at 0, as in numpy; the scale is 1 unless given.",
        examples=[[3.0, 1.0]],
    )

    @property
    def low(self) -> float:
        return 0.0
