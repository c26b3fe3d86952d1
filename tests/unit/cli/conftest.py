"""Runs made by hand, and the command line called in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.main import main
from orchestrator.engine.machine import TrialState
from orchestrator.engine.record import Outcome, Record
from orchestrator.providers.base import Ended
from orchestrator.storage.layout import Home, RunKeys


@dataclass(frozen=True, slots=True)
class Output:
    code: int
    out: str
    err: str


@dataclass(slots=True)
class HandMade:
    """A run whose record the test writes itself."""

    home: Home
    run: str
    record: Record

    def trial(
        self,
        trial: int,
        state: str = "succeeded",
        params: dict[str, Any] | None = None,
        reason: str = "",
        **metrics: float,
    ) -> None:
        self.record.add_trial(trial, params if params is not None else {"lr": trial / 10})
        phase = "ended" if state in ("succeeded", "failed") else "running"
        self.record.save_attempt(trial, 1, phase, Ended(None, started=time.time()))
        if phase == "ended":
            self.record.save_trial(trial, TrialState(state), 1, reason, Outcome(metrics, ("model.txt",), 1.5))

    def log(self, trial: int, data: bytes, stream: str = "stdout", attempt: int = 1) -> None:
        path = self.home.store / RunKeys(self.run).log(trial, attempt, stream)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(data)

    def end(self, status: str = "succeeded", reason: str = "") -> None:
        self.record.set_facts({"status": status, "reason": reason, "finished": time.time(), "seconds": 12.0})


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("ORCHESTRATE_HOME", str(tmp_path / "home"))
    return Home(tmp_path / "home")


@pytest.fixture
def make_run(home: Home) -> Iterator[Callable[..., HandMade]]:
    made: list[Record] = []

    def make(run: str = "demo-260101-000000-aaaa", total: int | None = 3, **facts: Any) -> HandMade:
        home.run(run).mkdir(parents=True)
        known = {
            "run": run,
            "name": "demo",
            "created": time.time(),
            "status": "running",
            "reason": "",
            "spec": {"name": "demo", "workload": {"command": "true"}},
            "base": "/",
            "provider": "local",
            "store": home.store.as_uri(),
            "total": total,
            "metric": "acc",
            "goal": "maximize",
            "job": {},
            "started": time.time(),
            "cost": 0.0,
        }
        record = Record.create(home.record(run), {**known, **facts})
        made.append(record)
        return HandMade(home, run, record)

    yield make
    for record in made:
        record.close()


@pytest.fixture
def orchestrate(home: Home, capfd: pytest.CaptureFixture[str]) -> Callable[..., Output]:
    def call(*arguments: str) -> Output:
        capfd.readouterr()
        code = main(arguments)
        captured = capfd.readouterr()
        return Output(code, captured.out, captured.err)

    return call
