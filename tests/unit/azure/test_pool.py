"""A pool gets its nodes, says why where it does not, mends itself, costs what it costs, and ends with its lease."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.emulators.azure_batch import AzureBatchEmulator
from orchestrator.errors import InvalidRequest, Unavailable
from orchestrator.providers.azure import AzureCompute, pool, progress
from orchestrator.providers.base import Cause, Phase, PoolState, PoolStatus
from orchestrator.storage.layout import RunKeys
from tests.unit.azure.conftest import PATIENCE, Cloud, Watch, task


@pytest.fixture
def emulator() -> Iterator[AzureBatchEmulator]:
    """One for each test: its clock is moved."""
    with AzureBatchEmulator(boot_seconds=0.05) as batch:
        yield batch


def wait_for(compute: AzureCompute, run: str, wanted: Callable[[PoolStatus], bool]) -> PoolStatus:
    deadline = time.monotonic() + PATIENCE
    while not wanted(status := compute.pool_status(run)):
        assert time.monotonic() < deadline, status
        time.sleep(0.02)
    return status


def test_a_lasting_quota_ends_the_pool_with_the_remedy(cloud: Cloud) -> None:
    cloud.control.fail_allocation("AccountCoreQuotaReached")
    run, compute = cloud.pool()
    status = wait_for(compute, run, lambda status: status.state is PoolState.FAILED)
    assert "AccountCoreQuotaReached" in status.reason
    assert "Quotas" in status.reason


def test_a_passing_want_of_machines_is_waited_out_with_its_reason(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "NUDGE_EVERY", 0.0)
    cloud.control.fail_allocation("AllocationFailed")
    run, compute = cloud.pool(slots=1, max_nodes=1)
    status = wait_for(compute, run, lambda status: "AllocationFailed" in status.reason)
    assert status.state is PoolState.READY
    assert "tried again" in status.reason
    list(compute.submit(run, [task(0)]))
    cloud.control.allow_allocation()
    # The service takes a formula anew once in 30 seconds, and the one that asks for less comes first.
    for _ in range(4):
        compute.pool_status(run)
        compute.pool_status(run)
        cloud.control.advance(31)
    watch = Watch(compute, run)
    watch.ended(task(0).name)


def test_a_pool_says_how_far_its_nodes_are(cloud: Cloud) -> None:
    run, compute = cloud.pool(slots=8, max_nodes=2)
    status = wait_for(compute, run, lambda status: status.nodes == 2 and not status.reason)
    assert (status.state, status.slots) == (PoolState.READY, 8)


def test_broken_nodes_are_replaced_and_what_they_told_is_kept(cloud: Cloud, tmp_path: Path) -> None:
    run, compute = cloud.pool(slots=1, max_nodes=1)
    go = tmp_path / "go"
    list(compute.submit(run, [task(0, f"until test -e {go}; do sleep 0.05; done")]))
    watch = Watch(compute, run)
    watch.until(lambda: Phase.RUNNING in watch.phases(task(0).name))
    (broken,) = cloud.control.nodes(run)
    cloud.control.make_unusable(broken, code="DiskBroken", message="the disk is gone")
    wait_for(compute, run, lambda status: cloud.control.nodes(run) != [broken])
    kept = json.loads(compute._store.get(f"{RunKeys(run).root}/nodes/{broken}/node.json"))
    assert kept["errors"] == ["DiskBroken: the disk is gone"]
    for _ in range(3):
        cloud.control.advance(301)  # the formula asks for another
    go.touch()
    watch.ended(task(0).name)
    assert len({event.node for event in watch.heard} - {None}) == 2, "the service put the task on another node"


def test_a_start_command_runs_before_the_first_task_and_one_that_fails_is_told_with_what_it_printed(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_START_COMMAND", "echo ready > $AZ_BATCH_NODE_SHARED_DIR/'the mark'")
    run, compute = cloud.pool(slots=1, max_nodes=1)
    list(compute.submit(run, [task(0, 'cat "$AZ_BATCH_NODE_SHARED_DIR/the mark"')]))
    watch = Watch(compute, run)
    watch.ended(task(0).name)
    assert compute.read_log(run, task(0).name, "stdout", 0, 99) == b"ready\n"

    monkeypatch.setenv("AZURE_START_COMMAND", "echo no driver here >&2; exit 7")
    monkeypatch.setattr(pool, "REPLACE_LEAST", 0)
    monkeypatch.setattr(pool, "REPLACE_SHARE", 0)
    run, compute = cloud.pool(slots=1, max_nodes=1)
    status = wait_for(compute, run, lambda status: status.state is PoolState.FAILED)
    assert "start task" in status.reason
    kept = {item.key.rpartition("/")[2]: item.key for item in compute._store.list(f"{RunKeys(run).root}/nodes")}
    assert compute._store.get(kept["stderr.txt"]) == b"no driver here\n"
    assert json.loads(compute._store.get(kept["node.json"]))["state"] == "starttaskfailed"


def test_too_many_broken_nodes_end_the_pool_with_their_reason(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "REPLACE_LEAST", 0)
    monkeypatch.setattr(pool, "REPLACE_SHARE", 0)
    run, compute = cloud.pool(slots=1, max_nodes=1)
    wait_for(compute, run, lambda status: status.nodes == 1)
    cloud.control.make_unusable(cloud.control.nodes(run)[0], code="DiskBroken", message="the disk is gone")
    status = wait_for(compute, run, lambda status: status.state is PoolState.FAILED)
    assert "DiskBroken: the disk is gone" in status.reason


def test_a_preempted_task_waits_again_under_its_name_and_runs_to_its_end(cloud: Cloud) -> None:
    document = {"checkpoint": "ckpt", "outputs": [["out"]]}
    run, compute = cloud.pool(slots=1, max_nodes=1, spot=True, document=document)
    script = 'n=$(cat "$ORCHESTRATE_CHECKPOINT/n" 2>/dev/null || echo 0); echo $((n+1)) > "$ORCHESTRATE_CHECKPOINT/n";'
    script += " echo try $n; [ $n -ge 1 ] && { echo $n > out; exit 0; }; sleep 100"
    list(compute.submit(run, [task(0, script)]))
    watch = Watch(compute, run)
    store, keys = compute._store, RunKeys(run)
    watch.until(lambda: b"try 0" in compute.read_log(run, task(0).name, "stdout", 0, 100))
    watch.until(lambda: store.exists(keys.checkpoint(0)))
    (node,) = cloud.control.nodes(run)
    cloud.control.preempt(node)
    watch.until(lambda: Phase.QUEUED in watch.phases(task(0).name)[1:])
    cloud.control.restore(node)
    ended = watch.ended(task(0).name)
    phases = watch.phases(task(0).name)
    assert ended.ended is not None
    assert ended.ended.cause is None
    assert Phase.QUEUED in phases[phases.index(Phase.RUNNING) :], "it is told that it waited again"
    assert json.loads(store.get(keys.result(0, 1)))["cause"] is None
    assert store.get(f"{keys.outputs(0, 1)}/out") == b"1\n"
    assert store.get(keys.log(0, 1, "stdout")) == b"try 1\n", "the second try's output alone"


def test_a_trial_of_two_nodes_sees_both_and_waits_again_when_either_is_taken(cloud: Cloud) -> None:
    run, compute = cloud.pool(slots=1, max_nodes=3, nodes=2, spot=True)
    script = 'echo "$ORCHESTRATE_NODES" "$AZ_BATCH_NODE_LIST" "$AZ_BATCH_IS_CURRENT_NODE_MASTER"; sleep 100'
    list(compute.submit(run, [task(0, script), task(1, 'echo "$ORCHESTRATE_NODES"')]))
    first, second = task(0).name, task(1).name
    watch = Watch(compute, run)
    watch.until(lambda: compute.read_log(run, first, "stdout", 0, 100).endswith(b"true\n"))
    status = wait_for(compute, run, lambda status: not status.reason)
    assert (status.nodes, status.slots) == (2, 1)
    hosts, listed, _ = compute.read_log(run, first, "stdout", 0, 100).decode().split()
    there = {node.ip_address: node.id for node in compute._batch.sdk.list_nodes(run)}
    assert set(hosts.split(",")) == set(there)
    assert len(there) == 2
    assert listed == hosts.replace(",", ";")
    assert Phase.RUNNING not in watch.phases(second)
    lost = there[hosts.split(",")[1]]
    cloud.control.preempt(lost)
    watch.until(lambda: Phase.QUEUED in watch.phases(first)[1:])
    compute.cancel(run, [first])
    watch.ended(first)
    assert Phase.RUNNING not in watch.phases(second), "one node is not enough"
    cloud.control.restore(lost)
    ended = watch.ended(second).ended
    assert ended is not None
    assert ended.cause is None
    assert len(compute.read_log(run, second, "stdout", 0, 100).decode().strip().split(",")) == 2


def test_after_the_lease_there_are_no_nodes_and_gc_leaves_nothing(cloud: Cloud) -> None:
    """The client is gone: nothing but the service itself ends what was rented."""
    run, compute = cloud.pool(lease_until=time.time() + 1800)
    list(compute.submit(run, [task(trial, "exec sleep 100000") for trial in range(4)]))
    wait_for(compute, run, lambda status: status.nodes > 0)
    compute.close()
    cloud.control.advance(1000)
    assert cloud.control.nodes(run), "there is work, and the lease goes on"
    for _ in range(8):
        cloud.control.advance(301)
    deadline = time.monotonic() + PATIENCE
    while cloud.control.nodes(run):
        assert time.monotonic() < deadline
        cloud.control.advance(301)
    later = cloud.connect(run)
    things = [thing for thing in later.owned() if thing.run == run]
    assert {thing.kind for thing in things} == {"azure-pool", "azure-job"}
    assert all(thing.lease_until is not None for thing in things)
    for thing in things:
        later.reclaim(thing)
    wait_for(later, run, lambda status: status.state is PoolState.GONE)
    assert [thing for thing in later.owned() if thing.run == run] == []


def test_an_idle_pool_shrinks_to_nothing_by_itself(cloud: Cloud) -> None:
    run, compute = cloud.pool(idle_timeout=300.0)
    wait_for(compute, run, lambda status: status.nodes > 0)
    for _ in range(4):
        cloud.control.advance(301)
    wait_for(compute, run, lambda status: status.nodes == 0)


def test_a_pool_of_somebody_else_is_left_alone(cloud: Cloud) -> None:
    from azure.batch.models import BatchPoolCreateOptions

    run = f"theirs-{time.time_ns()}"
    compute = cloud.connect(run)
    image = {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts", "version": "latest"}
    machine = {"imageReference": image, "nodeAgentSKUId": "batch.node.ubuntu 22.04"}
    body = {"id": run, "vmSize": "Standard_D2s_v3", "virtualMachineConfiguration": machine}
    compute._batch.call(compute._batch.sdk.create_pool, BatchPoolCreateOptions(body))
    with pytest.raises(InvalidRequest, match="did not make"):
        compute.create_pool(cloud.request(run))
    assert [thing for thing in compute.owned() if thing.name == run] == []


def test_a_pool_that_is_still_being_deleted_is_asked_for_later(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    run, compute = cloud.pool()
    original = compute._batch.sdk.get_pool
    found = compute._batch.call(original, run)
    found.state = "deleting"
    monkeypatch.setattr(compute._batch.sdk, "get_pool", lambda name: found)
    with pytest.raises(Unavailable, match="still being deleted") as error:
        compute.create_pool(cloud.request(run))
    assert error.value.retryable


def test_a_pool_whose_lease_is_over_is_made_anew(cloud: Cloud) -> None:
    run, old = cloud.pool(lease_until=time.time() - 1)
    list(old.submit(run, [task(0)]))
    old.close()
    later = cloud.connect(run)
    with pytest.raises(Unavailable, match=r"lease .* is over") as error:
        later.create_pool(cloud.request(run))
    assert error.value.retryable
    wait_for(later, run, lambda status: status.state is PoolState.GONE)
    later.create_pool(cloud.request(run))
    list(later.submit(run, [task(0)]))
    assert Watch(later, run).ended(task(0).name).ended is not None


def test_a_quota_of_stand_ins_does_not_end_a_pool_whose_spot_machines_may_come_back(cloud: Cloud) -> None:
    cloud.control.fail_allocation("AccountCoreQuotaReached", kind="dedicated")
    run, compute = cloud.pool(slots=1, max_nodes=1, spot=True, on_demand_fallback=True)
    list(compute.submit(run, [task(0, "exec sleep 1000")]))
    watch = Watch(compute, run)
    watch.until(watch.one_runs)
    (node,) = cloud.control.nodes(run)
    cloud.control.preempt(node)
    for _ in range(2):
        cloud.control.advance(301)
    status = wait_for(compute, run, lambda status: "AccountCoreQuotaReached" in status.reason)
    assert status.state is PoolState.READY
    cloud.control.restore(node)
    watch.until(lambda: Phase.QUEUED in watch.phases(task(0).name)[1:])
    watch.until(lambda: watch.phases(task(0).name)[-1] is Phase.RUNNING)


def test_cost_is_summed_up_across_connections_and_never_forgotten(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, compute = cloud.pool(price=3600.0, slots=1, max_nodes=1)
    wait_for(compute, run, lambda status: status.rate == 3600.0)
    started = time.monotonic()
    time.sleep(0.3)
    first = wait_for(compute, run, lambda status: status.cost > 0.2)
    assert first.cost <= time.monotonic() - started + 1.0
    compute.close()
    time.sleep(0.3)
    second = cloud.connect(run)
    second.create_pool(cloud.request(run, price=3600.0, slots=1, max_nodes=1))
    again = second.pool_status(run)
    assert again.cost >= first.cost + 0.25, "the time in which nobody looked was paid for too"


def test_a_poll_takes_at_most_three_calls_however_many_tasks_run(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "OVERLAP", 0.1)  # what was added a moment ago is listed once more
    run, compute = cloud.pool(slots=1, max_nodes=1)
    list(compute.submit(run, [task(trial, "exec sleep 1000") for trial in range(2500)]))
    watch = Watch(compute, run)
    watch.look(0.0)
    compute.pool_status(run)
    watch.until(watch.one_runs)

    def poll() -> None:
        watch.look(0.0)
        compute.pool_status(run)

    time.sleep(0.2)
    poll()
    for _ in range(4):
        calls = cloud.calls(poll)
        assert sum(calls.values()) <= 3, calls


def test_a_change_that_the_lists_never_showed_is_found_by_the_counts(cloud: Cloud) -> None:
    run, compute = cloud.pool()
    list(compute.submit(run, [task(0), task(1)]))
    watch = Watch(compute, run)
    watch.ended(task(0).name)
    watch.ended(task(1).name)
    seen = compute._progress[run].phases
    del seen[task(1).name]  # as if it had never been listed
    for _ in range(3):
        watch.look(0.0)
    assert compute._progress[run].phases[task(1).name] is Phase.ENDED


def test_hundreds_of_waiting_tasks_are_cancelled_in_a_few_calls(cloud: Cloud) -> None:
    run, compute = cloud.pool(slots=1, max_nodes=1, document={"grace": 0.1})
    names = [task(trial).name for trial in range(300)]
    list(compute.submit(run, [task(trial, "exec sleep 1000") for trial in range(300)]))
    watch = Watch(compute, run)
    watch.until(watch.one_runs)
    calls = cloud.calls(lambda: compute.cancel(run, names))
    assert sum(calls.values()) <= 3, calls
    watch.until(lambda: all(Phase.ENDED in watch.phases(name) for name in names))
    ended = [event for event in watch.heard if event.ended is not None and event.ended.started is None]
    # The first to run may stop, and others begin after it, before the job is disabled.
    assert len(ended) >= 250
    assert all(event.ended is not None and event.ended.cause is Cause.CANCELLED for event in ended)
    assert all(event.result is not None for event in ended), "nobody need look for the result of what never began"
    compute.create_pool(cloud.request(run))
    assert list(compute.submit(run, [task(0, "exit 0", attempt=2)])) == [task(0, attempt=2).name]
    Watch(compute, run).ended(task(0, attempt=2).name)


def test_tasks_that_were_added_since_the_last_look_outlive_the_cancelling_of_all_others(cloud: Cloud) -> None:
    run, compute = cloud.pool(slots=1, max_nodes=1, document={"grace": 0.1})
    doomed = [task(trial, "exec sleep 1000") for trial in range(150)]
    list(compute.submit(run, doomed))
    watch = Watch(compute, run)
    watch.until(watch.one_runs)
    list(compute.submit(run, [task(900)]))
    compute.cancel(run, [one.name for one in doomed])
    ended = watch.ended(task(900).name).ended
    assert ended is not None
    assert ended.cause is None


def test_who_has_not_looked_at_a_job_does_not_end_it_as_a_whole(cloud: Cloud) -> None:
    run, compute = cloud.pool(slots=1, max_nodes=1, document={"grace": 0.1})
    doomed = [task(trial, "exec sleep 1000") for trial in range(150)]
    list(compute.submit(run, [*doomed, task(900)]))
    other = cloud.connect(run)
    other.cancel(run, [one.name for one in doomed])
    ended = Watch(other, run).ended(task(900).name).ended
    assert ended is not None
    assert ended.cause is None
