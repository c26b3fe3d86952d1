"""``orchestrate results``."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.providers.base import MetricSeen
from orchestrator.storage.layout import Home, RunKeys
from tests.unit.cli.conftest import HandMade, Output

Make = Callable[..., HandMade]
Orchestrate = Callable[..., Output]


@pytest.fixture
def run(make_run: Make) -> HandMade:
    made = make_run(total=5)
    made.trial(0, acc=0.5, loss=0.1)
    made.trial(1, "failed", reason="exit code 1", acc=0.99)
    made.trial(2, acc=0.75, loss=0.2)
    made.trial(3, acc=math.nan)
    made.trial(4, "running")
    made.end("cancelled")
    return made


def test_json_is_one_object_a_trial_best_first_failed_last(run: HandMade, orchestrate: Orchestrate) -> None:
    records = [json.loads(line) for line in orchestrate("results", run.run, "--json").out.splitlines()]
    assert [record["trial"] for record in records] == [2, 0, 3, 4, 1]
    assert [record["state"] for record in records][-2:] == ["cancelled", "failed"]
    assert records[0] == {
        "trial": 2,
        "state": "succeeded",
        "params": {"lr": 0.2},
        "metrics": {"acc": 0.75, "loss": 0.2},
        "attempts": 1,
        "seconds": 1.5,
        "outputs": [f"{run.home.store}/runs/{run.run}/trials/000002/1/outputs/model.txt"],
    }
    assert records[2]["metrics"] == {"acc": None}


def test_csv_holds_every_trial(run: HandMade, orchestrate: Orchestrate) -> None:
    rows = list(csv.DictReader(io.StringIO(orchestrate("results", run.run, "--csv").out)))
    assert [row["trial"] for row in rows] == ["2", "0", "3", "4", "1"]
    assert rows[-1]["reason"] == "exit code 1"


def test_a_table_says_where_the_best_lies(run: HandMade, orchestrate: Orchestrate) -> None:
    shown = orchestrate("results", "last")
    assert shown.code == 0
    assert shown.out.splitlines()[0].split()[:3] == ["trial", "state", "acc"]
    assert f"{run.home.store}/runs/{run.run}/trials/000002/1/stdout.txt" in shown.out
    assert "2" in shown.out.splitlines()[1]


@pytest.mark.parametrize(
    ("by", "order"),
    [
        ("acc", [2, 0, 3, 4, 1]),
        ("loss", [0, 2, 1, 3, 4]),
        ("loss:max", [2, 0, 1, 3, 4]),
        ("trial:max", [4, 3, 2, 1, 0]),
    ],
)
def test_trials_can_be_sorted(run: HandMade, orchestrate: Orchestrate, by: str, order: list[int]) -> None:
    lines = orchestrate("results", run.run, "--json", "--sort", by).out.splitlines()
    assert [json.loads(line)["trial"] for line in lines] == order


def test_sorting_by_what_is_not_there_names_the_nearest(run: HandMade, orchestrate: Orchestrate) -> None:
    answer = orchestrate("results", run.run, "--sort", "los")
    assert (answer.code, answer.out) == (2, "")
    assert "loss" in answer.err


def test_csv_and_json_cannot_both_be_had(run: HandMade, orchestrate: Orchestrate) -> None:
    assert orchestrate("results", run.run, "--csv", "--json").code == 2


def test_the_goal_may_be_the_lowest_value(make_run: Make, orchestrate: Orchestrate) -> None:
    made = make_run(goal="minimize")
    for trial, value in enumerate((0.5, 0.25, 0.75)):
        made.trial(trial, acc=value)
    made.end()
    lines = orchestrate("results", made.run, "--json").out.splitlines()
    assert [json.loads(line)["trial"] for line in lines] == [1, 0, 2]


def test_filters_and_columns_hold_for_every_format(run: HandMade, orchestrate: Orchestrate, tmp_path: Path) -> None:
    asked = ("--where", "lr < 0.25 and state == succeeded", "--columns", "trial,acc")
    assert orchestrate("results", run.run, "--csv", *asked).out == "trial,acc\n2,0.75\n0,0.5\n"
    assert (
        orchestrate("results", run.run, "--json", *asked).out == '{"trial": 2, "acc": 0.75}\n{"trial": 0, "acc": 0.5}\n'
    )
    assert orchestrate("results", run.run, *asked).out == "trial   acc\n    2  0.75\n    0  0.50\n"
    file = tmp_path / "found.csv"
    assert orchestrate("results", run.run, "--to", str(file), *asked).out == ""
    assert file.read_text() == "trial,acc\n2,0.75\n0,0.5\n"
    pq = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow, which make test installs")
    assert orchestrate("results", run.run, "--to", str(tmp_path / "found.parquet"), *asked).code == 0
    assert pq.read_table(tmp_path / "found.parquet").to_pylist() == [
        {"trial": 2, "acc": 0.75},
        {"trial": 0, "acc": 0.5},
    ]


def test_a_filter_that_keeps_nothing_says_so(run: HandMade, orchestrate: Orchestrate) -> None:
    answer = orchestrate("results", run.run, "--where", "acc > 1")
    assert (answer.code, answer.out) == (0, "")
    assert "None of the 5" in answer.err
    assert orchestrate("results", run.run, "--where", "acc > 1", "--json").out == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--where", "acc >"), "no formula"),
        (("--where", "ac > 1"), "'acc'"),
        (("--columns", "trial,ac"), "'acc'"),
        (("--to", "results.txt"), ".parquet"),
        (("--to", "results.csv", "--json"), ""),
        (("--csv", "--format", "jsonl"), "different"),
        (("--optuna", "study.db", "--where", "acc > 0.5"), "whole runs"),
        (("--to", "/no/such/folder/results.csv"), "cannot be written"),
    ],
)
def test_what_cannot_be_shown_is_one_clear_error(
    run: HandMade,
    orchestrate: Orchestrate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = orchestrate("results", run.run, *arguments)
    if said:
        assert answer.code in (2, 3)
        assert said in answer.err
        assert "Traceback" not in answer.err
    else:
        assert (answer.code, (tmp_path / "results.csv").read_text().count("{")) == (0, 15)


REPEATED = {
    "name": "demo",
    "workload": {"command": "true"},
    "parameters": {"lr": {"choice": [1, 2]}, "s": {"repeat": 2}},
}


def test_repeated_points_are_ranked_by_their_mean_and_each_shows_single_trials(
    make_run: Make, orchestrate: Orchestrate
) -> None:
    made = make_run(total=4, spec=REPEATED)
    for trial, value in enumerate((1.0, 0.0, 0.75, 0.5)):
        made.trial(trial, params={"lr": 1 + trial // 2, "s": trial % 2}, acc=value)
    made.end()
    shown = orchestrate("results", made.run)
    header, first, second = shown.out.splitlines()[:3]
    assert header.split() == ["point", "acc", "±", "n", "time", "lr"]
    assert (first.split()[:4], second.split()[:4]) == (["1", "0.625", "0.18", "2"], ["0", "0.500", "0.71", "2"])
    assert "point 1, acc 0.625 ± 0.18 over 2 trials" in shown.out
    assert "trials/000002/1/stdout.txt" in shown.out
    records = [json.loads(line) for line in orchestrate("results", made.run, "--json").out.splitlines()]
    assert [(one["point"], one["trials"], one["n"]) for one in records] == [(1, [2, 3], 2), (0, [0, 1], 2)]
    each = [json.loads(line) for line in orchestrate("results", made.run, "--json", "--each").out.splitlines()]
    assert [one["trial"] for one in each] == [0, 2, 3, 1]


@pytest.fixture
def two(make_run: Make, home: Home) -> tuple[HandMade, HandMade]:
    """Runs of other code and another seed; the second has found more."""
    made = []
    for name, seed, commit in (("aaaa", 1, "c0ffee"), ("bbbb", 2, "facade")):
        spec = {"name": "demo", "workload": {"command": "true"}, "search": {"metric": "acc", "seed": seed}}
        one = make_run(f"demo-260101-000000-{name}", spec=spec)
        one.trial(0, acc=0.5 + seed / 10)
        one.trial(1, params={"lr": 0.1 * seed, "depth": 3}, acc=0.9 if seed == 2 else 0.1)
        one.end()
        manifest = home.store / RunKeys(one.run).manifest
        manifest.parent.mkdir(parents=True)
        manifest.write_text(json.dumps({"code": {"digest": commit * 2, "git": {"commit": commit, "dirty": False}}}))
        made.append(one)
    return made[0], made[1]


def test_runs_stand_side_by_side_with_what_differs(two: tuple[HandMade, HandMade], orchestrate: Orchestrate) -> None:
    answer = orchestrate("results", two[0].run, two[1].run)
    assert answer.code == 0
    lines = {line.split("  ")[0].strip(): line.split() for line in answer.out.splitlines() if line}
    assert lines["best acc"][2:] == ["0.6", "0.9"]
    assert lines["git commit"][2:] == ["c0ffee", "facade"]
    assert lines["search.seed"][1:] == ["1", "2"]
    assert "workload.command" not in answer.out
    rows = [line.split() for line in answer.out.splitlines()[-4:]]
    assert [(row[0], row[1]) for row in rows] == [("B", "1"), ("B", "0"), ("A", "0"), ("A", "1")]


def test_a_comparison_as_json_is_one_object(two: tuple[HandMade, HandMade], orchestrate: Orchestrate) -> None:
    (line,) = orchestrate("results", two[0].run, two[1].run, "--json").out.splitlines()
    found = json.loads(line)
    assert [one["best"]["value"] for one in found["runs"]] == [0.6, 0.9]
    assert found["different"]["params"] == {"lr": [0.0, 0.2], "depth": [None, 3]}
    assert set(found["different"]["made_of"]) == {"code", "git commit", "search.seed"}
    assert (found["rows"][0]["run"], found["rows"][0]["trial"]) == (two[1].run, 1)
    csv_rows = list(csv.DictReader(io.StringIO(orchestrate("results", two[0].run, two[1].run, "--csv").out)))
    assert [(row["run"], row["trial"]) for row in csv_rows] == [(r["run"], str(r["trial"])) for r in found["rows"]]


def test_runs_without_a_common_metric_are_compared_all_the_same(make_run: Make, orchestrate: Orchestrate) -> None:
    first = make_run("demo-260101-000000-aaaa")
    first.trial(0, acc=0.5)
    second = make_run("demo-260101-000000-bbbb", metric=None)
    second.trial(0)
    answer = orchestrate("results", first.run, second.run)
    assert answer.code == 0
    assert "No metric is common" in answer.err


def test_a_run_can_be_written_as_an_optuna_study(make_run: Make, orchestrate: Orchestrate, tmp_path: Path) -> None:
    optuna = pytest.importorskip("optuna", reason="a study needs Optuna, which make test installs")
    spec = {
        "name": "demo",
        "workload": {"command": "true"},
        "parameters": {"lr": {"loguniform": [0.01, 1.0]}},
        "search": {"metric": "acc", "trials": 3},
    }
    made = make_run(total=3, spec=spec)
    for trial, value in enumerate((0.5, 0.75)):
        made.trial(trial, params={"lr": 0.1 * (trial + 1)}, acc=value)
        made.record.add_metrics(
            [(trial, 1, MetricSeen(f"t{trial:06d}-a1", "acc", step / 10, step, step)) for step in (1.0, 2.0)]
        )
    made.trial(2, "failed", params={"lr": 0.3})
    made.end()
    file = tmp_path / "study.db"
    assert orchestrate("results", made.run, "--optuna", str(file)).code == 0
    study = optuna.load_study(study_name=made.run, storage=f"sqlite:///{file}")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "COMPLETE", "FAIL"]
    assert (study.best_value, study.best_params) == (0.75, {"lr": 0.2})
    assert study.trials[0].intermediate_values.keys() == {1, 2}
    again = orchestrate("results", made.run, "--optuna", str(file))
    assert (again.code, "already" in again.err) == (2, True)
    assert orchestrate("results", made.run, "--optuna", str(tmp_path / "no" / "study.db")).code == 2


def test_of_several_goals_the_front_is_shown(make_run: Make, orchestrate: Orchestrate) -> None:
    search = {"metric": "acc", "goals": {"acc": "maximize", "size": "minimize"}}
    made = make_run(total=4, spec={"name": "demo", "workload": {"command": "true"}, "search": search})
    for trial, (value, size) in enumerate([(0.5, 9.0), (0.75, 20.0), (0.5, 10.0), (0.25, 5.0)]):
        made.trial(trial, acc=value, size=size)
    made.end()
    shown = orchestrate("results", made.run)
    assert "front  no trial beats these in acc and size: 1 0 3" in shown.out
    assert shown.out.splitlines()[0].split()[:3] == ["trial", "acc", "size"]
    kept = orchestrate("results", made.run, "--front", "--csv", "--columns", "trial").out
    assert kept.split() == ["trial", "1", "0", "3"]


def test_one_goal_has_no_front(run: HandMade, orchestrate: Orchestrate) -> None:
    assert "search.goals" in orchestrate("results", run.run, "--front").err


def test_parquet_without_its_package_says_what_to_install(
    run: HandMade, orchestrate: Orchestrate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "orchestrator.results.parquet", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    answer = orchestrate("results", run.run, "--to", str(tmp_path / "found.parquet"))
    assert (answer.code, "pip install 'orchestrator[parquet]'" in answer.err) == (2, True)
    assert not (tmp_path / "found.parquet").exists()
