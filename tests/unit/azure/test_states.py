"""The service's words for tasks and pools, in ours."""

from __future__ import annotations

from typing import Any

import pytest
from azure.batch.models import BatchTask, BatchTaskState, ResizeError

from orchestrator.providers.azure import states
from orchestrator.providers.base import Cause, Phase


def listed(state: str, **info: Any) -> BatchTask:
    return BatchTask(
        {
            "id": "t000001-a1",
            "state": state,
            "stateTransitionTime": "2026-11-21T04:00:02.5Z",
            "executionInfo": info or None,
            "nodeInfo": {"nodeId": "node-1"},
            "constraints": {"maxWallClockTime": "PT60S"},
        }
    )


def completed(**info: Any) -> BatchTask:
    times = {"startTime": "2026-11-21T04:00:00Z", "endTime": "2026-11-21T04:00:02Z"}
    return listed("completed", **{**times, **info})


def failed(code: str, category: str = "usererror", **info: Any) -> BatchTask:
    failure = {"category": category, "code": code, "message": "told", "details": [{"name": "n", "value": "v"}]}
    return completed(result="failure", failureInfo=failure, **info)


def test_every_state_of_the_service_has_a_phase() -> None:
    assert set(states.PHASES) == {state.value for state in BatchTaskState}


def test_a_task_that_the_service_has_put_back_waits_again_under_its_name() -> None:
    seen = states.changed(listed("active", requeueCount=1))
    assert (seen.name, seen.phase, seen.node, seen.ended) == ("t000001-a1", Phase.QUEUED, None, None)
    assert states.changed(listed("running", startTime="2026-11-21T04:00:00Z")).node == "node-1"


def test_success_has_times_and_no_cause() -> None:
    ended = states.changed(completed(result="success", exitCode=0)).ended
    assert ended is not None
    assert (ended.cause, ended.exit_code) == (None, 0)
    assert ended.started is not None
    assert ended.finished is not None
    assert ended.finished - ended.started == 2.0


@pytest.mark.parametrize(
    ("code", "exit_code", "cause", "word"),
    [
        ("FailureExitCode", 5, Cause.EXIT_CODE, "exit code 5"),
        ("FailureExitCode", 127, Cause.COMMAND, "python3 was not found"),
        ("FailureExitCode", 126, Cause.COMMAND, "python3 cannot be executed"),
        ("FailureExitCode", 121, Cause.INFRASTRUCTURE, "could not store"),
        ("FailureExitCode", 120, Cause.INFRASTRUCTURE, "result.json that says why is lost"),
        ("FailureExitCode", 3, Cause.EXIT_CODE, "exit code 3"),
        ("TaskEnded", None, Cause.CANCELLED, "TaskEnded"),
        ("CommandProgramNotFound", None, Cause.COMMAND, "CommandProgramNotFound"),
        ("ContainerInvalidImage", None, Cause.COMMAND, "ContainerInvalidImage"),
        ("BlobAccessDenied", None, Cause.INFRASTRUCTURE, "BlobAccessDenied: told; n: v"),
        ("DiskFull", None, Cause.INFRASTRUCTURE, "DiskFull"),
        ("SomethingNew", None, Cause.INFRASTRUCTURE, "SomethingNew"),
    ],
)
def test_a_failure_is_judged_by_its_code(code: str, exit_code: int | None, cause: Cause, word: str) -> None:
    ended = states.how_ended(failed(code, exitCode=exit_code))
    assert ended.cause is cause
    assert word in ended.reason


def test_a_signal_is_told_from_an_exit_code() -> None:
    ended = states.how_ended(failed("FailureExitCode", exitCode=137))
    assert (ended.cause, ended.exit_code, ended.signal) == (Cause.EXIT_CODE, None, 9)


def test_a_task_that_was_ended_at_its_limit_ran_out_of_time() -> None:
    late = failed("TaskEnded", endTime="2026-11-21T04:01:00Z")
    assert states.how_ended(late).cause is Cause.TIMEOUT


def test_a_lasting_resize_error_has_a_remedy_and_a_passing_one_is_waited_out() -> None:
    quota = states.trouble([ResizeError({"code": "AccountCoreQuotaReached", "message": "full"})], nodes=0)
    assert quota is not None
    assert (quota.lasting, "quota" in quota.remedy.lower()) == (True, True)
    passing = states.trouble([ResizeError({"code": "AllocationFailed", "message": "none left"})], nodes=0)
    assert passing is not None
    assert (passing.lasting, passing.reason) == (False, "AllocationFailed: none left")
    assert states.trouble([ResizeError({"code": "ResizeStopped"})], nodes=0) is None
    assert states.trouble(None, nodes=0) is None


def test_a_pool_with_some_of_its_nodes_works_whatever_keeps_the_others_away() -> None:
    quota = states.trouble([ResizeError({"code": "AccountCoreQuotaReached"})], nodes=1)
    assert quota is not None
    assert not quota.lasting
