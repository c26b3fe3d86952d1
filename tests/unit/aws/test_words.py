"""What containers print that never came to run the runner is kept; CloudWatch is asked for nothing else, and seldom."""

from __future__ import annotations

import json
import time
from typing import Any

from botocore.awsrequest import AWSResponse

from orchestrator.providers.aws import logs
from orchestrator.providers.base import Cause, Ended, TaskChanged
from orchestrator.storage.layout import RunKeys
from tests.unit.aws.conftest import RUN, Cloud, request, tasks, told

SAID = "orchestrate: the runner cannot be fetched: blobs/ab: HTTP Error 403: Forbidden"


class Failing:
    """An array whose children have all failed, each with a stream of CloudWatch in which it says why."""

    def __init__(self, cloud: Cloud, size: int) -> None:
        self._size = size
        client = cloud.client("logs")
        client.create_log_group(logGroupName=logs.GROUP)
        client.create_log_stream(logGroupName=logs.GROUP, logStreamName="stream")
        event = {"timestamp": int(time.time() * 1000), "message": SAID}
        client.put_log_events(logGroupName=logs.GROUP, logStreamName="stream", logEvents=[event])
        cloud.wire.disturb = self

    def __call__(self, name: str, sending: Any) -> AWSResponse | None:
        asked = json.loads(sending.body) if name.startswith("batch.") and sending.body else {}
        if name == "batch.DescribeJobs" and asked["jobs"]:
            self._job = asked["jobs"][0].partition(":")[0]
            container = {"exitCode": 1, "logStreamName": "stream"}
            one: dict[str, Any] = {"jobId": asked["jobs"][0], "status": "FAILED", "container": container}
            return told(
                sending,
                {"jobs": [{**one, "arrayProperties": {"statusSummary": {"FAILED": self._size}, "size": self._size}}]},
            )
        if name == "batch.ListJobs" and asked.get("arrayJobId"):
            found = range(self._size) if asked["jobStatus"] == "FAILED" else ()
            jobs = [{"jobId": f"{self._job}:{i}", "status": "FAILED", "container": {"exitCode": 1}} for i in found]
            return told(sending, {"jobSummaryList": jobs})
        return None


def ends(cloud: Cloud, size: int) -> list[Ended]:
    compute = cloud.connect()
    compute.create_pool(request())
    list(compute.submit(RUN, tasks(size)))
    found = compute.changes(RUN, None, 0.0).events
    return [event.ended for event in found if isinstance(event, TaskChanged) and event.ended is not None]


def test_why_a_container_could_not_begin_is_in_the_reason_and_kept_with_the_run(cloud: Cloud) -> None:
    Failing(cloud, 3)
    found = ends(cloud, 3)
    assert [(one.cause, one.reason) for one in found] == [(Cause.EXIT_CODE, f"ended with exit code 1: {SAID}")] * 3
    assert cloud.store.get(RunKeys(RUN).log(2, 1, "stderr")).decode() == f"{SAID}\n"


def test_a_thousand_failures_do_not_use_cloudwatch_up(cloud: Cloud) -> None:
    Failing(cloud, 1000)
    assert len(ends(cloud, 1000)) == 1000
    assert cloud.wire.calls["cloudwatch-logs.GetLogEvents"] <= 2 * logs.KEPT


def test_a_thousand_silent_tasks_cost_cloudwatch_nothing(cloud: Cloud) -> None:
    assert len(ends(cloud, 1000)) == 1000
    assert [name for name in cloud.wire.calls if "logs" in name] == []
