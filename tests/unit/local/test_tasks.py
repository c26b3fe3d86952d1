"""The contract of a provider, as far as it is about tasks and pools."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.errors import InvalidRequest, NotFound
from orchestrator.providers.base import Cause, Machine, MetricSeen, Phase, PoolRequest, PoolState, Task, TaskChanged
from orchestrator.storage.layout import Home
from tests.unit.local.conftest import Pool, job, name_of, until


def test_a_pool_is_ready_at_once_and_gone_when_deleted(pool: Pool) -> None:
    assert pool.compute.pool_status("run-1").state is PoolState.GONE
    pool.start("sleep 1000", slots=3)
    status = pool.compute.pool_status("run-1")
    assert (status.state, status.nodes, status.slots) == (PoolState.READY, 1, 3)
    pool.submit(0)
    pool.until_running()
    pool.compute.delete_pool("run-1")
    assert pool.compute.pool_status("run-1").state is PoolState.GONE
    assert list(pool.compute.owned()) == []
    pool.compute.delete_pool("run-1")
    with pytest.raises(NotFound):
        pool.compute.changes("run-1", None, 0.0)
    with pytest.raises(NotFound):
        list(pool.compute.submit("run-1", []))


def test_a_pool_that_is_asked_for_twice_is_one(pool: Pool) -> None:
    pool.start("true")
    supervisor = pool.supervisor
    pool.start("true")
    assert pool.supervisor == supervisor


def test_all_tasks_end_well_on_few_slots(pool: Pool, tmp_path: Path) -> None:
    pool.start(f"echo x >> {tmp_path}/{{x}}", slots=2)
    pool.submit(*range(100))
    assert len(pool.until_ended(100)) == 100
    assert all(pool.how(trial).cause is None for trial in range(100))
    assert all((tmp_path / str(trial)).read_text() == "x\n" for trial in range(100))


def test_no_more_tasks_run_at_a_time_than_there_are_slots(pool: Pool, tmp_path: Path) -> None:
    pool.start(f"mkdir {tmp_path}/{{x}}; ls {tmp_path} | wc -l; sleep 0.05; rmdir {tmp_path}/{{x}}", slots=3)
    pool.submit(*[f"trial{n}" for n in range(12)])
    pool.until_ended(12)
    # Beside the trials' folders there is the home.
    assert max(int(pool.text("stdout.txt", trial)) for trial in range(12)) <= 3 + 1


def test_tasks_are_taken_from_an_endless_source_one_by_one(pool: Pool) -> None:
    pool.start("true")
    taken: list[int] = []

    def tasks() -> Iterator[Task]:
        while True:
            taken.append(len(taken))
            yield Task(name_of(taken[-1]), taken[-1], 1, {"x": 0})

    names = pool.compute.submit("run-1", tasks())
    assert [next(names), next(names)] == [name_of(0), name_of(1)]
    assert len(taken) == 2
    pool.until_ended(2)


def test_a_task_that_is_submitted_again_is_acknowledged_and_not_run_again(pool: Pool, tmp_path: Path) -> None:
    pool.start(f"echo x >> {tmp_path}/count")
    pool.submit(0)
    pool.submit(0)
    pool.until_ended()
    pool.events.clear()
    pool.submit(0)
    assert pool.until_ended()[name_of(0)].result is not None
    assert (tmp_path / "count").read_text() == "x\n"


def test_what_an_earlier_driver_finished_is_known_and_what_it_left_half_made_is_run(home: Home, tmp_path: Path) -> None:
    command = f"ls; echo x >> {tmp_path}/{{x}}"
    first = Pool(home).start(command)
    first.one("done")
    first.compute.close()
    half = first.folder(1)
    half.mkdir(parents=True)
    (half / "stdout.txt").write_text("old")
    (half / "work").mkdir()
    (half / "work" / "left").touch()

    second = Pool(home).start(command)
    try:
        changes = second.compute.changes("run-1", None, 0.0)
        assert changes.complete
        [known] = changes.events
        assert isinstance(known, TaskChanged)
        assert (known.name, known.phase) == (name_of(0), Phase.ENDED)
        assert known.ended is not None
        assert known.ended.cause is None
        assert known.result is not None
        second.submit("done", "half")
        ended = second.until_ended(2)
        assert ended[name_of(0)].result == known.result
        assert (tmp_path / "done").read_text() == "x\n"
        assert (tmp_path / "half").read_text() == "x\n"
        assert second.text("stdout.txt", 1) == ""
    finally:
        second.compute.close()


def test_the_answer_without_a_cursor_names_every_task_in_its_phase(pool: Pool, tmp_path: Path) -> None:
    wait = tmp_path / "wait"
    wait.touch()
    pool.start(f"[ {{x}} = 0 ] || while [ -e {wait} ]; do sleep 0.01; done", slots=1)
    pool.submit(0, 1, 2)
    pool.until_running(1)
    changes = pool.compute.changes("run-1", None, 0.0)
    assert changes.complete
    phases = {event.name: event.phase for event in changes.events if isinstance(event, TaskChanged)}
    assert phases == {name_of(0): Phase.ENDED, name_of(1): Phase.RUNNING, name_of(2): Phase.QUEUED}
    wait.unlink()
    pool.until_ended(3)


def test_a_value_is_heard_also_when_everything_is_asked_for_meanwhile(pool: Pool) -> None:
    pool.start('echo \'{"loss": 0.5}\' >> "$ORCHESTRATE_METRICS"; sleep 1000')
    pool.submit(0)
    heard = until(
        lambda: [e for e in pool.compute.changes("run-1", None, 0.0).events if isinstance(e, MetricSeen)],
    )
    assert [event.value for event in heard] == [0.5]


def test_changes_are_said_again_until_their_cursor_is_used(pool: Pool) -> None:
    pool.start("true")
    start = pool.compute.changes("run-1", None, 0.0).cursor
    pool.submit(0)
    until(lambda: pool.compute.changes("run-1", start, 1.0).events)
    first = pool.compute.changes("run-1", start, 0.0)
    again = pool.compute.changes("run-1", start, 0.0)
    assert first.events == again.events
    assert not first.complete
    assert pool.compute.changes("run-1", again.cursor, 0.0).events == ()


def test_a_cursor_of_an_earlier_life_is_answered_with_everything(pool: Pool) -> None:
    pool.start("true")
    pool.one()
    assert pool.compute.changes("run-1", "12345", 0.0).complete


def test_a_cancelled_program_may_end_in_order(pool: Pool) -> None:
    pool.start("trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done")
    name = pool.submit(0)[0]
    until(lambda: pool.compute.read_log("run-1", name, "stdout", 0, 10) == b"ready\n")
    pool.compute.cancel("run-1", [name, "unknown"])
    assert pool.until_ended()[name].ended is not None
    assert pool.how(0).cause is Cause.CANCELLED
    assert pool.text("stdout.txt") == "ready\nbye\n"
    pool.compute.cancel("run-1", [name])


def test_the_children_of_a_shell_have_the_grace_too(pool: Pool, tmp_path: Path) -> None:
    child = f"trap 'sleep 0.2; touch {tmp_path}/saved; exit' TERM; echo ready; while :; do sleep 0.01; done"
    pool.start(f'sh -c "{child}"; true')
    name = pool.submit(0)[0]
    until(lambda: pool.compute.read_log("run-1", name, "stdout", 0, 10) == b"ready\n")
    pool.compute.cancel("run-1", [name])
    pool.until_ended()
    assert (pool.how(0).cause, pool.how(0).signal) == (Cause.CANCELLED, 15)
    assert (tmp_path / "saved").exists()


def test_a_program_that_ignores_sigterm_is_killed_after_the_grace(pool: Pool) -> None:
    pool.start("trap '' TERM; echo ready; while :; do sleep 0.01; done", grace=0.2)
    name = pool.submit(0)[0]
    until(lambda: pool.compute.read_log("run-1", name, "stdout", 0, 10) == b"ready\n")
    pool.compute.cancel("run-1", [name])
    pool.until_ended()
    assert (pool.how(0).cause, pool.how(0).signal) == (Cause.CANCELLED, 9)


def test_a_task_that_is_cancelled_before_its_turn_never_starts(pool: Pool, tmp_path: Path) -> None:
    pool.start(f"touch {tmp_path}/{{x}}; sleep 1000", slots=1)
    names = pool.submit(*[f"trial{n}" for n in range(30)])
    pool.until_running(0)
    pool.compute.cancel("run-1", names)
    pool.until_ended(30)
    assert all(pool.how(trial).cause is Cause.CANCELLED for trial in range(30))
    assert [path.name for path in tmp_path.glob("trial*")] == ["trial0"]


def test_a_cancellation_that_comes_with_the_first_words_to_the_supervisor_is_heard(pool: Pool) -> None:
    pool.start("sleep 1000", slots=1)
    names = pool.submit(*[f"trial{n}" for n in range(3)])
    pool.compute.cancel("run-1", names)
    pool.until_ended(3)
    assert all(pool.how(trial).cause is Cause.CANCELLED for trial in range(3))


def test_a_trial_is_stopped_at_its_timeout(pool: Pool) -> None:
    result = pool.start("sleep 1000", timeout=0.3).one()
    assert result["cause"] == Cause.TIMEOUT
    assert result["reason"] == "The trial ran longer than its timeout of 0.3 s."
    assert result["signal"] == 15


def test_a_trial_that_takes_too_much_memory_is_killed_with_both_figures(pool: Pool) -> None:
    eat = "import os,time\nif os.fork(): os.wait()\nkept = b'x' * 300_000_000\ntime.sleep(1000)"
    result = pool.start([sys.executable, "-I", "-S", "-c", eat], memory=200 << 20).one()
    assert result["cause"] == Cause.EXIT_CODE
    assert "its limit is 200.0 MiB" in result["reason"]
    assert result["signal"] == 9
    assert result["peak_memory"] > 200 << 20


def test_memory_that_forks_share_counts_once(pool: Pool) -> None:
    share = (
        "import os,time\nkept = b'x' * 100_000_000\n"
        "pids = [pid for pid in [os.fork() for _ in range(3)] if pid]\ntime.sleep(0.5)"
    )
    result = pool.start([sys.executable, "-I", "-S", "-c", share], memory=300 << 20).one()
    assert result["cause"] is None, result["reason"]
    assert 90_000_000 < result["peak_memory"] < 300_000_000


def test_metrics_come_while_the_trial_runs_and_are_summed_up_at_its_end(pool: Pool, tmp_path: Path) -> None:
    wait = tmp_path / "wait"
    wait.touch()
    pool.start(
        'printf \'{"step": 1, "loss": 0.5}\\n{"step": 2, "loss": "nan", "acc": 0.25}\\n\' >> "$ORCHESTRATE_METRICS"; '
        f"echo 'val=1e3, more'; while [ -e {wait} ]; do sleep 0.01; done; "
        'echo "val=inf"; printf \'{"loss": 0.25}\' >> "$ORCHESTRATE_METRICS"',
        metrics={"val": r"val=(\S+)"},
    )
    pool.submit(0)
    until(lambda: pool.look() and len(pool.metrics()) >= 4)
    assert not pool.ended()
    seen = {(event.metric, event.step, str(event.value)) for event in pool.metrics()}
    assert seen == {("loss", 1, "0.5"), ("loss", 2, "nan"), ("acc", 2, "0.25"), ("val", None, "1000.0")}
    wait.unlink()
    result = pool.until_ended()[name_of(0)].result
    assert result is not None
    assert result["metrics"] == {
        "loss": {"last": 0.25, "min": 0.25, "max": 0.5, "step": None, "count": 3},
        "acc": {"last": 0.25, "min": 0.25, "max": 0.25, "step": 2.0, "count": 1},
        "val": {"last": "inf", "min": 1000.0, "max": "inf", "step": None, "count": 2},
    }
    assert len(pool.metrics()) == 6
    assert "notes" not in result
    assert not (pool.folder() / "reports.jsonl").exists()


def test_many_values_arrive_all_and_in_order(pool: Pool) -> None:
    count = 50_000
    report = (
        "import json,os\nwith open(os.environ['ORCHESTRATE_METRICS'], 'a') as f:\n"
        f" for n in range({count}): f.write(json.dumps(dict(step=n, loss=n)) + '\\n')"
    )
    pool.start([sys.executable, "-I", "-S", "-c", report])
    pool.submit(0)
    pool.until_ended()
    assert [event.value for event in pool.metrics()] == list(range(count))


def test_the_costs_of_a_run_go_on_where_it_was_resumed(home: Home) -> None:
    first = Pool(home).start("true", price=3600.0)
    first.compute.pool_status("run-1")
    path = home.run("run-1") / "pool.json"
    # As if it had been made 100 s before its last sign of life, a day ago.
    path.write_text(path.read_text().replace('"seconds": 0.0', '"seconds": 100.0'))
    os.utime(path, (0, 0))
    first.compute.close()
    second = Pool(home).start("true", price=3600.0)
    try:
        status = second.compute.pool_status("run-1")
        assert status.rate == 3600.0
        assert 100.0 <= status.cost < 160.0
    finally:
        second.compute.close()


@pytest.mark.parametrize("name", ["a\nb", "n" * 1000])
def test_a_name_that_cannot_be_one_is_refused(pool: Pool, name: str) -> None:
    pool.start("true")
    with pytest.raises(InvalidRequest):
        list(pool.compute.submit("run-1", [Task(name, 0, 1, {"x": 0})]))


def test_what_this_provider_cannot_do_is_refused(pool: Pool) -> None:
    remote = job("run-1", "true", inputs=[{"from": ["gs://bucket/data"], "to": ["data"]}])
    with pytest.raises(InvalidRequest, match="gs://bucket/data"):
        pool.compute.create_pool(PoolRequest("run-1", remote, Machine(), 1, None, 0.0, 0.0))
    request = PoolRequest("run-1", job("run-1", "true"), Machine(), 1, None, 0.0, 0.0, isolation="docker")
    with pytest.raises(InvalidRequest, match=r"workload\.image"):
        pool.compute.estimate(request)
