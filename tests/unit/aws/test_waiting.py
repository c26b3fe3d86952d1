"""Why tasks wait reaches the user at once, in AWS's own words, for one call now and then."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from orchestrator.providers.base import Cause, PoolState, TaskChanged
from tests.unit.aws.conftest import RUN, Cloud, request, tasks, told

CAPACITY = "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - All the instance types are out of capacity."
MISCONFIGURED = "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job needs more than any machine has."


class Waiting:
    """A queue whose one array waits with a reason until ``ended`` says how its tasks ended."""

    def __init__(self, cloud: Cloud, size: int) -> None:
        self.reason = CAPACITY
        self.ended = False
        self._size, self._job = size, ""
        cloud.wire.disturb = self

    def __call__(self, name: str, sending: Any) -> AWSResponse | None:
        asked = json.loads(sending.body) if name.startswith("batch.") and sending.body else {}
        word = "FAILED" if self.ended else "RUNNABLE"
        if name == "batch.DescribeJobs" and asked["jobs"]:
            self._job = asked["jobs"][0]
            whole: dict[str, Any] = {"jobId": self._job, "status": "FAILED" if self.ended else "PENDING"}
            if self._size > 1:
                whole["arrayProperties"] = {"statusSummary": {word: self._size}, "size": self._size}
            else:
                whole.update(status=word, statusReason=self.reason)
            return told(sending, {"jobs": [whole]})
        if name == "batch.ListJobs" and asked.get("arrayJobId"):
            found = range(self._size) if asked["jobStatus"] == word else ()
            jobs = [{"jobId": f"{self._job}:{i}", "status": word, "statusReason": self.reason} for i in found]
            return told(sending, {"jobSummaryList": jobs})
        return None


@pytest.mark.parametrize("size", [1, 3])
def test_the_reason_for_which_tasks_wait_is_in_the_pool_s_status(cloud: Cloud, size: int) -> None:
    compute = cloud.connect()
    compute.create_pool(request())
    waiting = Waiting(cloud, size)
    list(compute.submit(RUN, tasks(size)))
    found = compute.changes(RUN, None, 0.0)
    status = compute.pool_status(RUN)
    assert (status.state, status.reason) == (PoolState.READY, CAPACITY)
    cloud.wire.calls.clear()
    assert compute.pool_status(RUN).reason == CAPACITY
    assert cloud.wire.calls["batch.ListJobs"] == 0, "it is asked for now and then"
    waiting.reason, waiting.ended = MISCONFIGURED, True
    for _ in range(2):
        found = compute.changes(RUN, found.cursor, 0.0)
    ended = [event.ended for event in found.events if isinstance(event, TaskChanged) and event.ended is not None]
    assert [(one.cause, one.reason) for one in ended] == [(Cause.COMMAND, MISCONFIGURED)] * size


def test_an_environment_that_aws_finds_wrong_is_a_lasting_failure_in_its_words(cloud: Cloud) -> None:
    compute = cloud.connect()
    compute.create_pool(request())
    wrong = "CLIENT_ERROR - You are not authorized to use launch template"

    def invalid(name: str, sending: Any) -> AWSResponse | None:
        if name != "batch.DescribeComputeEnvironments":
            return None
        thing = {"computeEnvironmentName": f"orchestrate-{RUN}-main", "status": "INVALID", "state": "ENABLED"}
        return told(sending, {"computeEnvironments": [{**thing, "statusReason": wrong}]})

    cloud.wire.disturb = invalid
    status = compute.pool_status(RUN)
    assert status.state is PoolState.FAILED
    assert wrong in status.reason
