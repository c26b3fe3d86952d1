"""One random coordinate of each kind of parameter, as a plain Python number.

numpy draws; the arithmetic around it is Python's, because a C compiler may fuse ``a + b * c`` into one rounding on one
kind of processor and not on another, and numpy's vectorised ``exp`` and ``log`` differ between processors in the last
bit.  Where a logarithm is needed, :mod:`decimal` computes it, correctly rounded everywhere.
"""

from __future__ import annotations

import math
from decimal import Decimal
from functools import singledispatch
from typing import Any

from numpy.random import Generator

from orchestrator.search.quantile import DECIMAL, LEAST, between_logarithms, log_number, quantile, weighted_number
from orchestrator.spec.distributions import (
    Beta,
    Exponential,
    Gamma,
    LogNormal,
    LogUniform,
    Normal,
    Pareto,
    Triangular,
    TruncatedNormal,
    Uniform,
    Weibull,
)
from orchestrator.spec.finite import Choice, LogInteger
from orchestrator.spec.kind import Distribution, Kind


def draw(kind: Kind, random: Generator) -> Any:
    """A coordinate of this parameter: the number of a value of a finite kind, a value of a distribution."""
    if kind.finite or not isinstance(kind, Distribution):
        return _number(kind, random)
    return kind.rounded(_value(kind, random))


@singledispatch
def _number(kind: Kind, random: Generator) -> int:
    """Each value is equally likely."""
    if kind.size is None:
        raise TypeError(f"the values of a {kind.key} parameter cannot be counted")
    return int(random.integers(kind.size))


@_number.register
def _choice(kind: Choice, random: Generator) -> int:
    if kind.weights is None:
        return int(random.integers(kind.size))
    return weighted_number(kind.weights, random.random())


@_number.register
def _loginteger(kind: LogInteger, random: Generator) -> int:
    return log_number(kind, random.random())


@singledispatch
def _value(kind: Distribution, random: Generator) -> float:
    raise TypeError(f"no way to draw a {kind.key} parameter is registered")


@_value.register
def _uniform(kind: Uniform, random: Generator) -> float:
    # Rounding may reach the upper bound, which is not part of the interval.
    return min(kind.low + (kind.high - kind.low) * random.random(), math.nextafter(kind.high, kind.low))


@_value.register
def _loguniform(kind: LogUniform, random: Generator) -> float:
    return between_logarithms(kind.low, kind.high, random.random())


@_value.register
def _normal(kind: Normal, random: Generator) -> float:
    return kind.mean + kind.deviation * float(random.standard_normal())


@_value.register
def _lognormal(kind: LogNormal, random: Generator) -> float:
    return float(DECIMAL.exp(Decimal(kind.mean + kind.deviation * float(random.standard_normal()))))


@_value.register
def _truncated_normal(kind: TruncatedNormal, random: Generator) -> float:
    # numpy has none; the inverse of the distribution function needs one number whatever the bounds are.
    return quantile(kind, max(random.random(), LEAST))


@_value.register
def _triangular(kind: Triangular, random: Generator) -> float:
    return float(random.triangular(kind.low, kind.mode, kind.high))


@_value.register
def _beta(kind: Beta, random: Generator) -> float:
    return float(random.beta(*kind.beta))


@_value.register
def _gamma(kind: Gamma, random: Generator) -> float:
    shape, scale = kind.gamma
    return scale * float(random.standard_gamma(shape))


@_value.register
def _weibull(kind: Weibull, random: Generator) -> float:
    shape, scale = kind.weibull
    return scale * float(random.weibull(shape))


@_value.register
def _exponential(kind: Exponential, random: Generator) -> float:
    return kind.exponential * float(random.standard_exponential())


@_value.register
def _pareto(kind: Pareto, random: Generator) -> float:
    shape, scale = kind.pareto
    return scale * float(random.pareto(shape))
