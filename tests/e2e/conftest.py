"""The real command line, in processes of its own, with a home that is thrown away."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from copy import copy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator.engine.record import Record, TrialRow
from orchestrator.results.read import Overview, overview
from orchestrator.storage.layout import Home
from tests.environments import Environments

# Every process that a test starts inherits this variable, so that none can hide.
TOKEN = "E2E_TOKEN"

# A program for trials: its result follows from its parameters alone.
PROGRAM = """
import sys, time
number, pause = int(sys.argv[1]), float(sys.argv[2])
time.sleep(pause)
print(f"score={number * 37 % 101 / 101}", flush=True)
sys.exit(3 if number % 10 == 7 else 0)
"""


class Shell:
    """Runs ``orchestrate`` as a user would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.token = secrets.token_hex(8)
        self.env = {**os.environ, "ORCHESTRATE_HOME": str(self.home), TOKEN: self.token}
        self.env.pop("NO_COLOR", None)
        # What is installed for the tests is what `python` means to a program.
        self.env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def beside(self, environment: Path) -> Shell:
        """The same, whose orchestrate has the packages of an environment as if they were installed beside it."""
        (packages,) = environment.glob("lib/python*/site-packages")
        other = copy(self)
        other.env = {
            **self.env,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(packages), self.env.get("PYTHONPATH")])),
        }
        return other

    def spec(self, name: str = "sweep.yaml", **keys: Any) -> str:
        """A spec as JSON, which is YAML; returns its path."""
        path = self.folder / name
        path.write_text(json.dumps({"name": "demo", **keys}, ensure_ascii=False))
        return str(path)

    def sweep(self, trials: int, pause: float = 0.05, **keys: Any) -> str:
        """A sweep of the program above; every tenth trial fails."""
        workload = {
            "command": [sys.executable, "-S", "-c", PROGRAM, "{number}", "{pause}"],
            "metrics": {"score": r"score=(\S+)"},
        }
        return self.spec(
            workload=workload,
            parameters={"number": {"range": [0, trials]}, "pause": pause},
            search={"metric": "score"},
            **{"limits": {"parallel": 2, "grace": 1}, **keys},
        )

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, "env": self.env}
        return subprocess.Popen(
            [sys.executable, "-m", "orchestrator", *arguments], cwd=self.folder, text=True, **given | options
        )

    def __call__(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        with self.start(*arguments) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def json(self, *arguments: str) -> list[Any]:
        """The JSON lines of a command that must succeed."""
        done = self(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def run_of(self, process: subprocess.Popen[str]) -> str:
        """The id of the run that has just been started, from its first line that names one."""
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("demo-"):
                return line.split()[0]
        raise AssertionError("it ended without starting a run")

    def look(self, run: str) -> Overview:
        """How the run stands, read in this process: cheap enough to ask again and again."""
        return overview(Home(self.home), run)

    def table(self, run: str) -> list[tuple[Any, ...]]:
        """What a run found, without what differs from run to run."""
        return [
            (one["trial"], one["state"], json.dumps(one["params"]), json.dumps(one["metrics"]))
            for one in self.json("results", run)
        ]

    def processes(self, name: str | None = None) -> list[psutil.Process]:
        """Everything alive that this shell has started; with a name, only what is called so."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(TOKEN) != self.token or process.status() == psutil.STATUS_ZOMBIE:
                    continue
                if name is None or process.name() == name:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def wait_until(self, what: Callable[[], Any], seconds: float = 40) -> Any:
        """The first true answer; a failure after so many seconds."""
        deadline = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < deadline, f"waited {seconds} s in vain"
            time.sleep(0.02)
        return found

    def kill_all(self) -> None:
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def nothing_left(self, seconds: float = 30) -> None:
        """No process stays behind."""
        self.wait_until(lambda: not self.processes(), seconds)


def trials_of(shell: Shell, run: str) -> list[TrialRow]:
    with closing(Record.open(Home(shell.home).record(run))) as record:
        return list(record.trials())


def decisions(shell: Shell, run: str) -> list[tuple[Any, ...]]:
    """What was asked for and how each trial was judged; the last value of one that was given up is chance."""
    return [
        (row.trial, row.parent, row.params, row.state, row.reason if row.state == "pruned" else row.metrics)
        for row in trials_of(shell, run)
    ]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    yield shell
    shell.kill_all()


@pytest.fixture(scope="module")
def shared_shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    shell = Shell(tmp_path_factory.mktemp("shared"))
    yield shell
    shell.kill_all()


@pytest.fixture
def shell_for(shared_shell: Shell, environments: Environments) -> Callable[[str], Shell]:
    """The shared one, with what a ready search asks for beside what is installed for the tests."""

    def having(name: str) -> Shell:
        if name != "gp" or find_spec("torch") is not None:
            return shared_shell
        torch = environments.of("cifar10", "pytorch")
        assert torch is not None
        return shared_shell.beside(torch)

    return having
