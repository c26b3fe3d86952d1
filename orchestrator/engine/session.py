"""The life of a run on this machine: made once, driven until it ends, by as many drivers as it takes.

``create`` writes everything down that a driver needs; ``drive`` needs nothing else.  A first drive, a resume after a
crash and a detached driver are the same thing.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.engine import sources
from orchestrator.engine.clock import SystemClock
from orchestrator.engine.driver import Driver, Observer, task_name
from orchestrator.engine.job import job_document
from orchestrator.engine.lock import hold, holder
from orchestrator.engine.machine import RunStatus, stage_before
from orchestrator.engine.plan import Plan, make_plan, pool_request, rules, secret_values
from orchestrator.engine.record import Record
from orchestrator.engine.requirements import gathered
from orchestrator.engine.sharing import Shared
from orchestrator.errors import MachineError, Unavailable
from orchestrator.providers import connect, default_store
from orchestrator.providers.base import Call, PoolState, Task
from orchestrator.search.base import Told
from orchestrator.spec.model import Spec
from orchestrator.spec.paths import resolved
from orchestrator.storage import bundle
from orchestrator.storage.base import ObjectStore
from orchestrator.storage.layout import Home, RunKeys
from orchestrator.storage.open import open_store
from orchestrator.storage.seen import seen
from orchestrator.version import __version__

if TYPE_CHECKING:
    from orchestrator.search.stopping import Stopper

# Letters and digits that are not mistaken for one another.
_ID_ALPHABET = "abcdefghjkmnpqrstvwxyz23456789"
# Ended before all its trials had: what a resume takes up again.
_STOPPED = frozenset(
    {RunStatus.CANCELLED, RunStatus.INTERRUPTED, RunStatus.OVER_BUDGET, RunStatus.TIMED_OUT, RunStatus.BROKEN}
)


def plan(spec: Spec, base: Path, home: Home) -> Plan:
    """What running this spec would take.  Starts and writes nothing."""
    compute = connect(spec.provider, home, "plan")
    spec = sources.named(spec, home)
    try:
        return make_plan(spec, base, compute, sources.earlier(spec, home), sources.listing(home))
    finally:
        compute.close()


def requests(plan: Plan, home: Home) -> Iterator[Call]:
    """What the run would send to its provider, lazily: a million trials are never held at once.

    The trials of an adaptive search are not known, so that of them nothing is shown.  Sends and writes nothing.
    """
    spec = plan.spec
    job = job_document(spec, "RUN", plan.base, None)
    wanted = replace(
        pool_request(spec, "RUN", job, time.time(), plan.trials),
        secrets={name: f"<value of {name}>" for name in spec.workload.secrets},
        store=spec.storage,
    )
    compute = connect(spec.provider, home, "RUN")
    try:
        yield from compute.requests(wanted, _first_attempts(plan))
    finally:
        compute.close()


def _first_attempts(plan: Plan) -> Iterator[Task]:
    trial = 0
    while not plan.search.adaptive and (params := plan.search.ask(trial)) is not None:
        before = stage_before(trial, plan.spec.stages)
        after = task_name(before, 1) if before is not None and plan.capabilities.dependencies else None
        yield Task(task_name(trial, 1), trial, 1, params, before, after)
        trial += 1


@dataclass(frozen=True, slots=True)
class Created:
    run: str
    bytes_sent: int
    warnings: tuple[str, ...]


def create(plan: Plan, home: Home, *, source: str | None = None) -> Created:
    """Upload the code and write the run down.  Raises before anything is kept where something is missing."""
    spec = plan.spec
    secret_values(spec)
    now = time.time()
    run = new_id(spec.name, now)
    store = open_store(spec.storage or default_store(spec.provider, home), home)
    code = bundle.scan(plan.base / spec.workload.code) if spec.workload.code is not None else None
    sent = bundle.upload(store, code).bytes_sent if code is not None else 0
    job = job_document(spec, run, plan.base, code.digest if code else None, gathered(spec.workload, plan.base))
    facts: dict[str, Any] = {
        "run": run,
        "name": spec.name,
        "created": now,
        "status": RunStatus.RUNNING,
        "reason": "",
        "spec": spec.model_dump(mode="json", exclude_unset=True),
        "base": str(plan.base),
        "provider": spec.provider,
        "store": store.url,
        "total": plan.trials,
        "metric": spec.search.metric,
        "goal": spec.search.goal,
        "job": job,
        "image": plan.estimate.image or None,
        **sources.pins(spec, plan.base, home),
    }
    keys = RunKeys(run)
    manifest = _manifest(facts, spec, plan.base, source, code)
    store.put(keys.manifest, json.dumps(manifest, indent=2).encode())
    store.put(keys.job, json.dumps(job).encode())
    try:
        home.run(run).mkdir(parents=True)
    except OSError as error:
        raise MachineError(f"The run's folder cannot be made: {error}.") from error
    Record.create(home.record(run), facts).close()
    return Created(run, sent, code.warnings if code else ())


def _manifest(
    facts: dict[str, Any], spec: Spec, base: Path, source: str | None, code: bundle.Bundle | None
) -> dict[str, Any]:
    """What pins the run: enough to say, a year later, what exactly was trained."""
    from importlib.metadata import version

    from orchestrator.storage.git import describe

    return {
        **{key: facts[key] for key in ("run", "name", "created", "provider", "spec", "total")},
        **{key: facts[key] for key in ("points", "earlier") if key in facts},
        "seed": spec.search.seed,
        "source": source,
        "image": {"name": facts["spec"]["workload"]["image"], "pinned": facts["image"]} if facts["image"] else None,
        "code": None
        if code is None
        else {"digest": code.digest, "files": len(code.files), "size": code.size, "git": describe(code.root)},
        "inputs": [
            {"from": item.from_, "seen": seen(resolved(base, item.from_))}
            for item in spec.workload.inputs
            if "://" not in item.from_
        ],
        "versions": {
            "orchestrator": __version__,
            "python": platform.python_version(),
            "numpy": version("numpy"),
            "platform": platform.platform(),
        },
    }


def new_id(name: str, now: float) -> str:
    """``NAME-YYMMDD-HHMMSS-xxxx``, in UTC; at most 59 characters, fit for every cloud's names."""
    stamp = datetime.fromtimestamp(now, UTC).strftime("%y%m%d-%H%M%S")
    tail = "".join(secrets.choice(_ID_ALPHABET) for _ in range(4))
    return f"{name}-{stamp}-{tail}"


def drive(run: str, home: Home, observer: Observer | None = None, *, reopen: bool = False) -> RunStatus:
    """Drive the run until it has ended and its pool is gone.

    ``reopen`` takes up a run that has ended without all its trials ended: cancelled, interrupted, over its budget,
    timed out or broken.  SIGINT and SIGTERM end it in order.  Raises RunBusy where another process drives it.
    """
    with hold(home.lock(run), run), closing(Record.open(home.record(run))) as record:
        facts = record.facts()
        if facts.get("finished") is not None:
            if not reopen:
                return RunStatus(facts["status"])
            record.reopen(time.time())
        status, only_torn_down = _drive(run, home, record, observer)
        if reopen and only_torn_down:
            record.reopen(time.time())
            status, _ = _drive(run, home, record, observer)
        return status


def _drive(run: str, home: Home, record: Record, observer: Observer | None) -> tuple[RunStatus, bool]:
    """The status at the end, and whether all that was done was the teardown that an earlier driver owed.

    It was owed where that driver died in it, or stayed away until the run's time was over.
    """
    facts = record.facts()
    spec = Spec.model_validate(facts["spec"])
    compute = connect(spec.provider, home, run)
    try:
        if compute.capabilities.survives_client:
            record.make_durable()
        base, told = Path(facts["base"]), sources.earlier(spec, home, facts.get("earlier"))
        sources.check_table(spec, base, facts)
        plan = make_plan(spec, base, compute, told, sources.listing(home))
        if "rerun" not in facts:
            sources.check_points(plan.search, record, run)
        limits = rules(plan)
        owed = facts["status"] in _STOPPED or limits.time_is_over(facts.get("started"), time.time())
        store = open_store(facts["store"], home)
        request = replace(
            pool_request(spec, run, facts["job"], facts.get("reopened") or facts["created"], plan.trials),
            secrets=secret_values(spec),
            store=facts["store"],
            image=facts.get("image") or spec.workload.image,
        )
        _unpack(store, facts["job"], home, plan)
        seen_by = None if owed else observer
        shared = Shared(run, home, record, store, seen_by) if _elsewhere(store, home) else None
        driver = Driver(
            request,
            limits,
            record,
            compute,
            store,
            plan.search,
            SystemClock(),
            metric=spec.search.metric,
            goals=spec.search.goals,
            maximize=spec.search.goal == "maximize",
            observer=shared or seen_by,
            stopper=_stopper(spec),
            goal_met=_budget(spec, facts.get("settled", 0)),
        )
        with _signals(driver):
            status = driver.run()
            if shared is not None:
                shared.end()
            return status, owed and not driver.stopped
    finally:
        compute.close()


def _elsewhere(store: ObjectStore, home: Home) -> bool:
    """Whether the run's store may be reached when this machine's home is not."""
    return store.url != home.store.as_uri()


def _stopper(spec: Spec) -> Stopper | None:
    if spec.search.early_stopping is None:
        return None
    from orchestrator.search.stopping import make_stopper

    return make_stopper(spec)


def _budget(spec: Spec, settled: int) -> Callable[[Told], str | None] | None:
    if spec.search.target is None and spec.search.patience is None:
        return None
    from orchestrator.search.budget import make_budget

    return make_budget(spec, settled)


def _unpack(store: ObjectStore, job: dict[str, Any], home: Home, plan: Plan) -> None:
    """Local slots link the trials' code from one unpacked bundle."""
    if job["code"] is not None and "file" in plan.capabilities.stores:
        bundle.unpack(store, job["code"]["digest"], home.code)


class _signals:
    """SIGINT and SIGTERM become a request to stop, where we are allowed to set handlers (the main thread)."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._previous: dict[int, Any] = {}

    def _stop(self, number: int, frame: object) -> None:
        if number == signal.SIGINT:
            self._driver.stop(RunStatus.INTERRUPTED, "interrupted by Ctrl-C")
        else:
            self._driver.stop(RunStatus.CANCELLED, "cancelled")

    def __enter__(self) -> None:
        import threading

        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._stop)

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)


def cancel(run: str, home: Home, *, wait: float = 60.0) -> RunStatus:
    """End the run: through its driver where one is alive, else here.  Returns its status afterwards."""
    pid = holder(home.lock(run))
    if pid is not None:
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + wait
        while holder(home.lock(run)) is not None and time.monotonic() < deadline:
            time.sleep(0.05)
        return _status(home, run)
    with hold(home.lock(run), run), closing(Record.open(home.record(run))) as record:
        facts = record.facts()
        if facts.get("finished") is not None:
            return RunStatus(facts["status"])
        compute = connect(facts["provider"], home, run)
        try:
            if record.pool_may_exist(run):
                record.intend("delete-pool", run, time.time())
                compute.delete_pool(run)
                deadline = time.monotonic() + wait
                while compute.pool_status(run).state is not PoolState.GONE:
                    if time.monotonic() > deadline:
                        raise Unavailable(
                            f"The pool of {run} is being deleted and not gone yet.",
                            remedy="Cancel it again to see it go.",
                        )
                    time.sleep(max(0.05, min(compute.capabilities.poll_seconds, 5.0)))
                record.confirm("delete-pool", run, time.time())
        finally:
            compute.close()
        with record.transaction():
            record.set_facts({"status": RunStatus.CANCELLED, "reason": "cancelled", "finished": time.time()})
        return RunStatus.CANCELLED


def _status(home: Home, run: str) -> RunStatus:
    with closing(Record.open(home.record(run))) as record:
        return RunStatus(record.facts()["status"])


def detach(run: str, home: Home) -> int:
    """Drive the run in a process of its own, which outlives this one; returns its id."""
    import subprocess

    with home.driver_log(run).open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "orchestrator.cli.main", "resume", run],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "ORCHESTRATE_HOME": str(home.path)},
        )
    deadline = time.monotonic() + 20
    while holder(home.lock(run)) is None and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    if child.poll() not in (None, 0, 1):
        raise MachineError(f"The detached driver of {run} did not start.", remedy=f"See {home.driver_log(run)}.")
    return child.pid
