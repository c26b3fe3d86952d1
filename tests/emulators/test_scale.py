"""Twenty thousand tasks, as one sweep has them; two thousand that really run, half of them after one other each."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from azure.batch import models

from orchestrator.emulators.azure_batch import AzureBatchEmulator
from orchestrator.emulators.azure_batch.procscan import marked

from .conftest import Workbench, connect, wait_for

COUNT = 20_000


@pytest.fixture(scope="module")
def large() -> Iterator[tuple[Workbench, str]]:
    """An emulator with a job of 20,000 tasks, and the job's id; a few have run."""
    with AzureBatchEmulator(boot_seconds=0.0) as emulator, connect(emulator) as client:
        bench = Workbench(emulator, client)
        pool_id = bench.pool(1)
        job_id = bench.job(pool_id)
        settings = [models.EnvironmentSetting(name=f"V{n}", value="x" * 40) for n in range(5)]
        for start in range(0, COUNT, 100):
            group = models.BatchTaskGroup(
                task_values=[
                    models.BatchTaskCreateOptions(
                        id=f"t{number:05d}", command_line="sleep 600", environment_settings=settings
                    )
                    for number in range(start, start + 100)
                ]
            )
            results = client.create_task_collection(job_id, group).result_values
            assert {result.status for result in results} == {"success"}
        for number in range(3):
            bench.until(job_id, f"t{number:05d}", "running")
            client.terminate_task(job_id, f"t{number:05d}")
        yield bench, job_id


def test_twenty_thousand_tasks_are_added_in_two_hundred_calls_and_counted(large: tuple[Workbench, str]) -> None:
    bench, job_id = large
    assert bench.emulator.control.calls()["operations"]["create_task_collection"] == {"200": COUNT // 100}
    counts = bench.client.get_job_task_counts(job_id).task_counts
    assert counts.active + counts.running == COUNT - 3
    assert counts.failed == 3


def test_all_of_them_are_listed_once_and_in_order(large: tuple[Workbench, str]) -> None:
    bench, job_id = large
    listed = [task.id for task in bench.client.list_tasks(job_id, select=["id"])]
    assert listed == [f"t{number:05d}" for number in range(COUNT)]


def test_what_changed_last_is_found_among_them(large: tuple[Workbench, str]) -> None:
    bench, job_id = large
    first = bench.client.get_task(job_id, "t00000")
    since = first.state_transition_time.isoformat().replace("+00:00", "Z")
    changed = {task.id for task in bench.client.list_tasks(job_id, filter=f"stateTransitionTime ge {since}")}
    assert {"t00000", "t00001", "t00002"} <= changed
    assert len(changed) <= 5
    completed = bench.client.list_tasks(job_id, filter="state eq 'completed'")
    assert [task.id for task in completed] == ["t00000", "t00001", "t00002"]
    assert [task.id for task in bench.client.list_tasks(job_id, filter="startswith(id,'t1234')")] == [
        f"t1234{number}" for number in range(10)
    ]


def test_they_are_gone_with_their_job(large: tuple[Workbench, str]) -> None:
    bench, job_id = large
    bench.client.begin_delete_job(job_id, polling_interval=0.02).result()
    assert bench.emulator.control.state()["jobs"] == {}


def test_a_thousand_tasks_run_at_once_and_none_outlives_its_job(own_bench: Callable[..., Workbench]) -> None:
    bench = own_bench()
    policy = models.BatchTaskSchedulingPolicy(node_fill_type="spread")
    slots = {"vm_size": "Standard_D64s_v3", "task_slots_per_node": 256}
    job_id = bench.job(bench.pool(4, task_scheduling_policy=policy, **slots))
    tasks = [models.BatchTaskCreateOptions(id=f"t{number}", command_line="sleep 600") for number in range(1000)]
    bench.client.create_tasks(job_id, tasks)
    name = bench.emulator._name
    wait_for(lambda: len(marked(name)), lambda count: count == 1000)
    assert bench.client.get_job_task_counts(job_id).task_counts.running == 1000
    nodes = bench.emulator.control.state()["pools"].popitem()[1]["nodes"].values()
    assert [len(node["tasks"]) for node in nodes] == [250] * 4
    bench.terminate(job_id)
    wait_for(lambda: marked(name), lambda left: left == [])
    assert bench.client.get_job_task_counts(job_id).task_counts.failed == 1000


def test_a_thousand_tasks_begin_each_after_the_one_that_it_waits_for(bench: Workbench) -> None:
    pool_id = bench.pool(1, task_slots_per_node=4)
    job_id = bench.job(pool_id, uses_task_dependencies=True)
    pairs = 1_000
    for start in range(0, pairs, 50):
        group = models.BatchTaskGroup(
            task_values=[
                models.BatchTaskCreateOptions(id=f"{kind}{number:04d}", command_line="true", depends_on=depends_on)
                for number in range(start, start + 50)
                for kind, depends_on in (
                    ("after", models.BatchTaskDependencies(task_ids=[f"before{number:04d}"])),
                    ("before", None),
                )
            ]
        )
        results = bench.client.create_task_collection(job_id, group).result_values
        assert {result.status for result in results} == {"success"}
    wait_for(lambda: bench.client.get_job_task_counts(job_id).task_counts.succeeded, lambda count: count == 2 * pairs)
    ran = {task.id: task.execution_info for task in bench.client.list_tasks(job_id, select=["id", "executionInfo"])}
    assert len(ran) == 2 * pairs
    for number in range(pairs):
        assert ran[f"after{number:04d}"].start_time >= ran[f"before{number:04d}"].end_time
