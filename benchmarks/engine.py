"""The engine alone: trials through machine, driver and record with a provider that does nothing.

Claims: at most 2 ms a trial and 100 MB of growth at 10,000 trials; half of them done, a resume starts its next trial
in under 3 s.
"""

from __future__ import annotations

import json
import resource
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.report import Figure
from orchestrator.engine import machine as m
from orchestrator.engine.clock import SystemClock
from orchestrator.engine.driver import Driver
from orchestrator.engine.record import Record
from orchestrator.providers.base import (
    Capabilities,
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

TRIALS = 10_000


class Stop(Exception):
    """The benchmark has seen what it came for."""


class NothingCompute:
    """Every task has ended well as soon as it is submitted."""

    capabilities = Capabilities("nothing", ahead=8, poll_seconds=0.5, survives_client=False)

    def __init__(self, stop_after: int | None = None) -> None:
        self._events: list[Event] = []
        self._submitted = 0
        self._stop_after = stop_after
        self._alive = False
        self.first_submit: float | None = None

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
            self.first_submit = self.first_submit or time.perf_counter()
            if self._submitted == self._stop_after:
                raise Stop
            self._submitted += 1
            result = {"cause": None, "metrics": {"loss": {"last": 1.0}}, "seconds": 0.0}
            self._events.append(TaskChanged(task.name, Phase.ENDED, 0.0, Ended(None), result=result))
            yield task.name

    def changes(self, pool: str, cursor: str | None, wait: float) -> Changes:
        events, self._events = self._events, []
        return Changes(events, "0", complete=cursor is None)

    def cancel(self, pool: str, names: Iterable[str]) -> None: ...

    def read_log(self, pool: str, task: str, stream: str, offset: int, size: int) -> bytes:
        return b""

    def owned(self) -> Iterator[Owned]:
        return iter(())

    def reclaim(self, owned: Owned) -> None: ...

    def close(self) -> None: ...


def _spec() -> Spec:
    return Spec.model_validate(
        {
            "name": "nothing",
            "workload": {"command": "true {x}"},
            "parameters": {"x": {"range": [0, TRIALS]}},
            "search": {"metric": "loss"},
        }
    )


def _driver(record: Record, compute: NothingCompute, folder: Path) -> Driver:
    request = PoolRequest("nothing", {}, Machine(), 2, None, 0.0, 0.0)
    rules = m.Rules(window=10, total=TRIALS)
    store = LocalStore(folder / "store")
    return Driver(request, rules, record, compute, store, make_search(_spec()), SystemClock(), metric="loss")


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        record = Record.create(folder / "record.db", {"total": TRIALS, "spec": json.loads(_spec().model_dump_json())})
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        status = _driver(record, NothingCompute(), folder).run()
        each = (time.perf_counter() - start) / TRIALS * 1000
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        assert status is m.RunStatus.SUCCEEDED
        assert record.counts() == {"succeeded": TRIALS}

        half = Record.create(folder / "half.db", {"total": TRIALS})
        try:
            _driver(half, NothingCompute(stop_after=TRIALS // 2), folder).run()
        except Stop:
            half.close()
        compute = NothingCompute()
        start = time.perf_counter()
        _driver(Record.open(folder / "half.db"), compute, folder).run()
        assert compute.first_submit is not None
        return [
            Figure("engine, 10,000 trials on a provider that does nothing", each, "ms a trial", most=2.0),
            Figure("engine, memory growth over 10,000 trials", grown, "MB", most=100.0),
            Figure("resume of 10,000 trials half done, to the next trial", compute.first_submit - start, "s", most=3.0),
        ]
