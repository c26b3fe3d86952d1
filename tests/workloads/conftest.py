"""The programs are run as a trial runs them: `python -m NAME.train` in a folder of its own."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

WORKLOADS = Path(__file__).parents[2] / "workloads"
sys.path.insert(0, str(WORKLOADS))

from trial import run_program  # noqa: E402 (it lies below workloads/)


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
            run_program(importlib.import_module(module).main)
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return Ended.of(folder, subprocess.CompletedProcess([], code, out, err))

    return run


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., Ended]:
    """Run a program, by default in one folder a test; `in_` names another."""

    def run(module: str, *arguments: object, in_: str = "work", env: dict[str, str] | None = None) -> Ended:
        folder = tmp_path / in_
        folder.mkdir(parents=True, exist_ok=True)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATE_")}
        done = subprocess.run(
            [sys.executable, "-m", module, *map(str, arguments)],
            cwd=folder,
            env=clean | {"PYTHONPATH": str(WORKLOADS)} | (env or {}),
            capture_output=True,
            text=True,
            timeout=200,
        )
        return Ended.of(folder, done)

    return run
