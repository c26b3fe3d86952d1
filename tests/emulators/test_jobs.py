from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from azure.batch import models
from azure.core.exceptions import HttpResponseError

from .conftest import Workbench, machine, shell, wait_for

POLL = 0.02


def test_a_job_is_given_back_with_the_services_defaults(bench: Workbench) -> None:
    job_id = bench.job("no-pool-yet", metadata=[models.BatchMetadataItem(name="a", value="b")])
    job = bench.client.get_job(job_id)
    assert (job.state, job.priority, job.max_parallel_tasks, job.uses_task_dependencies) == ("active", 0, -1, False)
    assert (job.all_tasks_complete_mode, job.task_failure_mode) == ("noaction", "noaction")
    assert job.constraints.max_task_retry_count == 0
    assert job.execution_info.pool_id == "no-pool-yet"
    assert [(item.name, item.value) for item in job.metadata] == [("a", "b")]


def test_a_job_whose_pool_comes_later_runs_then(bench: Workbench) -> None:
    pool_id = bench.name("later")
    job_id = bench.job(pool_id)
    task_id = bench.task(job_id, "true")
    assert bench.client.get_task(job_id, task_id).state == "active"
    bench.client.create_pool(
        models.BatchPoolCreateOptions(
            id=pool_id,
            vm_size="Standard_D2s_v3",
            virtual_machine_configuration=machine(),
            target_dedicated_nodes=1,
        )
    )
    bench.until(job_id, task_id)


def test_jobs_are_listed_by_what_they_are(bench: Workbench) -> None:
    prefix = bench.name("lists")
    for suffix in "abc":
        bench.client.create_job(
            models.BatchJobCreateOptions(id=f"{prefix}-{suffix}", pool_info=models.BatchPoolInfo(pool_id="p"))
        )
    bench.terminate(f"{prefix}-b")
    mine = f"startswith(id,'{prefix}')"
    assert [job.id for job in bench.client.list_jobs(filter=mine, max_results=1)] == [
        f"{prefix}-{suffix}" for suffix in "abc"
    ]
    active = bench.client.list_jobs(filter=f"{mine} and state eq 'active'", select=["id"])
    assert [job.as_dict() for job in active] == [{"id": f"{prefix}-a"}, {"id": f"{prefix}-c"}]
    assert len(list(bench.client.list_jobs(filter=f"{mine} and executionInfo/poolId eq 'p'"))) == 3


def test_a_terminated_job_ends_its_running_tasks_and_never_runs_the_others(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id)
    running = bench.task(job_id, "sleep 1000")
    bench.until(job_id, running, "running")
    waiting = bench.task(job_id, "true")
    bench.terminate(job_id, "enough")
    job = bench.client.get_job(job_id)
    assert job.execution_info.termination_reason == "enough"
    assert job.execution_info.end_time >= job.execution_info.start_time
    assert bench.client.get_task(job_id, running).execution_info.failure_info.code == "TaskEnded"
    assert bench.client.get_task(job_id, waiting).state == "active"
    for order in (
        lambda: bench.task(job_id, "true"),
        lambda: bench.terminate(job_id),
        lambda: bench.client.update_job(job_id, models.BatchJobUpdateOptions(priority=1)),
    ):
        with pytest.raises(HttpResponseError) as caught:
            order()
        assert (caught.value.status_code, caught.value.model.code) == (409, "JobCompleted")


def test_a_deleted_job_is_gone_with_its_tasks_and_their_files(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id)
    bench.run(job_id, "touch made")
    folders = list((bench.emulator.folder / "nodes" / pool_id).glob(f"*/workitems/{job_id}/job-1/*"))
    assert len(folders) == 1
    bench.client.begin_delete_job(job_id, polling_interval=POLL).result()
    with pytest.raises(HttpResponseError) as caught:
        bench.client.get_job(job_id)
    assert caught.value.model.code == "JobNotFound"
    wait_for(lambda: folders[0].exists(), lambda there: not there)


def test_a_deletion_in_progress_is_shown_and_can_be_forced(own_bench: Any) -> None:
    bench: Workbench = own_bench(operation_seconds=1000)
    job_id = bench.job("p")
    bench.client.begin_delete_job(job_id, polling_interval=60)
    assert bench.client.get_job(job_id).state == "deleting"
    with pytest.raises(HttpResponseError) as caught:
        bench.task(job_id, "true")
    assert caught.value.model.code == "JobBeingDeleted"
    with pytest.raises(HttpResponseError):
        bench.client.begin_delete_job(job_id)
    bench.client.begin_delete_job(job_id, force=True, polling_interval=60)
    with pytest.raises(HttpResponseError) as caught:
        bench.client.get_job(job_id)
    assert caught.value.status_code == 404


@pytest.mark.parametrize(("option", "state"), [("requeue", "active"), ("terminate", "completed")])
def test_a_disabled_job_deals_with_its_tasks_as_told_and_goes_on_when_enabled(
    bench: Workbench, option: str, state: str
) -> None:
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id)
    task_id = bench.task(job_id, "sleep 1000")
    bench.until(job_id, task_id, "running")
    bench.client.begin_disable_job(
        job_id, models.BatchJobDisableOptions(disable_tasks=option), polling_interval=POLL
    ).result()
    assert bench.client.get_job(job_id).state == "disabled"
    assert bench.client.get_task(job_id, task_id).state == state
    later = bench.task(job_id, "true")
    assert bench.client.get_task(job_id, later).state == "active"
    bench.client.begin_enable_job(job_id, polling_interval=POLL).result()
    assert bench.client.get_job(job_id).state == "active"
    if state == "active":
        bench.until(job_id, task_id, "running")
        bench.client.terminate_task(job_id, task_id)
    bench.until(job_id, later)


def test_a_job_disabled_with_wait_is_disabling_as_long_as_a_task_runs(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id)
    task_id = bench.task(job_id, "while ! test -e $AZ_BATCH_NODE_SHARED_DIR/go; do sleep 0.02; done")
    bench.until(job_id, task_id, "running")
    bench.client.begin_disable_job(job_id, models.BatchJobDisableOptions(disable_tasks="wait"), polling_interval=60)
    assert bench.client.get_job(job_id).state == "disabling"
    shared = bench.path(pool_id, "*/shared")
    (shared / "go").touch()
    bench.job_until(job_id, "disabled")
    assert bench.client.get_task(job_id, task_id).execution_info.exit_code == 0


def test_a_task_that_must_run_again_no_longer_holds_up_a_job_that_waits_to_be_disabled(bench: Workbench) -> None:
    pool_id = bench.pool(0, spot=1)
    job_id = bench.job(pool_id)
    task_id = bench.task(job_id, "sleep 1000")
    node_id = bench.until(job_id, task_id, "running").node_info.node_id
    bench.client.begin_disable_job(job_id, models.BatchJobDisableOptions(disable_tasks="wait"), polling_interval=60)
    assert bench.client.get_job(job_id).state == "disabling"
    bench.emulator.control.preempt(node_id)
    assert bench.client.get_job(job_id).state == "disabled"


def test_a_task_keeps_its_retries_while_its_job_is_being_disabled(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id)
    go = bench.emulator.folder / bench.name("go")
    command = f"until test -e {go}; do sleep 0.02; done; test -e again && exit; touch again; exit 1"
    task_id = bench.task(job_id, command, constraints=models.BatchTaskConstraints(max_task_retry_count=1))
    bench.until(job_id, task_id, "running")
    bench.client.begin_disable_job(job_id, models.BatchJobDisableOptions(disable_tasks="wait"), polling_interval=60)
    go.touch()
    bench.job_until(job_id, "disabled")
    task = bench.client.get_task(job_id, task_id)
    assert (task.state, task.execution_info.retry_count, task.execution_info.failure_info) == ("active", 1, None)
    bench.client.begin_enable_job(job_id, polling_interval=POLL).result()
    assert bench.until(job_id, task_id).execution_info.exit_code == 0


def test_a_patch_changes_what_it_names_and_a_put_resets_the_rest(bench: Workbench) -> None:
    job_id = bench.job("p", priority=5, max_parallel_tasks=3, metadata=[models.BatchMetadataItem(name="a", value="1")])
    bench.client.update_job(job_id, models.BatchJobUpdateOptions(priority=7))
    job = bench.client.get_job(job_id)
    assert (job.priority, job.max_parallel_tasks, len(job.metadata)) == (7, 3, 1)
    job.priority = 9
    job.max_parallel_tasks = None
    job.metadata = None
    bench.client.replace_job(job_id, job)
    job = bench.client.get_job(job_id)
    assert (job.priority, job.max_parallel_tasks, job.metadata) == (9, -1, None)


def test_the_pool_of_a_job_can_only_be_changed_while_it_is_disabled(bench: Workbench) -> None:
    first, second = bench.pool(0), bench.pool(1)
    job_id = bench.job(first)
    task_id = bench.task(job_id, "true")
    move = models.BatchJobUpdateOptions(pool_info=models.BatchPoolInfo(pool_id=second))
    with pytest.raises(HttpResponseError) as caught:
        bench.client.update_job(job_id, move)
    assert caught.value.status_code == 409
    bench.client.begin_disable_job(
        job_id, models.BatchJobDisableOptions(disable_tasks="wait"), polling_interval=POLL
    ).result()
    bench.client.update_job(job_id, move)
    bench.client.begin_enable_job(job_id, polling_interval=POLL).result()
    assert bench.until(job_id, task_id).node_info.pool_id == second


@pytest.mark.parametrize(
    "options",
    [
        {"priority": 1001},
        {"max_parallel_tasks": 0},
        {"constraints": models.BatchJobConstraints(max_task_retry_count=-2)},
        {"metadata": [models.BatchMetadataItem(name="", value="x")]},
    ],
)
def test_a_job_with_a_value_out_of_range_is_refused(bench: Workbench, options: dict[str, Any]) -> None:
    with pytest.raises(HttpResponseError) as caught:
        bench.job("p", **options)
    assert caught.value.status_code == 400


def test_the_job_quota_counts_active_jobs_only(own_bench: Any) -> None:
    bench: Workbench = own_bench(job_quota=2)
    first = bench.job("p")
    bench.job("p")
    with pytest.raises(HttpResponseError) as caught:
        bench.job("p")
    assert (caught.value.status_code, caught.value.model.code) == (409, "ActiveJobAndScheduleQuotaReached")
    bench.terminate(first)
    bench.job("p")


def test_task_counts_add_up_with_their_slots(bench: Workbench) -> None:
    pool_id = bench.pool(1, task_slots_per_node=4)
    job_id = bench.job(pool_id)
    bench.run(job_id, "true", required_slots=3)
    bench.run(job_id, "false", required_slots=2)
    bench.until(job_id, bench.task(job_id, "sleep 1000", required_slots=3), "running")
    bench.task(job_id, "true", required_slots=2)
    result = bench.client.get_job_task_counts(job_id)
    counts, slots = result.task_counts, result.task_slot_counts
    assert (counts.active, counts.running, counts.completed, counts.succeeded, counts.failed) == (1, 1, 2, 1, 1)
    assert (slots.active, slots.running, slots.completed, slots.succeeded, slots.failed) == (2, 3, 5, 3, 2)


# -- ends of its own


def test_a_job_ends_when_all_its_tasks_are_complete_if_told_so_even_afterwards(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id)
    bench.run(job_id, "true")
    assert bench.client.get_job(job_id).state == "active"
    bench.client.update_job(job_id, models.BatchJobUpdateOptions(all_tasks_complete_mode="terminatejob"))
    job = bench.job_until(job_id, "completed")
    assert job.execution_info.termination_reason == "AllTasksComplete"


def test_a_job_that_is_to_end_when_complete_ends_at_once_where_it_has_no_task(bench: Workbench) -> None:
    job_id = bench.job("p", all_tasks_complete_mode="terminatejob")
    bench.job_until(job_id, "completed")


def test_terminatejob_cannot_be_taken_back(bench: Workbench) -> None:
    pool_id = bench.pool(0)
    job_id = bench.job(pool_id)
    bench.task(job_id, "true")
    bench.client.update_job(job_id, models.BatchJobUpdateOptions(all_tasks_complete_mode="terminatejob"))
    with pytest.raises(HttpResponseError) as caught:
        bench.client.update_job(job_id, models.BatchJobUpdateOptions(all_tasks_complete_mode="noaction"))
    assert caught.value.status_code == 400


def test_a_job_that_is_to_end_when_complete_ends_with_its_enabling_where_it_was_disabled_then(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id)
    task_id = bench.task(job_id, "sleep 1000")
    bench.until(job_id, task_id, "running")
    bench.client.update_job(job_id, models.BatchJobUpdateOptions(all_tasks_complete_mode="terminatejob"))
    bench.client.begin_disable_job(
        job_id, models.BatchJobDisableOptions(disable_tasks="terminate"), polling_interval=POLL
    ).result()
    assert bench.client.get_job(job_id).state == "disabled"
    bench.client.begin_enable_job(job_id, polling_interval=60)
    job = bench.job_until(job_id, "completed")
    assert job.execution_info.termination_reason == "AllTasksComplete"


def test_a_failed_task_ends_the_job_where_its_exit_conditions_say_so(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id, task_failure_mode="performexitoptionsjobaction")
    tolerant = models.ExitConditions(
        exit_codes=[models.ExitCodeMapping(code=3, exit_options=models.ExitOptions(job_action="none"))]
    )
    bench.run(job_id, "exit 3", exit_conditions=tolerant)
    assert bench.client.get_job(job_id).state == "active"
    bench.run(job_id, "exit 4", exit_conditions=tolerant)
    job = bench.job_until(job_id, "completed")
    assert job.execution_info.termination_reason == "TaskFailed"


def on_code(code: int, action: str) -> models.ExitConditions:
    """Exit conditions with a job action for one exit code, and none for any other end."""
    return models.ExitConditions(
        exit_codes=[models.ExitCodeMapping(code=code, exit_options=models.ExitOptions(job_action=action))],
        default=models.ExitOptions(job_action="none"),
    )


def test_a_task_that_ends_the_job_ends_those_that_run_and_leaves_those_that_wait(bench: Workbench) -> None:
    pool_id = bench.pool(1, task_slots_per_node=2)
    job_id = bench.job(pool_id, task_failure_mode="performexitoptionsjobaction", uses_task_dependencies=True)
    running = bench.task(
        job_id,
        "sleep 1000",
        exit_conditions=models.ExitConditions(default=models.ExitOptions(dependency_action="satisfy")),
    )
    bench.until(job_id, running, "running")
    # That its job is terminated satisfies what depends on a running task, and yet nothing of the job starts.
    waiting = bench.task(job_id, "true", depends_on=models.BatchTaskDependencies(task_ids=[running]))
    ready = bench.task(job_id, "true", required_slots=2)
    bench.run(job_id, "exit 3", exit_conditions=on_code(3, "terminate"))
    job = bench.job_until(job_id, "completed")
    assert job.execution_info.termination_reason == "TaskFailed"
    assert bench.client.get_task(job_id, running).execution_info.failure_info.code == "TaskEnded"
    other = bench.job(pool_id)
    bench.run(other, "true", required_slots=2)
    assert [bench.client.get_task(job_id, task_id).state for task_id in (waiting, ready)] == ["active", "active"]
    for order in (
        lambda: bench.task(job_id, "true"),
        lambda: bench.client.reactivate_task(job_id, running),
    ):
        with pytest.raises(HttpResponseError) as caught:
            order()
        assert (caught.value.status_code, caught.value.model.code) == (409, "JobCompleted")


def test_a_job_that_a_task_is_ending_takes_no_more_tasks(own_bench: Any) -> None:
    bench: Workbench = own_bench(operation_seconds=1000)
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id, task_failure_mode="performexitoptionsjobaction")
    bench.run(job_id, "exit 3")
    job = bench.client.get_job(job_id)
    assert (job.state, job.execution_info.termination_reason) == ("terminating", None)
    with pytest.raises(HttpResponseError) as caught:
        bench.task(job_id, "true")
    assert (caught.value.status_code, caught.value.model.code) == (409, "JobBeingTerminated")


def test_a_failed_task_may_disable_the_job_instead_and_puts_the_others_back(bench: Workbench) -> None:
    pool_id = bench.pool(1, task_slots_per_node=2)
    job_id = bench.job(pool_id, task_failure_mode="performexitoptionsjobaction")
    running = bench.task(job_id, "sleep 1000")
    bench.until(job_id, running, "running")
    conditions = models.ExitConditions(
        exit_code_ranges=[
            models.ExitCodeRangeMapping(start=10, end=20, exit_options=models.ExitOptions(job_action="disable"))
        ]
    )
    bench.run(job_id, "exit 15", exit_conditions=conditions)
    bench.job_until(job_id, "disabled")
    task = bench.client.get_task(job_id, running)
    assert (task.state, task.execution_info.requeue_count) == ("active", 1)
    bench.client.begin_enable_job(job_id, polling_interval=POLL).result()
    bench.until(job_id, running, "running")


def test_a_task_that_disables_its_job_does_not_leave_it_waiting_for_the_others(bench: Workbench) -> None:
    pool_id = bench.pool(1, task_slots_per_node=2)
    job_id = bench.job(pool_id, task_failure_mode="performexitoptionsjobaction")
    running = bench.task(job_id, "sleep 1000")
    go = bench.emulator.folder / bench.name("go")
    fails = bench.task(
        job_id, f"until test -e {go}; do sleep 0.02; done; exit 3", exit_conditions=on_code(3, "disable")
    )
    for task_id in (running, fails):
        bench.until(job_id, task_id, "running")
    bench.client.begin_disable_job(job_id, models.BatchJobDisableOptions(disable_tasks="wait"), polling_interval=60)
    go.touch()
    bench.job_until(job_id, "disabled")
    assert bench.client.get_task(job_id, running).state == "active"


def test_a_job_action_is_refused_where_the_job_takes_none(bench: Workbench) -> None:
    job_id = bench.job("p")
    conditions = models.ExitConditions(default=models.ExitOptions(job_action="terminate"))
    with pytest.raises(HttpResponseError) as caught:
        bench.task(job_id, "true", exit_conditions=conditions)
    assert (caught.value.status_code, caught.value.model.code) == (400, "InvalidPropertyValue")


def test_a_job_ends_when_its_time_is_up(own_bench: Any) -> None:
    bench: Workbench = own_bench()
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id, constraints=models.BatchJobConstraints(max_wall_clock_time=timedelta(hours=2)))
    task_id = bench.task(job_id, "sleep 1000")
    bench.until(job_id, task_id, "running")
    bench.emulator.control.advance(2 * 3600 - 60)
    assert bench.client.get_job(job_id).state == "active"
    bench.emulator.control.advance(120)
    job = bench.job_until(job_id, "completed")
    assert job.execution_info.termination_reason == "MaxWallClockTimeExpiry"
    assert bench.client.get_task(job_id, task_id).state == "completed"


def test_a_job_manager_runs_alone_on_its_node_and_ends_the_job_with_itself(bench: Workbench) -> None:
    pool_id = bench.pool(1, task_slots_per_node=4)
    manager = models.BatchJobManagerTask(
        id="manager", command_line=shell("while ! test -e go; do sleep 0.02; done"), kill_job_on_completion=True
    )
    job_id = bench.job(pool_id, job_manager_task=manager)
    bench.until(job_id, "manager", "running")
    other = bench.task(job_id, "true")
    assert bench.client.get_task(job_id, other).state == "active"
    folder = bench.path(pool_id, f"*/workitems/{job_id}/job-1/manager/wd")
    (folder / "go").touch()
    job = bench.job_until(job_id, "completed")
    assert job.execution_info.termination_reason == "JMComplete"


# -- order


def test_jobs_of_higher_priority_and_parallel_limits_are_heeded(bench: Workbench) -> None:
    pool_id = bench.pool(0, task_slots_per_node=4)
    low, high = bench.job(pool_id, priority=-5), bench.job(pool_id, priority=5, max_parallel_tasks=1)
    for job_id in (low, high):
        bench.client.create_tasks(
            job_id, [models.BatchTaskCreateOptions(id=f"t{n}", command_line="sleep 1000") for n in range(4)]
        )
    bench.client.begin_resize_pool(
        pool_id, models.BatchPoolResizeOptions(target_dedicated_nodes=1), polling_interval=POLL
    ).result()
    wait_for(
        lambda: [bench.client.get_job_task_counts(job).task_counts.running for job in (high, low)],
        lambda running: running == [1, 3],
    )


def test_tasks_that_may_be_preempted_make_room_for_a_job_of_higher_priority(bench: Workbench) -> None:
    pool_id = bench.pool(1, task_slots_per_node=3)
    soft, firm = bench.job(pool_id, priority=-5, allow_task_preemption=True), bench.job(pool_id, priority=-5)
    soft_ids = [bench.task(soft, "sleep 1000") for _ in range(2)]
    firm_id = bench.task(firm, "sleep 1000")
    for job_id, task_id in [*((soft, task_id) for task_id in soft_ids), (firm, firm_id)]:
        bench.until(job_id, task_id, "running")
    urgent = bench.job(pool_id, priority=5)
    bench.run(urgent, "true", required_slots=2)
    assert bench.client.get_task(firm, firm_id).state == "running"
    tasks = [bench.until(soft, task_id, "running") for task_id in soft_ids]
    assert [task.execution_info.retry_count for task in tasks] == [0, 0]
    started = bench.client.get_task(urgent, next(iter(bench.client.list_tasks(urgent))).id).execution_info.start_time
    assert all(task.execution_info.start_time > started for task in tasks), "they were put back, and began again"


@pytest.mark.parametrize(("fill", "used"), [("spread", 2), ("pack", 1)])
def test_tasks_are_spread_over_nodes_or_packed_onto_them(bench: Workbench, fill: str, used: int) -> None:
    policy = models.BatchTaskSchedulingPolicy(node_fill_type=fill)
    pool_id = bench.pool(2, task_slots_per_node=2, task_scheduling_policy=policy)
    job_id = bench.job(pool_id)
    ids = [bench.task(job_id, "sleep 1000") for _ in range(2)]
    tasks = [bench.until(job_id, task_id, "running") for task_id in ids]
    assert len({task.node_info.node_id for task in tasks}) == used


# -- preparation and release


def test_a_preparation_task_runs_once_a_node_before_the_tasks_and_a_release_task_after(bench: Workbench) -> None:
    pool_id = bench.pool(1, task_slots_per_node=2)
    job_id = bench.job(
        pool_id,
        common_environment_settings=[models.EnvironmentSetting(name="COMMON", value="shared by all")],
        job_preparation_task=models.BatchJobPreparationTask(
            command_line=shell("echo prepared; echo $COMMON >> $AZ_BATCH_NODE_SHARED_DIR/prepared")
        ),
        job_release_task=models.BatchJobReleaseTask(
            command_line=shell("echo released; rm $AZ_BATCH_NODE_SHARED_DIR/prepared")
        ),
    )
    tasks = [
        bench.run(job_id, "cat $AZ_BATCH_NODE_SHARED_DIR/prepared $AZ_BATCH_JOB_PREP_DIR/stdout.txt") for _ in range(2)
    ]
    assert [bench.text(job_id, task.id) for task in tasks] == ["shared by all\nprepared\n"] * 2
    (status,) = bench.client.list_job_preparation_and_release_task_status(job_id)
    info = status.job_preparation_task_execution_info
    assert (info.state, info.exit_code, info.result, info.retry_count) == ("completed", 0, "success", 0)
    assert status.job_release_task_execution_info is None
    node_id = status.node_id
    assert info.task_root_directory == f"workitems/{job_id}/job-1/jobpreparation"
    bench.terminate(job_id)
    (status,) = bench.client.list_job_preparation_and_release_task_status(
        job_id, filter="jobReleaseTaskExecutionInfo/exitCode eq 0"
    )
    assert status.job_release_task_execution_info.result == "success"
    released = b"".join(
        bench.client.download_node_file(pool_id, node_id, f"workitems/{job_id}/job-1/jobrelease/stdout.txt")
    )
    assert released == b"released\n"
    with pytest.raises(HttpResponseError):
        bench.client.get_node_file_properties(pool_id, node_id, "shared/prepared")


def test_a_task_is_preparing_while_its_node_is(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    waiting = shell("while ! test -e $AZ_BATCH_NODE_SHARED_DIR/go; do sleep 0.02; done")
    job_id = bench.job(pool_id, job_preparation_task=models.BatchJobPreparationTask(command_line=waiting))
    task_id = bench.task(job_id, "true")
    bench.until(job_id, task_id, "preparing")
    assert bench.client.get_job_task_counts(job_id).task_counts.running == 1
    shared = bench.path(pool_id, "*/shared")
    (shared / "go").touch()
    task = bench.until(job_id, task_id)
    assert task.previous_state == "running"


def test_a_node_whose_preparation_fails_runs_no_task_of_the_job(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    job_id = bench.job(
        pool_id,
        job_preparation_task=models.BatchJobPreparationTask(
            command_line=shell("exit 7"), constraints=models.BatchTaskConstraints(max_task_retry_count=1)
        ),
    )
    task_id = bench.task(job_id, "true")
    status = wait_for(
        lambda: list(bench.client.list_job_preparation_and_release_task_status(job_id)),
        lambda found: bool(found) and found[0].job_preparation_task_execution_info.state == "completed",
    )[0].job_preparation_task_execution_info
    assert (status.exit_code, status.retry_count, status.result) == (7, 1, "failure")
    bench.until(job_id, task_id, "active")
    other = bench.job(pool_id)
    bench.run(other, "true")


def test_a_release_task_needs_a_preparation_task(bench: Workbench) -> None:
    with pytest.raises(HttpResponseError) as caught:
        bench.job("p", job_release_task=models.BatchJobReleaseTask(command_line="true"))
    assert caught.value.status_code == 400
    job_id = bench.job("p")
    with pytest.raises(HttpResponseError) as caught:
        list(bench.client.list_job_preparation_and_release_task_status(job_id))
    assert caught.value.model.code == "JobPreparationTaskNotSpecified"


def test_no_task_may_have_the_id_of_the_preparation_or_release_task(bench: Workbench) -> None:
    job_id = bench.job(
        "p",
        job_preparation_task=models.BatchJobPreparationTask(command_line="true"),
        job_release_task=models.BatchJobReleaseTask(command_line="true", id="bye"),
    )
    for task_id, code in (("jobpreparation", "TaskIdSameAsJobPreparationTask"), ("BYE", "TaskIdSameAsJobReleaseTask")):
        with pytest.raises(HttpResponseError) as caught:
            bench.task(job_id, "true", task_id)
        assert (caught.value.status_code, caught.value.model.code) == (409, code)


def test_a_rebooted_node_is_prepared_again(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    job_id = bench.job(
        pool_id,
        job_preparation_task=models.BatchJobPreparationTask(
            command_line=shell("echo once >> $AZ_BATCH_NODE_SHARED_DIR/times")
        ),
    )
    bench.run(job_id, "true")
    (node,) = bench.client.list_nodes(pool_id)
    bench.restart(pool_id, node.id)
    bench.run(job_id, "true")
    assert b"".join(bench.client.download_node_file(pool_id, node.id, "shared/times")) == b"once\nonce\n"


# -- auto pools


def test_an_auto_pool_lives_as_long_as_its_job(bench: Workbench) -> None:
    job_id = bench.name("auto")
    bench.client.create_job(
        models.BatchJobCreateOptions(
            id=job_id,
            pool_info=models.BatchPoolInfo(
                auto_pool_specification=models.BatchAutoPoolSpecification(
                    auto_pool_id_prefix="mine",
                    pool_lifetime_option="job",
                    pool=models.BatchPoolSpecification(
                        vm_size="Standard_D2s_v3",
                        virtual_machine_configuration=machine(),
                        target_dedicated_nodes=1,
                    ),
                )
            ),
        )
    )
    pool_id = bench.client.get_job(job_id).execution_info.pool_id
    assert pool_id.startswith("mine")
    bench.run(job_id, "true")
    bench.terminate(job_id)
    wait_for(lambda: bench.exists(pool_id), lambda there: not there)


def test_an_auto_pool_that_cannot_be_made_ends_the_job_with_the_reason(own_bench: Any) -> None:
    bench: Workbench = own_bench(pool_quota=0)
    job_id = bench.name("auto")
    bench.client.create_job(
        models.BatchJobCreateOptions(
            id=job_id,
            pool_info=models.BatchPoolInfo(
                auto_pool_specification=models.BatchAutoPoolSpecification(
                    pool_lifetime_option="job",
                    pool=models.BatchPoolSpecification(
                        vm_size="Standard_D2s_v3", virtual_machine_configuration=machine()
                    ),
                )
            ),
        )
    )
    job = bench.client.get_job(job_id)
    assert job.state == "completed"
    assert job.execution_info.scheduling_error.code == "AutoPoolCreationFailedWithQuotaReached"


def test_job_statistics_are_summed_over_the_tasks(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id)
    bench.run(job_id, "true")
    bench.run(job_id, "false", constraints=models.BatchTaskConstraints(max_task_retry_count=1))
    statistics = bench.client.get_job(job_id, expand=["stats"]).job_statistics
    assert (statistics.succeeded_tasks_count, statistics.failed_tasks_count, statistics.task_retries_count) == (1, 1, 1)
