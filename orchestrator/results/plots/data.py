"""What the pictures are drawn from, read once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from orchestrator.engine.record import Record
from orchestrator.results.leaderboard import Trial, comparable
from orchestrator.results.points import points
from orchestrator.results.read import overview, to_trial
from orchestrator.search.base import Told
from orchestrator.spec.arrangements import Derived, Repeat
from orchestrator.spec.distributions import LogNormal, LogUniform
from orchestrator.spec.finite import Choice, Fixed, LogInteger
from orchestrator.spec.model import Spec
from orchestrator.storage.layout import Home

# So many values of a number are shown one beside the other; more are a scale.
FEW = 12


class NothingToShow(Exception):
    """The run has nothing for this picture; the text says why."""


@dataclass(frozen=True, slots=True)
class RunData:
    """``trials`` in order of number; ``told`` the ended ones in the order of their end; ``curves`` the finite values of
    the metric by step, for each trial that reported steps (its last attempt wins a step that two have reported)."""

    run: str
    spec: Spec
    metric: str | None
    maximize: bool
    trials: list[Trial]
    told: list[Told]
    curves: Mapping[int, list[tuple[float, float]]]

    @property
    def goals(self) -> dict[str, bool]:
        """The metrics that the search had as goals, and whether more of each is better."""
        goals = self.spec.search.goals or (
            {self.metric: "maximize" if self.maximize else "minimize"} if self.metric else {}
        )
        return {name: goal == "maximize" for name, goal in goals.items()}

    def valued(self) -> list[tuple[Trial, float]]:
        """The trials that can be compared, with their values.  Raises NothingToShow where there is none."""
        if self.metric is None:
            raise NothingToShow("the sweep names no search.metric")
        found = [(trial, value) for trial in self.trials if (value := comparable(trial, self.metric)) is not None]
        if not found:
            raise NothingToShow(f"no trial has a value of {self.metric}")
        return found

    def rows(self) -> Sequence[Trial]:
        """The trials, or their points where the sweep repeats them."""
        repeated = {name: kind.repeat for name, kind in self.spec.parameters.items() if isinstance(kind, Repeat)}
        return points(self.trials, repeated, self.metric) if repeated else self.trials

    def varied(self) -> list[str]:
        """The parameters that differ between trials, but for those that number the trials of a point."""
        repeats = {name for name, kind in self.spec.parameters.items() if isinstance(kind, Repeat)}
        names = list(dict.fromkeys(name for trial in self.trials for name in trial.params if name not in repeats))
        return [name for name in names if len({repr(trial.params.get(name)) for trial in self.trials}) > 1]

    def few(self, name: str) -> list[Any] | None:
        """The values of this parameter in their order, where the spec gives it only a few; else None."""
        kind = self.spec.parameters.get(name)
        present = [trial.params[name] for trial in self.trials if trial.params.get(name) is not None]
        numbers = all(is_number(value) for value in present)
        if numbers and (kind is None or kind.size is None or kind.size > FEW):
            return None
        distinct = list({repr(value): value for value in present}.values())
        if numbers:
            return sorted(distinct)
        listed = [kind.value_at(place) for place in range(kind.size)] if kind is not None and kind.size else []
        order = [repr(value) for value in listed]
        return sorted(
            distinct, key=lambda one: (order.index(repr(one)) if repr(one) in order else len(order), repr(one))
        )

    def log(self, name: str) -> bool:
        """Whether this parameter is better seen by its logarithm: as it was drawn, or as its values suggest."""
        kind = self.spec.parameters.get(name)
        present = [trial.params[name] for trial in self.trials if trial.params.get(name) is not None]
        if not all(is_number(value) for value in present) or not present or min(present) <= 0:
            return False
        if isinstance(kind, LogUniform | LogInteger | LogNormal):
            return True
        return (kind is None or isinstance(kind, Choice | Fixed | Derived)) and is_log(present)

    def better(self, a: float, b: float) -> bool:
        return a > b if self.maximize else a < b


def read(home: Home, run: str) -> RunData:
    """Raises RunNotFound and MachineError."""
    with closing(Record.open(home.record(run))) as record:
        seen = overview(home, run, record)
        spec = Spec.model_validate(record.facts()["spec"])
        rows = [to_trial(row, seen) for row in record.trials()]
        curves: dict[int, dict[float, float]] = {}
        if seen.metric is not None:
            for value in record.reported(seen.metric):
                if value.step is not None and math.isfinite(value.value):
                    curves.setdefault(value.trial, {})[value.step] = value.value
        return RunData(
            run=run,
            spec=spec,
            metric=seen.metric,
            maximize=seen.maximize,
            trials=rows,
            told=list(record.told(seen.metric)),
            curves={trial: sorted(points.items()) for trial, points in curves.items()},
        )


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_log(values: list[float]) -> bool:
    """Whether values that span orders of magnitude are better seen on a logarithmic axis."""
    return bool(values) and min(values) > 0 and max(values) / min(values) >= 100
