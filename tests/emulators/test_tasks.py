from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from azure.batch import models
from azure.core.exceptions import HttpResponseError

from .conftest import Workbench, shell, wait_for


def add(bench: Workbench, job_id: str, count: int, **more: Any) -> list[str]:
    tasks = [models.BatchTaskCreateOptions(id=f"t{number:03d}", command_line="true", **more) for number in range(count)]
    bench.client.create_tasks(job_id, tasks)
    return [task.id for task in tasks]


# -- adding


def test_a_task_is_given_back_with_the_services_defaults(bench: Workbench) -> None:
    job_id = bench.job("p", constraints=models.BatchJobConstraints(max_task_retry_count=2))
    task_id = bench.task(job_id, "true", display_name="A task")
    task = bench.client.get_task(job_id, task_id)
    assert (task.state, task.display_name, task.required_slots) == ("active", "A task", 1)
    assert task.constraints.max_task_retry_count == 2
    assert task.constraints.retention_time == timedelta(days=7)
    assert (task.execution_info.retry_count, task.execution_info.requeue_count) == (0, 0)
    assert task.url.endswith(f"/jobs/{job_id}/tasks/{task_id}")


def test_a_collection_gives_each_task_a_result_of_its_own(bench: Workbench) -> None:
    job_id = bench.job("p")
    bench.task(job_id, "true", "there")
    results = bench.client.create_task_collection(
        job_id,
        models.BatchTaskGroup(
            task_values=[
                models.BatchTaskCreateOptions(id="new", command_line="true"),
                models.BatchTaskCreateOptions(id="THERE", command_line="true"),
                models.BatchTaskCreateOptions(id="no good", command_line="true"),
            ]
        ),
    ).result_values
    assert [(result.task_id, result.status, result.error and result.error.code) for result in results] == [
        ("new", "success", None),
        ("THERE", "clienterror", "TaskExists"),
        ("no good", "clienterror", "InvalidPropertyValue"),
    ]
    assert results[0].etag == bench.client.get_task(job_id, "new").etag


def test_a_collection_has_at_most_a_hundred_tasks_and_a_megabyte(bench: Workbench) -> None:
    job_id = bench.job("p")
    many = [models.BatchTaskCreateOptions(id=f"t{n}", command_line="true") for n in range(101)]
    with pytest.raises(HttpResponseError) as caught:
        bench.client.create_task_collection(job_id, models.BatchTaskGroup(task_values=many))
    assert (caught.value.status_code, caught.value.model.code) == (413, "RequestBodyTooLarge")
    large = [models.BatchTaskCreateOptions(id=f"t{n}", command_line="x" * 15_000) for n in range(99)]
    with pytest.raises(HttpResponseError) as caught:
        bench.client.create_task_collection(job_id, models.BatchTaskGroup(task_values=large))
    assert caught.value.model.code == "RequestBodyTooLarge"
    assert list(bench.client.list_tasks(job_id)) == []


def test_the_sdk_halves_a_collection_that_is_too_large(bench: Workbench) -> None:
    job_id = bench.job("p")
    large = [models.BatchTaskCreateOptions(id=f"t{n}", command_line="x" * 15_000) for n in range(100)]
    bench.client.create_tasks(job_id, large)
    assert bench.client.get_job_task_counts(job_id).task_counts.active == 100


def test_a_collection_that_is_malformed_adds_nothing(bench: Workbench) -> None:
    job_id = bench.job("p")
    body = {"value": [{"id": "good", "commandLine": "true"}, {"id": "bad"}]}
    with pytest.raises(HttpResponseError) as caught:
        bench.client.create_task_collection(job_id, body)
    assert caught.value.model.code == "MissingRequiredProperty"
    assert list(bench.client.list_tasks(job_id)) == []


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"depends_on": models.BatchTaskDependencies(task_ids=["a"])}, "TaskDependenciesNotSpecifiedOnJob"),
        (
            {"exit_conditions": models.ExitConditions(default=models.ExitOptions(dependency_action="block"))},
            "InvalidPropertyValue",
        ),
        ({"required_slots": 0}, "InvalidPropertyValue"),
        ({"constraints": models.BatchTaskConstraints(max_task_retry_count=-2)}, "InvalidPropertyValue"),
        ({"resource_files": [models.ResourceFile(http_url="http://x/y")]}, "InvalidPropertyValue"),
        (
            {"resource_files": [models.ResourceFile(http_url="http://x/y", storage_container_url="http://x")]},
            "InvalidPropertyValue",
        ),
        (
            {
                "multi_instance_settings": models.MultiInstanceSettings(
                    number_of_instances=0, coordination_command_line="true"
                )
            },
            "InvalidPropertyValue",
        ),
    ],
)
def test_a_task_that_the_service_would_refuse_is_refused(bench: Workbench, options: dict[str, Any], code: str) -> None:
    job_id = bench.job("p")
    with pytest.raises(HttpResponseError) as caught:
        bench.task(job_id, "true", **options)
    assert (caught.value.status_code, caught.value.model.code) == (400, code)


# -- listing


def test_tasks_are_listed_in_pages_that_follow_each_other(bench: Workbench) -> None:
    job_id = bench.job("p")
    ids = add(bench, job_id, 25)
    pages = list(bench.client.list_tasks(job_id, max_results=10).by_page())
    assert [[task.id for task in page] for page in pages] == [ids[:10], ids[10:20], ids[20:]]


def test_a_page_goes_on_after_the_last_task_even_where_that_is_gone(bench: Workbench) -> None:
    job_id = bench.job("p")
    ids = add(bench, job_id, 6)
    pages = bench.client.list_tasks(job_id, max_results=3).by_page()
    first = [task.id for task in next(pages)]
    bench.client.delete_task(job_id, first[-1])
    assert first + [task.id for task in next(pages)] == ids


def test_tasks_are_filtered_by_id_state_time_and_result(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id)
    good, bad = bench.run(job_id, "true"), bench.run(job_id, "exit 9")
    bench.client.begin_disable_job(
        job_id, models.BatchJobDisableOptions(disable_tasks="wait"), polling_interval=0.02
    ).result()
    waiting = bench.task(job_id, "true")

    def ids(condition: str) -> set[str]:
        return {task.id for task in bench.client.list_tasks(job_id, filter=condition)}

    moment = bad.state_transition_time.isoformat().replace("+00:00", "Z")
    assert ids("state eq 'completed'") == {good.id, bad.id}
    assert ids("state ne 'completed'") == {waiting}
    assert ids(f"stateTransitionTime ge DateTime'{moment}'") == {bad.id, waiting}
    assert ids(f"stateTransitionTime gt {moment}") == {waiting}
    assert ids(f"stateTransitionTime ge {moment} and state eq 'completed'") == {bad.id}
    assert ids("executionInfo/exitCode gt 0") == {bad.id}
    assert ids("executionInfo/result eq 'success'") == {good.id}
    assert ids(f"id eq '{good.id}' or id eq '{waiting}'") == {good.id, waiting}
    assert ids(f"startswith(id, '{good.id}')") == {good.id}
    assert ids(f"(state ne 'completed') or (executionInfo/exitCode eq 9 and id eq '{bad.id}')") == {waiting, bad.id}
    assert ids("state eq 'completed' and executionInfo/exitCode eq 123") == set()


def test_what_changed_since_the_last_time_seen_is_found_with_the_very_time_that_was_given_back(
    bench: Workbench,
) -> None:
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id)
    seen: list[str] = []
    since = "2000-01-01T00:00:00Z"
    for _ in range(5):
        task = bench.run(job_id, "true")
        changed = list(
            bench.client.list_tasks(
                job_id, filter=f"stateTransitionTime ge {since}", select=["id", "stateTransitionTime"]
            )
        )
        assert task.id in {each.id for each in changed}
        assert len(changed) <= 2
        seen += [each.id for each in changed]
        since = max(each["stateTransitionTime"] for each in changed)
    assert len(set(seen)) == 5


@pytest.mark.parametrize(
    "condition",
    [
        "state",
        "state eq",
        "state eq completed",
        "state gt 'active'",
        "colour eq 'red'",
        "executionInfo/exitCode eq 'one'",
        "stateTransitionTime ge 'yesterday'",
        "state eq 'active' and",
        "(state eq 'active'",
        "startswith(state,'a')",
        "not (state eq 'active')",
        "state eq 'active' state eq 'active'",
        "'",
    ],
)
def test_a_filter_that_cannot_be_read_is_refused_with_the_reason(bench: Workbench, condition: str) -> None:
    job_id = bench.job("p")
    with pytest.raises(HttpResponseError) as caught:
        list(bench.client.list_tasks(job_id, filter=condition))
    assert (caught.value.status_code, caught.value.model.code) == (400, "InvalidQueryParameterValue")
    assert {each.key: each.value for each in caught.value.model.error_values}["Reason"]


def test_only_the_selected_properties_are_given(bench: Workbench) -> None:
    job_id = bench.job("p")
    task_id = bench.task(job_id, "true")
    (listed,) = bench.client.list_tasks(job_id, select=["id", "executionInfo"])
    assert set(listed.as_dict()) == {"id", "executionInfo"}
    assert set(bench.client.get_task(job_id, task_id, select=["state"]).as_dict()) == {"odata.metadata", "state"}
    with pytest.raises(HttpResponseError) as caught:
        list(bench.client.list_tasks(job_id, select=["id", "colour"]))
    assert caught.value.model.code == "InvalidQueryParameterValue"


@pytest.mark.parametrize("size", [0, 1001])
def test_a_page_has_between_one_and_a_thousand_tasks(bench: Workbench, size: int) -> None:
    job_id = bench.job("p")
    with pytest.raises(HttpResponseError) as caught:
        list(bench.client.list_tasks(job_id, max_results=size))
    assert caught.value.status_code == 400


def test_a_tasks_statistics_come_with_expand(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id)
    task = bench.run(job_id, "true")
    assert task.task_statistics is None
    statistics = bench.client.get_task(job_id, task.id, expand=["stats"]).task_statistics
    assert statistics.wall_clock_time > timedelta(0)
    (listed,) = bench.client.list_tasks(job_id, expand=["stats"])
    assert listed.task_statistics is not None


# -- changing


def test_constraints_are_replaced_until_the_task_is_complete(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id)
    done = bench.run(job_id, "true")
    waiting = bench.task(job_id, "sleep 1000")
    constraints = models.BatchTaskConstraints(max_task_retry_count=3, retention_time=timedelta(hours=1))
    bench.client.replace_task(job_id, waiting, models.BatchTask(constraints=constraints))
    task = bench.client.get_task(job_id, waiting)
    assert (task.constraints.max_task_retry_count, task.constraints.retention_time) == (3, timedelta(hours=1))
    with pytest.raises(HttpResponseError) as caught:
        bench.client.replace_task(job_id, done.id, models.BatchTask(constraints=constraints))
    assert caught.value.model.code == "TaskCompleted"


def test_a_task_is_terminated_whether_it_waits_or_runs(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id)
    running = bench.task(job_id, "sleep 1000")
    bench.until(job_id, running, "running")
    waiting = bench.task(job_id, "true")
    for task_id in (waiting, running):
        bench.client.terminate_task(job_id, task_id)
        task = bench.client.get_task(job_id, task_id)
        info = task.execution_info
        assert (task.state, info.result, info.failure_info.code, info.failure_info.category) == (
            "completed",
            "failure",
            "TaskEnded",
            "usererror",
        )
        with pytest.raises(HttpResponseError) as caught:
            bench.client.terminate_task(job_id, task_id)
        assert (caught.value.status_code, caught.value.model.code) == (409, "TaskCompleted")
    bench.run(job_id, "true")


def test_a_failed_task_can_be_reactivated_and_no_other(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id)
    task_id = bench.task(job_id, "test -e $AZ_BATCH_NODE_SHARED_DIR/go")
    assert bench.until(job_id, task_id).execution_info.exit_code == 1
    bench.run(job_id, "touch $AZ_BATCH_NODE_SHARED_DIR/go")
    bench.client.reactivate_task(job_id, task_id)
    task = bench.until(job_id, task_id)
    assert (task.execution_info.exit_code, task.execution_info.failure_info) == (0, None)
    counts = bench.client.get_job_task_counts(job_id).task_counts
    assert (counts.succeeded, counts.failed) == (2, 0)
    with pytest.raises(HttpResponseError) as caught:
        bench.client.reactivate_task(job_id, task_id)
    assert caught.value.model.code == "TaskSucceeded"
    running = bench.task(job_id, "sleep 1000")
    with pytest.raises(HttpResponseError) as caught:
        bench.client.reactivate_task(job_id, running)
    assert caught.value.model.code == "TaskNotCompleted"


def test_a_deleted_task_is_killed_and_forgotten(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id)
    task_id = bench.task(job_id, "sleep 1000")
    bench.until(job_id, task_id, "running")
    bench.client.delete_task(job_id, task_id)
    with pytest.raises(HttpResponseError) as caught:
        bench.client.get_task(job_id, task_id)
    assert (caught.value.status_code, caught.value.model.code) == (404, "TaskNotFound")
    assert bench.client.get_job_task_counts(job_id).task_counts.running == 0
    bench.run(job_id, "true")


# -- dependencies


def depending(*ids: str, ranges: tuple[tuple[int, int], ...] = ()) -> models.BatchTaskDependencies:
    return models.BatchTaskDependencies(
        task_ids=list(ids), task_id_ranges=[models.BatchTaskIdRange(start=a, end=b) for a, b in ranges]
    )


def otherwise(action: str) -> models.ExitConditions:
    """Exit conditions with one dependency action for every failure."""
    return models.ExitConditions(default=models.ExitOptions(dependency_action=action))


def test_dependencies_and_exit_conditions_are_given_back_as_they_were_given(bench: Workbench) -> None:
    job_id = bench.job("p", uses_task_dependencies=True, task_failure_mode="performexitoptionsjobaction")
    depends_on = depending("Later", "later still", ranges=((1, 3),))
    ending = models.ExitOptions(job_action="terminate")
    exit_conditions = models.ExitConditions(
        exit_codes=[models.ExitCodeMapping(code=3, exit_options=ending)],
        exit_code_ranges=[models.ExitCodeRangeMapping(start=-5, end=-1, exit_options=ending)],
        pre_processing_error=models.ExitOptions(dependency_action="satisfy"),
        default=models.ExitOptions(job_action="none", dependency_action="block"),
    )
    task_id = bench.task(job_id, "true", depends_on=depends_on, exit_conditions=exit_conditions)
    plain = bench.task(job_id, "true")
    (listed, other) = bench.client.list_tasks(job_id, select=["id", "dependsOn", "exitConditions"])
    for task in (bench.client.get_task(job_id, task_id), listed):
        assert task.depends_on.as_dict() == depends_on.as_dict()
        assert task.exit_conditions.as_dict() == exit_conditions.as_dict()
    assert other.as_dict() == {"id": plain}


def test_a_task_that_waits_for_another_is_counted_as_active(bench: Workbench) -> None:
    job_id = bench.job("p", uses_task_dependencies=True)
    bench.task(job_id, "true", depends_on=depending("never"), required_slots=3)
    bench.task(job_id, "true")
    result = bench.client.get_job_task_counts(job_id)
    assert (result.task_counts.active, result.task_slot_counts.active) == (2, 4)


def test_the_ids_that_a_task_depends_on_have_room_for_64000_characters(bench: Workbench) -> None:
    job_id = bench.job("p", uses_task_dependencies=True)
    ids = [f"{number:063d}" for number in range(1000)]
    bench.task(job_id, "true", depends_on=depending(*ids))
    with pytest.raises(HttpResponseError) as caught:
        bench.task(job_id, "true", depends_on=depending(*ids, "x"))
    assert (caught.value.status_code, caught.value.model.code) == (400, "TaskDependencyListTooLong")


@pytest.mark.parametrize("bounds", [(3, 2), (-1, 2)])
def test_a_range_must_go_up_from_zero_or_more(bench: Workbench, bounds: tuple[int, int]) -> None:
    job_id = bench.job("p", uses_task_dependencies=True)
    with pytest.raises(HttpResponseError) as caught:
        bench.task(job_id, "true", depends_on=depending(ranges=(bounds,)))
    assert (caught.value.status_code, caught.value.model.code) == (400, "InvalidPropertyValue")


def test_a_task_that_depends_on_itself_waits_for_ever(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id, uses_task_dependencies=True)
    bench.task(job_id, "true", "self", depends_on=depending("SELF"))
    bench.run(job_id, "true")
    assert bench.client.get_task(job_id, "self").state == "active"


def test_a_task_waits_for_those_it_depends_on_whenever_they_come(bench: Workbench) -> None:
    pool_id = bench.pool(2)
    job_id = bench.job(pool_id, uses_task_dependencies=True)
    last = bench.task(job_id, "true", depends_on=depending("first", "second"))
    bench.until(job_id, bench.task(job_id, "true", "first"))
    assert bench.client.get_task(job_id, last).state == "active"
    second = bench.until(job_id, bench.task(job_id, "true", "SECOND"))
    done = bench.until(job_id, last)
    assert done.execution_info.start_time >= second.execution_info.end_time


def test_a_range_is_satisfied_by_all_its_numbers_leading_zeros_or_not(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id, uses_task_dependencies=True)
    bench.until(job_id, bench.task(job_id, "true", "1"))
    last = bench.task(job_id, "true", "last", depends_on=depending(ranges=((1, 3),)))
    bench.until(job_id, bench.task(job_id, "true", "002"))
    bench.until(job_id, bench.task(job_id, "true", "2"))
    assert bench.client.get_task(job_id, last).state == "active"
    bench.until(job_id, bench.task(job_id, "true", "3"))
    bench.until(job_id, last)


def test_a_failed_task_blocks_its_dependents_unless_its_exit_conditions_satisfy_them(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id, uses_task_dependencies=True)
    satisfying = models.ExitConditions(
        exit_codes=[models.ExitCodeMapping(code=5, exit_options=models.ExitOptions(dependency_action="satisfy"))],
        pre_processing_error=models.ExitOptions(dependency_action="satisfy"),
    )
    blocked = bench.task(job_id, "true", depends_on=depending("fails"))
    freed = bench.task(job_id, "true", depends_on=depending("five", "missing"))
    bench.until(job_id, bench.task(job_id, "exit 1", "fails"))
    bench.until(job_id, bench.task(job_id, "exit 5", "five", exit_conditions=satisfying))
    bench.client.create_task(
        job_id,
        models.BatchTaskCreateOptions(id="missing", command_line="no-such-program", exit_conditions=satisfying),
    )
    bench.until(job_id, freed)
    assert bench.client.get_task(job_id, blocked).state == "active"
    bench.client.reactivate_task(job_id, "fails")
    bench.until(job_id, "fails")
    assert bench.client.get_task(job_id, blocked).state == "active"


def test_a_success_may_be_told_to_block(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id, uses_task_dependencies=True)
    conditions = models.ExitConditions(
        exit_codes=[models.ExitCodeMapping(code=0, exit_options=models.ExitOptions(dependency_action="block"))]
    )
    waiting = bench.task(job_id, "true", depends_on=depending("one"))
    bench.until(job_id, bench.task(job_id, "true", "one", exit_conditions=conditions))
    bench.run(job_id, "true")
    assert bench.client.get_task(job_id, waiting).state == "active"


def test_what_completed_before_satisfies_or_blocks_a_task_that_is_added_later(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id, uses_task_dependencies=True)
    bench.run(job_id, "true", task_id="good")
    bench.run(job_id, "exit 1", task_id="bad")
    bench.run(job_id, "exit 1", task_id="excused", exit_conditions=otherwise("satisfy"))
    blocked = bench.task(job_id, "true", depends_on=depending("good", "bad"))
    bench.run(job_id, "true", depends_on=depending("good", "excused"))
    assert bench.client.get_task(job_id, blocked).state == "active"


def test_a_task_ended_by_the_user_blocks_unless_its_exit_conditions_say_otherwise(bench: Workbench) -> None:
    pool_id = bench.pool(2)
    job_id = bench.job(pool_id, uses_task_dependencies=True)
    blocked = bench.task(job_id, "true", depends_on=depending("stops"))
    freed = bench.task(job_id, "true", depends_on=depending("excused"))
    bench.task(job_id, "sleep 1000", "stops")
    bench.task(job_id, "sleep 1000", "excused", exit_conditions=otherwise("satisfy"))
    for task_id in ("stops", "excused"):
        bench.until(job_id, task_id, "running")
        bench.client.terminate_task(job_id, task_id)
    bench.until(job_id, freed)
    assert bench.client.get_task(job_id, blocked).state == "active"


def test_a_task_whose_files_cannot_be_had_blocks_unless_that_is_said_to_satisfy(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id, uses_task_dependencies=True)
    files = [models.ResourceFile(http_url="http://127.0.0.1:1/gone", file_path="gone")]
    blocked = bench.task(job_id, "true", depends_on=depending("missing"))
    freed = bench.task(job_id, "true", depends_on=depending("excused"))
    bench.run(job_id, "true", task_id="missing", resource_files=files)
    excused = models.ExitConditions(
        pre_processing_error=models.ExitOptions(dependency_action="satisfy"),
        default=models.ExitOptions(dependency_action="block"),
    )
    bench.run(job_id, "true", task_id="excused", resource_files=files, exit_conditions=excused)
    bench.until(job_id, freed)
    assert bench.client.get_task(job_id, blocked).state == "active"


def test_only_the_last_retry_decides_for_the_dependents(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id, uses_task_dependencies=True)
    once = models.BatchTaskConstraints(max_task_retry_count=1)
    after_success = bench.task(job_id, "true", depends_on=depending("recovers"))
    after_failure = bench.task(job_id, "true", depends_on=depending("fails"))
    # A retry that was mistaken for the end would satisfy with code 1, not with code 2.
    first_only = models.ExitConditions(
        exit_codes=[models.ExitCodeMapping(code=1, exit_options=models.ExitOptions(dependency_action="satisfy"))]
    )
    twice = "test -e tried && exit {}; touch tried; exit 1"
    bench.task(job_id, twice.format(0), "recovers", constraints=once)
    bench.task(job_id, twice.format(2), "fails", constraints=once, exit_conditions=first_only)
    recovered, failed = bench.until(job_id, "recovers"), bench.until(job_id, "fails")
    assert [task.execution_info.retry_count for task in (recovered, failed)] == [1, 1]
    started = bench.until(job_id, after_success).execution_info.start_time
    assert started >= recovered.execution_info.end_time
    assert bench.client.get_task(job_id, after_failure).state == "active"


def test_a_task_waits_on_while_one_that_lost_its_node_runs_again(bench: Workbench) -> None:
    pool_id = bench.pool(0, spot=1)
    job_id = bench.job(pool_id, uses_task_dependencies=True)
    waiting = bench.task(job_id, "true", depends_on=depending("again"))
    go = bench.emulator.folder / bench.name("go")
    bench.task(job_id, f"until test -e {go}; do sleep 0.02; done", "again")
    node_id = bench.until(job_id, "again", "running").node_info.node_id
    bench.emulator.control.preempt(node_id)
    assert bench.client.get_task(job_id, "again").state == "active"
    bench.emulator.control.restore(node_id)
    bench.until(job_id, "again", "running")
    assert bench.client.get_task(job_id, waiting).state == "active"
    go.touch()
    again = bench.until(job_id, "again")
    assert bench.until(job_id, waiting).execution_info.start_time >= again.execution_info.end_time


def test_a_blocked_task_goes_on_when_the_one_that_failed_is_reactivated_and_succeeds(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id, uses_task_dependencies=True)
    blocked = bench.task(job_id, "true", depends_on=depending("fails"))
    bench.run(job_id, "test -e $AZ_BATCH_NODE_SHARED_DIR/go", task_id="fails")
    bench.run(job_id, "touch $AZ_BATCH_NODE_SHARED_DIR/go")
    assert bench.client.get_task(job_id, blocked).state == "active"
    bench.client.reactivate_task(job_id, "fails")
    bench.until(job_id, blocked)


def test_a_task_added_later_waits_for_one_that_is_deleted_or_runs_again(bench: Workbench) -> None:
    pool_id = bench.pool(2)
    job_id = bench.job(pool_id, uses_task_dependencies=True)
    bench.run(job_id, "true", task_id="deleted")
    stay = bench.emulator.folder / bench.name("stay")
    command = f"test -e {stay} && sleep 1000; exit 1"
    bench.run(job_id, command, task_id="reactivated", exit_conditions=otherwise("satisfy"))
    stay.touch()
    bench.client.delete_task(job_id, "deleted")
    bench.client.reactivate_task(job_id, "reactivated")
    waiting = [bench.task(job_id, "true", depends_on=depending(name)) for name in ("deleted", "reactivated")]
    bench.run(job_id, "true")
    assert [bench.client.get_task(job_id, task_id).state for task_id in waiting] == ["active", "active"]
    bench.run(job_id, "true", task_id="deleted")
    bench.client.terminate_task(job_id, "reactivated")
    for task_id in waiting:
        bench.until(job_id, task_id)


# -- where a task goes


def test_a_task_goes_to_the_node_it_has_an_affinity_to(bench: Workbench) -> None:
    pool_id = bench.pool(3)
    job_id = bench.job(pool_id)
    nodes = list(bench.client.list_nodes(pool_id))
    for node in nodes:
        task = bench.run(job_id, "true", affinity_info=models.BatchAffinityInfo(affinity_id=node.affinity_id))
        assert task.node_info.node_id == node.id


def test_a_task_too_large_for_what_is_free_does_not_hold_up_the_others(bench: Workbench) -> None:
    pool_id = bench.pool(1, task_slots_per_node=4)
    job_id = bench.job(pool_id)
    holding = bench.task(job_id, "sleep 1000", required_slots=3)
    bench.until(job_id, holding, "running")
    large = bench.task(job_id, "true", required_slots=2)
    bench.run(job_id, "true")
    assert bench.client.get_task(job_id, large).state == "active"
    bench.client.terminate_task(job_id, holding)
    bench.until(job_id, large)


# -- multi-instance tasks


def instances(count: int, coordination: str, **more: Any) -> models.MultiInstanceSettings:
    return models.MultiInstanceSettings(
        number_of_instances=count, coordination_command_line=shell(coordination), **more
    )


def test_a_multi_instance_task_coordinates_on_all_its_nodes_and_runs_on_the_first(bench: Workbench) -> None:
    pool_id = bench.pool(3, enable_inter_node_communication=True)
    job_id = bench.job(pool_id)
    task = bench.run(
        job_id,
        "echo application $AZ_BATCH_HOST_LIST $AZ_BATCH_NODE_LIST $CCP_NODES $AZ_BATCH_IS_CURRENT_NODE_MASTER",
        multi_instance_settings=instances(
            3, "echo $AZ_BATCH_IS_CURRENT_NODE_MASTER $AZ_BATCH_MASTER_NODE; sleep 300 & echo on"
        ),
    )
    assert task.execution_info.exit_code == 0
    addresses = {node.id: node.ip_address for node in bench.client.list_nodes(pool_id)}
    word, hosts, nodes, count, *rest = bench.text(job_id, task.id).split()
    assert (word, nodes, count, rest[-1]) == ("application", hosts.replace(",", ";"), "3", "true")
    master = hosts.split(",")[0]
    assert addresses[task.node_info.node_id] == master
    assert set(hosts.split(",")) == set(addresses.values())
    assert bench.text(job_id, task.id, "coordination-stdout.txt") == f"true {master}:6000\non\n"
    subtasks = list(bench.client.list_subtasks(job_id, task.id))
    assert [(each.id, each.state, each.result) for each in subtasks] == [
        (1, "completed", "success"),
        (2, "completed", "success"),
    ]
    for each in subtasks:
        path = f"{each.node_info.task_root_directory}/stdout.txt"
        text = b"".join(bench.client.download_node_file(pool_id, each.node_info.node_id, path))
        assert text.decode() == f"false {master}:6000\non\n"
    assert next(iter(bench.client.list_subtasks(job_id, task.id, select=["id"]))).as_dict() == {"id": 1}


def test_processes_of_a_multi_instance_task_really_meet_over_their_nodes_addresses(bench: Workbench) -> None:
    pool_id = bench.pool(2, enable_inter_node_communication=True)
    job_id = bench.job(pool_id)
    serve = (
        'import os,socket;s=socket.create_server((os.environ["ADDRESS"],7001));c,_=s.accept();'
        'c.sendall(os.environ["AZ_BATCH_NODE_ID"].encode())'
    )
    coordination = (
        "if [ $AZ_BATCH_IS_CURRENT_NODE_MASTER = false ]; then "
        f'export ADDRESS=${{AZ_BATCH_HOST_LIST##*,}}; python3 -c "{serve.replace(chr(34), chr(92) + chr(34))}" & fi'
    )
    ask = (
        'export ADDRESS=${AZ_BATCH_HOST_LIST##*,}; python3 -c "'
        "import os,socket,time\n"
        "for _ in range(200):\n"
        '    try: print(socket.create_connection((os.environ[\\"ADDRESS\\"],7001)).recv(200).decode()); break\n'
        "    except ConnectionRefusedError: time.sleep(0.05)\n"
        '"'
    )
    task = bench.run(job_id, ask, multi_instance_settings=instances(2, coordination))
    (subtask,) = bench.client.list_subtasks(job_id, task.id)
    assert bench.text(job_id, task.id).strip() == subtask.node_info.node_id


def test_a_failing_coordination_command_fails_the_task_before_its_application_runs(bench: Workbench) -> None:
    pool_id = bench.pool(2, enable_inter_node_communication=True)
    job_id = bench.job(pool_id)
    task = bench.run(
        job_id,
        "echo never",
        multi_instance_settings=instances(2, "test $AZ_BATCH_IS_CURRENT_NODE_MASTER = true || exit 6"),
    )
    assert (task.execution_info.exit_code, task.execution_info.result) == (6, "failure")
    (subtask,) = bench.client.list_subtasks(job_id, task.id)
    assert (subtask.exit_code, subtask.result) == (6, "failure")
    bench.nodes(pool_id, "idle", 2)


def test_a_multi_instance_task_is_never_scheduled_without_inter_node_communication(bench: Workbench) -> None:
    pool_id = bench.pool(2)
    job_id = bench.job(pool_id)
    task_id = bench.task(job_id, "true", multi_instance_settings=instances(2, "true"))
    bench.run(job_id, "true")
    assert bench.client.get_task(job_id, task_id).state == "active"


def test_the_background_of_a_multi_instance_task_ends_with_it(bench: Workbench) -> None:
    pool_id = bench.pool(2, enable_inter_node_communication=True)
    job_id = bench.job(pool_id)
    task = bench.run(
        job_id,
        "true",
        multi_instance_settings=instances(2, "sleep 300 & echo $! > $AZ_BATCH_TASK_SHARED_DIR/pid"),
    )
    pid = int(bench.text(job_id, task.id, "pid"))
    import psutil

    wait_for(lambda: psutil.pid_exists(pid), lambda alive: not alive)
