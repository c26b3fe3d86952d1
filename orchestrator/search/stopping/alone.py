"""The rules that judge a trial by its own reports alone."""

from __future__ import annotations

import math

from orchestrator.search.stopping.base import Scale
from orchestrator.spec.stopping import Plateau, Threshold


class PlateauJudge:
    """Gives up after a number of reports in a row that were no improvement."""

    def __init__(self, rule: Plateau, scale: Scale) -> None:
        self._rule = rule
        self._scale = scale
        self._best: dict[int, float] = {}
        self._idle: dict[int, int] = {}

    def judge(self, trial: int, step: float, value: float) -> str | None:
        score = self._scale.score(value)
        best = self._best.get(trial, -math.inf)
        if score > best + self._rule.delta or best == -math.inf:
            self._best[trial], self._idle[trial] = score, 0
            return None
        self._idle[trial] += 1
        if self._idle[trial] < self._rule.reports:
            return None
        shown = self._scale.value(best)
        return f"plateau: at step {step:g} its best value {shown:g} has not improved for {self._idle[trial]} reports"


class ThresholdJudge:
    """Gives up at a value outside a range."""

    def __init__(self, rule: Threshold) -> None:
        self._below = -math.inf if rule.below is None else rule.below
        self._above = math.inf if rule.above is None else rule.above

    def judge(self, trial: int, step: float, value: float) -> str | None:
        if value < self._below:
            return f"threshold: at step {step:g} its value {value:g} is below {self._below:g}"
        if value > self._above:
            return f"threshold: at step {step:g} its value {value:g} is above {self._above:g}"
        return None
