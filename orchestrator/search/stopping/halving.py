"""Successive halving by stopping (ASHA; L. Li and others, MLSys 2020), and Hyperband (L. Li and others, JMLR 2018)."""

from __future__ import annotations

import math
from bisect import bisect_right, insort

from orchestrator.search.quantile import weighted_number
from orchestrator.search.stopping.base import Scale
from orchestrator.spec.stopping import Halving, Hyperband

# Multiples of it, modulo 1, fill the interval evenly however many there are.
_GOLDEN = (math.sqrt(5) - 1) / 2


class HalvingJudge:
    """At each rung a trial goes on if it is among the best 1 / reduction of those that have come there so far.

    Of fewer than ``reduction`` trials the best goes on.  A trial reaches a rung with its first report at or past it.
    """

    def __init__(self, first: float, reduction: float, last: float | None, scale: Scale, name: str = "asha") -> None:
        self._first, self._reduction, self._last = first, reduction, math.inf if last is None else last
        self._scale = scale
        self._name = name
        self._rungs: list[list[float]] = []  # the scores at each rung, in order
        self._reached: dict[int, int] = {}  # trial -> how many rungs it has reached

    def judge(self, trial: int, step: float, value: float) -> str | None:
        score = self._scale.score(value)
        rung = self._reached.get(trial, 0)
        while (at := self._first * self._reduction**rung) <= step * (1 + 1e-9) and at < self._last * (1 - 1e-9):
            if rung == len(self._rungs):
                self._rungs.append([])
            scores = self._rungs[rung]
            insort(scores, score)
            rung += 1
            self._reached[trial] = rung
            better = len(scores) - bisect_right(scores, score)
            places = max(1, math.floor(len(scores) / self._reduction))
            if better >= places:
                return f"{self._name}: at step {at:g} it is number {better + 1} of {len(scores)}; {places} go on"
        return None


class HyperbandJudge:
    """A halving of its own for each bracket; each trial belongs to one by its number, in Hyperband's proportions."""

    def __init__(self, rule: Hyperband, scale: Scale) -> None:
        most = rule.brackets - 1
        # The bracket that halves most begins at the first step and has the most trials.
        self._weights = [
            math.ceil((most + 1) / (halvings + 1) * rule.reduction**halvings) for halvings in range(most, -1, -1)
        ]
        self._brackets = [
            HalvingJudge(
                rule.first * rule.reduction**number,
                rule.reduction,
                rule.last,
                scale,
                f"hyperband, bracket {number + 1}",
            )
            for number in range(most + 1)
        ]

    def bracket(self, trial: int) -> int:
        return weighted_number(self._weights, trial * _GOLDEN % 1)

    def judge(self, trial: int, step: float, value: float) -> str | None:
        return self._brackets[self.bracket(trial)].judge(trial, step, value)


def halving(rule: Halving, scale: Scale) -> HalvingJudge:
    return HalvingJudge(rule.first, rule.reduction, rule.last, scale)
