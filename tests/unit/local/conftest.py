"""A local pool with real processes, and ways to see which of them live."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.emulators.childserver import ServerFailed
from orchestrator.emulators.emulated import environment
from orchestrator.emulators.moto import MotoServer
from orchestrator.providers.base import (
    Changes,
    Ended,
    Event,
    Machine,
    MetricSeen,
    Phase,
    PoolRequest,
    Task,
    TaskChanged,
)
from orchestrator.providers.local import LocalCompute
from orchestrator.storage.layout import Home, RunKeys

PATIENCE = 20.0

_ANY = Machine()


def until(what: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Wait for something to be true, and return it."""
    deadline = time.monotonic() + patience
    while not (value := what()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)
    return value


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        state = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def pids_in(path: Path, count: int) -> list[int]:
    """Process ids that trials have written down, one a line, when there are so many."""
    return until(lambda: len(found := _numbers(path)) >= count and found)


def _numbers(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


def name_of(trial: int, attempt: int = 1) -> str:
    return f"t{trial:06d}-a{attempt}"


def job(run: str, command: str | list[str], **changed: Any) -> dict[str, Any]:
    """A job document; ``{x}`` in the command is the parameter x."""
    document: dict[str, Any] = {
        "version": 1,
        "run": run,
        "command": {"shell": template(command)} if isinstance(command, str) else {"argv": list(map(template, command))},
        "env": {},
        "secrets": [],
        "inputs": [],
        "outputs": [],
        "metrics": {},
        "metric": None,
        "checkpoint": None,
        "timeout": None,
        "grace": 5.0,
        "memory": None,
        "code": None,
    }
    assert changed.keys() <= document.keys()
    return {**document, **changed}


def template(text: str) -> list[Any]:
    literal, *rest = text.split("{x}")
    parts: list[Any] = [literal] if literal else []
    for piece in rest:
        parts += [{"name": "x"}, *([piece] if piece else [])]
    return parts


class Pool:
    """One run's pool, and what has been heard of its tasks."""

    def __init__(self, home: Home, run: str = "run-1") -> None:
        self.home = home
        self.run = run
        self.compute = LocalCompute(home, run)
        self.events: list[Event] = []
        self._cursor: str | None = None

    def start(
        self,
        command: str | list[str],
        *,
        slots: int = 2,
        secrets: dict[str, str] | None = None,
        price: float | None = None,
        machine: Machine = _ANY,
        asked: Mapping[str, Any] | None = None,
        **changed: Any,
    ) -> Pool:
        """``asked`` is what else the request has."""
        document = job(self.run, command, **{"secrets": list(secrets or {}), **changed})
        request = PoolRequest(self.run, document, machine, slots, None, 0.0, 0.0, price=price, secrets=secrets or {})
        self.compute.create_pool(replace(request, **(asked or {})))
        return self

    def submit(self, *values: Any, attempt: int = 1, first: int = 0) -> list[str]:
        """A trial for each value of the parameter x."""
        tasks = [
            Task(name_of(first + number, attempt), first + number, attempt, {"x": value})
            for number, value in enumerate(values)
        ]
        names = list(self.compute.submit(self.run, tasks))
        assert names == [task.name for task in tasks]
        return names

    def look(self, wait: float = 0.1) -> Changes:
        changes = self.compute.changes(self.run, self._cursor, wait)
        self._cursor = changes.cursor
        self.events += changes.events
        return changes

    def ended(self) -> dict[str, TaskChanged]:
        return {e.name: e for e in self.events if isinstance(e, TaskChanged) and e.phase is Phase.ENDED}

    def until_ended(self, count: int = 1) -> dict[str, TaskChanged]:
        until(lambda: self.look(1.0) and len(self.ended()) >= count)
        return self.ended()

    def until_running(self, trial: int = 0, attempt: int = 1) -> None:
        name = name_of(trial, attempt)
        until(lambda: self.look(1.0) and any(e.name == name and _is_running(e) for e in self.events))

    def one(self, value: Any = 0) -> dict[str, Any]:
        """Run a single trial; its result."""
        name = self.submit(value)[0]
        event = self.until_ended()[name]
        assert event.result is not None, event
        assert event.ended is not None
        assert event.ended.cause == event.result["cause"]
        return dict(event.result)

    def how(self, trial: int, attempt: int = 1) -> Ended:
        ended = self.ended()[name_of(trial, attempt)].ended
        assert ended is not None
        return ended

    def metrics(self) -> list[MetricSeen]:
        return [event for event in self.events if isinstance(event, MetricSeen)]

    def folder(self, trial: int = 0, attempt: int = 1) -> Path:
        return self.home.store / RunKeys(self.run).attempt(trial, attempt)

    def text(self, name: str, trial: int = 0, attempt: int = 1) -> str:
        return (self.folder(trial, attempt) / name).read_text()

    @property
    def supervisor(self) -> int:
        crew = self.compute._crew
        assert crew is not None
        return crew.pid


def _is_running(event: Event) -> bool:
    return isinstance(event, TaskChanged) and event.phase is Phase.RUNNING


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def pool(home: Home) -> Iterator[Pool]:
    """After the test, nothing that it has started may be left."""
    pool = Pool(home)
    yield pool
    pool.compute.close()
    assert list(pool.compute.owned()) == []


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    """An S3 with the bucket `speech`; how to reach it, which is also set."""
    import boto3

    try:
        with MotoServer() as server:
            variables = {
                "AWS_ENDPOINT_URL": server.endpoint,
                "AWS_ACCESS_KEY_ID": "testing",
                "AWS_SECRET_ACCESS_KEY": "testing",
                "AWS_DEFAULT_REGION": "us-east-1",
            }
            with environment(variables):
                client = boto3.client("s3")
                client.create_bucket(Bucket="speech")
                for key in ("german/one.txt", "german/two.txt", "french.txt"):
                    client.put_object(Bucket="speech", Key=key, Body=f"{key}\n".encode())
                yield variables
    except ServerFailed as missing:
        pytest.skip(str(missing))
