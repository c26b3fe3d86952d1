"""Why a task failed, as the service says it (`failureInfo`)."""

from __future__ import annotations

from .protocol import Json

USER = "usererror"
SERVER = "servererror"


def failure(code: str, message: str, category: str = USER, details: dict[str, str] | None = None) -> Json:
    found: Json = {"category": category, "code": code, "message": message}
    if details:
        found["details"] = [{"name": name, "value": value} for name, value in details.items()]
    return found


def exit_code_failure() -> Json:
    return failure(
        "FailureExitCode",
        "The task exited with an exit code representing a failure",
        details={
            "Message": "The task process exited with an unexpected exit code",
            "AdditionalErrorCode": "FailureExitCode",
        },
    )


def ended_by_user() -> Json:
    return failure("TaskEnded", "Task Was Ended by User Request")


def out_of_time() -> Json:
    # The reference names no code of its own for this; the service ends the task, so TaskEnded.
    return failure("TaskEnded", "The task exceeded its maximum wall-clock time")
