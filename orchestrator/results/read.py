"""From a run's record to what can be shown of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.engine.record import Record, TrialRow
from orchestrator.engine.runs import alive, state_of
from orchestrator.results.leaderboard import Trial
from orchestrator.results.points import Point, best_of, repeats
from orchestrator.storage.layout import Home, RunKeys

TERMINAL = frozenset({"succeeded", "failed", "pruned"})


@dataclass(frozen=True, slots=True)
class Overview:
    """A run at a glance.  Times in Unix seconds, ``seconds`` in seconds, ``cost`` in US$.

    ``total`` is None while only running shows how many trials there are. ``fetched`` is where files are kept of a run
    whose ``store`` ends with an emulator.  ``repeats`` are the parameters that number
    the trials of a point, with their sizes; empty where every point is one trial.  ``goals`` are the metrics of a
    search with several goals, and whether more of each is better.
    """

    run: str
    name: str
    provider: str
    status: str
    reason: str
    created: float
    started: float | None
    finished: float | None
    seconds: float | None
    total: int | None
    states: dict[str, int]
    metric: str | None
    maximize: bool
    cost: float
    store: str
    fetched: Path
    repeats: Mapping[str, int] = field(default_factory=dict)
    goals: Mapping[str, bool] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """No driver will change anything any more, unless the run is resumed."""
        return self.finished is not None

    def count(self, state: str) -> int:
        return self.states.get(state, 0)

    @property
    def done(self) -> int:
        return sum(self.count(state) for state in TERMINAL)

    @property
    def cancelled(self) -> int:
        """Trials that the run has ended without."""
        if not self.ended:
            return 0
        return (sum(self.states.values()) if self.total is None else self.total) - self.done

    def trial_counts(self) -> dict[str, int]:
        """As in ``run --json``."""
        total = sum(self.states.values()) if self.total is None else self.total
        ended = {state: self.count(state) for state in ("succeeded", "failed", "pruned")}
        return {"total": total, **ended, "cancelled": self.cancelled}


def overview(home: Home, run: str, record: Record | None = None, *, now: float | None = None) -> Overview:
    """The run at a glance; no trial is read.  Raises RunNotFound and MachineError.

    With ``now`` the seconds of a run that is being driven are those until now.
    """
    if record is None:
        with closing(Record.open(home.record(run))) as opened:
            return overview(home, run, opened, now=now)
    driven = alive(home, run)  # before the facts: a run that ends in between is not taken for abandoned
    facts = record.facts()
    driven = facts.get("finished") is None and (driven or alive(home, run))
    started, finished = facts.get("started"), facts.get("finished")
    seconds = facts.get("seconds") if finished is not None else None
    if seconds is None and driven and started is not None and now is not None:
        seconds = max(0.0, now - started)
    return Overview(
        run=run,
        name=facts["name"],
        provider=facts["provider"],
        status=state_of(facts, driven),
        reason=facts.get("reason", ""),
        created=facts["created"],
        started=started,
        finished=finished,
        seconds=seconds,
        total=facts.get("total"),
        states=record.counts(),
        metric=facts.get("metric"),
        maximize=facts.get("goal") != "minimize",
        cost=facts.get("cost", 0.0),
        store=facts["store"],
        fetched=home.fetched,
        repeats=repeats(facts["spec"]),
        goals={name: goal == "maximize" for name, goal in facts["spec"].get("search", {}).get("goals", {}).items()},
    )


def trials(record: Record, seen: Overview) -> Iterator[Trial]:
    """The trials that the record holds, in order of their number."""
    for row in record.trials():
        yield to_trial(row, seen)


def to_trial(row: TrialRow, seen: Overview) -> Trial:
    """A recorded trial as a reader should see it: one that nobody runs is not running."""
    state = row.state
    if state not in TERMINAL:
        if seen.ended:
            state = "cancelled"
        elif seen.status == "abandoned":
            state = "pending"
    place = where(seen.store, RunKeys(seen.run).outputs(row.trial, row.attempt))
    outputs = tuple(f"{place}/{path}" for path in row.outputs)
    return Trial(
        row.trial, state, row.params, row.metrics, row.attempt, row.seconds, outputs, row.reason, seen.run, row.parent
    )


def where(store: str, key: str) -> str:
    """Where an object of the store lies: an absolute path on this machine, or a URL."""
    if store.startswith("file:"):
        from urllib.parse import unquote, urlsplit

        return f"{unquote(urlsplit(store).path).rstrip('/')}/{key}"
    return f"{store.rstrip('/')}/{key}"


def best_record(found: Trial | None, metric: str | None, *, maximize: bool = True) -> dict[str, Any] | None:
    """The best trial as in ``run --json``; of a point, its best trial and the mean that ranks it."""
    if found is None or metric is None:
        return None
    value = found.metrics[metric]
    if not isinstance(found, Point):
        return {"trial": found.trial, "params": dict(found.params), "value": value}
    first = best_of(found, metric, maximize=maximize)
    spread = {"deviation": found.deviations.get(metric), "n": found.n}
    return {"trial": first.trial, "params": dict(found.params), "value": value, "point": found.trial, **spread}
