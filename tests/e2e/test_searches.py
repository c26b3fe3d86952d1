"""Every kind of search through the real command line, and searches that learn while their driver is killed."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.cli.main import main
from orchestrator.engine.record import TrialRow
from orchestrator.search import make_stopper
from orchestrator.spec import Spec
from orchestrator.spec.parameters import KINDS
from orchestrator.spec.search_options import ALGORITHMS
from orchestrator.spec.stopping import RULES
from tests.e2e.conftest import Shell, decisions, trials_of

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


def is_staged(rows: Rows) -> None:
    rates = (0.001, 0.0005, 0.0001)
    assert params(rows, "momentum", "lr") == [(momentum, lr) for momentum in (0.5, 0.8, 0.9) for lr in rates]
    # Each stage trains ten epochs and goes on from the one before it.
    assert [row["metrics"]["epochs"] for row in sorted(rows, key=lambda row: row["trial"])] == [10, 20, 30] * 3


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
    "stages": is_staged,
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
def test_a_ready_search_tries_what_it_says(shared_shell: Shell, shell_for: Callable[[str], Shell], name: str) -> None:
    (summary,) = shell_for(name).json("run", str(TEMPLATES / f"{name}.yaml"))
    assert summary["status"] == "succeeded"
    assert summary["trials"]["failed"] == 0
    EXPECTED[name]([row for row in shared_shell.json("results", summary["run"]) if row["state"] != "cancelled"])


def test_a_stage_that_failed_is_told_apart_from_those_that_were_not_begun_after_it(shared_shell: Shell) -> None:
    spec = shared_shell.spec(
        workload={"command": "echo {part}; test {part} != b || exit 3", "checkpoint": "ck"},
        parameters={"part": {"stages": ["a", "b", "c"]}},
    )
    assert "3 (grid, in 3 stages), 1 at a time" in shared_shell("plan", spec).stdout
    shown = shared_shell("plan", spec, "--provider", "azure", "--requests", "--json").stdout.splitlines()
    (tasks,) = (call["body"]["value"] for call in map(json.loads, shown) if "collection" in call["operation"])
    assert [task.get("dependsOn") for task in tasks] == [
        None, {"taskIds": ["t000000-a1"]}, {"taskIds": ["t000001-a1"]},
    ]  # fmt: skip

    ran = shared_shell("run", spec)
    run = ran.stderr.split()[0]
    assert ran.returncode == 1
    rows = sorted(shared_shell.json("results", run), key=lambda row: row["trial"])
    assert [(row["state"], row["attempts"]) for row in rows] == [("succeeded", 1), ("failed", 1), ("failed", 0)]
    reason = "not begun: trial 1, an earlier stage, failed"
    (told,) = (line for line in ran.stdout.splitlines() if line.startswith("  trial 2"))
    assert told == f"  trial 2: {reason}"
    assert "/000002/" not in ran.stdout, "there is no log to look into"
    for command, words in (("logs", f"has written nothing: {reason}"), ("rerun", "checkpoint of trial 1")):
        done = shared_shell(command, run, "2")
        assert done.returncode == 2
        assert words in done.stderr
    assert "nothing is left to do" in shared_shell("resume", run).stderr


def test_a_run_that_an_exit_code_has_stopped_goes_on_with_its_other_trials(shared_shell: Shell) -> None:
    spec = shared_shell.spec(
        workload={"command": "test {n} -ne 1 || exit 3"},
        parameters={"n": {"range": [0, 4]}},
        limits={"parallel": 1, "retries": 2, "exit_codes": {"3": "stop"}},
    )
    stopped = shared_shell("run", spec)
    run = stopped.stderr.split()[0]
    assert stopped.returncode == 1
    assert "trial 1 ended with exit code 3, at which limits.exit_codes stops the run" in stopped.stderr
    states = {row["trial"]: (row["state"], row["attempts"]) for row in shared_shell.json("results", run)}
    assert states[1] == ("failed", 1)
    assert states.get(3, ("cancelled", 0))[0] == "cancelled"
    assert shared_shell("resume", run).returncode == 1
    rows = sorted(shared_shell.json("results", run), key=lambda row: row["trial"])
    assert [row["state"] for row in rows] == ["succeeded", "failed", "succeeded", "succeeded"]


# What the ready searches leave out, each as small as it can be: parameters, search, further keys, and what is tried.
ECHO = {"command": 'cat "$ORCHESTRATE_PARAMS"'}
BOX: dict[str, Any] = {"x": {"uniform": [0, 1]}, "n": {"integer": [1, 4]}}
Points = list[tuple[Any, ...]]


def exactly(*expected: tuple[Any, ...]) -> Callable[[Points], None]:
    def check(found: Points) -> None:
        assert found == list(expected)

    return check


def fills(parts: int) -> Callable[[Points], None]:
    """One value in each part of the first axis."""

    def check(found: Points) -> None:
        assert sorted(int(point[0] * parts) for point in found) == list(range(parts))

    return check


def spreads(found: Points) -> None:
    # The values of Halton's first axis are those of base 2, however they are scrambled.
    assert sorted(int(point[0] * 4) for point in found) == [0, 0, 1, 1, 2, 2, 3, 3]


def within(found: Points) -> None:
    assert len({one for point in found for one in point[:2]}) > len(found)
    for uniform, stepped, log, whole, odd, order in found:
        assert 2 <= uniform < 3
        assert stepped in (0.1, 0.35, 0.6)
        assert log in (0.5, 1.0, 1.5, 2.0)
        assert whole in (10, 14, 18)
        assert odd in (1.0, 0.5, 0.0)
        assert len(order) == 2


TABLE = """{"lr": 0.1, "layers": [64, 64]}
{"lr": 0.2, "layers": []}
"""
SPACES: dict[str, tuple[dict[str, Any], dict[str, Any], Callable[[Points], None]]] = {
    "whole range": ({"x": {"range": [3, -2, -2]}}, {}, exactly((3,), (1,), (-1,))),
    "range of floats": ({"x": {"range": [0.1, 0.4, 0.1]}}, {}, exactly((0.1,), (0.2,), (0.3,))),
    "linspace": ({"x": {"linspace": [0, 1, 3]}}, {}, exactly((0.0,), (0.5,), (1.0,))),
    "integers with a step": ({"x": {"integer": [1, 8], "step": 3}}, {}, exactly((1,), (4,), (7,))),
    "one integer": ({"x": {"integer": [5, 5]}, "y": {"loginteger": [7, 7]}}, {}, exactly((5, 7))),
    "combinations with replacement": (
        {"x": {"combinations": ["a", "b"], "length": 2, "replacement": True}},
        {},
        exactly((["a", "a"],), (["a", "b"],), (["b", "b"],)),
    ),
    "every form with a step, at random": (
        {
            "uniform": {"uniform": [2, 3]},
            "stepped": {"uniform": [0.1, 0.7], "step": 0.25},
            "log": {"loguniform": [0.3, 2.2], "step": 0.5},
            "whole": {"integer": [10, 20], "step": 4},
            "odd": {"linspace": [1, 0, 3]},
            "order": {"permutations": ["a", "b", "c"], "length": 2},
        },
        {"algorithm": "random", "trials": 12},
        within,
    ),
    "conditions, ties, formulas and constraints at once": (
        {
            "opt": ["sgd", "adam"],
            "rate": {"choice": [0.1, 0.001], "tied": "opt"},
            "momentum": {"choice": [0.0, 0.9], "when": {"opt": "sgd"}},
            "batch": [8, 64],
            "scaled": {"derived": "rate * batch"},
        },
        {"constraints": ["scaled < 1 or momentum == 0"]},
        exactly(
            ("sgd", 0.1, 0.0, 8, 0.8),
            ("sgd", 0.1, 0.0, 64, 6.4),
            ("sgd", 0.1, 0.9, 8, 0.8),
            ("adam", 0.001, None, 8, 0.008),
            ("adam", 0.001, None, 64, 0.064),
        ),
    ),
    "product of sub-grids": (
        {"opt": "sgd", "rate": 0.1, "fold": [0, 1]},
        {"grids": [{"rate": [0.1, 0.2]}, {"opt": "adam"}]},
        exactly(*(("sgd", rate, fold) for rate in (0.1, 0.2) for fold in (0, 1)), ("adam", 0.1, 0), ("adam", 0.1, 1)),
    ),
    "points of the spec": (
        {"x": {"derived": "2 * a"}},
        {"algorithm": "list", "points": [{"a": 1}, {"a": 3}]},
        exactly((1, 2), (3, 6)),
    ),
    "JSON Lines": (
        {},
        {"algorithm": "list", "file": "table.jsonl"},
        exactly((0.1, [64, 64]), (0.2, [])),
    ),
    "halton": (BOX, {"algorithm": "halton", "trials": 8}, spreads),
    "latin hypercube": (BOX, {"algorithm": "latin_hypercube", "trials": 7}, fills(7)),
    "repeated points of a sequence": (
        {"x": {"uniform": [0, 1]}, "seed": {"repeat": 2}},
        {"algorithm": "sobol", "trials": 8},
        lambda found: fills(4)(found[::2]),
    ),
}


@pytest.mark.parametrize("name", SPACES)
def test_a_space_has_the_points_that_it_says(shared_shell: Shell, name: str) -> None:
    parameters, search, check = SPACES[name]
    (shared_shell.folder / "table.jsonl").write_text(TABLE)
    (summary,) = shared_shell.json("run", shared_shell.spec(workload=ECHO, parameters=parameters, search=search))
    assert summary["status"] == "succeeded"
    rows = sorted(shared_shell.json("results", summary["run"]), key=lambda row: row.get("trial", 0))
    if "seed" in parameters:
        rows = sorted(shared_shell.json("results", summary["run"], "--each"), key=lambda row: row["trial"])
    check([tuple(row["params"].values()) for row in rows])
    # What the record says is what the programs saw.
    for row in rows:
        done = shared_shell("logs", summary["run"], str(row["trial"]))
        assert json.loads(done.stdout) == row["params"]


def test_every_kind_of_parameter_and_algorithm_is_run_here() -> None:
    specs = [yaml.safe_load(path.read_text()) for path in TEMPLATES.glob("*.yaml")]
    kinds, algorithms = set(), set()
    for parameters, search in [
        *((spec.get("parameters", {}), spec.get("search", {})) for spec in specs),
        *((parameters, search) for parameters, search, _ in SPACES.values()),
    ]:
        written = Spec.model_validate(
            {
                "name": "s",
                "workload": {"command": "true", "checkpoint": "c"},
                "parameters": parameters,
                "search": search,
            }
        )
        kinds |= {kind.key for kind in written.parameters.values()}
        algorithms.add(written.algorithm)
    assert kinds == set(KINDS)
    assert {name for name in algorithms if ":" not in name} == set(ALGORITHMS)


# A curve that becomes good, and others that are worse, each in a way of its own.
CURVES = [
    [5, 4, 3, 2, 1, 0.5, 0.4, 0.3, 0.2],
    [6, 5, 4, 3, 2, 1.5, 1.4, 1.3, 1.2],
    [9, 9, 9, 9, 9, 9, 9, 9, 9],
    [5, 4, 4, 4, 4, 4, 4, 4, 4],
    [7, 50, 60, 70, 80, 90, 90, 90, 90],
    [8, 7, 6, 5, 4, 3, 2, 1.9, 1.8],
]
# Waits for its end at the step at which it will be given up: how fast the order comes is chance.
REPORT = """
import json, os, signal, sys
with open(os.environ["ORCHESTRATE_METRICS"], "a", buffering=1) as file:
    for step, loss in enumerate(json.loads(sys.argv[1]), start=1):
        file.write(json.dumps({"step": step, "loss": loss}) + "\\n")
        if step == int(sys.argv[2]):
            signal.pause()
"""
RULES_AT_WORK: dict[str, dict[str, Any]] = {
    "median": {"trials": 2, "after": 1},
    "asha": {"first": 1, "reduction": 3, "last": 9},
    "hyperband": {"first": 1, "last": 9},
    "bandit": {"factor": 1.0, "after": 2},
    "plateau": {"reports": 3},
    "threshold": {"above": 40},
}


def test_every_rule_of_early_stopping_is_run_here() -> None:
    assert set(RULES_AT_WORK) == set(RULES)


@pytest.mark.parametrize("rule", RULES_AT_WORK)
def test_a_rule_gives_up_trials_as_they_report_and_keeps_their_values(shared_shell: Shell, rule: str) -> None:
    search = {"metric": "loss", "goal": "minimize", "early_stopping": {"rule": rule, **RULES_AT_WORK[rule]}}
    stopper = make_stopper(Spec.model_validate({"name": "s", "workload": {"command": "true"}, "search": search}))
    assert stopper is not None
    ends = []
    for trial, curve in enumerate(CURVES):
        told = (step for step, loss in enumerate(curve, start=1) if stopper.observe(trial, step, loss) is not None)
        ends.append(next(told, 0))
    assert 0 < sum(end > 0 for end in ends) < len(CURVES), "the rule has nothing to do here"
    spec = shared_shell.spec(
        workload={"command": [sys.executable, "-S", "-c", REPORT, "{curve}", "{end}"]},
        parameters={"curve": CURVES, "end": {"choice": ends, "tied": "curve"}},
        search=search,
        limits={"parallel": 1, "grace": 1},
    )
    (summary,) = shared_shell.json("run", spec)
    rows = sorted(shared_shell.json("results", summary["run"]), key=lambda row: row["trial"])
    assert [row["state"] for row in rows] == ["pruned" if end else "succeeded" for end in ends]
    assert [row["metrics"]["loss"] for row in rows] == [
        curve[(end or len(curve)) - 1] for curve, end in zip(CURVES, ends, strict=True)
    ]


@pytest.mark.parametrize(
    ("budget", "status", "least"),
    [
        ({"search": {"trials": 4}}, "succeeded", 4),
        ({"search": {"target": 5}}, "succeeded", 6),
        ({"search": {"patience": 3, "goal": "minimize"}}, "succeeded", 4),
        ({"limits": {"max_failures": 0}}, "failed", 8),
        ({"limits": {"exit_codes": {"1": "stop"}, "retries": 3}}, "failed", 8),
        ({"pool": {"price": 3600}, "limits": {"max_cost": 1.5}}, "over-budget", 0),
        ({"limits": {"run_timeout": 1.5}}, "timed-out", 0),
    ],
    ids=["trials", "target", "patience", "failures", "exit code", "cost", "time"],
)
def test_a_run_ends_at_its_budget(shared_shell: Shell, budget: dict[str, Any], status: str, least: int) -> None:
    """Trial n has the value n; trial 7 fails, and trial 9 never ends by itself."""
    command = "echo m={n}; test {n} -ne 7 || exit 1; test {n} -lt 9 || sleep 300"
    spec = shared_shell.spec(
        **{
            "workload": {"command": command, "metrics": {"m": r"m=(\S+)"}},
            "parameters": {"n": {"range": [0, 60]}},
            **budget,
            "search": {"metric": "m", **budget.get("search", {})},
            "limits": {"parallel": 1, "grace": 1, **budget.get("limits", {})},
        }
    )
    done = shared_shell("run", spec, "--json", "--yes")
    summary = json.loads(done.stdout)
    assert (summary["status"], done.returncode) == (status, 0 if status == "succeeded" else 1), done.stderr
    counts = summary["trials"]
    # Some that were short may end while the order to stop is on its way.
    assert least <= counts["succeeded"] + counts["failed"] <= 9
    assert sum(counts[state] for state in ("succeeded", "failed", "pruned", "cancelled")) == counts["total"]
    shared_shell.nothing_left()


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
