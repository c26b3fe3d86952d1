"""``kill -9`` of the driver at random moments: the same results, and no process stays behind."""

from __future__ import annotations

import json
import random
import time
from collections import Counter

import pytest

from tests.e2e.conftest import Shell

TRIALS = 90
FAILING = len(range(7, TRIALS, 10))
PAUSE = 0.4  # seconds that a trial takes
KILLS = 15
LONGEST_LIFE = 0.9


@pytest.mark.parametrize("seed", [1, 2])
def test_a_run_whose_driver_is_killed_again_and_again_finds_the_same(shell: Shell, seed: int) -> None:
    # Too much work to be done in the time that all its killed drivers have together.
    spec = shell.sweep(TRIALS, pause=PAUSE, limits={"parallel": 3, "grace": 1})
    draw = random.Random(seed)
    process = shell.start("run", spec)
    run = shell.run_of(process)
    kills = 0
    while process.poll() is None and kills < KILLS:
        time.sleep(draw.uniform(0.0, LONGEST_LIFE))
        process.kill()
        process.communicate()
        kills += process.returncode == -9
        process = shell.start("resume", run, "--json")
    assert kills == KILLS, "the run ended before it could be killed often enough"
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    assert json.loads(out)["trials"] == {
        "total": TRIALS,
        "succeeded": TRIALS - FAILING,
        "failed": FAILING,
        "pruned": 0,
        "cancelled": 0,
    }
    shell.nothing_left()
    table = shell.table(run)
    assert Counter(state for _, state, _, _ in table) == {"succeeded": TRIALS - FAILING, "failed": FAILING}
    assert sorted(table) == sorted(
        (
            number,
            "failed" if number % 10 == 7 else "succeeded",
            json.dumps({"number": number, "pause": PAUSE}),
            json.dumps({"score": number * 37 % 101 / 101}),
        )
        for number in range(TRIALS)
    )


def test_trials_die_with_their_driver(shell: Shell) -> None:
    spec = shell.spec(workload={"command": "sleep 300 & setsid sleep 300 & wait"}, parameters={"x": [1, 2]})
    process = shell.start("run", spec)
    run = shell.run_of(process)
    shell.wait_until(lambda: len(shell.processes("sleep")) >= 2)
    process.kill()
    process.communicate()
    shell.nothing_left()
    (record,) = shell.json("status", run)
    assert record["status"] == "abandoned"
    listed = shell("status")
    assert f"orchestrate resume {run}" in listed.stderr


def test_gc_ends_what_is_left_when_everything_was_killed_at_once(shell: Shell) -> None:
    spec = shell.spec(workload={"command": "(setsid sleep 300 > /dev/null 2>&1 &) ; sleep 300"})
    process = shell.start("run", spec)
    shell.run_of(process)
    shell.wait_until(lambda: len(shell.processes("sleep")) >= 2)
    alive = shell("gc", "--json")
    assert (alive.returncode, alive.stdout) == (0, "")  # a run that somebody drives is not touched
    asleep = shell.processes("sleep")
    doomed = [one for one in shell.processes() if one not in asleep]
    for one in doomed:
        one.suspend()
    for one in doomed:
        one.kill()
    process.communicate()
    left = shell.wait_until(lambda: shell.processes("sleep"))
    assert left
    shown = shell.json("gc", "--dry-run")
    assert {one["action"] for one in shown} == {"found"}
    assert shell.processes()
    done = shell.json("gc")
    assert {one["kind"] for one in done} >= {"process"}
    assert {one["action"] for one in done} == {"removed"}
    shell.nothing_left()
    assert not list(shell.home.glob("store/runs/*/trials/*/*/work"))
    assert shell("gc", "--json").stdout == ""
