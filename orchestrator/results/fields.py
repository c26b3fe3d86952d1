"""What a row of results has, by name: one list of columns for tables, files, filters and sorting."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

from orchestrator.errors import UsageError
from orchestrator.results.leaderboard import Trial
from orchestrator.results.points import Point

_TRIAL: tuple[tuple[str, ...], tuple[str, ...]] = (("trial", "state"), ("attempts", "seconds", "reason"))
_POINT = (("point", "state"), ("n", "trials", "seconds"))


@dataclass(frozen=True, slots=True)
class Field:
    """One column.  ``name`` tells it from all others; ``key`` is what it is called where it comes from."""

    name: str
    source: Literal["own", "param", "metric", "sd"]
    key: str

    def of(self, row: Trial) -> Any:
        """The value in this row; None where it has none."""
        match self.source:
            case "param":
                return row.params.get(self.key)
            case "metric":
                return row.metrics.get(self.key)
            case "sd":
                return row.deviations.get(self.key) if isinstance(row, Point) else None
        if self.key == "point":
            return row.trial
        if self.key in ("trials", "n") and not isinstance(row, Point):
            return [row.trial] if self.key == "trials" else 1
        if self.key == "trials" and isinstance(row, Point):
            return [trial.trial for trial in row.trials]
        return getattr(row, self.key)

    @property
    def names(self) -> tuple[str, ...]:
        """What a user may call it: ``lr``, and ``param.lr`` where the spelling alone leaves a doubt."""
        return (self.name,) if self.source == "own" else (self.name, f"{self.source}.{self.key}")


def fields(rows: Sequence[Trial]) -> list[Field]:
    """Every column of these rows: the run where there are several, number, state, parameters, metrics, then the rest.

    A parameter is called ``param.NAME``, a metric ``metric.NAME`` and a deviation ``sd.NAME`` where another column has
    the name already.
    """
    points = any(isinstance(row, Point) for row in rows)
    first, last = _POINT if points else _TRIAL
    if len({row.run for row in rows}) > 1:
        first = ("run", *first)
    if any(row.parent is not None for row in rows):
        first = (*first, "parent")
    taken = {*first, *last}
    middle: list[Field] = []

    def add(source: Literal["param", "metric", "sd"], key: str, wanted: str) -> None:
        name = f"{source}.{key}" if wanted in taken else wanted
        taken.add(name)
        middle.append(Field(name, source, key))

    for key in _keys(row.params for row in rows):
        add("param", key, key)
    for key in _keys(row.metrics for row in rows):
        add("metric", key, key)
        if points:
            add("sd", key, f"{key}_sd")
    return [*(Field(n, "own", n) for n in first), *middle, *(Field(n, "own", n) for n in last)]


def named(known: Sequence[Field], name: str) -> Field | None:
    """The column that a user means: one of ours, else a metric, else a parameter, else a full name of any."""
    for source in ("own", "metric", "param"):
        for field in known:
            if field.source == source and field.key == name:
                return field
    return next((field for field in known if name in field.names), None)


def chosen(known: Sequence[Field], wanted: str) -> list[Field]:
    """The columns of ``trial,lr,val_*``, in that order.  Raises UsageError for one that no row has."""
    found: dict[Field, None] = {}
    for name in (part.strip() for part in wanted.split(",")):
        if not name:
            continue
        if any(mark in name for mark in "*?["):
            matching = [field for field in known if any(fnmatchcase(one, name) for one in field.names)]
        else:
            one = named(known, name)
            matching = [] if one is None else [one]
        if not matching:
            raise unknown("--columns", name, known)
        found |= dict.fromkeys(matching)
    if not found:
        raise UsageError("--columns names no column.", remedy=f"There are: {_names(known)}.")
    return list(found)


def unknown(option: str, name: str, known: Sequence[Field], words: Iterable[str] = ()) -> UsageError:
    """What to tell a user about a name that no column has; ``words`` are what else could have been meant."""
    from orchestrator.spec.problems import did_you_mean

    hint = did_you_mean(name, [*(name for field in known for name in field.names), *words])
    return UsageError(
        f"{option}: no trial has a metric or parameter '{name}'.",
        remedy=f"{hint[0].upper()}{hint[1:]}" if hint else f"There are: {_names(known)}.",
    )


def _names(known: Iterable[Field]) -> str:
    return ", ".join(field.name for field in known)


def _keys(mappings: Iterable[Any]) -> list[str]:
    names: dict[str, None] = {}
    for mapping in mappings:
        names |= dict.fromkeys(mapping)
    return list(names)
