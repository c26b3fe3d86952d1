"""Several goals at once: which trials no other trial beats in all of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from orchestrator.results.leaderboard import Trial


def front(points: Sequence[Sequence[float]], maximize: Sequence[bool]) -> list[int]:
    """Places of the points that no other point beats: at least as good in every goal and better in one."""
    signs = [1.0 if more else -1.0 for more in maximize]
    scores = [[sign * value for sign, value in zip(signs, point, strict=True)] for point in points]

    def beaten(mine: list[float]) -> bool:
        return any(
            all(a >= b for a, b in zip(other, mine, strict=True))
            and any(a > b for a, b in zip(other, mine, strict=True))
            for other in scores
        )

    return [place for place, mine in enumerate(scores) if not beaten(mine)]


def with_all_goals(trials: Iterable[Trial], goals: Iterable[str]) -> list[Trial]:
    """The trials that succeeded with a finite value of every goal."""
    names = list(goals)
    return [
        trial
        for trial in trials
        if trial.state == "succeeded" and all(math.isfinite(trial.metrics.get(name, math.nan)) for name in names)
    ]


def front_of(trials: Iterable[Trial], goals: Mapping[str, bool]) -> list[Trial]:
    """The trials of the Pareto front, in their order; ``goals`` says of each metric whether more of it is better."""
    able = with_all_goals(trials, goals)
    places = front([[trial.metrics[name] for name in goals] for trial in able], list(goals.values()))
    return [able[place] for place in places]
