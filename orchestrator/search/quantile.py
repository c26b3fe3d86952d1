"""From a share of the probability, between 0 and 1, to the coordinate of a parameter, and back.

Sequences that fill the unit cube evenly, and samplers that know only uniform distributions, reach every kind of
parameter by its inverse distribution function.  The formulas are those of the distributions' definitions; the inverse
incomplete beta and gamma functions are scipy's (``scipy.special``).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from decimal import Context, Decimal
from functools import singledispatch
from itertools import accumulate
from statistics import NormalDist
from typing import Any

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

# Ten digits more than a double holds, so that one rounding to a double at the end decides.
DECIMAL = Context(prec=28)
STANDARD = NormalDist()
# The open interval of shares at which every distribution has a finite value.
LEAST = 2.0**-53
MOST = 1 - LEAST


def coordinate(kind: Kind, share: float) -> Any:
    """The number of a value of a finite kind, or a value of a distribution, below which this share lies."""
    if kind.size is not None:
        return _number(kind, share)
    assert isinstance(kind, Distribution)
    return kind.rounded(quantile(kind, min(max(share, LEAST), MOST)))


def between_logarithms(low: float, high: float, share: float) -> float:
    """``low ** (1 - share) * high ** share``, correctly rounded on every machine."""
    least, most = DECIMAL.ln(Decimal(low)), DECIMAL.ln(Decimal(high))
    width = DECIMAL.subtract(most, least)
    value = float(DECIMAL.exp(DECIMAL.add(least, DECIMAL.multiply(width, Decimal(share)))))
    return min(max(value, low), high)


def weighted_number(weights: Sequence[float], share: float) -> int:
    """The number of the weight in which this share of their sum lies."""
    ends = list(accumulate(weights))
    last = max(number for number, weight in enumerate(weights) if weight > 0)
    return min(bisect_right(ends, share * ends[-1]), last)


def log_number(kind: LogInteger, share: float) -> int:
    """The number of the whole number nearest to the float below which this share lies."""
    value = round(between_logarithms(kind.low - 0.5, kind.high + 0.5, share))
    return min(max(value, kind.low), kind.high) - kind.low


def _normal_share(value: float) -> float:
    """The standard normal distribution function, with all its digits far below the mean too."""
    return math.erfc(-value / math.sqrt(2)) / 2


@singledispatch
def _number(kind: Kind, share: float) -> int:
    assert kind.size is not None
    return min(int(share * kind.size), kind.size - 1)


@_number.register
def _choice(kind: Choice, share: float) -> int:
    return weighted_number(kind.weights or [1.0] * kind.size, share)


@_number.register
def _loginteger(kind: LogInteger, share: float) -> int:
    return log_number(kind, share)


@singledispatch
def quantile(kind: Distribution, share: float) -> float:
    """The value below which this share of the probability lies; ``share`` is above 0 and below 1."""
    raise TypeError(f"the quantiles of a {kind.key} parameter are not known")


@singledispatch
def share_below(kind: Distribution, value: float) -> float:
    """The share of the probability that lies below a value: what :func:`quantile` inverts."""
    raise TypeError(f"the distribution function of a {kind.key} parameter is not known")


@quantile.register
def _(kind: Uniform, share: float) -> float:
    return min(kind.low + (kind.high - kind.low) * share, math.nextafter(kind.high, kind.low))


@share_below.register
def _(kind: Uniform, value: float) -> float:
    return (value - kind.low) / (kind.high - kind.low)


@quantile.register
def _(kind: LogUniform, share: float) -> float:
    return between_logarithms(kind.low, kind.high, share)


@share_below.register
def _(kind: LogUniform, value: float) -> float:
    return math.log(value / kind.low) / math.log(kind.high / kind.low)


@quantile.register
def _(kind: Normal, share: float) -> float:
    return kind.mean + kind.deviation * STANDARD.inv_cdf(share)


@share_below.register
def _(kind: Normal, value: float) -> float:
    return _normal_share((value - kind.mean) / kind.deviation)


@quantile.register
def _(kind: LogNormal, share: float) -> float:
    return math.exp(kind.mean + kind.deviation * STANDARD.inv_cdf(share))


@share_below.register
def _(kind: LogNormal, value: float) -> float:
    return _normal_share((math.log(value) - kind.mean) / kind.deviation) if value > 0 else 0.0


@quantile.register
def _(kind: TruncatedNormal, share: float) -> float:
    least, most = _standard_bounds(kind)
    # In the upper tail the distribution function has no digits left near 1; its mirror image has them near 0.
    mirrored = least > 0
    if mirrored:
        least, most, share = -most, -least, 1 - share
    below, above = _normal_share(least), _normal_share(most)
    inside = below + (above - below) * share
    value = STANDARD.inv_cdf(inside) if 0 < inside < 1 else (least if inside <= 0 else most)
    return min(max(kind.mean + kind.deviation * (-value if mirrored else value), kind.low), kind.high)


@share_below.register
def _(kind: TruncatedNormal, value: float) -> float:
    least, most = _standard_bounds(kind)
    place = (value - kind.mean) / kind.deviation
    if least > 0:
        below, above = _normal_share(-most), _normal_share(-least)
        return 1 - (_normal_share(-place) - below) / (above - below)
    below, above = _normal_share(least), _normal_share(most)
    return (_normal_share(place) - below) / (above - below)


def _standard_bounds(kind: TruncatedNormal) -> tuple[float, float]:
    return (kind.low - kind.mean) / kind.deviation, (kind.high - kind.mean) / kind.deviation


@quantile.register
def _(kind: Triangular, share: float) -> float:
    width, rise, fall = kind.high - kind.low, kind.mode - kind.low, kind.high - kind.mode
    if share * width < rise:
        return kind.low + math.sqrt(share * width * rise)
    return kind.high - math.sqrt((1 - share) * width * fall)


@share_below.register
def _(kind: Triangular, value: float) -> float:
    width, rise, fall = kind.high - kind.low, kind.mode - kind.low, kind.high - kind.mode
    if value < kind.mode:
        return (value - kind.low) ** 2 / (width * rise)
    return 1 - (kind.high - value) ** 2 / (width * fall) if fall > 0 else 1.0


@quantile.register
def _(kind: Beta, share: float) -> float:
    from scipy.special import betaincinv

    return float(betaincinv(*kind.beta, share))


@share_below.register
def _(kind: Beta, value: float) -> float:
    from scipy.special import betainc

    return float(betainc(*kind.beta, value))


@quantile.register
def _(kind: Gamma, share: float) -> float:
    from scipy.special import gammaincinv

    shape, scale = kind.gamma
    return scale * float(gammaincinv(shape, share))


@share_below.register
def _(kind: Gamma, value: float) -> float:
    from scipy.special import gammainc

    shape, scale = kind.gamma
    return float(gammainc(shape, value / scale))


@quantile.register
def _(kind: Weibull, share: float) -> float:
    shape, scale = kind.weibull
    return float(scale * (-math.log1p(-share)) ** (1 / shape))


@share_below.register
def _(kind: Weibull, value: float) -> float:
    shape, scale = kind.weibull
    return -math.expm1(-((value / scale) ** shape))


@quantile.register
def _(kind: Exponential, share: float) -> float:
    return -kind.exponential * math.log1p(-share)


@share_below.register
def _(kind: Exponential, value: float) -> float:
    return -math.expm1(-value / kind.exponential)


@quantile.register
def _(kind: Pareto, share: float) -> float:
    shape, scale = kind.pareto
    return scale * math.expm1(-math.log1p(-share) / shape)


@share_below.register
def _(kind: Pareto, value: float) -> float:
    shape, scale = kind.pareto
    return -math.expm1(-shape * math.log1p(value / scale))
