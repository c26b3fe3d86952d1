"""The service's words in ours."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.providers.aws.states import CANCELLED, LIVE, how_ended
from orchestrator.providers.base import Cause


def failed(status: str = "Essential container in task exited", **container: Any) -> dict[str, Any]:
    return {"status": "FAILED", "statusReason": status, "container": container, "startedAt": 1000, "stoppedAt": 2500}


@pytest.mark.parametrize(
    ("job", "cause"),
    [
        (failed("Host EC2 (instance i-0123456789) terminated."), Cause.PREEMPTED),
        (failed(CANCELLED), Cause.CANCELLED),
        (failed("CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - no machines"), Cause.NO_CAPACITY),
        (failed("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - too large"), Cause.COMMAND),
        (failed("Job attempt duration exceeded timeout"), Cause.TIMEOUT),
        (failed(reason="CannotPullContainerError: no such image"), Cause.COMMAND),
        (failed(reason="OutOfMemoryError: Container killed due to memory usage", exitCode=137), Cause.EXIT_CODE),
        (failed(exitCode=127), Cause.COMMAND),
        (failed(exitCode=121), Cause.INFRASTRUCTURE),
        (failed(exitCode=120), Cause.INFRASTRUCTURE),
        (failed(exitCode=137), Cause.INFRASTRUCTURE),
        (failed(exitCode=7), Cause.EXIT_CODE),
        (failed(reason="ResourceInitializationError: no network"), Cause.INFRASTRUCTURE),
        ({"status": "FAILED"}, Cause.INFRASTRUCTURE),
    ],
)
def test_a_failure_has_a_cause_and_a_reason(job: dict[str, Any], cause: Cause) -> None:
    ended = how_ended(job)
    assert ended.cause is cause
    assert ended.reason


def test_a_success_has_no_cause_and_times_are_seconds() -> None:
    ended = how_ended({"status": "SUCCEEDED", "container": {"exitCode": 0}, "startedAt": 1000, "stoppedAt": 2500})
    assert (ended.cause, ended.exit_code, ended.started, ended.finished) == (None, 0, 1.0, 2.5)


def test_what_lives_is_what_has_neither_succeeded_nor_failed() -> None:
    assert set(LIVE) == {"SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING"}
