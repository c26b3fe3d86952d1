"""The driver between a machine and a provider that can do only what the test needs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from orchestrator.engine import machine as m
from orchestrator.engine.driver import Driver, Finished, Progress
from orchestrator.engine.record import Record
from orchestrator.errors import AuthenticationFailed, UsageError
from orchestrator.providers.base import (
    Capabilities,
    Cause,
    Changes,
    Ended,
    Estimate,
    Event,
    Machine,
    MetricSeen,
    Owned,
    Phase,
    PoolRequest,
    PoolState,
    PoolStatus,
    Task,
    TaskChanged,
)
from orchestrator.search import Params, Told, make_search, make_stopper
from orchestrator.spec.model import Spec
from orchestrator.storage.layout import RunKeys
from orchestrator.storage.local import LocalStore


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += max(seconds, 0.001)


class FailingCompute:
    """Every task fails at once; the ends of all that were submitted come in one answer."""

    capabilities = Capabilities("failing", ahead=0, poll_seconds=0.5, survives_client=False)

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._alive = False
        self._events: list[Event] = []
        self.submitted: list[str] = []

    def estimate(self, request: PoolRequest) -> Estimate:
        return Estimate(0, 2, 0.0)

    def create_pool(self, request: PoolRequest) -> None:
        self._alive = True

    def pool_status(self, pool: str) -> PoolStatus:
        return PoolStatus(PoolState.READY if self._alive else PoolState.GONE)

    def delete_pool(self, pool: str) -> None:
        self._alive = False

    def submit(self, pool: str, tasks: Iterable[Task]) -> Iterator[str]:
        for task in tasks:
            self.submitted.append(task.name)
            ended = Ended(Cause.EXIT_CODE, "exit code 1", 1)
            self._events.append(TaskChanged(task.name, Phase.ENDED, self._clock.now(), ended))
            yield task.name

    def changes(self, pool: str, cursor: str | None, wait: float) -> Changes:
        events, self._events = self._events, []
        if not events:
            self._clock.sleep(wait)
        return Changes(events, "0")

    def cancel(self, pool: str, names: Iterable[str]) -> None: ...

    def read_log(self, pool: str, task: str, stream: str, offset: int, size: int) -> bytes:
        return b""

    def owned(self) -> Iterator[Owned]:
        return iter(())

    def reclaim(self, owned: Owned) -> None: ...

    def close(self) -> None: ...


def test_what_was_decided_and_never_sent_before_the_run_stopped_is_not_waited_for(tmp_path: Path) -> None:
    """The first failure makes room for a trial; the second, in the same answer, stops the run."""
    clock = Clock()
    compute = FailingCompute(clock)
    spec = Spec.model_validate(
        {"name": "s", "workload": {"command": "true {x}"}, "parameters": {"x": {"range": [0, 9]}}}
    )
    request = PoolRequest("s", {}, Machine(), 2, None, 0.0, 0.0)
    rules = m.Rules(window=2, total=9, max_failures=1, grace=10.0)
    record = Record.create(tmp_path / "record.db", {"total": 9})
    driver = Driver(request, rules, record, compute, LocalStore(tmp_path), make_search(spec), clock)
    assert driver.run() is m.RunStatus.FAILED
    assert compute.submitted == ["t000000-a1", "t000001-a1"]
    assert record.counts()["failed"] == 2
    assert clock.now() < 1000.0 + rules.grace


class Forbidding(FailingCompute):
    """Its account refuses every call, or every call since the pool was made."""

    def __init__(self, clock: Clock, *, made: bool) -> None:
        super().__init__(clock)
        self._made = made

    def create_pool(self, request: PoolRequest) -> None:
        if not self._made:
            raise AuthenticationFailed("Wrong key", remedy="Set the right one.")

    def delete_pool(self, pool: str) -> None:
        raise AuthenticationFailed("Wrong key", remedy="Set the right one.")

    def pool_status(self, pool: str) -> PoolStatus:
        raise AuthenticationFailed("Wrong key", remedy="Set the right one.")


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (False, "Wrong key. Set the right one. Whether anything of pool s was made is not known"),
        (True, "pool s could not be deleted and may still cost money: Wrong key. Set the right one"),
    ],
)
def test_a_pool_that_cannot_be_deleted_is_said_to_cost_money_only_where_it_was_made(
    tmp_path: Path, made: bool, told: str
) -> None:
    clock = Clock()
    spec = Spec.model_validate({"name": "s", "workload": {"command": "true"}})
    record = Record.create(tmp_path / "record.db", {"total": 1})
    driver = Driver(
        PoolRequest("s", {}, Machine(), 2, None, 0.0, 0.0),
        m.Rules(window=2, total=1),
        record,
        Forbidding(clock, made=made),
        LocalStore(tmp_path),
        make_search(spec),
        clock,
    )
    assert driver.run() is m.RunStatus.BROKEN
    assert record.facts()["reason"] == f"{told}; `orchestrate gc` finds what there is."


class SlowlyGone(FailingCompute):
    """Its pool takes a while to be deleted."""

    looks = 5

    def pool_status(self, pool: str) -> PoolStatus:
        if not self._alive and self.looks:
            self.looks -= 1
            return PoolStatus(PoolState.DELETING)
        return super().pool_status(pool)


def test_the_first_ctrl_c_waits_also_where_the_run_was_ending_by_itself(tmp_path: Path) -> None:
    clock = Clock()
    compute = SlowlyGone(clock)
    spec = Spec.model_validate({"name": "s", "workload": {"command": "true {x}"}, "parameters": {"x": [1, 2, 3]}})
    request = PoolRequest("s", {}, Machine(), 2, None, 0.0, 0.0)
    record = Record.create(tmp_path / "record.db", {"total": 3})

    def impatient(progress: Progress, finished: list[Finished]) -> None:
        if progress.phase is m.RunPhase.DELETING and not driver.stopped:
            driver.stop(m.RunStatus.INTERRUPTED, "Ctrl-C")

    driver = Driver(
        request, m.Rules(window=1, total=3), record, compute, LocalStore(tmp_path), make_search(spec), clock,
        observer=impatient, goal_met=lambda told: "good enough",
    )  # fmt: skip
    assert driver.run() is m.RunStatus.SUCCEEDED
    assert driver.stopped
    assert record.facts()["finished"] is not None


class Reporting(FailingCompute):
    """Each task reports what it is given, then ends as it was told to or well; ``silent`` ones tell only the store."""

    def __init__(self, clock: Clock, store: LocalStore, reports: list[list[float]], *, silent: bool) -> None:
        super().__init__(clock)
        self._store, self._reports, self._silent = store, reports, silent
        self._looks: list[list[Event]] = []

    def submit(self, pool: str, tasks: Iterable[Task]) -> Iterator[str]:
        for task in tasks:
            now = self._clock.now()
            values = list(enumerate(self._reports[task.trial], start=1))
            ended = TaskChanged(task.name, Phase.ENDED, now, Ended(None))
            if self._silent:
                lines = [json.dumps({"at": now, "step": step, "loss": value}) for step, value in values]
                self._store.put(RunKeys(pool).metrics(task.trial, 1), "\n".join(lines).encode())
                self._looks.append([])
            else:
                self._looks += [[MetricSeen(task.name, "loss", value, step, now)] for step, value in values]
            last = {"last": values[-1][1], "count": len(values)}
            result = {"cause": None, "metrics": {"loss": last}, "outputs": [], "seconds": 1.0}
            self._store.put(RunKeys(pool).result(task.trial, 1), json.dumps(result).encode())
            self._looks.append([ended])
            yield task.name

    def changes(self, pool: str, cursor: str | None, wait: float) -> Changes:
        self._clock.sleep(wait)
        return Changes(self._looks.pop(0) if self._looks else [], "0")


class Listening:
    """A search that remembers what it was told, and asks for what it has heard until then."""

    adaptive = True
    size = None

    def __init__(self, trials: int) -> None:
        self._trials = trials
        self.told: list[tuple[int, str, float | None]] = []
        self.replayed: list[tuple[int, int]] = []

    def ask(self, trial: int) -> Params | None:
        return {"heard": len(self.told)} if trial < self._trials else None

    def replay(self, trial: int, params: Params) -> None:
        assert params == {"heard": len(self.told)}
        self.replayed.append((trial, len(self.told)))

    def tell(self, told: Told) -> None:
        self.told.append((told.trial, told.state, told.value))


@pytest.mark.parametrize("silent", [False, True])
def test_a_search_learns_the_value_at_which_a_trial_was_given_up_whoever_drives(tmp_path: Path, silent: bool) -> None:
    """Whether the reports came while the task ran, or lay in the store when its driver was dead."""
    clock, store = Clock(), LocalStore(tmp_path)
    rule = {"rule": "threshold", "above": 4}
    spec = Spec.model_validate(
        {
            "name": "s",
            "workload": {"command": "true"},
            "search": {"metric": "loss", "goal": "minimize", "early_stopping": rule},
        }
    )
    compute = Reporting(clock, store, [[3.0, 5.0, 9.0], [2.0, 1.0]], silent=silent)
    record = Record.create(tmp_path / "record.db", {})

    def driver(search: Listening) -> Driver:
        request = PoolRequest("s", {}, Machine(), 1, None, 0.0, 0.0)
        rules = m.Rules(window=1, total=None, keep_places=True)
        return Driver(request, rules, record, compute, store, search, clock, metric="loss", stopper=make_stopper(spec))

    first = Listening(2)
    assert driver(first).run() is m.RunStatus.SUCCEEDED
    assert first.told == [(0, "pruned", 5.0), (1, "succeeded", 1.0)]
    again = Listening(2)
    driver(again)._restore()
    assert again.told == first.told
    assert again.replayed == [(0, 0), (1, 1)]


class Failing(Listening):
    """Fails when it is asked for, or told of, the trial of this number."""

    def __init__(self, *, asked: int = -1, told_of: int = -1) -> None:
        super().__init__(9)
        self._asked, self._told_of = asked, told_of

    def ask(self, trial: int) -> Params | None:
        if trial == self._asked:
            raise UsageError(f"no point {trial}.")
        return super().ask(trial)

    def tell(self, told: Told) -> None:
        if told.trial == self._told_of:
            raise UsageError(f"cannot learn {told.trial}.")
        super().tell(told)


@pytest.mark.parametrize("window", [1, 3])
@pytest.mark.parametrize(
    ("faults", "reason"),
    [({"asked": 2}, "no point 2"), ({"asked": 0}, "no point 0"), ({"told_of": 1}, "cannot learn 1")],
)
def test_a_run_whose_search_fails_ends_in_order_and_keeps_what_it_has_found(
    tmp_path: Path, faults: dict[str, int], reason: str, window: int
) -> None:
    search = Failing(**faults)
    clock, store = Clock(), LocalStore(tmp_path)
    compute = Reporting(clock, store, [[1.0]] * 9, silent=False)
    record = Record.create(tmp_path / "record.db", {"total": 9})
    request = PoolRequest("s", {}, Machine(), window, None, 0.0, 0.0)
    rules = m.Rules(window=window, total=9, keep_places=True, grace=1.0)
    driver = Driver(request, rules, record, compute, store, search, clock, metric="loss")
    assert driver.run() is m.RunStatus.FAILED
    facts = record.facts()
    assert (facts["status"], facts["reason"], facts["total"]) == ("failed", reason, 9)
    assert facts["finished"] is not None
    assert compute.pool_status("s").state is PoolState.GONE
    assert all(row.trial < faults.get("asked", 9) for row in record.trials())
    if window == 1:
        assert record.counts().get("succeeded", 0) == len(search.told) + ("told_of" in faults)
