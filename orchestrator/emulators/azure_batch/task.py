"""A task, and how it looks from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .protocol import Json
from .timefmt import DAY, SECOND, UNLIMITED_DURATION, Micros, duration, iso, parse_duration
from .tracked import Tracked

if TYPE_CHECKING:
    from .attempts import Attempt
    from .jobs import Job
    from .nodes import Node

_DEFAULT_RETENTION = "P7D"
# Longer than any emulator runs; the service writes a duration of 29,000 years for no limit.
_LONGEST = 100 * 365 * DAY


class Subtask:
    """One instance of a multi-instance task other than the primary."""

    __slots__ = (
        "end",
        "exit_code",
        "failure",
        "id",
        "node_info",
        "previous_state",
        "previous_state_time",
        "start",
        "state",
        "state_time",
    )

    def __init__(self, number: int, node_info: Json, now: Micros) -> None:
        self.id = number
        self.node_info = node_info
        self.state = "running"
        self.state_time = now
        self.previous_state: str | None = None
        self.previous_state_time: Micros | None = None
        self.start: Micros = now
        self.end: Micros | None = None
        self.exit_code: int | None = None
        self.failure: Json | None = None

    def complete(self, now: Micros, exit_code: int | None, failure: Json | None) -> None:
        if self.state == "completed":
            return
        self.previous_state, self.previous_state_time = self.state, self.state_time
        self.state, self.state_time, self.end = "completed", now, now
        self.exit_code, self.failure = exit_code, failure

    def json(self) -> Json:
        found: Json = {
            "id": self.id,
            "nodeInfo": self.node_info,
            "startTime": iso(self.start),
            "state": self.state,
            "stateTransitionTime": iso(self.state_time),
        }
        if self.previous_state is not None and self.previous_state_time is not None:
            found["previousState"] = self.previous_state
            found["previousStateTransitionTime"] = iso(self.previous_state_time)
        if self.end is not None:
            found["endTime"] = iso(self.end)
            found["result"] = "success" if self.failure is None else "failure"
        if self.exit_code is not None:
            found["exitCode"] = self.exit_code
        if self.failure is not None:
            found["failureInfo"] = self.failure
        return found


class Task(Tracked):
    """A task of a job.

    Args:
        spec: the body that asked for it, validated.
        manages: it is the job's manager.
    """

    __slots__ = (
        "attempt",
        "constraints",
        "container_info",
        "cpu_seconds",
        "end",
        "exit_code",
        "failure",
        "id",
        "index_mark",
        "instances",
        "job",
        "last_attempt",
        "last_requeue",
        "last_retry",
        "manages",
        "node",
        "node_info",
        "preferred_node",
        "requeue_count",
        "retry_count",
        "retrying",
        "slots",
        "spec",
        "start",
        "subtasks",
        "unmet",
    )

    def __init__(self, job: Job, spec: Json, *, manages: bool = False) -> None:
        super().__init__(job.clock, job.versions, "active")
        self.job = job
        self.id: str = spec["id"]
        self.spec = spec
        self.constraints: Json = spec.get("constraints", {})
        self.manages = manages
        self.slots: int = spec.get("requiredSlots", 1)
        self.instances: int = spec.get("multiInstanceSettings", {}).get("numberOfInstances", 1)
        self.unmet = 0
        self.index_mark = 0
        self.attempt: Attempt | None = None
        self.last_attempt: Attempt | None = None
        self.subtasks: list[Subtask] = []
        self.node: Node | None = None
        self.preferred_node: str | None = spec.get("affinityInfo", {}).get("affinityId")
        self.node_info: Json | None = None
        self.start: Micros | None = None
        self.end: Micros | None = None
        self.exit_code: int | None = None
        self.container_info: Json | None = None
        self.failure: Json | None = None
        self.retry_count = 0
        self.last_retry: Micros | None = None
        self.retrying = False
        self.requeue_count = 0
        self.last_requeue: Micros | None = None
        self.cpu_seconds = (0.0, 0.0)

    @property
    def key(self) -> str:
        return self.id.lower()

    @property
    def url(self) -> str:
        return f"{self.job.url}/tasks/{self.id}"

    @property
    def is_multi_instance(self) -> bool:
        return "multiInstanceSettings" in self.spec

    @property
    def succeeded(self) -> bool:
        return self.state == "completed" and self.failure is None

    @property
    def max_retries(self) -> int:
        default: int = self.job.constraints.get("maxTaskRetryCount", 0)
        retries: int = self.constraints.get("maxTaskRetryCount", default)
        return retries

    @property
    def deadline(self) -> Micros | None:
        """When a running task's time is up."""
        text = self.constraints.get("maxWallClockTime")
        if text is None or self.start is None:
            return None
        return self.start + min(parse_duration(text), _LONGEST)

    @property
    def retention(self) -> Micros:
        return parse_duration(self.constraints.get("retentionTime", _DEFAULT_RETENTION))

    @property
    def result(self) -> str | None:
        if self.state != "completed":
            return None
        return "success" if self.failure is None else "failure"

    def execution_info(self) -> Json:
        found: Json = {"retryCount": self.retry_count, "requeueCount": self.requeue_count}
        for name, moment in (
            ("startTime", self.start),
            ("endTime", self.end),
            ("lastRetryTime", self.last_retry),
            ("lastRequeueTime", self.last_requeue),
        ):
            if moment is not None:
                found[name] = iso(moment)
        if self.exit_code is not None:
            found["exitCode"] = self.exit_code
        if self.container_info is not None:
            found["containerInfo"] = self.container_info
        if self.failure is not None:
            found["failureInfo"] = self.failure
        if self.result is not None:
            found["result"] = self.result
        return found

    def json(self, *, stats: bool = False) -> Json:
        spec = self.spec
        found: Json = {"id": self.id, "url": self.url, **self.tracked_json()}
        for name in (
            "displayName",
            "commandLine",
            "containerSettings",
            "resourceFiles",
            "outputFiles",
            "environmentSettings",
            "affinityInfo",
            "multiInstanceSettings",
            "dependsOn",
            "exitConditions",
        ):
            if name in spec:
                found[name] = spec[name]
        if "containerSettings" in spec:
            found["containerSettings"] = _without_registry_password(spec["containerSettings"])
        found["userIdentity"] = spec.get("userIdentity", {"autoUser": {"scope": "pool", "elevationLevel": "nonadmin"}})
        found["constraints"] = {
            "maxWallClockTime": self.constraints.get("maxWallClockTime", UNLIMITED_DURATION),
            "retentionTime": self.constraints.get("retentionTime", _DEFAULT_RETENTION),
            "maxTaskRetryCount": self.max_retries,
        }
        found["requiredSlots"] = self.slots
        found["executionInfo"] = self.execution_info()
        if self.node_info is not None:
            found["nodeInfo"] = self.node_info
        if stats:
            found["stats"] = self._stats()
        return found

    def _stats(self) -> Json:
        now = self.clock.now()
        user, system = self.cpu_seconds
        ran = 0 if self.start is None else (self.end or now) - self.start
        waited = (self.start or now) - self.created
        return {
            "url": f"{self.url}/stats",
            "startTime": iso(self.created),
            "lastUpdateTime": iso(now),
            "userCPUTime": duration(round(user * SECOND)),
            "kernelCPUTime": duration(round(system * SECOND)),
            "wallClockTime": duration(max(0, ran)),
            "waitTime": duration(max(0, waited)),
            "readIOps": "0",
            "writeIOps": "0",
            "readIOGiB": 0.0,
            "writeIOGiB": 0.0,
        }


def _without_registry_password(settings: Json) -> Json:
    registry: Any = settings.get("registry")
    if registry is None or "password" not in registry:
        return settings
    return {**settings, "registry": {name: value for name, value in registry.items() if name != "password"}}
