"""Runs that go on with more trials, and trials that run once more, driven in this process."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.engine import rerun, session
from orchestrator.engine.continuing import extended, go_on
from orchestrator.engine.record import Record
from orchestrator.errors import UsageError
from orchestrator.results.same import compare
from orchestrator.spec.load import from_dict
from orchestrator.spec.problems import SpecError
from orchestrator.storage.layout import Home

# The value follows from the parameters; three steps are reported.  Large rates are slow.
TRAIN = """
import json, os, sys, time
lr, word = float(sys.argv[1]), sys.argv[2]
time.sleep(0.6 if lr >= 50 else 0)
with open(os.environ["ORCHESTRATE_METRICS"], "a") as metrics:
    for step in range(1, 4):
        print(json.dumps({"step": step, "loss": (lr - 0.3) ** 2 + len(word) / step}), file=metrics)
"""
SPACE = {"lr": {"uniform": [0, 1]}, "word": ["a", "bb"]}
Table = list[tuple[int, str, str, str]]


class Bench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = Home(folder / "home")
        (folder / "code").mkdir()
        self.write(TRAIN)

    def write(self, program: str) -> None:
        (self.folder / "code" / "train.py").write_text(program)

    def run(
        self,
        parameters: dict[str, Any] = SPACE,
        limits: dict[str, Any] | None = None,
        pool: dict[str, Any] | None = None,
        **search: Any,
    ) -> str:
        data = {
            "name": "demo",
            "workload": {"code": "code", "command": [sys.executable, "-S", "train.py", "{lr}", "{word}"]},
            "parameters": parameters,
            "search": {"metric": "loss", "goal": "minimize", "seed": 3, **search},
            "limits": {"parallel": 1, "grace": 1, **(limits or {})},
            "pool": pool or {},
        }
        spec = from_dict(data, base=self.folder).spec
        made = session.create(session.plan(spec, self.folder, self.home), self.home).run
        session.drive(made, self.home)
        return made

    def go_on(self, run: str, trials: str | None = None, *overrides: str) -> None:
        go_on(run, self.home, extended(run, self.home, trials, overrides))
        session.drive(run, self.home)

    def table(self, run: str) -> Table:
        record = Record.open(self.home.record(run))
        rows = [
            (row.trial, row.state, json.dumps(row.params), json.dumps(dict(row.metrics))) for row in record.trials()
        ]
        record.close()
        return [row for row in rows if row[1] == "succeeded"]

    def facts(self, run: str) -> dict[str, Any]:
        record = Record.open(self.home.record(run))
        facts = record.facts()
        record.close()
        return facts


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def once(bench: Bench) -> str:
    return bench.run(algorithm="random", trials=3)


@pytest.mark.parametrize("search", [{"algorithm": "random"}, {"algorithm": "tpe"}, {"algorithm": "sobol"}])
def test_a_run_that_goes_on_asks_what_a_longer_one_would_have_asked(bench: Bench, search: dict[str, Any]) -> None:
    if search["algorithm"] != "random":
        pytest.importorskip("optuna", reason="needs the search extra, which make test installs")
    short = bench.run(trials=5, **search)
    bench.go_on(short, "+7")
    whole = bench.table(bench.run(trials=12, **search))
    assert (bench.table(short), len(whole)) == (whole, 12)
    facts = bench.facts(short)
    assert (facts["status"], facts["total"], facts["spec"]["search"]["trials"]) == ("succeeded", 12, 12)
    manifest = json.loads((bench.home.store / "runs" / short / "manifest.json").read_text())
    assert (manifest["total"], manifest["spec"]["search"]["trials"]) == (12, 12)


def test_a_grid_goes_on_while_it_has_points_and_then_says_so(bench: Bench) -> None:
    run = bench.run({"lr": [0.1, 0.2], "word": ["a", "bb"]}, trials=3)
    bench.go_on(run, "4")
    before = bench.table(run)
    assert [row[0] for row in before] == [0, 1, 2, 3]
    with pytest.raises(UsageError, match="have ended") as caught:
        bench.go_on(run, "+2")
    assert "no more points" in (caught.value.remedy or "")
    assert bench.table(run) == before
    assert bench.facts(run)["status"] == "succeeded"


def test_points_that_were_laid_out_together_cannot_be_more(bench: Bench) -> None:
    pytest.importorskip("scipy", reason="needs the search extra, which make test installs")
    with pytest.raises(UsageError, match="latin_hypercube"):
        bench.go_on(bench.run(algorithm="latin_hypercube", trials=2), "+2")


@pytest.mark.parametrize(
    ("trials", "override", "said"),
    [
        ("+0", None, "have ended"),
        ("2", None, "already"),
        ("many", None, "number of trials"),
        ("+1", "parameters.lr=0.5", "were made without it"),
        (None, "workload.command=true", "were made without it"),
        (None, "limits.paralel=2", "parallel"),
        (None, "limits.max_cost=2", "have ended"),
        ("+1", "search.target=high", "search.target"),
    ],
)
def test_what_a_run_cannot_be_given_is_one_clear_error(
    bench: Bench, once: str, trials: str | None, override: str | None, said: str
) -> None:
    before = bench.facts(once)
    with pytest.raises((UsageError, SpecError), match=said):
        bench.go_on(once, trials, *([override] if override else []))
    assert bench.facts(once) == before


def test_a_goal_that_was_reached_does_not_end_a_run_that_was_told_to_go_on(bench: Bench) -> None:
    space = {"lr": {"range": [3, 0, -0.5]}, "word": "a"}
    target = bench.run(space, target=6.0)
    first = len(bench.table(target))
    assert bench.facts(target)["reason"]
    bench.go_on(target, None, "search.target=0.4")
    assert first < len(bench.table(target)) <= 6
    patient = bench.run({"lr": {"range": [1, 12]}, "word": "a"}, patience=2)
    before = len(bench.table(patient))
    bench.go_on(patient, None, "search.patience=3")
    assert before + 3 <= len(bench.table(patient)) < 11


def test_failures_that_ended_a_run_may_be_allowed_afterwards(bench: Bench) -> None:
    run = bench.run({"lr": [0.1, "no", 0.2, 0.3, 0.4, 0.5], "word": "a"}, {"max_failures": 0})
    assert bench.facts(run)["status"] == "failed"
    bench.go_on(run, None, "limits.max_failures=1")
    assert bench.facts(run)["status"] == "succeeded"
    assert len(bench.table(run)) == 5


@pytest.mark.parametrize(
    ("limit", "status", "more"),
    [
        ({"run_timeout": 0.05}, "timed-out", "limits.run_timeout=1h"),
        ({"max_cost": 0.01}, "over-budget", "limits.max_cost=900"),
    ],
)
def test_a_run_that_ran_out_of_time_or_money_goes_on_with_more(
    bench: Bench, limit: dict[str, Any], status: str, more: str
) -> None:
    run = bench.run({"lr": {"range": [50, 54]}, "word": "a"}, {**limit, "grace": 0}, pool={"price": 3600})
    assert bench.facts(run)["status"] == status
    spent = bench.facts(run)["cost"]
    bench.go_on(run, None, more)
    facts = bench.facts(run)
    assert (facts["status"], len(bench.table(run))) == ("succeeded", 4)
    assert facts["cost"] >= spent
    assert facts["seconds"] > facts["seconds_before"]


def again(bench: Bench, run: str, trial: int) -> str:
    wanted = rerun.prepare(run, trial, bench.home)
    made = rerun.create(wanted, bench.home)
    session.drive(made, bench.home)
    return made


def test_a_trial_runs_again_with_the_code_and_parameters_that_it_had(bench: Bench, once: str) -> None:
    bench.write("raise SystemExit(1)")
    try:
        made = again(bench, once, 1)
    finally:
        bench.write(TRAIN)
    assert bench.table(made) == [row for row in bench.table(once) if row[0] == 1]
    found = compare(bench.home, once, made, 1)
    assert (found.equal, found.compared, found.steps) == (True, ("loss",), 3)
    assert bench.facts(made)["rerun"] == {"run": once, "trial": 1}
    manifest = json.loads((bench.home.store / "runs" / made / "manifest.json").read_text())
    before = json.loads((bench.home.store / "runs" / once / "manifest.json").read_text())
    assert (manifest["rerun"], manifest["code"]) == ({"run": once, "trial": 1}, before["code"])
    with pytest.raises(UsageError, match="rerun of one trial"):
        bench.go_on(made, "+1")
    assert compare(bench.home, made, again(bench, made, 1), 1).equal


def test_a_trial_that_is_not_there_or_cannot_be_repeated_is_one_clear_error(bench: Bench, once: str) -> None:
    with pytest.raises(UsageError, match="no trial 9"):
        rerun.prepare(once, 9, bench.home)


def test_nothing_that_ended_the_run_early_ends_a_rerun(bench: Bench) -> None:
    stopped = bench.run({"lr": [0.1, 3.0], "word": "a"}, early_stopping={"rule": "threshold", "above": 9}, target=0.9)
    search = rerun.prepare(stopped, 0, bench.home).plan.spec.search
    assert (search.early_stopping, search.target, search.metric, search.seed) == (None, None, "loss", 3)
