"""Which trial is better.  Pure: takes trials, gives an order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

# States in which a value counts; the driver judges the best so far by the same.
RANKED = frozenset({"succeeded", "pruned"})
# How trials without a value to compare follow each other.
_ORDER = ("succeeded", "pruned", "running", "submitted", "pending", "cancelled", "failed")


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial of a run.

    ``metrics`` holds the last value of each, ``attempts`` counts the tries so far, ``seconds`` is the time that the
    last one ran, ``outputs`` are the absolute paths or URLs of the files that it kept.
    """

    trial: int
    state: str
    params: Mapping[str, Any]
    metrics: Mapping[str, float] = field(default_factory=dict)
    attempts: int = 1
    seconds: float | None = None
    outputs: tuple[str, ...] = ()
    reason: str = ""


def comparable(trial: Trial, metric: str | None) -> float | None:
    """The value that ranks the trial; None where it has none, or one that is no number to compare."""
    if metric is None or trial.state not in RANKED:
        return None
    found = trial.metrics.get(metric)
    return found if found is not None and math.isfinite(found) else None


def rank(trials: Iterable[Trial], metric: str | None, *, maximize: bool = True) -> list[Trial]:
    """Best first; then those without a value to compare; the failed ones last.  Equals stay in order of number.

    Without a metric the order is that of the numbers.
    """

    def place(trial: Trial) -> tuple[int, float, int]:
        found = comparable(trial, metric)
        if found is not None:
            return (0, -found if maximize else found, trial.trial)
        state = _ORDER.index(trial.state) if metric is not None or trial.state == "failed" else 0
        return (1 + state, 0.0, trial.trial)

    return sorted(trials, key=place)


def best(trials: Iterable[Trial], metric: str | None, *, maximize: bool = True) -> Trial | None:
    """The first of :func:`rank`, if it has a value."""
    first = next(iter(rank(trials, metric, maximize=maximize)), None)
    return first if first is not None and comparable(first, metric) is not None else None


def sort(trials: Iterable[Trial], name: str, *, descending: bool = False) -> list[Trial]:
    """By a metric, a parameter, ``trial``, ``state``, ``attempts`` or ``seconds``: numbers, then texts, then nothing.

    Raises KeyError where no trial has anything of this name.
    """
    listed = sorted(trials, key=lambda trial: trial.trial)
    values = [_named(trial, name) for trial in listed]
    if listed and all(value is None for value in values) and name not in sortable(listed):
        raise KeyError(name)
    numbers = [(value, trial) for value, trial in zip(values, listed, strict=True) if _is_number(value)]
    texts = [
        (str(value), t) for value, t in zip(values, listed, strict=True) if value is not None and not _is_number(value)
    ]
    nothing = [trial for value, trial in zip(values, listed, strict=True) if value is None]
    numbers.sort(key=lambda pair: pair[0], reverse=descending)
    texts.sort(key=lambda pair: pair[0], reverse=descending)
    return [trial for _, trial in numbers] + [trial for _, trial in texts] + nothing


def sortable(trials: Iterable[Trial]) -> list[str]:
    """Every name that :func:`sort` takes for these trials."""
    names = dict.fromkeys(("trial", "state", "attempts", "seconds"))
    for trial in trials:
        names |= dict.fromkeys(trial.metrics) | dict.fromkeys(trial.params)
    return list(names)


def _named(trial: Trial, name: str) -> Any:
    if name in ("trial", "state", "attempts", "seconds"):
        return getattr(trial, name)
    found = trial.metrics.get(name, trial.params.get(name))
    return None if isinstance(found, float) and math.isnan(found) else found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)
