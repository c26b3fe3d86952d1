"""What scripts depend on: JSON, exit codes, stdout and stderr, files where they are said to be."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Shell

TRIALS = 9


@pytest.fixture(scope="module")
def done(shared_shell: Shell) -> subprocess.CompletedProcess[str]:
    """One sweep of nine trials, of which one fails."""
    return shared_shell("run", shared_shell.sweep(TRIALS), "--json")


@pytest.fixture(scope="module")
def run(done: subprocess.CompletedProcess[str]) -> str:
    found: str = json.loads(done.stdout)["run"]
    return found


def test_run_ends_with_one_json_object_and_nothing_else_on_stdout(done: subprocess.CompletedProcess[str]) -> None:
    (line,) = done.stdout.splitlines()
    summary = json.loads(line)
    assert list(summary) == ["run", "status", "trials", "best", "cost", "seconds"]
    assert summary["trials"] == {"total": 9, "succeeded": 8, "failed": 1, "pruned": 0, "cancelled": 0}
    assert summary["best"] == {"trial": 8, "params": {"number": 8, "pause": 0.05}, "value": 8 * 37 % 101 / 101}
    assert (summary["status"], summary["cost"]) == ("failed", 0.0)
    assert 0 < summary["seconds"] < 60


def test_a_failed_trial_makes_the_exit_code_1(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 1


def test_progress_goes_to_stderr_in_plain_lines(done: subprocess.CompletedProcess[str]) -> None:
    lines = done.stderr.splitlines()
    assert lines[0].endswith("9 trials, 2 at a time, on local")
    assert "\x1b" not in done.stderr
    assert sum(line.startswith("trial ") for line in lines) == TRIALS


def test_results_hold_every_trial_with_its_outputs(shared_shell: Shell, run: str) -> None:
    records = shared_shell.json("results", run)
    assert len(records) == TRIALS
    assert list(records[0]) == ["trial", "state", "params", "metrics", "attempts", "seconds", "outputs"]
    scores = [record["metrics"]["score"] for record in records if record["state"] == "succeeded"]
    assert scores == sorted(scores, reverse=True)
    assert (records[-1]["trial"], records[-1]["state"]) == (7, "failed")
    rows = list(csv.DictReader(io.StringIO(shared_shell("results", run, "--csv").stdout)))
    assert [int(row["trial"]) for row in rows] == [record["trial"] for record in records]


def test_the_table_names_files_that_are_there(shared_shell: Shell, run: str) -> None:
    shown = shared_shell("results", run)
    assert shown.returncode == 0
    paths = [Path(line.split()[-1]) for line in shown.stdout.splitlines() if str(shared_shell.home) in line]
    assert len(paths) == 2
    assert all(path.is_file() for path in paths)


def test_status_knows_the_run(shared_shell: Shell, run: str) -> None:
    (record,) = shared_shell.json("status", run[:-2])
    assert record["run"] == run
    assert record["trials"]["failed"] == 1
    assert [one["run"] for one in shared_shell.json("status")] == [run]


def test_plan_is_one_object_and_lists_every_trial_with_its_command(shared_shell: Shell) -> None:
    spec = shared_shell.spec(
        "plan.yaml", workload={"command": "echo {word} > {word}.txt"}, parameters={"word": ["a b", "$(x)"]}
    )
    assert shared_shell.json("plan", spec) == [{"trials": 2, "tasks": 2, "api_calls": 0, "cost": 0.0}]
    assert shared_shell.json("plan", spec, "--list") == [
        {"trial": 0, "params": {"word": "a b"}, "command": "echo 'a b' > 'a b'.txt"},
        {"trial": 1, "params": {"word": "$(x)"}, "command": "echo '$(x)' > '$(x)'.txt"},
    ]


def test_a_sweep_in_which_all_goes_well_is_0(shell: Shell) -> None:
    done = shell("run", shell.sweep(2))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].split()[0] == "trial"


def test_failures_within_the_limits_leave_the_exit_code_at_0(shell: Shell) -> None:
    spec = shell.sweep(9, limits={"parallel": 2, "max_failures": 1})
    done = shell("run", spec, "--json")
    assert (done.returncode, json.loads(done.stdout)["status"]) == (0, "succeeded")


def test_more_failures_than_the_limits_allow_end_the_run(shell: Shell) -> None:
    spec = shell.spec(
        workload={"command": "exit {code}"},
        parameters={"code": [1, 2, 3, 4, 5, 6], "again": [1, 2, 3, 4]},
        limits={"parallel": 2, "max_failures": 2},
    )
    done = shell("run", spec, "--json")
    summary = json.loads(done.stdout)
    assert (done.returncode, summary["status"], summary["best"]) == (1, "failed", None)
    assert summary["trials"]["cancelled"] > 0
    assert sum(summary["trials"][key] for key in ("succeeded", "failed", "pruned", "cancelled")) == 24


def test_a_run_that_takes_too_long_is_timed_out(shell: Shell) -> None:
    spec = shell.spec(workload={"command": "sleep 60"}, limits={"run_timeout": 1, "grace": 1})
    done = shell("run", spec, "--json")
    assert (done.returncode, json.loads(done.stdout)["status"]) == (1, "timed-out")
    shell.nothing_left()


def test_values_that_are_no_numbers_are_null_in_json(shell: Shell) -> None:
    spec = shell.spec(
        workload={"command": "echo score={value}", "metrics": {"score": r"score=(\S+)"}},
        parameters={"value": ["nan", "inf", "0.5"]},
        search={"metric": "score"},
    )
    done = shell("run", spec, "--json")
    assert json.loads(done.stdout)["best"]["value"] == 0.5
    records = shell.json("results", "last")
    assert [record["metrics"]["score"] for record in records] == [0.5, None, None]


def test_a_matrix_is_a_run_an_entry_and_ends_with_one_table(shell: Shell) -> None:
    spec = shell.sweep(3, matrix=[{"name": "small"}, {"name": "large", "parameters": {"pause": 0.01}}])
    done = shell("run", spec)
    assert done.returncode == 0, done.stderr
    assert "all 2 sweeps by score" in done.stdout
    assert {"demo-small", "demo-large"} <= {line.split()[0] for line in done.stdout.splitlines() if line}
    again = shell("run", spec, "--json")
    assert [json.loads(line)["run"].split("-")[1] for line in again.stdout.splitlines()] == ["small", "large"]


def test_a_matrix_goes_on_after_a_row_that_cannot_run_and_names_it_with_its_reason(shell: Shell) -> None:
    broken = {"name": "broken", "workload": {"command": "echo no such card >&2; exit 3"}}
    silent = {"name": "silent", "workload": {"command": "true"}}
    done = shell("run", shell.sweep(1, matrix=[broken, silent, {"name": "last"}]))
    assert done.returncode == 1
    _, joint = done.stdout.split("all 3 sweeps by score")
    assert "demo-broken: The command ended with exit code 3: no such card" in joint
    assert "demo-silent: no trial reported score" in joint
    assert [line.split()[0] for line in joint.splitlines() if line].count("demo-last") == 1


def test_a_detached_run_prints_its_id_and_goes_on_by_itself(shell: Shell) -> None:
    done = shell("run", shell.sweep(4, pause=0.3), "--detach")
    assert done.returncode == 0, done.stderr
    run = done.stdout.strip()
    followed = shell("logs", run, "-f")
    assert sorted(followed.stdout.splitlines()) == [
        f"[{number}] score={number * 37 % 101 / 101}" for number in range(4)
    ]
    (record,) = shell.json("status", run)
    assert record["status"] == "succeeded"
    shell.nothing_left()


def test_settings_and_the_provider_can_be_given_on_the_command_line(shell: Shell) -> None:
    spec = shell.sweep(9)
    done = shell("run", spec, "--set", "parameters.number=[1, 2]", "--provider", "local", "--json")
    assert json.loads(done.stdout)["trials"]["total"] == 2


def test_logs_are_the_bytes_that_were_printed(shell: Shell) -> None:
    spec = shell.spec(workload={"command": r"printf '\000\377\r\n'; printf 'e\351' >&2"})
    assert shell("run", spec).returncode == 0
    for arguments, expected in (([], b"\x00\xff\r\n"), (["--stderr"], b"e\xe9")):
        command = [sys.executable, "-m", "orchestrator", "logs", "last", "0", *arguments]
        assert subprocess.run(command, env=shell.env, capture_output=True, timeout=60).stdout == expected
