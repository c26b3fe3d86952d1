"""From the service's words to ours, in one table each.  Pure.

Sources: "Get information about a task" and the classes ``TaskFailureInformationCodes`` and ``PoolResizeErrorCodes`` of
Microsoft's reference.  Codes are compared, never messages.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from orchestrator.providers.base import Cause, Ended, Phase, TaskChanged
from orchestrator.runner import runner

if TYPE_CHECKING:
    from azure.batch.models import BatchTask, BatchTaskExecutionInfo, ResizeError

# The fields of a task that the functions below look at: what is asked for in every listing.
SELECT = ["id", "state", "stateTransitionTime", "executionInfo", "nodeInfo", "constraints"]

PHASES = {
    "active": Phase.QUEUED,  # a task whose node was preempted comes back to this state and keeps its name
    "preparing": Phase.QUEUED,
    "running": Phase.RUNNING,
    "completed": Phase.ENDED,
}

# Exit codes of our own command line; the user's program ended with one only where there is a result.json, which then
# says so.  126 and 127 are the shell's words for "python3 cannot be started".
_LAUNCH = {126: "python3 cannot be executed", 127: "python3 was not found"}

# Everything else that the service reports is trouble of its own machines, network or storage.
_FAILURES = {
    "FailureExitCode": Cause.EXIT_CODE,
    "TaskEnded": Cause.CANCELLED,
    "CommandLaunchFailed": Cause.COMMAND,
    "CommandProgramNotFound": Cause.COMMAND,
    "ContainerInvalidImage": Cause.COMMAND,
    "ContainerInvalidRegistry": Cause.COMMAND,
    "ContainerInvalidSettings": Cause.COMMAND,
}


def seconds(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


def changed(task: BatchTask) -> TaskChanged:
    """Where a listed task is now."""
    from azure.batch.models import BatchTaskState

    phase = PHASES[BatchTaskState(task.state).value]
    node = task.node_info.node_id if task.node_info is not None and phase is not Phase.QUEUED else None
    at = task.state_transition_time.timestamp()
    if phase is not Phase.ENDED:
        return TaskChanged(task.id, phase, at, None, node)
    ended = how_ended(task)
    if ended.cause is Cause.CANCELLED and ended.started is None:
        return never_began(task.id, at)
    return TaskChanged(task.id, phase, at, ended, node)


def never_began(name: str, at: float, reason: str = "ended before it began") -> TaskChanged:
    """A task that was cancelled in the queue.  It left no result.json: nobody need look for it, its result is this."""
    result = {
        "version": 1,
        "name": name,
        "cause": Cause.CANCELLED.value,
        "reason": reason,
        "exit_code": None,
        "signal": None,
        "started": None,
        "finished": None,
        "seconds": None,
        "metrics": {},
        "outputs": [],
    }
    return TaskChanged(name, Phase.ENDED, at, Ended(Cause.CANCELLED, reason), result=result)


def how_ended(task: BatchTask) -> Ended:
    """How a completed task ended, as far as the service knows; the runner's result.json knows better."""
    info = task.execution_info
    if info is None:
        return Ended(Cause.CANCELLED, "ended before it ran")
    ended = _ended(task, info)
    return replace(ended, started=seconds(info.start_time), finished=seconds(info.end_time))


def _ended(task: BatchTask, info: BatchTaskExecutionInfo) -> Ended:
    failure = info.failure_info
    if failure is None:
        return _exited(info.exit_code) if info.exit_code else Ended(None, exit_code=info.exit_code)
    cause = _FAILURES.get(failure.code or "", Cause.INFRASTRUCTURE)
    if cause is Cause.EXIT_CODE:
        return _exited(info.exit_code)
    if cause is Cause.CANCELLED and _out_of_time(task, info):
        return Ended(Cause.TIMEOUT, "ended by the service at the task's wall-clock limit")
    told = [failure.message or "", *(f"{pair.name}: {pair.value}" for pair in failure.details or [])]
    return Ended(cause, f"{failure.code}: {'; '.join(part for part in told if part)}")


def _exited(code: int | None) -> Ended:
    if code in _LAUNCH:
        why = f"{_LAUNCH[code]} on the node or in the container image (exit code {code})"
        return Ended(Cause.COMMAND, why, code)
    if code == runner.NOT_STORED:
        return Ended(Cause.INFRASTRUCTURE, "the runner could not store what the trial left (see its stderr)", code)
    if code == runner.OTHERWISE:
        return Ended(Cause.INFRASTRUCTURE, "the trial failed, and the result.json that says why is lost", code)
    if code is not None and 128 < code <= 128 + 64:
        signal = code - 128
        hint = ": out of memory?" if signal == 9 else ""
        return Ended(Cause.EXIT_CODE, f"killed by signal {signal}{hint}", signal=signal)
    return Ended(Cause.EXIT_CODE, f"ended with exit code {code}", code)


def _out_of_time(task: BatchTask, info: BatchTaskExecutionInfo) -> bool:
    """The service has no code of its own for the wall-clock limit: it ends the task like any other."""
    limit = task.constraints.max_wall_clock_time if task.constraints is not None else None
    if limit is None or info.start_time is None or info.end_time is None:
        return False
    return (info.end_time - info.start_time).total_seconds() >= limit.total_seconds() - 1.0


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps a pool from its nodes: ``lasting`` where waiting will not help; ``remedy`` says what would."""

    reason: str
    lasting: bool
    remedy: str = ""


_QUOTA = "Ask for more in the Azure portal (Batch account, Quotas), or lower pool.max_nodes or limits.parallel."
_SIZE = "Choose another pool.vm_size or region."
_LASTING = {
    "AccountCoreQuotaReached": _QUOTA,
    "AccountLowPriorityCoreQuotaReached": _QUOTA,
    "AccountSpotCoreQuotaReached": _QUOTA,
    "AccountVMSeriesCoreQuotaReached": _QUOTA,
    "PoolVMFamilyQuotaReached": _QUOTA,
    "SubscriptionCoreQuotaReached": _QUOTA,
    "CommunicationEnabledPoolReachedMaxVMCount": "Lower pool.max_nodes.",
    "UnsupportedVMSize": _SIZE,
    "IncompatibleVMSize": _SIZE,
    "VMSizeNotFound": _SIZE,
    "DiskEncryptionFailure": "",
    "DependentResourceNotFound": "",
    "FailedIdentityOperation": "",
    "MissingPublisherPropertyInMarketPlacePlan": "",
    "ReservedResourceName": "",
    "ResourceNotFound": "",
}
# A quota that another pool of the account fills may be free again when that pool ends, and a pool that has some of
# its nodes works: only a pool without a single one is hopeless.
_NOT_TROUBLE = frozenset({"ResizeStopped"})


def trouble(errors: Iterable[ResizeError] | None, *, nodes: int) -> Trouble | None:
    """What a pool's resize errors mean for it; None where they need not be mentioned."""
    found: Trouble | None = None
    for error in errors or ():
        code = error.code or "Unknown"
        if code in _NOT_TROUBLE:
            continue
        remedy = _LASTING.get(code)
        reason = f"{code}: {error.message}" if error.message else code
        if remedy is not None and nodes == 0:
            return Trouble(reason, True, remedy)
        found = found or Trouble(reason, False)
    return found
