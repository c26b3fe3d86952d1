"""From the service's words to ours, in one table each.  Pure.

Sources: "Job states" and "Troubleshooting" of the AWS Batch user guide, and "Amazon ECS stopped tasks error messages",
whose messages begin with a fixed word each.  Those words are compared, never what follows them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.providers.aws.request import SPOT_RECLAIMED
from orchestrator.providers.base import Cause, Ended, Phase
from orchestrator.runner import runner

PHASES = {
    "SUBMITTED": Phase.QUEUED,
    "PENDING": Phase.QUEUED,
    "RUNNABLE": Phase.QUEUED,
    "STARTING": Phase.QUEUED,
    "RUNNING": Phase.RUNNING,
    "SUCCEEDED": Phase.ENDED,
    "FAILED": Phase.ENDED,
}
LIVE = tuple(word for word, phase in PHASES.items() if phase is not Phase.ENDED)

# The reason with which we end jobs: AWS gives it back.
CANCELLED = "orchestrate: cancelled"

# How a job's statusReason or its container's reason begins.
_REASONS = {
    CANCELLED: Cause.CANCELLED,
    SPOT_RECLAIMED: Cause.PREEMPTED,
    "CAPACITY:": Cause.NO_CAPACITY,
    "MISCONFIGURATION:": Cause.COMMAND,
    "Job attempt duration exceeded": Cause.TIMEOUT,
    "CannotPullContainer": Cause.COMMAND,
    "CannotCreateContainer": Cause.COMMAND,
    "CannotStartContainer": Cause.COMMAND,
    "OutOfMemoryError": Cause.EXIT_CODE,
}
# Exit codes of our own first process; the user's program ended with one only where there is a result.json.
_LAUNCH = {126: "python3 cannot be executed in the image", 127: "python3 was not found in the image"}
_SIGKILL = 137


def how_ended(job: Mapping[str, Any]) -> Ended:
    """How a job ended, by its summary, as far as the service knows; the runner's result.json knows better."""
    container = job.get("container") or {}
    code = container.get("exitCode")
    started, finished = (_seconds(job.get(name)) for name in ("startedAt", "stoppedAt"))
    if job["status"] == "SUCCEEDED":
        return Ended(None, exit_code=code or 0, started=started, finished=finished)
    cause, reason = _failed(code, str(job.get("statusReason") or ""), str(container.get("reason") or ""))
    return Ended(cause, reason, code, None, started, finished)


def _failed(code: int | None, status: str, container: str) -> tuple[Cause, str]:
    told = "; ".join(part for part in (container, status) if part)
    for text in (status, container):
        for start, cause in _REASONS.items():
            if text.startswith(start):
                return cause, told
    if code in _LAUNCH:
        return Cause.COMMAND, f"{_LAUNCH[code]} (exit code {code})"
    if code == runner.NOT_STORED:
        return Cause.INFRASTRUCTURE, "the runner could not store what the trial left (see its log)"
    if code == runner.OTHERWISE:
        return Cause.INFRASTRUCTURE, "the trial failed, and the result.json that says why is lost"
    if code == _SIGKILL:
        return Cause.INFRASTRUCTURE, f"the container was killed. {told}".strip()
    if code is None or code == 0:
        return Cause.INFRASTRUCTURE, told or "the container ended without an exit code"
    return Cause.EXIT_CODE, f"ended with exit code {code}. {told}".strip()


def _seconds(milliseconds: Any) -> float | None:
    return milliseconds / 1000 if milliseconds else None
