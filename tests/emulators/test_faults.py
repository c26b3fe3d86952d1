"""What a test can do to the service behind the client's back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from azure.batch import models
from azure.core.exceptions import (
    HttpResponseError,
    IncompleteReadError,
    ResourceExistsError,
    ServiceRequestError,
    ServiceResponseError,
)

from orchestrator.emulators.azure_batch import AzureBatchEmulator, Control, ControlError

from .conftest import Workbench, connect, shell, wait_for


@pytest.fixture
def control(emulator: AzureBatchEmulator) -> Iterator[Control]:
    emulator.control.reset_calls()
    yield emulator.control
    emulator.control.clear_faults()


@pytest.fixture
def plain(emulator: AzureBatchEmulator) -> Iterator[Workbench]:
    """Without the recorder, which knows nothing of faults."""
    with connect(emulator) as client:
        yield Workbench(emulator, client)


def outcome(call: Callable[[], Any]) -> str:
    try:
        call()
    except HttpResponseError as problem:
        return str(problem.status_code)
    except (ServiceRequestError, ServiceResponseError):
        return "lost"
    return "ok"


# -- calls


@pytest.mark.parametrize(("status", "code"), [(429, "TooManyRequests"), (503, "ServerBusy")])
def test_a_throttled_call_says_when_to_come_back_and_has_no_effect(
    control: Control, plain: Workbench, status: int, code: str
) -> None:
    control.throttle(status=status, retry_after=7, operations=["create_job"])
    job_id = plain.name("job")
    with pytest.raises(HttpResponseError) as caught:
        plain.client.create_job(models.BatchJobCreateOptions(id=job_id, pool_info=models.BatchPoolInfo(pool_id="p")))
    assert (caught.value.status_code, caught.value.model.code) == (status, code)
    assert caught.value.response.headers["Retry-After"] == "7"
    control.clear_faults()
    with pytest.raises(HttpResponseError) as caught:
        plain.client.get_job(job_id)
    assert caught.value.status_code == 404


def test_the_sdks_own_retries_get_through_a_throttle(control: Control, emulator: AzureBatchEmulator) -> None:
    control.throttle(retry_after=0.01, times=2)
    with connect(emulator, retry_total=3) as client:
        assert list(client.list_applications()) == []
    assert control.calls()["operations"]["list_applications"] == {"200": 1, "503": 2}


@pytest.mark.parametrize(("when", "status"), [("before", 404), ("after", 200)])
@pytest.mark.parametrize("kind", ["drop", "error"])
def test_a_call_fails_before_or_after_its_effect(
    control: Control, plain: Workbench, kind: str, when: str, status: int
) -> None:
    getattr(control, kind)(when=when, operations=["create_job"])
    job_id = plain.name("job")
    options = models.BatchJobCreateOptions(id=job_id, pool_info=models.BatchPoolInfo(pool_id="p"))
    assert outcome(lambda: plain.client.create_job(options)) == {"drop": "lost", "error": "500"}[kind]
    assert outcome(lambda: plain.client.get_job(job_id)) == {404: "404", 200: "ok"}[status]


def test_a_broken_response_comes_after_the_effect(control: Control, plain: Workbench) -> None:
    job_id = plain.job("p")
    control.break_responses(operations=["create_task_collection"])
    group = models.BatchTaskGroup(
        task_values=[models.BatchTaskCreateOptions(id=f"t{n}", command_line="true") for n in range(10)]
    )
    with pytest.raises((ServiceResponseError, IncompleteReadError, HttpResponseError)):
        plain.client.create_task_collection(job_id, group)
    control.clear_faults()
    assert len(list(plain.client.list_tasks(job_id))) == 10
    assert {each.error.code for each in plain.client.create_task_collection(job_id, group).result_values} == {
        "TaskExists"
    }


def test_a_delay_holds_the_answer_up(control: Control, emulator: AzureBatchEmulator) -> None:
    control.delay(5.0, operations=["list_applications"])
    with connect(emulator, read_timeout=0.2) as client, pytest.raises(ServiceResponseError):
        list(client.list_applications())


def test_single_tasks_of_a_collection_fail_and_are_made_good_by_a_repeat(control: Control, plain: Workbench) -> None:
    job_id = plain.job("p")
    control.fail_tasks_in_collections(0.3, seed=5)
    tasks = [models.BatchTaskCreateOptions(id=f"t{n:02d}", command_line="true") for n in range(50)]
    results = plain.client.create_task_collection(job_id, models.BatchTaskGroup(task_values=tasks)).result_values
    failed = [result.task_id for result in results if result.status == "servererror"]
    assert 5 <= len(failed) <= 25
    assert len(list(plain.client.list_tasks(job_id))) == 50 - len(failed)
    plain.client.create_tasks(job_id, tasks)
    assert len(list(plain.client.list_tasks(job_id))) == 50


def test_which_calls_fail_follows_from_the_seed(control: Control, plain: Workbench) -> None:
    def pattern(seed: int) -> list[str]:
        control.clear_faults()
        control.error(0.4, seed=seed, operations=["list_applications"])
        return [outcome(lambda: list(plain.client.list_applications())) for _ in range(40)]

    first = pattern(1)
    assert first == pattern(1)
    assert first != pattern(2)
    assert 8 <= first.count("500") <= 24


def test_a_fault_can_be_narrowed_by_path_count_and_number(control: Control, plain: Workbench) -> None:
    one, other = plain.job("p"), plain.job("p")
    control.error(path=f"/jobs/{one}$", skip=1, times=2)
    assert [outcome(lambda: plain.client.get_job(one)) for _ in range(5)] == ["ok", "500", "500", "ok", "ok"]
    assert outcome(lambda: plain.client.get_job(other)) == "ok"
    (rule,) = control.faults()
    assert (rule["hits"], rule["calls"]) == (2, 5)


def test_an_error_may_be_any_of_the_services(control: Control, plain: Workbench) -> None:
    control.error(status=500, code="OperationTimedOut", operations=["list_pools"])
    with pytest.raises(HttpResponseError) as caught:
        list(plain.client.list_pools())
    assert (caught.value.status_code, caught.value.model.code) == (500, "OperationTimedOut")


def test_a_client_that_repeats_survives_a_fifth_of_all_calls_failing(own_bench: Any) -> None:
    bench: Workbench = own_bench()
    control = bench.emulator.control
    pool_id = bench.pool(2)
    control.error(0.06, seed=1, when="before")
    control.error(0.06, seed=2, when="after")
    control.drop(0.04, seed=3, when="after")
    control.throttle(0.06, seed=4, retry_after=0.01)

    def persist(call: Callable[[], Any]) -> Any:
        while True:
            try:
                return call()
            except ResourceExistsError:
                return None
            except (HttpResponseError, ServiceRequestError, ServiceResponseError):
                continue

    with connect(bench.emulator) as client:
        options = models.BatchJobCreateOptions(id="j", pool_info=models.BatchPoolInfo(pool_id=pool_id))
        persist(lambda: client.create_job(options))
        tasks = [models.BatchTaskCreateOptions(id=f"t{n:03d}", command_line="true") for n in range(60)]
        for start in range(0, 60, 10):
            group = models.BatchTaskGroup(task_values=tasks[start : start + 10])
            persist(lambda group=group: client.create_task_collection("j", group))
        for _ in range(60):
            persist(lambda: client.get_job("j"))
        wait_for(
            lambda: persist(lambda: client.get_job_task_counts("j").task_counts.succeeded), lambda count: count == 60
        )
    hits = {rule["kind"] + rule["when"]: rule["hits"] for rule in control.faults()}
    assert all(hits.values())


def test_an_order_that_makes_no_sense_is_refused_with_the_reason(control: Control) -> None:
    for order, reason in (
        (lambda: control.fault("explode"), "kind must be one of"),
        (lambda: control.fault("error", fraction=2), "between 0 and 1"),
        (lambda: control.fault("error", path="("), "no regular expression"),
        (lambda: control.fault("error", code="NoSuchCode"), "NoSuchCode"),
        (lambda: control.fault("error", colour="red"), "unknown: colour"),
        (lambda: control.preempt("no-such-node"), "no-such-node"),
        (lambda: control.advance(-5), "cannot go back"),
    ):
        with pytest.raises(ControlError) as caught:
            order()
        assert reason in str(caught.value)


def test_the_control_api_needs_the_key(emulator: AzureBatchEmulator) -> None:
    with pytest.raises(ControlError) as caught:
        Control(emulator.endpoint, "wrong").state()
    assert "x-emulator-key" in str(caught.value)


def test_calls_are_counted_by_operation_and_answer(control: Control, plain: Workbench) -> None:
    list(plain.client.list_applications())
    outcome(lambda: plain.client.get_job("none"))
    assert control.calls() == {
        "total": 2,
        "operations": {"get_job": {"404": 1}, "list_applications": {"200": 1}},
    }


# -- allocations


def test_a_passing_allocation_failure_is_over_at_the_next_attempt(own_bench: Any) -> None:
    bench: Workbench = own_bench()
    bench.emulator.control.fail_allocation("AllocationFailed", times=1, grant=1)
    pool_id = bench.pool(3, wait=False)
    pool = bench.steady(pool_id)
    assert pool.current_dedicated_nodes == 1
    assert [error.code for error in pool.resize_errors] == ["AllocationFailed"]
    assert pool.resize_errors[0].message
    resize = models.BatchPoolResizeOptions(target_dedicated_nodes=3)
    bench.client.begin_resize_pool(pool_id, resize, polling_interval=0.02).result()
    pool = bench.client.get_pool(pool_id)
    assert (pool.current_dedicated_nodes, pool.resize_errors) == (3, None)


def test_a_lasting_allocation_failure_lasts_until_it_is_taken_back(own_bench: Any) -> None:
    bench: Workbench = own_bench()
    control = bench.emulator.control
    rule = control.fail_allocation("AccountLowPriorityCoreQuotaReached", kind="spot")
    pool_id = bench.pool(1, spot=1, wait=False)
    resize = models.BatchPoolResizeOptions(target_dedicated_nodes=1, target_low_priority_nodes=1)
    for _ in range(2):
        pool = bench.steady(pool_id)
        assert (pool.current_dedicated_nodes, pool.current_low_priority_nodes) == (1, 0)
        assert [error.code for error in pool.resize_errors] == ["AccountLowPriorityCoreQuotaReached"]
        bench.client.begin_resize_pool(pool_id, resize, polling_interval=0.02).result()
    control.allow_allocation(rule)
    bench.client.begin_resize_pool(pool_id, resize, polling_interval=0.02).result()
    assert bench.client.get_pool(pool_id).current_low_priority_nodes == 1


def test_an_allocation_failure_may_hold_for_one_pool_and_for_a_while(own_bench: Any) -> None:
    bench: Workbench = own_bench()
    bench.emulator.control.fail_allocation(pool="unlucky", seconds=3600)
    bench.pool(1)
    bench.client.create_pool(
        models.BatchPoolCreateOptions(
            id="unlucky",
            vm_size="Standard_D2s_v3",
            virtual_machine_configuration=next(iter(bench.client.list_pools())).virtual_machine_configuration,
            target_dedicated_nodes=1,
        )
    )
    assert bench.steady("unlucky").current_dedicated_nodes == 0
    bench.emulator.control.advance(3601)
    resize = models.BatchPoolResizeOptions(target_dedicated_nodes=1)
    bench.client.begin_resize_pool("unlucky", resize, polling_interval=0.02).result()
    assert bench.client.get_pool("unlucky").current_dedicated_nodes == 1


# -- nodes and time


def test_only_spot_nodes_are_preempted(own_bench: Any) -> None:
    bench: Workbench = own_bench()
    pool_id = bench.pool(1)
    (node,) = bench.emulator.control.nodes(pool_id)
    with pytest.raises(ControlError) as caught:
        bench.emulator.control.preempt(node)
    assert "only spot nodes" in str(caught.value)


def test_half_the_nodes_can_be_preempted_and_every_task_still_runs_once(own_bench: Any) -> None:
    bench: Workbench = own_bench()
    go = bench.emulator.folder / "go"
    pool_id = bench.pool(0, spot=4)
    job_id = bench.job(pool_id)
    tasks = [
        models.BatchTaskCreateOptions(id=f"t{n:02d}", command_line=shell(f"until test -e {go}; do sleep 0.02; done"))
        for n in range(40)
    ]
    bench.client.create_tasks(job_id, tasks)
    wait_for(lambda: bench.client.get_job_task_counts(job_id).task_counts.running, lambda count: count == 4)
    for node in bench.emulator.control.nodes(pool_id)[:2]:
        bench.emulator.control.preempt(node, restore_after=0.3)
    go.touch()
    wait_for(lambda: bench.client.get_job_task_counts(job_id).task_counts.succeeded, lambda count: count == 40)
    for task in bench.client.list_tasks(job_id):
        assert task.execution_info.requeue_count == 0
        assert task.execution_info.retry_count == 0


def test_the_clock_shows_in_every_time_that_is_given_back(own_bench: Any) -> None:
    from datetime import UTC, datetime, timedelta

    start = datetime(2030, 1, 1, tzinfo=UTC)
    bench: Workbench = own_bench(clock=start)
    job_id = bench.job(bench.pool(1))
    bench.emulator.control.advance(24 * 3600)
    task = bench.run(job_id, "true")
    assert start + timedelta(days=1) < task.creation_time < start + timedelta(days=1, minutes=5)
    file = bench.client.get_task_file_properties(job_id, task.id, "stdout.txt")
    assert start + timedelta(days=1) <= file.last_modified < start + timedelta(days=1, minutes=5)
    assert bench.emulator.control.state()["time"].startswith("2030-01-02T00:0")
