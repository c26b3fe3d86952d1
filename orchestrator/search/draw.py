"""One random value of each kind of parameter, as a plain Python value.

numpy draws; the arithmetic around it is Python's, because a C compiler may fuse ``a + b * c`` into one
rounding on one kind of processor and not on another, and numpy's vectorised ``exp`` and ``log`` differ
between processors in the last bit.  Where a logarithm is needed, :mod:`decimal` computes it, correctly
rounded everywhere.
"""

from __future__ import annotations

import math
from decimal import Context, Decimal
from functools import singledispatch
from typing import Any

from numpy.random import Generator

from orchestrator.spec.parameters import Kind, LogUniform, Normal, Uniform

# Ten digits more than a double holds, so that one rounding to a double at the end decides.
_DECIMAL = Context(prec=28)


@singledispatch
def draw(kind: Kind, random: Generator) -> Any:
    """A value of this parameter.  A finite kind gives each of its values with the same probability."""
    if kind.size is None:
        raise TypeError(f"no way to draw a {kind.key} parameter is registered")
    return kind.value_at(int(random.integers(kind.size)))


@draw.register
def _uniform(kind: Uniform, random: Generator) -> float:
    # Rounding may reach the upper bound, which is not part of the interval.
    return min(kind.low + (kind.high - kind.low) * random.random(), math.nextafter(kind.high, kind.low))


@draw.register
def _loguniform(kind: LogUniform, random: Generator) -> float:
    low, high = _DECIMAL.ln(Decimal(kind.low)), _DECIMAL.ln(Decimal(kind.high))
    share = Decimal(random.random())
    value = float(_DECIMAL.exp(_DECIMAL.add(low, _DECIMAL.multiply(_DECIMAL.subtract(high, low), share))))
    return min(max(value, kind.low), kind.high)


@draw.register
def _normal(kind: Normal, random: Generator) -> float:
    return kind.mean + kind.deviation * float(random.standard_normal())
