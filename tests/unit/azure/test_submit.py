"""Tasks are added in few calls, each is acknowledged or named, and none is lost or added twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.errors import InvalidRequest, NotFound, Unavailable
from orchestrator.providers.azure import submit as submitting
from orchestrator.providers.base import Task
from tests.unit.azure.conftest import Cloud, task


def added(cloud: Cloud, run: str) -> list[str]:
    batch = cloud.connect(run)._batch
    return sorted(item.id for page in batch.pages(batch.sdk.list_tasks(run, select=["id"])) for item in page)


def names(count: int) -> list[str]:
    return [task(trial).name for trial in range(count)]


def many(count: int) -> list[Task]:
    return [task(trial, "exec sleep 1000") for trial in range(count)]


def test_ten_thousand_tasks_cost_at_most_103_calls_from_nothing_to_submitted(cloud: Cloud) -> None:
    def everything() -> None:
        run, compute = cloud.pool(max_nodes=1, slots=1)
        assert list(compute.submit(run, many(10_000))) == names(10_000)

    calls = cloud.calls(everything)
    assert calls["create_task_collection"] == 100
    assert sum(calls.values()) <= 103


def test_the_estimate_tells_the_calls(cloud: Cloud) -> None:
    compute = cloud.connect("estimate")
    assert compute.estimate(cloud.request("estimate", tasks=10_000)).api_calls == 103
    assert compute.estimate(cloud.request("estimate", tasks=1)).api_calls == 4


def test_a_plan_counts_no_more_machines_than_there_are_tasks_for(cloud: Cloud) -> None:
    compute = cloud.connect("estimate")
    wide = cloud.request("estimate", slots=None, max_nodes=None, price=0.5, vm_size="Standard_D4s_v5")
    few, many, unknown = (compute.estimate(replace(wide, tasks=count or None)) for count in (5, 10_000, 0))
    assert (few.nodes, few.rate) == (2, pytest.approx(1.0))
    assert many.nodes == unknown.nodes > 2


@pytest.mark.parametrize("when", ["before", "after"])
def test_calls_whose_answer_is_lost_neither_lose_nor_double_a_task(cloud: Cloud, when: str) -> None:
    run, compute = cloud.pool(max_nodes=1, slots=1)
    cloud.control.drop(0.3, seed=5, when=when, operations=["create_task_collection"])
    assert list(compute.submit(run, many(1000))) == names(1000)
    cloud.control.clear_faults()
    assert added(cloud, run) == names(1000)


def test_single_tasks_that_the_service_fails_at_are_added_in_the_end(cloud: Cloud) -> None:
    run, compute = cloud.pool(max_nodes=1, slots=1)
    cloud.control.fail_tasks_in_collections(0.4, seed=3)
    assert list(compute.submit(run, many(500))) == names(500)
    cloud.control.clear_faults()
    assert added(cloud, run) == names(500)


def test_tasks_that_are_never_acknowledged_are_named(cloud: Cloud) -> None:
    run, compute = cloud.pool(max_nodes=1, slots=1)
    cloud.control.fail_tasks_in_collections(1.0)
    submission = submitting.submit(
        compute._batch, run, ({"id": name, "commandLine": "x"} for name in names(3)), sleep=lambda seconds: None
    )
    with pytest.raises(Unavailable, match="3 tasks of 3: t000000-a1, t000001-a1"):
        list(submission)


def test_a_chunk_that_is_too_large_is_halved_until_it_fits(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submitting, "CHUNK_BYTES", 1 << 30)
    run, compute = cloud.pool(max_nodes=1, slots=1)
    large = [task(trial, "exec sleep 1000", filler="x" * 30_000) for trial in range(100)]
    calls = cloud.calls(lambda: list(compute.submit(run, large)))
    assert calls["create_task_collection"] > 2
    assert added(cloud, run) == names(100)


def test_chunks_are_cut_before_they_are_too_large(cloud: Cloud) -> None:
    run, compute = cloud.pool(max_nodes=1, slots=1)
    large = [task(trial, "exec sleep 1000", filler="x" * 30_000) for trial in range(100)]
    calls = cloud.calls(lambda: list(compute.submit(run, large)))
    assert calls["create_task_collection"] <= 5
    assert added(cloud, run) == names(100)


def test_a_task_that_is_refused_is_the_first_that_was_not_acknowledged(cloud: Cloud) -> None:
    run, compute = cloud.pool(max_nodes=1, slots=1)
    tasks = many(250)
    tasks[130] = Task("not a valid/name", 130, 1, {"script": "", "value": ""})
    acknowledged: list[str] = []
    with pytest.raises(InvalidRequest):
        for name in compute.submit(run, tasks):
            acknowledged.append(name)
    wanted = [item.name for item in tasks]
    missing = [name for name in wanted if name not in set(acknowledged)]
    assert missing[0] == "not a valid/name"
    assert set(acknowledged) == set(added(cloud, run))


def test_a_job_that_has_ended_takes_no_tasks_and_is_made_anew(cloud: Cloud) -> None:
    run, compute = cloud.pool()
    compute._batch.send("POST", f"jobs/{run}/terminate", {})
    with pytest.raises(NotFound):
        list(compute.submit(run, [task(0)]))
    compute.create_pool(cloud.request(run))
    assert list(compute.submit(run, [task(0)])) == [task(0).name]
