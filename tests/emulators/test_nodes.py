from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.batch import models
from azure.core.exceptions import HttpResponseError

from .conftest import Workbench, machine, shell, wait_for


def test_a_node_shows_what_it_is_and_what_it_ran(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id)
    good, bad = bench.run(job_id, "true"), bench.run(job_id, "false")
    (node,) = bench.client.list_nodes(pool_id)
    node = wait_for(lambda: bench.client.get_node(pool_id, node.id), lambda node: node.state == "idle")
    assert (node.total_tasks_run, node.total_tasks_succeeded, node.running_tasks_count) == (2, 1, 0)
    assert [(info.task_id, info.execution_info.exit_code) for info in node.recent_tasks] == [
        (bad.id, 1),
        (good.id, 0),
    ]
    assert (node.vm_size, node.scheduling_state) == ("standard_d2s_v3", "enabled")
    assert node.virtual_machine_info.image_reference.exact_version


def test_nodes_are_filtered_and_selected(bench: Workbench) -> None:
    pool_id = bench.pool(2)
    idle = list(bench.client.list_nodes(pool_id, filter="state eq 'idle'", select=["id", "state"], max_results=1))
    assert [set(node.as_dict()) for node in idle] == [{"id", "state"}] * 2
    recently = (datetime.now(UTC) - timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert len(list(bench.client.list_nodes(pool_id, filter=f"stateTransitionTime ge DateTime'{recently}'"))) == 2
    assert list(bench.client.list_nodes(pool_id, filter=f"allocationTime lt DateTime'{recently}'")) == []
    with pytest.raises(HttpResponseError) as caught:
        list(bench.client.list_nodes(pool_id, filter="ipAddress eq '1'"))
    assert caught.value.model.code == "InvalidQueryParameterValue"


# -- start task


def test_a_start_task_runs_before_any_task_and_its_output_can_be_read(bench: Workbench) -> None:
    start = models.BatchStartTask(
        command_line=shell("echo begun; echo $MINE > $AZ_BATCH_NODE_SHARED_DIR/made; test -z $AZ_BATCH_JOB_ID"),
        environment_settings=[models.EnvironmentSetting(name="MINE", value="by the start task")],
        wait_for_success=True,
    )
    pool_id = bench.pool(1, start_task=start)
    (node,) = bench.client.list_nodes(pool_id)
    info = node.start_task_info
    assert (info.state, info.exit_code, info.result, info.retry_count) == ("completed", 0, "success", 0)
    assert b"".join(bench.client.download_node_file(pool_id, node.id, "startup/stdout.txt")) == b"begun\n"
    job_id = bench.job(pool_id)
    task = bench.run(job_id, "cat $AZ_BATCH_NODE_SHARED_DIR/made")
    assert bench.text(job_id, task.id) == "by the start task\n"


def test_a_failing_start_task_is_retried_and_then_keeps_the_node_out(bench: Workbench) -> None:
    start = models.BatchStartTask(command_line=shell("exit 3"), max_task_retry_count=2, wait_for_success=True)
    pool_id = bench.pool(1, wait=False, start_task=start)
    (node,) = bench.nodes(pool_id, "starttaskfailed", 1)
    assert (node.start_task_info.exit_code, node.start_task_info.retry_count) == (3, 2)
    assert node.start_task_info.failure_info.code == "FailureExitCode"
    found = list(
        bench.client.list_nodes(pool_id, filter="startTaskInfo/exitCode eq 3 and startTaskInfo/result eq 'failure'")
    )
    assert [each.id for each in found] == [node.id]
    job_id = bench.job(pool_id)
    task_id = bench.task(job_id, "true")
    assert bench.client.get_task(job_id, task_id).state == "active"


def test_a_node_waits_for_its_start_task_only_where_it_is_to(bench: Workbench) -> None:
    slow = shell("while ! test -e $AZ_BATCH_NODE_SHARED_DIR/go; do sleep 0.02; done")
    waiting = bench.pool(1, wait=False, start_task=models.BatchStartTask(command_line=slow, wait_for_success=True))
    bench.nodes(waiting, "waitingforstarttask", 1)
    eager = bench.pool(1, start_task=models.BatchStartTask(command_line=slow, wait_for_success=False))
    job_id = bench.job(eager)
    assert bench.run(job_id, "touch $AZ_BATCH_NODE_SHARED_DIR/go").execution_info.exit_code == 0
    wait_for(
        lambda: next(iter(bench.client.list_nodes(eager))).start_task_info.state,
        lambda state: state == "completed",
    )


# -- reboot, reimage, deallocate


def test_a_reboot_queues_the_running_task_again_and_keeps_the_disk(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id)
    bench.run(job_id, "echo kept > $AZ_BATCH_NODE_SHARED_DIR/kept")
    task_id = bench.task(
        job_id, "test -e $AZ_BATCH_NODE_SHARED_DIR/once && exit; touch $AZ_BATCH_NODE_SHARED_DIR/once; sleep 1000"
    )
    bench.until(job_id, task_id, "running")
    (node,) = bench.client.list_nodes(pool_id)
    wait_for(
        lambda: [f.name for f in bench.client.list_node_files(pool_id, node.id, recursive=True)],
        lambda names: "shared/once" in names,
    )
    bench.restart(pool_id, node.id)
    task = bench.until(job_id, task_id)
    assert (task.execution_info.exit_code, task.execution_info.requeue_count) == (0, 1)
    again = bench.client.get_node(pool_id, node.id)
    assert again.last_boot_time > node.last_boot_time
    assert b"".join(bench.client.download_node_file(pool_id, node.id, "shared/kept")) == b"kept\n"


def test_a_reboot_leaves_tasks_alone_that_are_only_still_dying(own_bench: Any) -> None:
    bench: Workbench = own_bench(kill_grace_seconds=5)
    pool_id = bench.pool(1, task_slots_per_node=2)
    job_id = bench.job(pool_id)
    deleted, ended = (bench.task(job_id, "trap '' TERM; echo on; while true; do sleep 0.02; done") for _ in range(2))
    for task_id in (deleted, ended):
        bench.until(job_id, task_id, "running")
        file = bench.path(pool_id, f"*/workitems/{job_id}/job-1/{task_id}/stdout.txt")
        wait_for(file.read_text, bool)
    bench.client.delete_task(job_id, deleted)
    bench.client.terminate_task(job_id, ended)
    before = bench.client.get_task(job_id, ended)
    (node,) = bench.client.list_nodes(pool_id)
    bench.client.begin_reboot_node(pool_id, node.id, {"nodeRebootOption": "terminate"}, polling_interval=60)
    assert bench.client.get_task(job_id, ended).etag == before.etag
    counts = bench.client.get_job_task_counts(job_id).task_counts
    assert (counts.active, counts.running, counts.completed) == (0, 0, 1)


def test_a_reboot_that_ends_the_job_with_one_task_ends_the_next_but_once(bench: Workbench) -> None:
    pool_id = bench.pool(1, task_slots_per_node=2)
    job_id = bench.job(pool_id, task_failure_mode="performexitoptionsjobaction")
    for task_id in [bench.task(job_id, "sleep 1000") for _ in range(2)]:
        bench.until(job_id, task_id, "running")
    (node,) = bench.client.list_nodes(pool_id)
    bench.client.begin_reboot_node(pool_id, node.id, {"nodeRebootOption": "terminate"}, polling_interval=60)
    job = bench.job_until(job_id, "completed")
    assert job.execution_info.termination_reason == "TaskFailed"
    assert bench.client.get_node(pool_id, node.id).total_tasks_run == 2


def test_a_reimage_forgets_the_disk_and_runs_the_start_task_again(bench: Workbench) -> None:
    start = models.BatchStartTask(command_line=shell("date +%N > ../made"), wait_for_success=True)
    pool_id = bench.pool(1, start_task=start)
    job_id = bench.job(pool_id)
    bench.run(job_id, "touch $AZ_BATCH_NODE_SHARED_DIR/gone")
    (node,) = bench.client.list_nodes(pool_id)
    first = b"".join(bench.client.download_node_file(pool_id, node.id, "startup/made"))
    bench.restart(pool_id, node.id, reimage=True)
    bench.nodes(pool_id, "idle", 1)
    assert b"".join(bench.client.download_node_file(pool_id, node.id, "startup/made")) != first
    with pytest.raises(HttpResponseError) as caught:
        bench.client.get_node_file_properties(pool_id, node.id, "shared/gone")
    assert caught.value.status_code == 404


def test_a_reboot_may_wait_for_the_task_or_end_it(bench: Workbench) -> None:
    pool_id = bench.pool(2)
    job_id = bench.job(pool_id)
    ids = [bench.task(job_id, "while ! test -e go; do sleep 0.02; done") for _ in range(2)]
    tasks = [bench.until(job_id, task_id, "running") for task_id in ids]
    bench.client.begin_reboot_node(
        pool_id, tasks[0].node_info.node_id, {"nodeRebootOption": "terminate"}, polling_interval=0.02
    ).result()
    ended = bench.until(job_id, ids[0])
    assert ended.execution_info.failure_info.code == "TaskEnded"
    waiting = tasks[1].node_info.node_id
    bench.client.begin_reboot_node(pool_id, waiting, {"nodeRebootOption": "taskcompletion"}, polling_interval=60)
    assert bench.client.get_task(job_id, ids[1]).state == "running"
    assert bench.client.get_node(pool_id, waiting).state == "running"
    later = bench.task(job_id, "true")
    bench.until(job_id, later)
    folder = bench.path(pool_id, f"*/workitems/{job_id}/job-1/{ids[1]}/wd")
    (folder / "go").touch()
    assert bench.until(job_id, ids[1]).execution_info.exit_code == 0
    before = bench.client.get_node(pool_id, waiting).last_boot_time
    bench.nodes(pool_id, "idle", 2)
    assert bench.client.get_node(pool_id, waiting).last_boot_time >= before


def test_a_node_that_is_not_ready_refuses_a_reboot_with_the_reason(own_bench: Any) -> None:
    bench: Workbench = own_bench(boot_seconds=1000)
    pool_id = bench.pool(1, wait=False)
    bench.emulator.control.advance(250)
    (node,) = bench.client.list_nodes(pool_id)
    for code in ("NodeBeingCreated", "NodeBeingStarted"):
        with pytest.raises(HttpResponseError) as caught:
            bench.restart(pool_id, node.id)
        assert caught.value.model.code == code
        bench.emulator.control.advance(500)


def test_a_node_is_deallocated_and_started_again(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    (node,) = bench.client.list_nodes(pool_id)
    bench.client.begin_deallocate_node(
        pool_id, node.id, {"nodeDeallocateOption": "requeue"}, polling_interval=0.02
    ).result()
    assert bench.client.get_node(pool_id, node.id).state == "deallocated"
    bench.client.begin_start_node(pool_id, node.id, polling_interval=0.02).result()
    bench.nodes(pool_id, "idle", 1)


# -- scheduling


def test_a_node_with_scheduling_disabled_goes_offline_and_gets_no_task(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    (node,) = bench.client.list_nodes(pool_id)
    bench.client.disable_node_scheduling(pool_id, node.id, {"nodeDisableSchedulingOption": "requeue"})
    assert bench.client.get_node(pool_id, node.id).state == "offline"
    job_id = bench.job(pool_id)
    task_id = bench.task(job_id, "true")
    with pytest.raises(HttpResponseError) as caught:
        bench.client.disable_node_scheduling(pool_id, node.id, {"nodeDisableSchedulingOption": "requeue"})
    assert caught.value.model.code == "NodeAlreadyInTargetSchedulingState"
    assert bench.client.get_task(job_id, task_id).state == "active"
    bench.client.enable_node_scheduling(pool_id, node.id)
    bench.until(job_id, task_id)
    with pytest.raises(HttpResponseError):
        bench.client.enable_node_scheduling(pool_id, node.id)


def test_disabling_scheduling_may_let_the_task_finish(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id)
    task_id = bench.task(job_id, "while ! test -e $AZ_BATCH_NODE_SHARED_DIR/go; do sleep 0.02; done")
    node_id = bench.until(job_id, task_id, "running").node_info.node_id
    bench.client.disable_node_scheduling(pool_id, node_id, {"nodeDisableSchedulingOption": "taskcompletion"})
    assert bench.client.get_node(pool_id, node_id).state == "running"
    bench.client.enable_node_scheduling(pool_id, node_id)
    bench.client.disable_node_scheduling(pool_id, node_id, {"nodeDisableSchedulingOption": "taskcompletion"})
    shared = bench.path(pool_id, "*/shared")
    (shared / "go").touch()
    assert bench.until(job_id, task_id).execution_info.exit_code == 0
    bench.nodes(pool_id, "offline", 1)
    bench.client.enable_node_scheduling(pool_id, node_id)
    bench.run(job_id, "true")


# -- users, login, logs, extensions


def test_users_are_added_changed_and_removed(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    (node,) = bench.client.list_nodes(pool_id)
    user = models.BatchNodeUserCreateOptions(name="joe", password="x", is_admin=True)
    bench.client.create_node_user(pool_id, node.id, user)
    with pytest.raises(HttpResponseError) as caught:
        bench.client.create_node_user(pool_id, node.id, user)
    assert caught.value.model.code == "NodeUserExists"
    bench.client.replace_node_user(pool_id, node.id, "joe", models.BatchNodeUserReplaceOptions(password="y"))
    bench.client.delete_node_user(pool_id, node.id, "joe")
    for order in (
        lambda: bench.client.delete_node_user(pool_id, node.id, "joe"),
        lambda: bench.client.replace_node_user(pool_id, node.id, "joe", models.BatchNodeUserReplaceOptions()),
    ):
        with pytest.raises(HttpResponseError) as caught:
            order()
        assert caught.value.model.code == "NodeUserNotFound"


def test_login_settings_name_the_nodes_address(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    (node,) = bench.client.list_nodes(pool_id)
    settings = bench.client.get_node_remote_login_settings(pool_id, node.id)
    assert (settings.remote_login_ip_address, settings.remote_login_port) == (node.ip_address, 50000)


def test_the_pools_extensions_are_shown_on_each_node(bench: Workbench) -> None:
    extension = models.VMExtension(
        name="monitor",
        publisher="Microsoft.Azure.Monitor",
        type="AzureMonitorLinuxAgent",
        settings={"a": "1"},
        protected_settings={"key": "hush"},
    )
    pool_id = bench.pool(1, virtual_machine_configuration=machine(extensions=[extension]))
    (node,) = bench.client.list_nodes(pool_id)
    (shown,) = bench.client.list_node_extensions(pool_id, node.id)
    assert shown.vm_extension.name == "monitor"
    assert "hush" not in str(shown.as_dict())
    assert bench.client.get_node_extension(pool_id, node.id, "monitor").provisioning_state == "Succeeded"
    with pytest.raises(HttpResponseError) as caught:
        bench.client.get_node_extension(pool_id, node.id, "other")
    assert caught.value.status_code == 404


def test_an_unknown_node_is_told_from_an_unknown_pool(bench: Workbench) -> None:
    pool_id = bench.pool(0)
    for pool, code in ((pool_id, "NodeNotFound"), ("no-such", "PoolNotFound")):
        with pytest.raises(HttpResponseError) as caught:
            bench.client.get_node(pool, "tvm-1")
        assert (caught.value.status_code, caught.value.model.code) == (404, code)


# -- taken away


def test_a_preempted_node_gives_its_task_back_and_comes_back_with_an_empty_disk(own_bench: Any) -> None:
    bench: Workbench = own_bench()
    pool_id = bench.pool(0, spot=1)
    job_id = bench.job(pool_id)
    task_id = bench.task(job_id, "touch $AZ_BATCH_NODE_SHARED_DIR/mark; sleep 1000")
    task = bench.until(job_id, task_id, "running")
    node_id = task.node_info.node_id
    bench.emulator.control.preempt(node_id)
    task = bench.client.get_task(job_id, task_id)
    assert (task.state, task.previous_state, task.execution_info.requeue_count) == ("active", "running", 0)
    assert task.node_info is None
    assert bench.client.get_node(pool_id, node_id).state == "preempted"
    pool = bench.client.get_pool(pool_id)
    assert (pool.current_low_priority_nodes, pool.target_low_priority_nodes) == (1, 1)
    with pytest.raises(HttpResponseError) as caught:
        list(bench.client.list_node_files(pool_id, node_id))
    assert caught.value.status_code == 409
    bench.emulator.control.restore(node_id)
    task = bench.until(job_id, task_id, "running")
    assert task.node_info.node_id == node_id
    assert task.execution_info.retry_count == 0


def test_a_preempted_node_is_restored_when_its_time_has_come(own_bench: Any) -> None:
    bench: Workbench = own_bench(boot_seconds=10)
    pool_id = bench.pool(0, spot=1, wait=False)
    bench.emulator.control.advance(20)
    (node,) = bench.nodes(pool_id, "idle", 1)
    bench.emulator.control.preempt(node.id, restore_after=3600)
    bench.emulator.control.advance(3000)
    assert bench.client.get_node(pool_id, node.id).state == "preempted"
    bench.emulator.control.advance(620)
    assert bench.client.get_node(pool_id, node.id).state == "idle"


def test_an_unusable_node_shows_its_errors_and_its_task_runs_elsewhere(own_bench: Any) -> None:
    bench: Workbench = own_bench()
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id)
    task_id = bench.task(job_id, "sleep 1000")
    node_id = bench.until(job_id, task_id, "running").node_info.node_id
    bench.emulator.control.make_unusable(node_id, code="DiskFull", message="The disk is full")
    node = bench.client.get_node(pool_id, node_id)
    assert (node.state, [(error.code, error.message) for error in node.errors]) == (
        "unusable",
        [("DiskFull", "The disk is full")],
    )
    bench.client.begin_resize_pool(
        pool_id, models.BatchPoolResizeOptions(target_dedicated_nodes=2), polling_interval=0.02
    ).result()
    assert bench.until(job_id, task_id, "running").node_info.node_id != node_id
    with pytest.raises(HttpResponseError) as caught:
        bench.restart(pool_id, node_id)
    assert caught.value.model.code == "NodeStateUnusable"


def test_a_task_may_seem_to_run_on_an_unusable_node_until_that_is_removed(own_bench: Any) -> None:
    bench: Workbench = own_bench()
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id)
    task_id = bench.task(job_id, "sleep 1000")
    node_id = bench.until(job_id, task_id, "running").node_info.node_id
    bench.emulator.control.make_unusable(node_id, requeue=False)
    for _ in range(20):  # Its process has been killed long before the last look.
        assert bench.client.get_task(job_id, task_id).state == "running"
    bench.client.begin_remove_nodes(
        pool_id, models.BatchNodeRemoveOptions(node_ids=[node_id]), polling_interval=0.02
    ).result()
    assert bench.client.get_task(job_id, task_id).state == "active"
