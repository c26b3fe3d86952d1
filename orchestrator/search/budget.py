"""When a run has searched enough: a value that is good enough, or no progress."""

from __future__ import annotations

from orchestrator.search.base import Told
from orchestrator.spec.model import Spec


class Enough:
    """Shown the ended trials in their order, says why the run should end, or None.

    After a resume it is shown them again from the first; what it says of those is what it said then.  The first
    ``settled`` of them had ended when the user asked for more: they set the mark, and are no reason to end any more.
    """

    def __init__(
        self, metric: str, maximize: bool, target: float | None, patience: int | None, settled: int = 0
    ) -> None:
        self._settled = settled
        self._metric = metric
        self._sign = 1.0 if maximize else -1.0
        self._target = target
        self._patience = patience
        self._best: float | None = None
        self._idle = 0

    def __call__(self, told: Told) -> str | None:
        if told.state == "cancelled":
            return None
        score = None if told.value is None or told.state != "succeeded" else self._sign * told.value
        if score is not None and (self._best is None or score > self._best):
            self._best, self._idle = score, 0
        elif self._best is not None:
            self._idle += 1
        if self._settled > 0:
            self._settled -= 1
            self._idle = 0
            return None
        if self._target is not None and score is not None and score >= self._sign * self._target:
            return f"{self._metric} reached {told.value:g} in trial {told.trial}; the target was {self._target:g}"
        if self._patience is not None and self._best is not None and self._idle >= self._patience:
            return f"{self._metric} has not improved on {self._sign * self._best:g} in {self._idle} trials"
        return None


def make_budget(spec: Spec, settled: int = 0) -> Enough | None:
    """The budget of ``search.target`` and ``search.patience``; None where the spec has neither."""
    search = spec.search
    if search.metric is None or (search.target is None and search.patience is None):
        return None
    return Enough(search.metric, search.goal == "maximize", search.target, search.patience, settled)
