"""Going on with a run that has ended, and running one of its trials once more, through the real command line."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from tests.e2e.conftest import Shell

# The value follows from the parameters; three steps are reported.
TRAIN = """
import json, os, sys
lr, word = float(sys.argv[1]), sys.argv[2]
with open(os.environ["ORCHESTRATE_METRICS"], "a") as metrics:
    for step in range(1, 4):
        print(json.dumps({"step": step, "loss": (lr - 0.3) ** 2 + len(word) / step}), file=metrics)
"""
SPACE = {"lr": {"uniform": [0, 1]}, "word": ["a", "bb"]}


def sweep(shell: Shell, name: str, parameters: dict[str, Any] = SPACE, **search: Any) -> str:
    code = shell.folder / "code"
    code.mkdir(exist_ok=True)
    (code / "train.py").write_text(TRAIN)
    return shell.spec(
        f"{name}.yaml",
        workload={"code": "code", "command": [sys.executable, "-S", "train.py", "{lr}", "{word}"]},
        parameters=parameters,
        search={"metric": "loss", "goal": "minimize", "seed": 3, **search},
        limits={"parallel": 1, "grace": 1},
    )


def run(shell: Shell, spec: str) -> str:
    done = shell("run", spec, "--json")
    assert done.returncode == 0, done.stderr
    found: str = json.loads(done.stdout)["run"]
    return found


def test_a_run_that_goes_on_asks_what_a_longer_one_would_have_asked(shared_shell: Shell) -> None:
    short = run(shared_shell, sweep(shared_shell, "short", algorithm="random", trials=3))
    done = shared_shell("resume", short, "--trials", "+3", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["run"], summary["trials"]["total"], summary["trials"]["succeeded"]) == (short, 6, 6)
    whole = run(shared_shell, sweep(shared_shell, "whole", algorithm="random", trials=6))
    assert shared_shell.table(short) == shared_shell.table(whole)
    refused = shared_shell("resume", short, "--set", "parameters.lr=0.5")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "new run" in refused.stderr


@pytest.fixture(scope="module")
def once(shared_shell: Shell) -> str:
    return run(shared_shell, sweep(shared_shell, "once", algorithm="random", trials=3))


def test_a_trial_runs_again_with_the_code_and_the_parameters_that_it_had(shared_shell: Shell, once: str) -> None:
    (shared_shell.folder / "code" / "train.py").write_text("raise SystemExit(1)")
    done = shared_shell("rerun", once, "1", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["rerun"] == {"run": once, "trial": 1, "equal": True, "different": {}, "missing": []}
    (again,) = shared_shell.table(summary["run"])
    assert again == next(row for row in shared_shell.table(once) if row[0] == 1)
    manifest = json.loads((shared_shell.home / "store" / "runs" / summary["run"] / "manifest.json").read_text())
    assert (manifest["run"], manifest["rerun"]) == (summary["run"], {"run": once, "trial": 1})


def test_a_trial_that_gives_something_else_is_said_to(shell: Shell) -> None:
    data = shell.folder / "data.txt"
    data.write_text("1")
    spec = shell.spec(
        workload={
            "command": "echo score=$(cat data.txt) loss=2",
            "inputs": [{"from": "data.txt", "to": "data.txt"}],
            "metrics": {"score": r"score=(\S+)", "loss": r"loss=(\S+)"},
        },
        search={"metric": "score"},
    )
    first = run(shell, spec)
    data.write_text("12")
    done = shell("rerun", first, "0")
    assert done.returncode == 0
    assert "data.txt is not as it was" in done.stderr
    assert "score was 1 and is 12; loss as before" in done.stderr
