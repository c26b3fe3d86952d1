"""``orchestrate fetch``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.api import attach
from orchestrator.errors import UsageError
from tests.unit.cli.conftest import HandMade, Output

Make = Callable[..., HandMade]
Orchestrate = Callable[..., Output]


@pytest.fixture
def run(make_run: Make) -> HandMade:
    made = make_run(total=4)
    made.trial(0, acc=0.5)
    made.trial(1, "failed", reason="exit code 1")
    made.trial(2, acc=0.75)
    made.trial(3, "running")
    for trial in range(4):
        made.log(trial, f"trial {trial}\n".encode())
    return made


def test_without_a_trial_it_is_the_best_one(
    run: HandMade, orchestrate: Orchestrate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = orchestrate("fetch", "last")
    assert told.code == 0
    assert told.out == f"{run.run}/trial-000002\n"
    assert (tmp_path / run.run / "trial-000002" / "stdout.txt").read_text() == "trial 2\n"


def test_named_trials_and_all_that_have_ended(run: HandMade, orchestrate: Orchestrate, tmp_path: Path) -> None:
    named = orchestrate("fetch", run.run, "1", "0", "1", "--to", str(tmp_path), "--json")
    assert [json.loads(line) for line in named.out.splitlines()] == [
        {"trial": number, "folder": f"{tmp_path}/{run.run}/trial-00000{number}", "files": ["stdout.txt"]}
        for number in (1, 0)
    ]
    ended = orchestrate("fetch", run.run, "--all", "--to", str(tmp_path), "--json")
    assert [json.loads(line)["trial"] for line in ended.out.splitlines()] == [0, 1, 2]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["9"], "has no trial 9"),
        (["3"], "Trial 3 of demo-260101-000000-aaaa has not ended"),
        (["1", "--all"], "--all goes without"),
    ],
)
def test_what_cannot_be_fetched_is_said(
    run: HandMade, orchestrate: Orchestrate, tmp_path: Path, arguments: list[str], told: str
) -> None:
    answer = orchestrate("fetch", run.run, *arguments, "--to", str(tmp_path / "here"))
    assert answer.code == 2
    assert told in answer.err
    assert not (tmp_path / "here").exists()


def test_a_run_without_a_best_trial_says_what_to_do(make_run: Make, orchestrate: Orchestrate) -> None:
    made = make_run(metric=None)
    made.trial(0, acc=0.5)
    answer = orchestrate("fetch", made.run)
    assert answer.code == 2
    assert "--all" in answer.err


def test_the_same_from_python(run: HandMade, tmp_path: Path) -> None:
    found = attach(run.run, home=run.home.path)
    assert (found.fetch(2, tmp_path) / "stdout.txt").read_text() == "trial 2\n"
    with pytest.raises(UsageError, match="has not ended"):
        found.fetch(3, tmp_path)
