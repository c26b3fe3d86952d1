"""Points of the search space that were tried several times, as with several seeds, and count by their mean."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

from orchestrator.results.leaderboard import Trial, rank


@dataclass(frozen=True, slots=True)
class Point(Trial):
    """The trials of one point.  ``trial`` is the number of the point.

    ``metrics`` are means over those trials that succeeded (where none did: over those that were pruned) and have a
    finite value; ``deviations`` the sample standard deviations of the same, of two values or more (source: the usual
    n - 1 in the denominator); ``n`` is how many trials the ranking metric's mean is of, without a metric how many
    succeeded.  ``params`` are those that all of the trials share, ``seconds`` the mean of the trials' own.
    """

    trials: tuple[Trial, ...] = ()
    deviations: Mapping[str, float] = field(default_factory=dict)
    n: int = 0


def repeats(spec: Mapping[str, Any]) -> dict[str, int]:
    """The parameters of a recorded spec that number the trials of a point, and how many values each has."""
    parameters: Mapping[str, Any] = spec.get("parameters") or {}
    return {name: kind["repeat"] for name, kind in parameters.items() if isinstance(kind, dict) and "repeat" in kind}


def points(trials: Sequence[Trial], repeated: Mapping[str, int], metric: str | None) -> list[Point]:
    """The points that these trials belong to, in the order of their numbers; ``repeated`` as of :func:`repeats`.

    Every search runs through the repetitions of a point before it goes on, so the number of a trial tells its point.
    """
    times = math.prod(repeated.values())
    groups: dict[int, list[Trial]] = {}
    for trial in sorted(trials, key=lambda trial: trial.trial):
        groups.setdefault(trial.trial // times, []).append(trial)
    return [_point(number, group, repeated, metric) for number, group in groups.items()]


def best_of(point: Point, metric: str, *, maximize: bool = True) -> Trial:
    """The best trial of a point that has a value."""
    return rank(point.trials, metric, maximize=maximize)[0]


def _point(number: int, group: Sequence[Trial], own: Mapping[str, int], metric: str | None) -> Point:
    state = _state([trial.state for trial in group])
    counted = [trial for trial in group if trial.state == state] if state in ("succeeded", "pruned") else []
    values: dict[str, list[float]] = {}
    for trial in counted:
        for name, value in trial.metrics.items():
            values.setdefault(name, [])
            if math.isfinite(value):
                values[name].append(value)
    times = [trial.seconds for trial in group if trial.seconds is not None]
    return Point(
        trial=number,
        state=state,
        params=_shared(group, own),
        metrics={name: fmean(found) for name, found in values.items() if found},
        attempts=sum(trial.attempts for trial in group),
        seconds=fmean(times) if times else None,
        outputs=tuple(path for trial in group for path in trial.outputs),
        reason=next((trial.reason for trial in group if trial.reason), ""),
        run=group[0].run,
        trials=tuple(group),
        deviations={name: stdev(found) for name, found in values.items() if len(found) > 1},
        n=len(counted) if metric is None else len(values.get(metric, ())),
    )


def _state(states: Sequence[str]) -> str:
    """One good trial makes a point good; ``n`` says how many there are."""
    order = ("succeeded", "pruned", "running", "submitted", "pending", "cancelled", "failed")
    return min(states, key=order.index)


def _shared(group: Sequence[Trial], own: Mapping[str, int]) -> dict[str, Any]:
    first, *others = group
    return {
        name: value
        for name, value in first.params.items()
        if name not in own and all(name in other.params and other.params[name] == value for other in others)
    }
