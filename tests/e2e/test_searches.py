"""Every kind of search through the real command line, and searches that learn while their driver is killed."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from functools import partial
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.main import main
from orchestrator.engine.record import Record, TrialRow
from orchestrator.storage.layout import Home
from tests.e2e.conftest import Shell

TEMPLATES = Path(__file__).parents[2] / "job_templates" / "search"
# How many trials end well or are pruned, and what is true of all of them.
Rows = list[dict[str, Any]]


def params(rows: Rows, *names: str) -> list[tuple[Any, ...]]:
    """The parameters of all trials, in their order."""
    return [tuple(row["params"][name] for name in names) for row in sorted(rows, key=lambda row: row["trial"])]


def losses(rows: Rows) -> list[float]:
    return [row["metrics"]["loss"] for row in rows if row["state"] == "succeeded"]


def is_grid(rows: Rows) -> None:
    found = params(rows, "model", "depth", "batch", "memory")
    assert len(found) == 13
    assert {depth for model, depth, _, _ in found if model == "linear"} == {0}
    assert all(memory == batch * (1 + depth) <= 700 for _, depth, batch, memory in found)
    assert {row["metrics"]["memory"] == row["params"]["memory"] for row in rows} == {True}


def is_subgrids(rows: Rows) -> None:
    found = params(rows, "optimizer", "lr", "momentum", "epochs")
    sgd = [("sgd", lr, momentum, 5) for lr in (0.1, 0.01) for momentum in (0.0, 0.9)]
    assert found == [*sgd, *(("adam", lr, 0.0, 5) for lr in (0.001, 0.002, 0.003))]


def is_zip(rows: Rows) -> None:
    assert params(rows, "model", "weights", "lr") == [
        ("small", "s.bin", 0.1),
        ("medium", "m.bin", 0.03),
        ("large", "l.bin", 0.01),
    ]


def is_tied(rows: Rows) -> None:
    table = [("small", "s.bin"), ("medium", "m.bin"), ("large", "l.bin")]
    assert params(rows, "model", "weights", "lr") == [(*row, lr) for row in table for lr in (0.1, 0.01)]


def is_arranged(rows: Rows) -> None:
    pairs = combinations(["crop", "flip", "blur", "noise"], 2)
    orders = list(permutations(["conv", "pool", "norm"]))
    assert params(rows, "augment", "stages") == [(list(pair), list(order)) for pair in pairs for order in orders]


def is_repeated(rows: Rows) -> None:
    points = {row["params"]["lr"]: row for row in rows}
    assert {lr: row["trials"] for lr, row in points.items()} == {0.0005: [0, 1, 2, 3, 4], 0.001: [5, 6, 7, 8, 9]}
    assert all(row["n"] == 5 and row["deviations"]["loss"] > 0 for row in rows)


def is_list(rows: Rows) -> None:
    batches = [(0.1, 32), (0.03, 64), (0.01, 128)]
    assert params(rows, "lr", "batch", "fold") == [(*row, fold) for row in batches for fold in (0, 1)]


def is_files(rows: Rows) -> None:
    assert params(rows, "path", "name", "stem") == [
        ("play.txt", "play.txt", "play"),
        ("poems/sonnet.txt", "sonnet.txt", "sonnet"),
    ]
    assert [url for (url,) in params(rows, "url")] == [
        (TEMPLATES / "texts" / path).as_uri() for path in ("play.txt", "poems/sonnet.txt")
    ]
    assert sorted(row["metrics"]["words"] for row in rows) == [6, 8]


def is_random(rows: Rows) -> None:
    assert len({json.dumps(row["params"]) for row in rows}) == len(rows) == 20
    for row in rows:
        given = row["params"]
        assert 1e-5 <= given["lr"] <= 1e-1
        assert given["dropout"] * 20 == pytest.approx(round(given["dropout"] * 20))
        assert (given["momentum"] == 0) == (given["optimizer"] == "adam")
        assert given["cost"] == given["layers"] * given["units"] <= 4096
        assert 0.1 <= given["temperature"] <= 3
        assert given["patience"] == round(given["patience"])


def is_even(rows: Rows) -> None:
    # Eight points of a Sobol sequence have one in each eighth of every axis.
    assert sorted(int(momentum / 0.99 * 8) for (momentum,) in params(rows, "momentum")) == list(range(8))


def learns(count: int) -> Callable[[Rows], None]:
    def check(rows: Rows) -> None:
        assert len(rows) == len(losses(rows)) == count

    return check


def is_tpe(rows: Rows) -> None:
    learns(20)(rows)
    assert all(lr < 0.01 or momentum < 0.9 for lr, momentum in params(rows, "lr", "momentum"))
    assert {momentum for optimizer, momentum in params(rows, "optimizer", "momentum") if optimizer == "sign"} <= {0}


def is_halved(rows: Rows) -> None:
    states = Counter(row["state"] for row in rows)
    assert states["pruned"] > states["succeeded"] > 0
    assert all(row["metrics"]["epochs"] == 27 for row in rows if row["state"] == "succeeded")
    assert all(row["metrics"]["epochs"] < 27 for row in rows if row["state"] == "pruned")


def is_enough(rows: Rows) -> None:
    # The goal is reached long before all trials are made, and not by any trial before.
    assert 1 <= len(rows) < 100
    assert min(losses(rows)) <= 1


def is_bred(rows: Rows) -> None:
    learns(40)(rows)
    family = {row["trial"]: row.get("parent") for row in sorted(rows, key=lambda row: row["trial"])}
    assert [trial for trial, parent in family.items() if parent is None] == list(range(8))
    ages = {row["trial"]: row["metrics"]["epochs"] for row in rows}
    assert all(ages[trial] == (5 if parent is None else ages[parent] + 5) for trial, parent in family.items())
    heirs = Counter(parent for parent in family.values() if parent is not None)
    assert max(heirs.values()) > 1, "nobody was replaced by a better one"


def is_generated(rows: Rows) -> None:
    points = [(0.1, 16), (0.01, 32), (0.001, 64), (0.0001, 128)]
    assert params(rows, "lr", "batch", "fold") == [(*point, fold) for point in points for fold in (0, 1)]


EXPECTED: dict[str, Callable[[Rows], None]] = {
    "grid": is_grid,
    "subgrids": is_subgrids,
    "zip": is_zip,
    "tied": is_tied,
    "arrangements": is_arranged,
    "repeat": is_repeated,
    "list": is_list,
    "files": is_files,
    "random": is_random,
    "quasi_random": is_even,
    "tpe": is_tpe,
    "warm_start": learns(8),  # from the run before
    "gp": learns(15),
    "cmaes": learns(16),
    "nsga2": learns(20),
    "early_stopping": is_halved,
    "pbt": is_bred,
    "budgets": is_enough,
    "own_generator": is_generated,
    "own_sampler": learns(10),
}


def test_every_ready_search_is_run_here() -> None:
    assert {path.stem for path in TEMPLATES.glob("*.yaml")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_ready_search_tries_what_it_says(shared_shell: Shell, name: str) -> None:
    if name == "gp":
        pytest.importorskip("torch")
    (summary,) = shared_shell.json("run", str(TEMPLATES / f"{name}.yaml"))
    assert summary["status"] == "succeeded"
    assert summary["trials"]["failed"] == 0
    EXPECTED[name]([row for row in shared_shell.json("results", summary["run"]) if row["state"] != "cancelled"])


# Reports a curve that follows from its parameters alone.
CURVE = """
import json, os, sys, time
x, pause = float(sys.argv[1]), float(sys.argv[2])
with open(os.environ["ORCHESTRATE_METRICS"], "a", buffering=1) as file:
    for step in range(1, 7):
        file.write(json.dumps({"step": step, "loss": (x - 2) ** 2 + 5 / step * abs(x)}) + "\\n")
        time.sleep(pause)
"""


# Hands down the parameters of all its forefathers with the checkpoint; what it reports follows from them.
LINEAGE = """
import json, os, sys, time
x, pause = float(sys.argv[1]), float(sys.argv[2])
path = os.environ["ORCHESTRATE_CHECKPOINT"] + "/lineage.json"
lineage = json.load(open(path)) if os.path.exists(path) else {}
time.sleep(pause)
lineage[os.environ["ORCHESTRATE_TRIAL"]] = x
with open(path + ".part", "w") as file:
    json.dump(lineage, file)
os.replace(path + ".part", path)
with open(os.environ["ORCHESTRATE_METRICS"], "a") as file:
    loss = sum((one - 2) ** 2 for one in lineage.values()) / len(lineage)
    file.write(json.dumps({"step": len(lineage), "loss": loss, "length": len(lineage)}) + "\\n")
"""


def breeding_sweep(shell: Shell, trials: int, parallel: int, pause: float) -> str:
    return shell.spec(
        workload={"command": [sys.executable, "-S", "-c", LINEAGE, "{x}", "{pause}"], "checkpoint": "ckpt"},
        parameters={"x": {"uniform": [-5, 10]}, "pause": pause},
        search={
            "algorithm": "pbt",
            "options": {"population": 4},
            "trials": trials,
            "metric": "loss",
            "goal": "minimize",
        },
        limits={"parallel": parallel, "grace": 1},
    )


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
        time.sleep(draw.uniform(0.0, 0.25))
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
        (row.trial, row.parent, row.params, row.state, row.reason if row.state == "pruned" else row.metrics)
        for row in trials_of(shell, run)
    ]


@pytest.mark.parametrize(("trials", "kills"), [(11, 4), pytest.param(40, 20, marks=pytest.mark.soak)])
def test_a_search_whose_driver_is_killed_asks_and_prunes_as_if_nothing_had_happened(
    shell: Shell, trials: int, kills: int
) -> None:
    spec = learning_sweep(shell, trials, parallel=1, pause=0.04)
    (undisturbed,) = shell.json("run", spec)
    expected = decisions(shell, undisturbed["run"])
    assert {state for _, _, _, state, _ in expected} == {"succeeded", "pruned"}
    assert decisions(shell, killed_again_and_again(shell, spec, kills, seed=trials)) == expected


@pytest.mark.parametrize(
    ("trials", "parallel", "kills"),
    [(10, 1, 2), pytest.param(40, 1, 20, marks=pytest.mark.soak), pytest.param(200, 4, 20, marks=pytest.mark.soak)],
)
def test_a_population_whose_driver_is_killed_hands_its_checkpoints_down_all_the_same(
    shell: Shell, trials: int, parallel: int, kills: int
) -> None:
    spec = breeding_sweep(shell, trials, parallel, pause=0.15)
    run = killed_again_and_again(shell, spec, kills, seed=trials)
    rows = {row.trial: row for row in trials_of(shell, run)}
    assert list(rows) == list(range(trials))
    for row in rows.values():
        line = lineage(rows, row)
        assert row.metrics["length"] == len(line)
        assert row.metrics["loss"] == pytest.approx(sum((one.params["x"] - 2) ** 2 for one in line) / len(line))
    assert max(row.metrics["length"] for row in rows.values()) >= 3
    if parallel == 1:
        (undisturbed,) = shell.json("run", spec)
        assert decisions(shell, run) == decisions(shell, undisturbed["run"])


def lineage(rows: dict[int, TrialRow], row: TrialRow) -> list[TrialRow]:
    return [row] if row.parent is None else [*lineage(rows, rows[row.parent]), row]


@pytest.mark.parametrize(("trials", "kills"), [(30, 3), pytest.param(120, 20, marks=pytest.mark.soak)])
def test_no_trial_of_a_search_is_lost_with_many_in_flight(shell: Shell, trials: int, kills: int) -> None:
    spec = learning_sweep(shell, trials, parallel=4, pause=0.04)
    rows = trials_of(shell, killed_again_and_again(shell, spec, kills, seed=kills))
    assert [row.trial for row in rows] == list(range(trials))
    assert {row.state for row in rows} <= {"succeeded", "pruned"}
    assert len({row.params["x"] for row in rows}) == trials


SPACE = {"x": {"uniform": [0, 1]}, "n": [1, 2, 3]}


@pytest.mark.parametrize(
    ("parameters", "search", "message"),
    [
        ({"x": {"range": [5, 1]}}, {}, "is empty: it starts at 5 and stops before 1"),
        ({"x": {"uniform": [1, 0]}}, {"trials": 3}, "has its bounds reversed"),
        ({"x": {"uniform": [0.1, 0.2], "step": 1}}, {"trials": 3}, "no multiple of 1 lies between the bounds"),
        ({"x": {"choice": [1, 2], "weights": [1]}}, {}, "needs 2 numbers, one a value"),
        ({"x": {"beta": [2, 0]}}, {"trials": 3}, "alpha and beta"),
        ({"n": [1, 2], "m": {"choice": [1], "when": {"k": 1}}}, {}, "there is no parameter 'k'"),
        ({"n": [1, 2], "m": {"choice": [1], "when": {"n": 3}}}, {}, "'n' never has the value 3"),
        ({"n": [1, 2], "m": {"choice": [1], "tied": "n"}}, {}, "make them equally long"),
        ({"a": {"derived": "b + 1"}, "b": {"derived": "a"}}, {}, "depends on itself"),
        ({"a": {"derived": "__import__('os')"}}, {}, "__import__"),
        ({"n": [1, 2, 3]}, {"constraints": ["n > 5"]}, "no point of the search space satisfies them"),
        (SPACE, {"constraints": ["x > 2"], "trials": 5}, "none of 10,000 random points satisfies them"),
        (SPACE, {"algorithm": "tpe", "trials": 5, "metric": "m", "constraints": ["x > 2"]}, "random points satisfies"),
        ({"n": [1, 2, 3]}, {"constraints": ["n < mm"]}, "unknown parameter 'mm'"),
        (SPACE, {"algorithm": "random"}, "has no end of its own"),
        (SPACE, {"algorithm": "grid"}, "grid"),
        (SPACE, {"algorithm": "tpe", "trials": 5}, "search.metric: is missing"),
        (SPACE, {"algorithm": "tpe", "metric": "m"}, "search.trials: is missing"),
        (SPACE, {"algorithm": "tpee", "trials": 5}, "did you mean 'tpe'?"),
        (SPACE, {"algorithm": "pbt", "trials": 20, "metric": "m"}, "workload.checkpoint: is missing"),
        (
            SPACE | {"y": {"uniform": [0, 1]}},
            {"algorithm": "cmaes", "trials": 20, "goals": {"a": "minimize", "b": "minimize"}},
            "cmaes knows one goal only",
        ),
        (SPACE, {"trials": 5, "early_stopping": {"rule": "median"}}, "search.metric: is missing"),
        (SPACE, {"trials": 5, "metric": "m", "early_stopping": {"rule": "medain"}}, "did you mean 'median'?"),
        (SPACE, {"trials": 5, "target": 1}, "search.metric: is missing"),
        ({"a": [1, 2], "b": [1, 2, 3]}, {"algorithm": "zip"}, "equally"),
        ({}, {"algorithm": "list", "file": "nowhere.csv"}, "'nowhere.csv' does not exist"),
        ({}, {"algorithm": "files", "folder": "./nowhere"}, "'./nowhere' does not exist"),
        ({}, {"algorithm": "nowhere:points"}, "there is no module 'nowhere'"),
        (SPACE, {"algorithm": "tpe", "trials": 5, "metric": "m", "warm_start": "nowhere"}, "There is no run 'nowhere'"),
    ],
)
def test_a_mistake_in_a_search_is_one_clear_error_before_anything_starts(
    shell: Shell,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    parameters: dict[str, Any],
    search: dict[str, Any],
    message: str,
) -> None:
    # The command line itself, in this process, which has imported everything already.
    monkeypatch.setenv("ORCHESTRATE_HOME", str(shell.home))
    assert main(["run", shell.spec(workload={"command": "true"}, parameters=parameters, search=search)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("error: ") == 1
    assert not shell.home.exists()


def test_a_goal_that_is_never_reported_is_told_on_the_trial_and_of_the_run(shell: Shell) -> None:
    spec = shell.spec(
        workload={"command": "echo acc={x}", "metrics": {"acc": r"acc=(\S+)"}},
        parameters=SPACE,
        search={"algorithm": "tpe", "trials": 2, "metric": "loss"},
    )
    done = shell("run", spec, "--json")
    assert done.returncode == 0
    run = json.loads(done.stdout)["run"]
    assert {row.reason for row in trials_of(shell, run)} == {
        "it reported no loss, by which the trials are ranked; it reported acc"
    }
    assert "no trial reported loss" in shell.look(run).reason
