"""The bandit rule of Azure Machine Learning: a slack against the best trial at the same step."""

from __future__ import annotations

import math

from orchestrator.search.stopping.base import Scale
from orchestrator.spec.stopping import Bandit


class BanditJudge:
    """Compares a trial's best score so far with the best score of any trial up to the same step."""

    def __init__(self, rule: Bandit, scale: Scale, maximize: bool) -> None:
        self._scale = scale
        self._maximize = maximize
        self._factor, self._amount = rule.factor or 0.0, rule.amount
        self._own: dict[int, float] = {}
        self._best: dict[float, float] = {}  # step -> the best score of the trials that reported there

    def judge(self, trial: int, step: float, value: float) -> str | None:
        own = self._own[trial] = max(self._own.get(trial, -math.inf), self._scale.score(value))
        best = self._best[step] = max(self._best.get(step, -math.inf), own)
        if own >= best - self._slack(best):
            return None
        shown, bar = self._scale.value(own), self._scale.value(best)
        return f"bandit: at step {step:g} its best value {shown:g} is too far from the best, {bar:g}"

    def _slack(self, best: float) -> float:
        if self._amount is not None:
            return self._amount
        # best / (1 + factor) where more is better, best * (1 + factor) where less is; for a best below zero too, the
        # slack is an allowance.
        share = self._factor / (1 + self._factor) if self._maximize else self._factor
        return abs(best) * share
