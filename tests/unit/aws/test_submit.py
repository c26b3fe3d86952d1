"""Every task in exactly one array, by few calls, whatever happens to them on the way."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from orchestrator.errors import Unavailable
from orchestrator.providers.base import Phase, TaskChanged
from tests.unit.aws.conftest import RUN, Cloud, request, tasks, told


def sent(cloud: Cloud) -> int:
    """How many tasks the server was given, each as often as it was."""
    return sum(job.get("arrayProperties", {}).get("size", 1) for job in cloud.jobs())


def test_ten_thousand_trials_take_at_most_twelve_calls_from_nothing_to_submitted(cloud: Cloud) -> None:
    compute = cloud.connect()
    compute.create_pool(request())
    names = list(compute.submit(RUN, tasks(10_000)))
    assert names == [task.name for task in tasks(10_000)]
    assert sent(cloud) == 10_000
    assert cloud.wire.calls["batch.SubmitJob"] == 1
    assert cloud.wire.batch_calls() <= 12
    assert cloud.wire.batch_calls() <= compute.estimate(request(tasks=10_000)).api_calls


def test_a_plan_counts_no_more_machines_than_there_are_tasks_for(cloud: Cloud) -> None:
    compute, wide = cloud.connect(), request(slots=None, max_nodes=None)
    few, many, unknown = (compute.estimate(replace(wide, tasks=count or None)) for count in (2, 10_000, 0))
    assert (few.nodes, few.rate) == (2, pytest.approx(few.nodes * many.rate / many.nodes))
    assert many.nodes == unknown.nodes > 2


def test_one_task_alone_is_a_plain_job(cloud: Cloud) -> None:
    compute = cloud.connect()
    compute.create_pool(request())
    assert list(compute.submit(RUN, tasks(1))) == ["t000000-a1"]
    assert [job["jobName"] for job in cloud.jobs()] == [f"orchestrate-{RUN}-b0001"]
    assert "size" not in cloud.jobs()[0].get("arrayProperties", {})


def test_another_connection_sends_only_what_is_new(cloud: Cloud) -> None:
    first = cloud.connect()
    first.create_pool(request())
    list(first.submit(RUN, tasks(50)))
    second = cloud.connect()
    second.create_pool(request())
    assert len(list(second.submit(RUN, tasks(60)))) == 60
    assert sent(cloud) == 60


def test_a_submission_whose_answer_was_lost_is_not_sent_again(cloud: Cloud) -> None:
    compute = cloud.connect()
    compute.create_pool(request())
    lost: list[str] = []

    def lose_once(name: str, sending: Any) -> Any:
        if name == "batch.SubmitJob" and not lost:
            lost.append(name)
            return cloud.wire.lose(sending)
        return None

    cloud.wire.disturb = lose_once
    assert len(list(compute.submit(RUN, tasks(30)))) == 30
    assert lost
    assert sent(cloud) == 30


def test_a_client_that_died_after_sending_finds_what_it_sent(cloud: Cloud) -> None:
    first = cloud.connect()
    first.create_pool(request())

    def die(name: str, sending: Any) -> Any:
        if name == "batch.SubmitJob":
            try:
                cloud.wire.lose(sending)
            finally:
                raise KeyboardInterrupt
        return None

    cloud.wire.disturb = die
    try:
        list(first.submit(RUN, tasks(30)))
        raise AssertionError("it should have died")
    except KeyboardInterrupt:
        cloud.wire.disturb = lambda name, sending: None
    second = cloud.connect()
    second.create_pool(request())
    assert len(list(second.submit(RUN, tasks(30)))) == 30
    assert sent(cloud) == 30


def test_what_a_client_sent_right_before_it_died_is_found_though_listings_lag(cloud: Cloud) -> None:
    first = cloud.connect()
    first.create_pool(request())
    list(first.submit(RUN, tasks(30)))
    hidden: list[str] = []

    def lag(name: str, sending: Any) -> AWSResponse | None:
        if name == "batch.ListJobs" and len(hidden) < 2:
            hidden.append(name)
            return told(sending, {"jobSummaryList": []})
        return None

    cloud.wire.disturb = lag
    second = cloud.connect()
    second.create_pool(request())
    assert len(list(second.submit(RUN, tasks(30)))) == 30
    assert len(hidden) == 2
    assert sent(cloud) == 30


def test_a_client_that_died_before_sending_leaves_a_list_that_means_nothing(cloud: Cloud) -> None:
    first = cloud.connect()
    first.create_pool(request())
    cloud.wire.disturb = lambda name, sending: cloud.wire.break_(sending) if name == "batch.SubmitJob" else None
    first._aws._sleep = lambda seconds: None
    try:
        list(first.submit(RUN, tasks(30)))
        raise AssertionError("it should have failed")
    except Unavailable:
        cloud.wire.disturb = lambda name, sending: None
    assert len(list(first.submit(RUN, tasks(30)))) == 30
    assert sent(cloud) == 30


def test_with_a_fifth_of_all_calls_failing_every_task_is_submitted_exactly_once(cloud: Cloud) -> None:
    for seed in range(5):
        run = f"faulty-{seed}"
        compute = cloud.connect()
        compute._aws._sleep = lambda seconds: None
        cloud.wire.fail(0.2, seed)
        compute.create_pool(request(name=run))
        names: list[str] = []
        for attempt in range(1, 9):
            names += compute.submit(run, tasks(20, attempt))
        cloud.wire.disturb = lambda name, sending: None
        assert names == [task.name for attempt in range(1, 9) for task in tasks(20, attempt)]
        mine = [job for job in cloud.jobs() if job["jobName"].startswith(f"orchestrate-{run}-b")]
        assert Counter(job["jobName"] for job in mine).most_common(1)[0][1] == 1
        assert sum(job["arrayProperties"]["size"] for job in mine) == 160
    assert cloud.wire.calls["batch.SubmitJob"] > 40, "the disturbance did disturb"


def test_a_look_at_ten_thousand_tasks_costs_as_many_calls_as_one_at_ten(cloud: Cloud) -> None:
    cost: list[int] = []
    for number, count in enumerate((10, 10_000)):
        run = f"looks-{number}"
        compute = cloud.connect()
        compute.create_pool(request(name=run))
        list(compute.submit(run, tasks(count)))
        found = compute.changes(run, None, 0.0)
        ended = [event for event in found.events if isinstance(event, TaskChanged) and event.phase is Phase.ENDED]
        assert len(ended) == count, "what no runner told is asked of the service"
        cloud.wire.calls.clear()
        compute.changes(run, found.cursor, 0.0)
        cost.append(sum(cloud.wire.calls.values()))
    assert cost[0] == cost[1] <= 2
