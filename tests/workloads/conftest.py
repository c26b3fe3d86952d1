"""The programs are run as a trial runs them: `python -m NAME.train` in a folder of its own."""

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.storage.layout import Home
from tests.cut import stopping
from tests.environments import Environments, environ

WORKLOADS = Path(__file__).parents[2] / "workloads"
sys.path.insert(0, str(WORKLOADS))


@pytest.fixture(scope="session")
def keras():
    """Keras on TensorFlow with one thread, as the programs set it up: it cannot be changed after the first use."""
    pytest.importorskip("keras")
    pytest.importorskip("tensorflow")
    from trial import keras_training

    keras_training.prepare(seed=1, threads=1)
    return keras_training.keras


@dataclass(frozen=True)
class Ended:
    """A program that has ended, the folder it worked in, and the card of the model that is there now."""

    folder: Path
    code: int
    out: str
    err: str
    card: dict

    @classmethod
    def of(cls, folder: Path, done: subprocess.CompletedProcess[str]) -> "Ended":
        card = folder / "model" / "model.json"
        found = json.loads(card.read_text()) if card.exists() else {}
        return cls(folder, done.returncode, done.stdout, done.stderr, found)

    @property
    def metrics(self) -> dict[str, float]:
        """The last value that the program reported of each metric."""
        return {
            name: float(value)
            for line in self.out.splitlines()
            for name, _, value in (word.partition("=") for word in line.split())
            if value
        }


@pytest.fixture
def program_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    """The same without a process of its own, for programs whose imports take seconds."""

    def run(module: str, *arguments: object, in_: str = "work") -> Ended:
        folder = tmp_path / in_
        folder.mkdir(parents=True, exist_ok=True)
        monkeypatch.chdir(folder)
        monkeypatch.delenv("ORCHESTRATE_CHECKPOINT", raising=False)
        monkeypatch.setattr(sys, "argv", [module, *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            runpy.run_module(module, run_name="__main__")
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return Ended.of(folder, subprocess.CompletedProcess([], code, out, err))

    return run


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., Ended]:
    """Run a program, by default in one folder a test; `in_` names another."""

    def run(
        module: str,
        *arguments: object,
        in_: str = "work",
        env: dict[str, str] | None = None,
        python: str = sys.executable,
    ) -> Ended:
        folder = tmp_path / in_
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [python, "-m", module, *map(str, arguments)],
            cwd=folder,
            env=environ() | {"PYTHONPATH": str(WORKLOADS)} | (env or {}),
            capture_output=True,
            text=True,
            timeout=200,
        )
        return Ended.of(folder, done)

    return run


ORCHESTRATE = Path(sys.executable).with_name("orchestrate")


@dataclass
class Shell:
    """The command line in a home of its own; what is left of it is ended with the test."""

    folder: Path
    timeout: float
    started: list[subprocess.Popen[str]]

    def start(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [ORCHESTRATE, *arguments],
            env=environ() | {"ORCHESTRATE_HOME": str(self.folder / "home")} | env,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=(self.folder / "stderr.txt").open("a"),
            text=True,
        )
        self.started.append(process)
        return process

    def end(self, process: subprocess.Popen[str]) -> str:
        """What it printed; it must have succeeded."""
        out, _ = process.communicate(timeout=self.timeout)
        assert process.returncode == 0, (self.folder / "stderr.txt").read_text()
        return out

    def __call__(self, *arguments: str) -> list[dict]:
        return [json.loads(line) for line in self.end(self.start(*arguments)).splitlines()]

    def cut(self, arguments: list[str], stop_at: str) -> str:
        """Start a run, kill its driver where the trial has come to its second checkpoint or `stop_at`; name the run."""
        before = {run["run"] for run in self("status", "--json")}
        stop = stopping(self.folder, os.environ, at=stop_at)
        driver = self.start(*arguments, **stop)
        while not Path(stop["STOPPED"]).exists():
            assert driver.poll() is None, f"ended before it could be cut: {(self.folder / 'stderr.txt').read_text()}"
            time.sleep(0.05)
        driver.kill()
        driver.wait()
        runs = {run["run"] for run in self("status", "--json") if run["status"] not in ("running", "succeeded")}
        (run,) = runs - before
        return run

    def trials(self, run: str) -> list[dict]:
        return self("results", run, "--json")


@pytest.fixture
def shell(tmp_path: Path, environments: Environments) -> Iterator[Shell]:
    made = Shell(tmp_path, 250, [])
    kept = Home(tmp_path / "home").environments
    kept.parent.mkdir(parents=True)
    kept.symlink_to(environments.folder)  # what has been made once is found there
    yield made
    for process in made.started:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)  # in order: the trials end with it
            process.wait(60)
