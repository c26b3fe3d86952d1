"""A run is created once, with everything that pins it, and driven by whoever comes next."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.engine import session
from orchestrator.engine.driver import Finished, Progress
from orchestrator.engine.machine import RunStatus
from orchestrator.engine.record import Record
from orchestrator.engine.runs import alive, find, listed
from orchestrator.errors import InvalidRequest, RunBusy, Unavailable, UsageError
from orchestrator.providers.base import PoolRequest, PoolState, PoolStatus
from orchestrator.providers.local.compute import LocalCompute
from orchestrator.spec.model import Spec
from orchestrator.storage.layout import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "train.sh").write_text('echo "loss=$1"\n')
    return tmp_path


def spec(**changes: Any) -> Spec:
    data: dict[str, Any] = {
        "name": "s",
        "workload": {"code": "code", "command": "sh train.sh {x}", "metrics": {"loss": r"loss=(\S+)"}},
        "parameters": {"x": {"range": [0, 6]}},
        "search": {"metric": "loss", "goal": "minimize"},
        "limits": {"parallel": 2},
    }
    for key, value in changes.items():
        data[key] = {**data.get(key, {}), **value} if isinstance(value, dict) else value
    return Spec.model_validate(data)


def create(home: Home, base: Path, **changes: Any) -> session.Created:
    return session.create(session.plan(spec(**changes), base, home), home)


def record(home: Home, run: str) -> Record:
    return Record.open(home.record(run))


def test_a_run_counts_every_trial_and_keeps_its_results(home: Home, code: Path) -> None:
    run = create(home, code).run
    seen: list[Finished] = []
    assert session.drive(run, home, lambda progress, finished: seen.extend(finished)) is RunStatus.SUCCEEDED
    rows = list(record(home, run).trials())
    assert [(row.trial, row.state, row.metrics["loss"]) for row in rows] == [
        (trial, "succeeded", float(trial)) for trial in range(6)
    ]
    assert sorted(one.trial for one in seen) == list(range(6))
    assert not record(home, run).pool_may_exist(run)


def test_the_manifest_pins_what_was_run(home: Home, code: Path) -> None:
    git = ["git", "-C", str(code), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *words], check=True)
    run = create(home, code, search={"seed": 5}).run
    manifest = json.loads((home.store / "runs" / run / "manifest.json").read_text())
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    assert manifest["code"]["git"]["commit"] == commit
    assert manifest["code"]["git"]["dirty"] is False
    assert len(manifest["code"]["digest"]) == 64
    assert (manifest["seed"], manifest["spec"]["name"], manifest["run"]) == (5, "s", run)
    assert {"orchestrator", "python", "numpy"} <= set(manifest["versions"])


def test_the_same_code_is_uploaded_once(home: Home, code: Path) -> None:
    assert create(home, code).bytes_sent > 0
    assert create(home, code).bytes_sent == 0


def test_what_cannot_run_leaves_nothing_behind(home: Home, code: Path) -> None:
    with pytest.raises(UsageError, match=r"no provider 'locale'.*Did you mean 'local'"):
        create(home, code, provider="locale")
    with pytest.raises(UsageError, match="NO_SUCH_TOKEN"):
        create(home, code, workload={"secrets": ["NO_SUCH_TOKEN"]})
    with pytest.raises(InvalidRequest, match="4000"):
        create(home, code, resources={"cpus": 4000})
    with pytest.raises(InvalidRequest, match=r"workload\.image"):
        create(home, code, workload={"isolation": "docker"})
    with pytest.raises(UsageError, match=r"resources\.nodes is 2, and the local provider gives a trial one machine"):
        create(home, code, resources={"nodes": 2})
    assert not home.path.exists()


def test_a_run_without_an_end_is_refused(home: Home, code: Path) -> None:
    with pytest.raises(UsageError, match="trials"):
        create(home, code, parameters={"x": {"uniform": [0, 1]}})


def test_an_ended_run_is_not_driven_again(home: Home, code: Path) -> None:
    run = create(home, code).run
    session.drive(run, home)
    before = record(home, run).facts()["finished"]
    assert session.drive(run, home) is RunStatus.SUCCEEDED
    assert record(home, run).facts()["finished"] == before


def test_two_drivers_never_drive_one_run(home: Home, code: Path) -> None:
    run = create(home, code, workload={"command": "sleep 1; sh train.sh {x}"}).run
    driver = threading.Thread(target=session.drive, args=(run, home))
    driver.start()
    try:
        deadline = time.monotonic() + 10
        while not alive(home, run):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        with pytest.raises(RunBusy, match=str(os.getpid())):
            session.drive(run, home)
    finally:
        driver.join()
    assert record(home, run).facts()["status"] == "succeeded"


def test_a_detached_run_is_cancelled_in_order(home: Home, code: Path) -> None:
    run = create(home, code, workload={"command": "test {x} = 0 || sleep 600; sh train.sh {x}"}).run
    session.detach(run, home)
    deadline = time.monotonic() + 30
    while record(home, run).counts().get("succeeded") != 1:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert session.cancel(run, home) is RunStatus.CANCELLED
    assert not alive(home, run)
    assert record(home, run).counts()["succeeded"] == 1


def test_a_cancelled_run_is_over_when_its_pool_has_been_seen_to_be_gone(
    home: Home, code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = create(home, code).run
    known = record(home, run)
    known.intend("create-pool", run, 1.0)
    monkeypatch.setattr(LocalCompute, "pool_status", lambda self, pool: PoolStatus(PoolState.DELETING))
    with pytest.raises(Unavailable, match="not gone yet"):
        session.cancel(run, home, wait=0.0)
    assert known.facts().get("finished") is None
    assert known.pool_may_exist(run)
    looks = [PoolState.GONE, PoolState.DELETING]
    monkeypatch.setattr(LocalCompute, "pool_status", lambda self, pool: PoolStatus(looks.pop()))
    assert session.cancel(run, home) is RunStatus.CANCELLED
    assert known.facts()["finished"] is not None
    assert not known.pool_may_exist(run)


def test_a_run_over_its_time_is_stopped_and_resumed_without_repeating_what_ended(home: Home, code: Path) -> None:
    flag = code / "go"
    command = f"test {{x}} = 0 || test -e {flag} || sleep 600; echo {{x}} >> {code}/log; sh train.sh {{x}}"
    run = create(home, code, workload={"command": command}, limits={"run_timeout": 2}).run
    assert session.drive(run, home) is RunStatus.TIMED_OUT
    flag.touch()
    assert session.drive(run, home, reopen=True) is RunStatus.SUCCEEDED
    assert sorted((code / "log").read_text().split()) == [str(trial) for trial in range(6)]


@pytest.mark.parametrize(
    "left",
    [
        pytest.param({"status": "interrupted", "reason": "Ctrl-C", "started": 1.0}, id="died in its teardown"),
        pytest.param({"status": "running", "started": 1.0}, id="dead for longer than its time"),
    ],
)
def test_a_resume_ends_what_the_last_driver_owed_and_then_goes_on(home: Home, code: Path, left: dict[str, Any]) -> None:
    run = create(home, code, limits={"run_timeout": "1h"}).run
    known = record(home, run)
    known.set_facts(left)
    known.add_trial(0, {"x": 0})
    known.save_attempt(0, 1, "running", None)
    assert session.drive(run, home, reopen=True) is RunStatus.SUCCEEDED
    assert known.counts() == {"succeeded": 6}


def test_a_lease_begins_anew_with_the_run(home: Home, code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool whose lease was over before it was made would never have a machine."""
    asked: list[PoolRequest] = []
    create_pool = LocalCompute.create_pool

    def spy(compute: LocalCompute, request: PoolRequest) -> None:
        asked.append(request)
        create_pool(compute, request)

    monkeypatch.setattr(LocalCompute, "create_pool", spy)
    run = create(home, code, pool={"lease": "6h"}).run
    record(home, run).set_facts({"created": 1.0, "started": 1.0, "finished": 2.0, "status": "interrupted"})
    before = time.time()
    session.drive(run, home, reopen=True)
    assert [before <= request.lease_until - 6 * 3600 <= time.time() for request in asked] == [True]


def test_what_may_cost_money_is_written_to_the_disk_and_not_only_to_the_system(
    home: Home, code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    surviving = replace(LocalCompute(home, "r").capabilities, survives_client=True)
    monkeypatch.setattr(LocalCompute, "capabilities", surviving)
    seen: list[int] = []

    def look(self: Record, kind: str, name: str, now: float) -> None:
        seen.append(self._db.execute("PRAGMA synchronous").fetchone()[0])

    monkeypatch.setattr(Record, "intend", look)
    session.drive(create(home, code).run, home)
    assert set(seen) == {2}  # FULL


def test_money_that_a_machine_costs_is_counted_over_all_lives_of_a_run(home: Home, code: Path) -> None:
    slow = {"command": "sleep 0.6; sh train.sh {x}"}
    run = create(home, code, workload=slow, pool={"price": 3600}, limits={"max_cost": 2.0, "grace": 0}).run
    assert session.drive(run, home) is RunStatus.OVER_BUDGET
    spent = record(home, run).facts()["cost"]
    assert spent > 0
    assert session.drive(run, home, reopen=True) is RunStatus.OVER_BUDGET
    assert record(home, run).facts()["cost"] >= spent


@pytest.mark.parametrize(("parallel", "hours"), [(1, 6), (2, 3), (6, 3)])
def test_a_plan_knows_that_stages_take_their_time_one_after_the_other(
    home: Home, code: Path, parallel: int, hours: int
) -> None:
    staged = {"x": {"choice": [1, 2]}, "part": {"stages": ["a", "b", "c"]}}
    limits = {"parallel": parallel, "timeout": "1h"}
    plan = session.plan(spec(parameters=staged, limits=limits, pool={"price": 1.0}), code, home)
    assert plan.trials == 6
    assert plan.cost == hours * plan.estimate.rate > 0


def test_each_stage_is_given_the_checkpoint_of_the_one_before_it(home: Home, code: Path) -> None:
    staged = {"x": {"choice": [4, 7]}, "part": {"stages": ["a", "b", "c"]}}
    command = "cat ck/seen; echo {x}{part} >> ck/seen; echo loss=$(wc -l < ck/seen)"
    run = create(home, code, parameters=staged, workload={"command": command, "checkpoint": "ck"}).run
    assert session.drive(run, home) is RunStatus.SUCCEEDED
    store = home.store / "runs" / run / "trials"
    texts = [(store / f"{trial:06d}" / "1" / "stdout.txt").read_text().split() for trial in range(6)]
    assert texts == [
        ["loss=1"], ["4a", "loss=2"], ["4a", "4b", "loss=3"], ["loss=1"], ["7a", "loss=2"], ["7a", "7b", "loss=3"],
    ]  # fmt: skip


def test_progress_knows_the_best_value_so_far(home: Home, code: Path) -> None:
    run = create(home, code).run
    last: list[Progress] = []
    session.drive(run, home, lambda progress, finished: last.append(progress))
    best = last[-1].best
    assert best is not None
    assert (best.trial, best.value) == (0, 0.0)


def test_a_trial_that_runs_is_known_to_run_since_then(home: Home, code: Path) -> None:
    run = create(home, code, workload={"command": "sleep 0.5; sh train.sh {x}"}).run
    since: list[float | None] = []

    def look(progress: Progress, finished: list[Finished]) -> None:
        since.extend(row.started for row in record(home, run).attempts() if row.state == "running")

    before = time.time()
    session.drive(run, home, look)
    assert since
    assert all(started is not None and before <= started <= time.time() for started in since)


def test_runs_are_listed_newest_first_and_found_by_a_beginning(home: Home, code: Path) -> None:
    runs = [create(home, code, name=name).run for name in ("first", "second", "third")]
    assert [run for run, _ in listed(home)] == runs[::-1]
    assert find(home, "sec") == runs[1]
    assert [find(home, word) for word in ("last", "last~0", "last~2")] == [runs[2], runs[2], runs[0]]
    with pytest.raises(UsageError, match="There is no run 'last~3'"):
        find(home, "last~3")
    with pytest.raises(UsageError, match="There is no run 'fourth'"):
        find(home, "fourth")
