"""A run whose machine is lost is taken up by another one, which has nothing of it but its place in the store."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.e2e.conftest import Shell

TRIALS = 12


@pytest.mark.parametrize("algorithm", ["grid", "tpe"])
def test_another_machine_goes_on_with_a_run_that_it_never_saw(shell: Shell, tmp_path: Path, algorithm: str) -> None:
    store = tmp_path / "store"
    if algorithm == "grid":
        spec = shell.sweep(TRIALS, pause=0.3, limits={"parallel": 2}, storage=store.as_uri())
    else:
        spec = shell.spec(
            workload={"command": "sleep 0.3; echo loss={x}", "metrics": {"loss": "loss=(.+)"}},
            parameters={"x": {"uniform": [0, 1]}},
            search={"algorithm": "tpe", "trials": TRIALS, "seed": 1, "metric": "loss", "goal": "minimize"},
            limits={"parallel": 2},
            storage=store.as_uri(),
        )
    process = shell.start("run", spec)
    run = shell.run_of(process)
    shell.wait_until(lambda: len(list(store.glob("runs/*/trials/*/1/result.json"))) >= 4)
    process.kill()
    process.communicate()
    before = {path.parent.parent.name: path.read_text() for path in store.glob("runs/*/trials/*/1/result.json")}
    asked = {int(path.stem) for path in store.glob("runs/*/asked/*.json")}
    shutil.rmtree(shell.home)

    url = f"{store.as_uri()}/runs/{run}"
    for _ in range(2):  # the second time it is known already
        attached = shell("attach", url)
        assert (attached.returncode, attached.stdout.strip()) == (0, run), attached.stderr
    ended = shell("resume", run, "--json")
    summary = json.loads(ended.stdout)
    assert summary["trials"]["total"] == TRIALS
    assert summary["trials"]["succeeded"] + summary["trials"]["failed"] == TRIALS
    after = {path.parent.parent.name: path.read_text() for path in store.glob("runs/*/trials/*/1/result.json")}
    assert before.items() <= after.items(), "what had ended was not run again"
    assert bool(asked) is (algorithm == "tpe")


@pytest.mark.parametrize("url", ["file:///nowhere", "s3://bucket/runs/", "runs/x"])
def test_what_is_no_run_s_place_is_the_user_s_mistake(shell: Shell, url: str) -> None:
    told = shell("attach", url)
    assert told.returncode == 2
    assert "runs/ID" in told.stderr or "store" in told.stderr


def test_a_place_without_a_run_is_said_to_have_none(shell: Shell, tmp_path: Path) -> None:
    told = shell("attach", f"{tmp_path.as_uri()}/runs/demo-1")
    assert told.returncode == 2
    assert "There is no run at" in told.stderr
