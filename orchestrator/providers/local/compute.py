"""The provider ``local``: see :mod:`orchestrator.providers.local`."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import secrets
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from orchestrator.errors import InvalidRequest, MachineError, NotFound
from orchestrator.providers.base import (
    Call,
    Capabilities,
    Cause,
    Changes,
    Ended,
    Estimate,
    Event,
    MetricSeen,
    Owned,
    Phase,
    PoolRequest,
    PoolState,
    PoolStatus,
    Task,
    TaskChanged,
)
from orchestrator.providers.local import objects, processes
from orchestrator.providers.local.board import NAME_LIMIT
from orchestrator.providers.local.capacity import Capacity, capacity, cpu_count
from orchestrator.providers.local.container import input_places, left_berths
from orchestrator.providers.local.container_slot import recover
from orchestrator.providers.local.crew import Crew
from orchestrator.providers.local.engine import Berths, Engine, nearby
from orchestrator.providers.local.environment import inherited
from orchestrator.providers.local.requirements import Preparation, with_environment
from orchestrator.providers.local.uptime import Uptime
from orchestrator.runner import runner
from orchestrator.storage.layout import Home, RunKeys

POLL_SECONDS = 0.5
"""``changes`` answers at once when something happens, so this is but the rhythm of looking at the clock."""

AHEAD_LEAST = 8
"""Tasks that lie ready for the slots: what two slots take while the driver writes its record."""

DEATHS = 3
"""A supervisor that died so often, without a task having ended in between, is not started again."""

_BATCH = 1000
_ARRIVALS = 0.05  # seconds between two looks whether a task's inputs have been brought

_DEAD = "The supervisor of local trials died {count} times in a row, the last time by {how}."


class LocalCompute:
    """Runs the tasks of one run on this machine; its pool ends with this process.

    A pool's lease is not watched here: nothing is rented, and the pool cannot outlive the driver.  ``idle_timeout``,
    ``spot``, ``region`` and the like mean nothing here.
    """

    def __init__(self, home: Home, run: str) -> None:
        if sys.platform != "linux":
            raise InvalidRequest(
                "The local provider needs Linux.", remedy="Use a container or a virtual machine with Linux, or a cloud."
            )
        self._home = home
        self._run = run
        self._request: PoolRequest | None = None
        self._capacity: Capacity | None = None
        self._uptime: Uptime | None = None
        self._ahead = max(AHEAD_LEAST, int(2 * cpu_count()))
        self._life = ""
        self._environ: Mapping[str, str] = {}
        self._crew: Crew | None = None
        self._preparation: Preparation | None = None
        self._engine: Engine | None = None
        self._berths: Berths | None = None
        self._objects: objects.Objects | None = None
        self._deaths = 0
        self._broken = ""
        # What is submitted and has not ended; those of it that wait here, and those handed over.
        self._tasks: dict[str, Task] = {}
        self._waiting: deque[Task] = deque()
        self._given = 0
        self._running: set[str] = set()
        self._lost: dict[str, str] = {}
        self._ended: dict[str, tuple[int, int]] = {}  # trial and attempt
        # How those ended that left no result.json to tell.
        self._unwritten: dict[str, TaskChanged] = {}
        self._events: deque[Event] = deque()
        self._first = 0  # the number of the first event in the queue
        self._store = home.store

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            name="local",
            ahead=self._ahead,
            poll_seconds=POLL_SECONDS,
            survives_client=False,
            containers=True,
        )

    # --------------------------------------------------------------------------------------------- pool

    def estimate(self, request: PoolRequest) -> Estimate:
        objects.check(request.job, self._home)
        found = capacity(request, self._home.path)
        warnings, image = list(found.warnings), ""
        if request.isolation == "docker":
            image = self._check_containers(request)
            if not image:
                warnings.append(f"The image {request.image} is not here; it is pulled when the run starts.")
        return Estimate(
            api_calls=0,
            slots=len(found.slots),
            rate=request.price or 0.0,
            machine=found.machine,
            warnings=warnings,
            image=image,
        )

    def _check_containers(self, request: PoolRequest) -> str:
        """What the image is by its digest, where that is known.  Raises for what no container can do."""
        if not request.image:
            raise InvalidRequest("A container needs an image.", remedy="Set workload.image.")
        input_places(request.job, self._home.inputs(request.name))
        return self._docker().pinned(request.image)

    def _docker(self) -> Engine:
        if self._engine is None:
            self._engine = Engine()
        return self._engine

    def requests(self, request: PoolRequest, tasks: Iterable[Task]) -> Iterator[Call]:
        return iter(())

    def create_pool(self, request: PoolRequest) -> None:
        if self._request is not None:
            return
        if request.name != self._run:
            raise InvalidRequest(f"This provider serves the run {self._run}, not {request.name}.")
        self.estimate(request)
        self._capacity = capacity(request, self._home.path)
        if request.store is not None:
            self._store = Path(unquote(urlsplit(request.store).path))
        folder = self._home.run(request.name)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            earlier = (folder / "pool.json").exists()
            self._uptime = Uptime(folder / "pool.json")
            runner.write_shim(str(folder / "shim"))
        except OSError as error:
            raise MachineError(f"The run's folder cannot be written: {runner.describe(error)}.") from error
        if earlier:
            self._sweep(request.name)
        self._request = request
        if objects.of(request.job):
            self._objects = objects.Objects(self._home, request.name, request.job)
        wanted = request.job.get("requirements")
        if request.isolation == "docker":
            if earlier:
                self._sweep_containers(request.name)
            self._berths = Berths(self._docker(), self._home, self._store, request)
            self._prepared()
        elif wanted is None:
            self._start_crew(inherited())
        else:
            self._life = secrets.token_hex(4)
            mark = processes.make_mark(self._home.path, request.name, self._life)
            environ = {**inherited(), processes.MARK: mark}
            self._preparation = Preparation(self._home.environments, wanted, environ)

    def _prepared(self) -> bool:
        """Whether the trials' environment or image is there; the crew is started when it is."""
        if self._berths is not None and self._crew is None and not self._broken:
            if not self._berths.done:
                return False
            self._broken = self._berths.error
            if not self._broken:
                self._start_crew(inherited())
                self._feed()
        if self._preparation is None:
            return True
        if not self._preparation.done:
            return False
        folder, self._broken = self._preparation.folder, self._preparation.error
        self._preparation = None
        if not self._broken:
            self._start_crew(with_environment(inherited(), folder))
            self._feed()
        return True

    def _start_crew(self, environ: Mapping[str, str]) -> None:
        assert self._request is not None
        assert self._capacity is not None
        folder = self._home.run(self._request.name)
        config = {
            "job": self._request.job,
            "slots": self._capacity.slots,
            "secrets": self._request.secrets,
            "store": str(self._store),
            "code": str(self._home.code),
            "shim": str(folder / "shim"),
        }
        self._life = secrets.token_hex(4)
        if self._berths is not None:
            file = Path(runner.__file__)
            config["containers"] = self._berths.config(self._capacity.slots, self._life, file)
            config["path"] = sys.path
        mark = processes.make_mark(self._home.path, self._request.name, self._life)
        self._environ = environ
        self._crew = Crew(config, {**environ, processes.MARK: mark}, folder / "supervisor.log", folder / "long-tasks")

    def _sweep(self, pool: str) -> None:
        """End what is left of earlier lives of this pool, or of this one when its crew is dead."""
        alive = self._life if self._crew is not None else None
        left = processes.sweep(self._home.path, lambda process: process.run == pool and process.life != alive)
        if left:
            raise MachineError(
                f"Processes of the run {pool} cannot be killed: {', '.join(map(str, left))}.",
                remedy="They hang in the kernel or belong to another user; end them and resume.",
            )
        if alive is None and (self._berths is not None or left_berths(self._store, pool)):
            self._sweep_containers(pool)

    def _sweep_containers(self, pool: str) -> None:
        """They end by themselves, except one that was made and never started."""
        self._docker().remove_all(self._home, pool)
        recover(str(self._store / RunKeys(pool).root))

    def pool_status(self, pool: str) -> PoolStatus:
        if self._request is None or self._request.name != pool:
            return PoolStatus(PoolState.GONE)
        assert self._capacity is not None
        assert self._uptime is not None
        rate = self._request.price or 0.0
        if not self._prepared():
            doing = "installing workload.requirements" if self._berths is None else "pulling workload.image"
            return PoolStatus(PoolState.CREATING, doing, nodes=1, rate=rate)
        return PoolStatus(
            PoolState.FAILED if self._broken else PoolState.READY,
            self._broken,
            nodes=1,
            slots=len(self._capacity.slots),
            cost=rate * self._uptime.seconds() / 3600,
            rate=rate,
        )

    def delete_pool(self, pool: str) -> None:
        if self._request is not None and self._request.name == pool:
            if self._preparation is not None:
                self._preparation.stop()
                self._preparation = None
            clean = self._crew is None or self._crew.close()
            self._remove_spares()
            if self._objects is not None:
                self._objects.close()
                self._objects = None
            if self._berths is not None:
                self._sweep_containers(pool)
            self._crew = self._request = self._berths = None
            self._tasks.clear()
            self._waiting.clear()
            self._running.clear()
            self._ended.clear()
            self._unwritten.clear()
            self._given = self._deaths = 0
            self._broken = ""
            self._first += len(self._events)
            self._events.clear()
            if clean:
                return
        self._sweep(pool)

    def _remove_spares(self) -> None:
        """The empty folders that slots keep for their next trial."""
        assert self._capacity is not None
        for number in range(len(self._capacity.slots)):
            with contextlib.suppress(OSError):
                (self._store / RunKeys(self._run).root / f"slot-{number}").rmdir()

    def close(self) -> None:
        if self._request is not None:
            self.delete_pool(self._request.name)
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _pool(self, pool: str) -> PoolRequest:
        if self._request is None or self._request.name != pool:
            raise NotFound(f"There is no local pool {pool} in this process.")
        return self._request

    # --------------------------------------------------------------------------------------------- tasks

    def submit(self, pool: str, tasks: Iterable[Task]) -> Iterator[str]:
        self._pool(pool)
        for task in tasks:
            if len(task.name.encode()) > NAME_LIMIT or "\n" in task.name:
                raise InvalidRequest(f"No task can be called {task.name!r}.")
            if task.name in self._ended:
                self._emit(self._how_it_ended(task))
            elif task.name not in self._tasks:
                self._tasks[task.name] = task
                self._waiting.append(task)
                self._feed()
            yield task.name

    def _feed(self) -> None:
        """Hand over tasks until enough lie ready."""
        if self._broken or self._crew is None:
            return
        assert self._capacity is not None
        enough = len(self._capacity.slots) + self._ahead
        if self._objects is not None:
            self._objects.start(itertools.islice(self._waiting, enough - self._given))
        while self._waiting and self._given < enough:
            task = self._waiting[0]
            document = task.document
            if self._objects is not None:
                brought = self._objects.brought(task)
                if brought is None:
                    return
                if isinstance(brought, Ended):
                    self._objects.forget([self._waiting.popleft().name])
                    self._end(task.name, brought, time.time())
                    continue
                document["brought"] = brought
            if not self._crew.send(document):
                return
            self._waiting.popleft()
            self._given += 1
            if self._objects is not None:
                self._objects.forget([task.name])

    def cancel(self, pool: str, names: Iterable[str]) -> None:
        self._pool(pool)
        wanted = {name for name in names if name in self._tasks}
        waiting = [task for task in self._waiting if task.name in wanted]
        if waiting:
            self._waiting = deque(task for task in self._waiting if task.name not in wanted)
            if self._objects is not None:
                self._objects.forget(task.name for task in waiting)
            for task in waiting:
                self._end(task.name, Ended(Cause.CANCELLED, "The trial was cancelled before it started."), time.time())
                wanted.discard(task.name)
        if wanted and self._crew is not None:
            self._crew.cancel(sorted(wanted))

    # --------------------------------------------------------------------------------------------- changes

    def changes(self, pool: str, cursor: str | None, wait: float) -> Changes:
        self._pool(pool)
        at = int(cursor) if cursor is not None and cursor.isdigit() else -1
        if not self._first <= at <= self._first + len(self._events):
            return self._everything()
        while self._first < at:
            self._events.popleft()
            self._first += 1
        self._receive(0.0 if self._events else wait)
        return Changes(tuple(self._events), str(self._first + len(self._events)))

    def _everything(self) -> Changes:
        self._receive(0.0)
        # Phases are told anew; values that have not been told yet are in no listing.
        metrics = [event for event in self._events if isinstance(event, MetricSeen)]
        self._first += len(self._events)
        self._events.clear()
        events: dict[str, Event] = dict(self._unwritten)
        for result in self._results():
            if result["name"] not in self._tasks:
                events[result["name"]] = _ended_by(result)
        now = time.time()
        for name in self._tasks:
            events[name] = TaskChanged(name, Phase.RUNNING if name in self._running else Phase.QUEUED, now)
        return Changes((*metrics, *events.values()), str(self._first), complete=True)

    def _results(self) -> Iterator[Mapping[str, Any]]:
        """What all attempts of this run have left, by this pool or an earlier one."""
        trials = self._store / RunKeys(self._run).root / "trials"
        try:
            folders = [trial.path for trial in os.scandir(trials)]
        except FileNotFoundError:
            return
        for folder in folders:
            for attempt in os.scandir(folder):
                result = _read_result(Path(attempt.path)) if attempt.name.isdigit() else None
                if result is not None:
                    yield result

    def _receive(self, wait: float) -> None:
        """Take in what the slots have said, waiting for the first word of it."""
        if self._crew is None:
            return
        if self._objects is not None and self._objects.busy:
            wait = min(wait, _ARRIVALS)
        messages, dead = self._crew.receive(wait, _BATCH)
        for message in messages:
            for key, handler in self._handlers.items():
                if key in message:
                    handler(self, message)
                    break
        if dead:
            self._crew_died()
        self._feed()

    def _on_running(self, message: Mapping[str, Any]) -> None:
        name = message["running"]
        if name in self._tasks and name not in self._running:
            self._running.add(name)
            self._emit(TaskChanged(name, Phase.RUNNING, message["at"]))

    def _on_metrics(self, message: Mapping[str, Any]) -> None:
        for metric, value, step, at in message["values"]:
            self._emit(MetricSeen(message["metrics"], metric, float(value), step, at))

    def _on_ended(self, message: Mapping[str, Any]) -> None:
        task = self._tasks[message["ended"]]
        result = message.get("result") or _read_result(self._folder(task.trial, task.attempt))
        self._given -= 1
        self._deaths = 0
        if result is None:
            ended = Ended(Cause.INFRASTRUCTURE, "The trial's result.json is gone.")
            self._end(task.name, ended, time.time())
        else:
            self._forget(task.name)
            self._emit(_ended_by(result))

    def _on_failed(self, message: Mapping[str, Any]) -> None:
        self._given -= 1
        cause = Cause(message.get("cause", Cause.INFRASTRUCTURE))
        self._end(message["failed"], Ended(cause, message["reason"]), message["at"])

    def _on_lost(self, message: Mapping[str, Any]) -> None:
        self._lost[message["lost"]] = message["reason"]

    _handlers: Mapping[str, Callable[[LocalCompute, Mapping[str, Any]], None]] = {
        "ended": _on_ended,
        "metrics": _on_metrics,
        "running": _on_running,
        "failed": _on_failed,
        "lost": _on_lost,
    }

    def _crew_died(self) -> None:
        """Say of every task that was handed over how it ended, and begin anew."""
        assert self._crew is not None
        assert self._request is not None
        how = self._crew.how_it_ended()
        self._crew = None
        self._sweep(self._request.name)
        waiting = {task.name for task in self._waiting}
        now = time.time()
        for name in [name for name in self._tasks if name not in waiting]:
            task = self._tasks[name]
            result = _read_result(self._folder(task.trial, task.attempt))
            if result is not None:
                self._deaths = 0
                self._forget(name)
                self._emit(_ended_by(result))
            elif name in self._lost:
                # Counted, unlike the others: it may be this trial that kills the processes around it.
                self._end(name, Ended(Cause.INFRASTRUCTURE, self._lost[name]), now)
            else:
                reason = f"The supervisor of local trials died ({how}), and the trial with it."
                self._end(name, Ended(Cause.DRIVER_LOST, reason), now)
        self._given = 0
        self._lost.clear()
        self._deaths += 1
        if self._deaths >= DEATHS:
            log = self._home.run(self._request.name) / "supervisor.log"
            self._broken = f"{_DEAD.format(count=self._deaths, how=how)} See {log}."
        else:
            self._start_crew(self._environ)

    def _how_it_ended(self, task: Task) -> TaskChanged:
        known = self._unwritten.get(task.name)
        if known is not None:
            return known
        folder = self._folder(task.trial, task.attempt)
        result = _read_result(folder)
        if result is None:
            raise NotFound(f"The result of {task.name} has been deleted from {folder}.")
        return _ended_by(result)

    def _folder(self, trial: int, attempt: int) -> Path:
        return self._store / RunKeys(self._run).attempt(trial, attempt)

    def _end(self, name: str, ended: Ended, at: float) -> None:
        self._forget(name)
        self._unwritten[name] = TaskChanged(name, Phase.ENDED, at, ended)
        self._emit(self._unwritten[name])

    def _forget(self, name: str) -> None:
        task = self._tasks.pop(name)
        self._running.discard(name)
        self._ended[name] = (task.trial, task.attempt)

    def _emit(self, event: Event) -> None:
        self._events.append(event)

    def read_log(self, pool: str, task: str, stream: str, offset: int, size: int) -> bytes:
        known = self._tasks.get(task)
        at = (known.trial, known.attempt) if known is not None else self._ended.get(task)
        if at is None:  # of an earlier life of this pool
            at = next(((r["trial"], r["attempt"]) for r in self._results() if r["name"] == task), None)
        if at is None:
            return b""
        try:
            with (self._store / RunKeys(self._run).log(*at, stream)).open("rb") as file:
                file.seek(offset)
                return file.read(size)
        except FileNotFoundError:
            return b""

    # --------------------------------------------------------------------------------------------- strays

    def owned(self) -> Iterator[Owned]:
        for process in processes.marked(self._home.path):
            yield Owned("process", process.name, process.run, None, process.program)
        berths = left_berths(self._home.store, "*")
        if berths or nearby():
            try:
                yield from self._docker().owned(self._home)
            except (MachineError, InvalidRequest):
                if berths:  # else there never was a container
                    raise
        for place in berths:
            yield Owned("working folder", str(place), place.parent.name, None, "of containers")

    def reclaim(self, owned: Owned) -> None:
        if owned.kind == "process" and not processes.end(self._home.path, owned.name):
            raise MachineError(f"The process {owned.name.partition('.')[0]} cannot be killed.")
        if owned.kind == "container":
            self._docker().remove(owned.name)
        if owned.kind == "working folder":
            recover(str(Path(owned.name).parent))


def _read_result(folder: Path) -> Mapping[str, Any] | None:
    try:
        result: Mapping[str, Any] = json.loads((folder / "result.json").read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        # Not there, or cut off by a loss of power: the attempt never came to its end.
        return None
    return result


def _ended_by(result: Mapping[str, Any]) -> TaskChanged:
    cause = result["cause"]
    ended = Ended(
        None if cause is None else Cause(cause),
        result["reason"],
        result["exit_code"],
        result["signal"],
        result["started"],
        result["finished"],
    )
    return TaskChanged(result["name"], Phase.ENDED, result["finished"], ended, result=result)
