"""Failures that EventBridge tells of are known at the next look, for a constant number of calls."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.emulators.emulated import environment
from orchestrator.providers.aws import account, settings
from orchestrator.providers.base import Cause, TaskChanged
from tests.unit.aws.conftest import RUN, Cloud, request, tasks
from tests.unit.aws.test_waiting import Waiting


@pytest.fixture
def queue(cloud: Cloud) -> Iterator[str]:
    """The queue and the rule that `doctor --fix` makes, and its URL in the settings."""
    made = list(account.fix(cloud.connect()._aws, settings.load(cloud.home), cloud.home.path / "profiles.toml"))
    (url,) = [check.detail for check in made if check.name == "events"]
    cloud.wire.calls.clear()
    with environment({"ORCHESTRATE_AWS_EVENTS": url}):
        yield url


def tell(cloud: Cloud, job: str, run: str, status: str = "FAILED", **detail: Any) -> None:
    """As AWS Batch tells of a job."""
    where = f"arn:aws:batch:us-east-1:123456789012:job-queue/orchestrate-{run}"
    body = {"jobId": job, "jobQueue": where, "status": status, "container": {"exitCode": 137}, **detail}
    event = {"Source": "aws.batch", "DetailType": "Batch Job State Change", "Detail": json.dumps(body)}
    assert cloud.client("events").put_events(Entries=[event])["FailedEntryCount"] == 0


def left(cloud: Cloud, queue: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    told = cloud.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    return sum(int(value) for value in told.values())


def test_a_container_that_died_without_a_word_is_heard_of_and_others_events_are_left_to_them(
    cloud: Cloud, queue: str
) -> None:
    compute = cloud.connect()
    compute.create_pool(request())
    Waiting(cloud, 3)
    list(compute.submit(RUN, tasks(3)))
    found = compute.changes(RUN, None, 0.0)
    (job,) = (one["jobId"] for one in cloud.jobs())
    tell(cloud, f"{job}:1", RUN, statusReason="Host EC2 (instance i-1) terminated.")
    tell(cloud, job, RUN)  # the array itself, which is no task
    tell(cloud, "another:0", "another-run")
    tell(cloud, f"{job}:2", RUN, status="RUNNING")  # which the rule leaves out
    assert left(cloud, queue) == 3
    cloud.wire.calls.clear()
    found = compute.changes(RUN, found.cursor, 0.0)
    ended = {event.name: event.ended for event in found.events if isinstance(event, TaskChanged)}
    assert {name: how.cause for name, how in ended.items() if how} == {"t000001-a1": Cause.PREEMPTED}
    assert left(cloud, queue) == 1
    assert dict(cloud.wire.calls) == {"sqs.ReceiveMessage": 1, "sqs.DeleteMessageBatch": 1, "s3.ListObjectsV2": 1}
    assert compute.changes(RUN, found.cursor, 0.0).events == []


def test_without_its_queue_a_run_goes_on_by_lists(cloud: Cloud, queue: str) -> None:
    compute = cloud.connect()
    compute._aws._sleep = lambda seconds: None
    compute.create_pool(request())
    waiting = Waiting(cloud, 2)
    list(compute.submit(RUN, tasks(2)))
    found = compute.changes(RUN, None, 0.0)
    cloud.client("sqs").delete_queue(QueueUrl=queue)
    waiting.ended = True
    progress = compute._progress[RUN]
    progress._monotonic = lambda: 1e12  # a minute later
    assert [compute.changes(RUN, found.cursor, 0.0).events for _ in range(2)][-1]
