"""The median rule of Google Vizier (D. Golovin and others, KDD 2017, section 3.2.2)."""

from __future__ import annotations

import math
from bisect import insort
from dataclasses import dataclass

from orchestrator.search.stopping.base import Scale
from orchestrator.spec.stopping import Median


@dataclass(slots=True)
class _Own:
    """What one trial has reported so far, as scores."""

    best: float = -math.inf
    total: float = 0.0
    count: int = 0


class MedianJudge:
    """Compares a trial's best score so far with the others' means so far, at the same step."""

    def __init__(self, rule: Median, scale: Scale) -> None:
        self._rule = rule
        self._scale = scale
        self._own: dict[int, _Own] = {}
        self._means: dict[float, list[float]] = {}  # step -> the means of all trials there, in order

    def judge(self, trial: int, step: float, value: float) -> str | None:
        own = self._own.setdefault(trial, _Own())
        score = self._scale.score(value)
        own.best = max(own.best, score)
        own.total += score
        own.count += 1
        others = self._means.setdefault(step, [])
        bar = percentile(others, self._rule.percentile) if len(others) >= self._rule.trials else -math.inf
        number = len(others)
        insort(others, own.total / own.count)
        if own.best >= bar:
            return None
        name = "median" if self._rule.percentile == 50 else f"{self._rule.percentile:g}th percentile"
        best, shown = self._scale.value(own.best), self._scale.value(bar)
        return f"median: at step {step:g} its best value {best:g} is worse than the {name} {shown:g} of {number} trials"


def percentile(ordered: list[float], share: float) -> float:
    """By linear interpolation, as numpy's default."""
    place = (len(ordered) - 1) * share / 100
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
