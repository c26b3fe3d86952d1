"""Every kind of search through the real command line, and searches that learn while their driver is killed."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from typing import Any

import pytest

from orchestrator.engine.record import Record, TrialRow
from orchestrator.storage.layout import Home
from tests.e2e.conftest import Shell

# Reports a curve that follows from its parameters alone.
CURVE = """
import json, os, sys, time
x, pause = float(sys.argv[1]), float(sys.argv[2])
with open(os.environ["ORCHESTRATE_METRICS"], "a", buffering=1) as file:
    for step in range(1, 7):
        file.write(json.dumps({"step": step, "loss": (x - 2) ** 2 + 5 / step * abs(x)}) + "\\n")
        time.sleep(pause)
"""


def learning_sweep(shell: Shell, trials: int, parallel: int, pause: float) -> str:
    return shell.spec(
        workload={"command": [sys.executable, "-S", "-c", CURVE, "{x}", "{pause}"]},
        parameters={"x": {"uniform": [-5, 10]}, "pause": pause},
        search={
            "algorithm": "tpe",
            "options": {"n_startup_trials": 5},
            "trials": trials,
            "seed": 11,
            "metric": "loss",
            "goal": "minimize",
            "early_stopping": {"rule": "median", "after": 2, "trials": 3},
        },
        limits={"parallel": parallel, "grace": 1},
    )


def killed_again_and_again(shell: Shell, spec: str, kills: int, seed: int) -> str:
    """The id of a run that has ended well although its driver was killed ``kills`` times."""
    draw = random.Random(seed)
    process = shell.start("run", spec)
    run = shell.run_of(process)
    for _ in range(kills):
        # Only when it has begun to work is there something to lose.
        shell.wait_until(partial(works, shell, process, run, len(trials_of(shell, run))))
        time.sleep(draw.uniform(0.0, 0.4))
        assert process.poll() is None, "the run ended before it could be killed often enough"
        process.kill()
        process.communicate()
        process = shell.start("resume", run, "--json")
    _, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    shell.nothing_left()
    return run


def works(shell: Shell, process: subprocess.Popen[str], run: str, before: int) -> bool:
    return process.poll() is not None or len(trials_of(shell, run)) > before


def trials_of(shell: Shell, run: str) -> list[TrialRow]:
    with closing(Record.open(Home(shell.home).record(run))) as record:
        return list(record.trials())


def decisions(shell: Shell, run: str) -> list[tuple[Any, ...]]:
    """What was asked for and how each trial was judged; the last value of one that was given up is chance."""
    return [
        (row.trial, row.params, row.state, row.reason if row.state == "pruned" else row.metrics)
        for row in trials_of(shell, run)
    ]


@pytest.mark.parametrize(("trials", "kills"), [(14, 6), pytest.param(40, 20, marks=pytest.mark.soak)])
def test_a_search_whose_driver_is_killed_asks_and_prunes_as_if_nothing_had_happened(
    shell: Shell, trials: int, kills: int
) -> None:
    spec = learning_sweep(shell, trials, parallel=1, pause=0.04)
    (undisturbed,) = shell.json("run", spec)
    expected = decisions(shell, undisturbed["run"])
    assert {state for _, _, state, _ in expected} == {"succeeded", "pruned"}
    assert decisions(shell, killed_again_and_again(shell, spec, kills, seed=trials)) == expected


@pytest.mark.parametrize(("trials", "kills"), [(30, 3), pytest.param(120, 20, marks=pytest.mark.soak)])
def test_no_trial_of_a_search_is_lost_with_many_in_flight(shell: Shell, trials: int, kills: int) -> None:
    spec = learning_sweep(shell, trials, parallel=4, pause=0.04)
    rows = trials_of(shell, killed_again_and_again(shell, spec, kills, seed=kills))
    assert [row.trial for row in rows] == list(range(trials))
    assert {row.state for row in rows} <= {"succeeded", "pruned"}
    assert len({row.params["x"] for row in rows}) == trials
