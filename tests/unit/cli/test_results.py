"""``orchestrate results``."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable

import pytest

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
