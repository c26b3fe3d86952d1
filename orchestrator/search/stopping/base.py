"""The contract of early stopping, and what all rules share."""

from __future__ import annotations

import math
from typing import Protocol


class Stopper(Protocol):
    """Sees every report of the search's metric, in the order in which the record counted them."""

    def observe(self, trial: int, step: float, value: float) -> str | None:
        """Why this trial should be given up now; None to let it go on.

        Said once a trial.  A step that a trial has passed already, in an attempt before, is not judged again.
        """

    def ended(self, trial: int) -> None:
        """This trial reports no more."""


class Judge(Protocol):
    """One rule.  Its decisions may depend on all reports before this one, all of them finite."""

    def judge(self, trial: int, step: float, value: float) -> str | None:
        """Note the report, and say why the trial should be given up, or None."""


class Reports:
    """A stopper by one rule: passes on what is new, and keeps silent up to the step ``after``.

    A value that is not finite needs no rule: no comparison with it means anything, and it rarely comes back.
    """

    def __init__(self, judge: Judge, after: float) -> None:
        self._judge = judge
        self._after = after
        self._last: dict[int, float] = {}  # trial -> its last step
        self._given_up: set[int] = set()

    def observe(self, trial: int, step: float, value: float) -> str | None:
        if trial in self._given_up or step <= self._last.get(trial, float("-inf")):
            return None
        self._last[trial] = step
        if math.isfinite(value):
            reason = self._judge.judge(trial, step, value)
        else:
            reason = f"at step {step:g} its value is {value}"
        if reason is None or step <= self._after:
            return None
        self._given_up.add(trial)
        return reason

    def ended(self, trial: int) -> None:
        """Nothing: a trial counts for the others by what it reported, whatever became of it."""


class Scale:
    """Values so that more is better: scores."""

    def __init__(self, maximize: bool) -> None:
        self._sign = 1.0 if maximize else -1.0

    def score(self, value: float) -> float:
        return self._sign * value

    def value(self, score: float) -> float:
        return self._sign * score
