"""Runs that are ended by others than their own last trial."""

from __future__ import annotations

import json
import os
import signal
import subprocess

from tests.e2e.conftest import Shell

STUBBORN = "trap '' TERM INT; while :; do sleep 0.1; done"


def in_own_group(shell: Shell, *arguments: str) -> subprocess.Popen[str]:
    """As a shell starts a job: a terminal's Ctrl-C reaches the whole group."""
    return shell.start(*arguments, start_new_session=True)


def test_ctrl_c_ends_the_run_in_order_and_resume_finishes_it(shell: Shell) -> None:
    undisturbed = json.loads(shell("run", shell.sweep(12, pause=0.2), "--json").stdout)["run"]
    process = in_own_group(shell, "run", shell.sweep(12, pause=0.2), "--json")
    run = shell.run_of(process)
    shell.wait_until(lambda: shell.look(run).count("succeeded") >= 2)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    summary = json.loads(out)
    assert (process.returncode, summary["status"]) == (130, "interrupted")
    assert summary["trials"]["cancelled"] > 0
    assert "Stopping: interrupted by Ctrl-C" in err
    shell.nothing_left()
    resumed = shell("resume", run, "--json")
    assert (resumed.returncode, json.loads(resumed.stdout)["trials"]["cancelled"]) == (1, 0)
    assert shell.table(run) == shell.table(undisturbed)


def test_a_second_ctrl_c_does_not_wait_for_trials_that_do_not_stop(shell: Shell) -> None:
    go = shell.folder / "go"
    spec = shell.spec(workload={"command": f"test -e {go} && exit; {STUBBORN}"}, limits={"grace": 60})
    process = in_own_group(shell, "run", spec, "--json")
    run = shell.run_of(process)
    shell.wait_until(lambda: shell.look(run).count("running"))
    os.killpg(process.pid, signal.SIGINT)
    assert process.stderr is not None
    assert any(line.startswith("Stopping: interrupted by Ctrl-C") for line in process.stderr)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert json.loads(out)["status"] == "interrupted"
    assert "Traceback" not in err
    shell.nothing_left()
    go.touch()
    resumed = shell("resume", run, "--json", timeout=30)
    assert resumed.returncode == 0, "one resume goes on, whatever teardown was left"
    assert json.loads(resumed.stdout)["trials"]["succeeded"] == 1


def test_cancel_from_another_process_ends_the_run(shell: Shell) -> None:
    process = shell.start("run", shell.sweep(50, pause=0.3), "--json")
    run = shell.run_of(process)
    shell.wait_until(lambda: shell.look(run).count("succeeded"))
    assert shell("cancel", run).returncode == 0
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, json.loads(out)["status"]) == (130, "cancelled")
    assert shell.json("status", run)[0]["status"] == "cancelled"
    shell.nothing_left()
    again = shell("cancel", run)
    assert again.returncode == 0
    assert "has ended already" in again.stderr


def test_a_run_without_a_driver_can_be_cancelled(shell: Shell) -> None:
    process = shell.start("run", shell.sweep(50, pause=0.3))
    run = shell.run_of(process)
    process.kill()
    process.communicate(timeout=30)
    shell.wait_until(lambda: shell.look(run).status == "abandoned")
    assert shell("cancel", run).returncode == 0
    assert shell.json("status", run)[0]["status"] == "cancelled"
    shell.nothing_left()


def test_a_run_has_one_driver(shell: Shell) -> None:
    process = shell.start("run", shell.sweep(50, pause=0.3))
    run = shell.run_of(process)
    shell.wait_until(lambda: shell.look(run).count("running"))
    second = shell("resume", run)
    assert second.returncode == 2
    assert str(process.pid) in second.stderr
    assert shell.json("status", run)[0]["status"] == "running"
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 130


def test_a_watcher_that_leaves_does_not_end_the_run(shell: Shell) -> None:
    process = shell.start("run", shell.sweep(8, pause=0.2))
    run = shell.run_of(process)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.stderr.close()
    assert process.wait(timeout=60) == 1  # one trial of the eight fails
    assert shell.json("status", run)[0]["trials"] == {
        "total": 8,
        "succeeded": 7,
        "failed": 1,
        "pruned": 0,
        "cancelled": 0,
        "running": 0,
    }


def test_a_run_that_has_ended_has_nothing_to_resume(shell: Shell) -> None:
    run = json.loads(shell("run", shell.sweep(2), "--json").stdout)["run"]
    before = shell.table(run)
    again = shell("resume", run, "--json")
    assert (again.returncode, json.loads(again.stdout)["status"]) == (0, "succeeded")
    assert shell.table(run) == before
