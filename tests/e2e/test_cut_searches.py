"""Every ready search, cut in its middle by `kill -9` of its driver, goes on to the table that it would have had."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.storage.layout import Home, RunKeys
from tests.cut import AT_ONCE, stopping
from tests.e2e.conftest import Shell, decisions, trials_of

TEMPLATES = Path(__file__).parents[2] / "job_templates" / "search"
# One trial after the other, so that a search which learns knows as much at each, however fast this machine is.
STEADY = ("--set", "limits.parallel=1")
ENDED = ("succeeded", "pruned", "failed")


def stops_at_once(command: str | list[str]) -> str:
    """The setting of a command that does the same, but for the trial that stops."""
    if isinstance(command, list):
        return "workload.command=" + json.dumps(["sh", "-c", f'{AT_ONCE}exec "$@"', "sh", *command])
    return f"workload.command={json.dumps(AT_ONCE + command)}"


def words(shell: Shell, name: str) -> list[str]:
    """The arguments of `run` for a ready search."""
    given = [str(TEMPLATES / f"{name}.yaml"), *STEADY]
    if name == "warm_start":
        # `last` would be another run for the second.
        (earlier,) = shell.json("run", str(TEMPLATES / "tpe.yaml"), "--set", "search.trials=4")
        given += ["--set", f"search.warm_start={earlier['run']}"]
    return given


def table(shell: Shell, run: str, search: dict[str, Any]) -> list[tuple[Any, ...]]:
    """What was tried and how it was judged, up to where it was enough: what had begun by then is chance."""
    rows = decisions(shell, run)
    target = search.get("target")
    if target is None:
        return rows
    assert search["goal"] == "minimize"
    return rows[: 1 + next(at for at, (*_, metrics) in enumerate(rows) if metrics[search["metric"]] <= target)]


def cut(shell: Shell, arguments: list[str], folder: Path, trial: int) -> str:
    """Start a run, kill its driver when this trial has stopped and one before it has been counted; name the run."""
    stop = stopping(folder, shell.env, trial=trial)
    runs = Home(shell.home).runs
    before = set(runs.iterdir())
    driver = shell.start("run", *arguments, env={**shell.env, **stop})

    def stopped() -> str | None:
        assert driver.poll() is None, f"it ended before it could be cut: {driver.communicate()}"
        (run,) = {path.name for path in runs.iterdir()} - {path.name for path in before} or {""}
        there = Path(stop["STOPPED"]).exists() and any(row.state in ENDED for row in trials_of(shell, run))
        return run if there else None

    run = shell.wait_until(stopped, seconds=120)
    driver.kill()
    driver.communicate()
    return str(run)


def epochs_before(shell: Shell, run: str, trial: int) -> int:
    """After which epoch the last attempt at a trial went on."""
    (attempt,) = (row.attempt for row in trials_of(shell, run) if row.trial == trial)
    log = Home(shell.home).store / RunKeys(run).log(trial, attempt, "stdout")
    found = re.search(r"going on after epoch (\d+)", log.read_text())
    return int(found[1]) if found else 0


@pytest.mark.parametrize("name", sorted(path.stem for path in TEMPLATES.glob("*.yaml")))
def test_a_ready_search_that_was_cut_in_its_middle_ends_with_the_same_table(
    shell_for: Callable[[str], Shell], name: str, tmp_path: Path
) -> None:
    shell = shell_for(name)
    spec = yaml.safe_load((TEMPLATES / f"{name}.yaml").read_text())
    workload, search = spec["workload"], spec.get("search", {})
    arguments = words(shell, name)
    (whole,) = shell.json("run", *arguments)
    expected = table(shell, whole["run"], search)
    middle = len(expected) // 2
    assert middle > 0

    goes_on = "checkpoint" in workload
    if not goes_on:
        arguments += ["--set", stops_at_once(workload["command"])]
    run = cut(shell, arguments, tmp_path, middle)
    counted = [row.trial for row in trials_of(shell, run) if row.state in ENDED]
    assert middle not in counted
    (end,) = shell.json("resume", run)

    assert table(shell, run, search) == expected
    assert (end["status"], end["trials"]["failed"], end["best"]) == ("succeeded", 0, whole["best"])
    attempts = {row.trial: row.attempt for row in trials_of(shell, run)}
    assert {attempts[trial] for trial in counted} == {1}
    assert attempts[middle] == 2
    if goes_on:
        assert epochs_before(shell, run, middle) == epochs_before(shell, whole["run"], middle) + 1
    shell.nothing_left()
