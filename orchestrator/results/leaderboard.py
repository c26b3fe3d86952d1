"""Which trial is better.  Pure: takes trials, gives an order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
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
    last one ran, ``outputs`` are the absolute paths or URLs of the files that it kept, ``run`` the id of its run,
    ``parent`` the trial of the same run from whose checkpoint it started.
    """

    trial: int
    state: str
    params: Mapping[str, Any]
    metrics: Mapping[str, float] = field(default_factory=dict)
    attempts: int = 1
    seconds: float | None = None
    outputs: tuple[str, ...] = ()
    reason: str = ""
    run: str = ""
    parent: int | None = None


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


def sort(trials: Iterable[Trial], of: Callable[[Trial], Any], *, descending: bool = False) -> list[Trial]:
    """By a value of each trial: numbers first, then texts, then those without a value.  Equals stay in order of number.

    Anything that is neither a number nor a text is sorted as the text that Python writes for it.
    """
    numbers: list[tuple[float, Trial]] = []
    texts: list[tuple[str, Trial]] = []
    nothing: list[Trial] = []
    for trial in sorted(trials, key=lambda trial: trial.trial):
        value = of(trial)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            nothing.append(trial)
        elif isinstance(value, int | float):
            numbers.append((value, trial))
        else:
            texts.append((str(value), trial))
    numbers.sort(key=lambda pair: pair[0], reverse=descending)
    texts.sort(key=lambda pair: pair[0], reverse=descending)
    return [*(trial for _, trial in numbers), *(trial for _, trial in texts), *nothing]
