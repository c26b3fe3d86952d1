"""Every kind of parameter.  Each is one class whose discriminating key is its spelling in a spec.

A further kind is one class, entered here into ``KINDS`` and ``Parameter``; beside the field that spells it, it may have
more fields.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Tag

from orchestrator.spec.arrangements import Combinations, Derived, Permutations, Repeat, Stages
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
from orchestrator.spec.finite import Choice, Fixed, Integer, Linspace, LogInteger, Range
from orchestrator.spec.kind import Distribution, Kind
from orchestrator.spec.problems import all_of, did_you_mean, one_of, wrong

__all__ = [
    "KINDS",
    "Beta",
    "Choice",
    "Combinations",
    "Derived",
    "Distribution",
    "Exponential",
    "Fixed",
    "Gamma",
    "Integer",
    "Kind",
    "Linspace",
    "LogInteger",
    "LogNormal",
    "LogUniform",
    "Normal",
    "Parameter",
    "Pareto",
    "Permutations",
    "Range",
    "Repeat",
    "Stages",
    "Triangular",
    "TruncatedNormal",
    "Uniform",
    "Weibull",
]

KINDS: dict[str, type[Kind]] = {
    kind.key: kind
    for kind in (
        Fixed,
        Choice,
        Range,
        Linspace,
        Integer,
        LogInteger,
        Uniform,
        LogUniform,
        Normal,
        LogNormal,
        TruncatedNormal,
        Triangular,
        Beta,
        Gamma,
        Weibull,
        Exponential,
        Pareto,
        Combinations,
        Permutations,
        Repeat,
        Stages,
        Derived,
    )
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
        raise wrong(f"mixes {all_of(kinds)}", "a parameter is of one kind", at=[kinds[1]])
    if not kinds:
        if not value:
            raise wrong("is an empty mapping", f"write a value, a list, or one of {one_of(KINDS)}")
        first = next(iter(value))
        hint = did_you_mean(first, KINDS) or f"the kinds are {all_of(KINDS)}"
        raise wrong(f"unknown kind of parameter '{first}'", hint, at=[first])
    return value


Parameter = Annotated[
    Annotated[Fixed, Tag("fixed")]
    | Annotated[Choice, Tag("choice")]
    | Annotated[Range, Tag("range")]
    | Annotated[Linspace, Tag("linspace")]
    | Annotated[Integer, Tag("integer")]
    | Annotated[LogInteger, Tag("loginteger")]
    | Annotated[Uniform, Tag("uniform")]
    | Annotated[LogUniform, Tag("loguniform")]
    | Annotated[Normal, Tag("normal")]
    | Annotated[LogNormal, Tag("lognormal")]
    | Annotated[TruncatedNormal, Tag("truncated_normal")]
    | Annotated[Triangular, Tag("triangular")]
    | Annotated[Beta, Tag("beta")]
    | Annotated[Gamma, Tag("gamma")]
    | Annotated[Weibull, Tag("weibull")]
    | Annotated[Exponential, Tag("exponential")]
    | Annotated[Pareto, Tag("pareto")]
    | Annotated[Combinations, Tag("combinations")]
    | Annotated[Permutations, Tag("permutations")]
    | Annotated[Repeat, Tag("repeat")]
    | Annotated[Stages, Tag("stages")]
    | Annotated[Derived, Tag("derived")],
    Discriminator(_kind_of),
    BeforeValidator(_spelled_out),
]
"""Any kind of parameter, and its short spellings: a scalar for Fixed, a list for Choice."""
