"""The driver between a machine and a provider that can do only what the test needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from orchestrator.engine import machine as m
from orchestrator.engine.driver import Driver
from orchestrator.engine.record import Record
from orchestrator.providers.base import (
    Capabilities,
    Cause,
    Changes,
    Ended,
    Estimate,
    Event,
    Machine,
    Owned,
    Phase,
    PoolRequest,
    PoolState,
    PoolStatus,
    Task,
    TaskChanged,
)
from orchestrator.search import make_search
from orchestrator.spec.model import Spec
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

    def estimate(self, request: PoolRequest, tasks: int) -> Estimate:
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
