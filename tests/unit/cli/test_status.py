"""``orchestrate status``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from orchestrator.engine.lock import hold
from tests.unit.cli.conftest import HandMade, Output

Make = Callable[..., HandMade]
Orchestrate = Callable[..., Output]


def test_runs_are_listed_newest_first_also_those_of_one_second(make_run: Make, orchestrate: Orchestrate) -> None:
    for run, created in (("a-260101-000000-zzzz", 1.0), ("b-260101-000000-aaaa", 2.0), ("c-260102-000000-aaaa", 3.0)):
        make_run(run, created=created).end()
    lines = orchestrate("status", "--json").out.splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["demo"] * 3
    assert [json.loads(line)["run"][0] for line in lines] == ["c", "b", "a"]


def test_a_run_without_a_driver_is_abandoned_and_says_how_to_go_on(make_run: Make, orchestrate: Orchestrate) -> None:
    run = make_run()
    run.trial(0, acc=0.5)
    run.trial(1, "running")
    (record,) = map(json.loads, orchestrate("status", "--json").out.splitlines())
    assert record["status"] == "abandoned"
    assert record["trials"] == {
        "total": 3,
        "succeeded": 1,
        "failed": 0,
        "pruned": 0,
        "cancelled": 0,
        "running": 0,
    }
    assert f"orchestrate resume {run.run}" in orchestrate("status").err
    assert f"orchestrate resume {run.run}" in orchestrate("status", "last").err


def test_a_driven_run_shows_what_runs_and_its_last_values(make_run: Make, orchestrate: Orchestrate) -> None:
    from orchestrator.providers.base import MetricSeen

    run = make_run()
    run.trial(0, acc=0.5)
    run.trial(1, "running")
    run.record.add_metrics([(1, 1, MetricSeen("t", "acc", value, None, at)) for at, value in enumerate((0.1, 0.25))])
    with hold(run.home.lock(run.run), run.run):
        shown = orchestrate("status", run.run).out
        record = json.loads(orchestrate("status", run.run, "--json").out)
    assert "running" in shown
    assert "trial 1" in shown
    assert "acc 0.25" in shown
    assert "best     acc 0.5, trial 0" in shown
    assert (record["status"], record["trials"]["running"]) == ("running", 1)
    assert record["best"] == {"trial": 0, "params": {"lr": 0.0}, "value": 0.5}


def test_trials_without_an_end_count_as_cancelled_when_the_run_has_ended(
    make_run: Make, orchestrate: Orchestrate
) -> None:
    run = make_run(total=10)
    run.trial(0, acc=0.5)
    run.trial(1, "running")
    run.end("cancelled")
    record = json.loads(orchestrate("status", run.run, "--json").out)
    assert (record["status"], record["trials"]["cancelled"], record["seconds"]) == ("cancelled", 9, 12.0)


def test_a_record_that_cannot_be_read_hides_no_other(make_run: Make, orchestrate: Orchestrate) -> None:
    run = make_run("a-260101-000000-aaaa")
    run.end()
    strange = make_run("b-260102-000000-aaaa")
    strange.record.set_facts({"version": 999})
    lines = orchestrate("status", "--json").out.splitlines()
    assert [json.loads(line)["status"] for line in lines] == ["unreadable", "succeeded"]


def test_without_runs_there_is_a_hint_and_nothing_on_stdout(orchestrate: Orchestrate) -> None:
    answer = orchestrate("status")
    assert (answer.code, answer.out) == (0, "")
    assert "orchestrate init" in answer.err


def test_a_run_whose_first_driver_is_about_to_come_is_not_abandoned(make_run: Make, orchestrate: Orchestrate) -> None:
    fresh = make_run("demo-260101-000000-aaaa", started=None)
    assert json.loads(orchestrate("status", fresh.run, "--json").out)["status"] == "running"
    old = make_run("demo-260101-000000-bbbb", started=None, created=time.time() - 60)
    assert json.loads(orchestrate("status", old.run, "--json").out)["status"] == "abandoned"
