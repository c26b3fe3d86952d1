"""Jobs: their states, their preparation and release tasks, and what ends them."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

from .autoscaling import AutoScaling
from .clock import Timer
from .commands import Command, run_command
from .dependencies import Dependencies
from .environment import (
    DEFAULT_PREPARATION_ID,
    DEFAULT_RELEASE_ID,
    task_folder,
    task_variables,
)
from .errors import BatchFault, invalid_property
from .failures import USER
from .identifiers import check_id
from .pools import Pool, check_metadata, check_pool, without_secrets
from .protocol import Json
from .readyqueue import ReadyQueue
from .starttask import ending_info
from .task import Task
from .taskindex import TaskIndex
from .timefmt import MINUTE, SECOND, UNLIMITED_DURATION, Micros, duration, iso, parse_duration
from .tracked import Tracked

if TYPE_CHECKING:
    from .account import Account
    from .nodes import Node
    from .schedules import Schedule

_RELEASE_LIMIT = 15 * MINUTE
_MAX_PREFIX = 20
LEAST_PRIORITY, MOST_PRIORITY = -1000, 1000

_TASK_FIELDS = (
    "id",
    "displayName",
    "commandLine",
    "containerSettings",
    "resourceFiles",
    "outputFiles",
    "environmentSettings",
    "constraints",
    "requiredSlots",
    "userIdentity",
    "applicationPackageReferences",
)


class NodeRecord:
    """What a job's preparation and release tasks did on one node."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.preparation: Json | None = None
        self.release: Json | None = None
        self.preparing: asyncio.Task[bool] | None = None
        self.failed = False

    def json(self) -> Json:
        found: Json = {"poolId": self.node.pool.id, "nodeId": self.node.id, "nodeUrl": self.node.url}
        if self.preparation is not None:
            found["jobPreparationTaskExecutionInfo"] = self.preparation
        if self.release is not None:
            found["jobReleaseTaskExecutionInfo"] = self.release
        return found


class Job(Tracked):
    """A job and its tasks.

    Args:
        spec: the body that asked for it, validated.
        schedule: the schedule that made it.
    """

    __slots__ = (
        "_clock_limit",
        "_finishing",
        "account",
        "dependencies",
        "end",
        "id",
        "index",
        "pool_key",
        "queue",
        "records",
        "schedule",
        "scheduling_error",
        "spec",
        "terminate_reason",
    )

    def __init__(self, account: Account, spec: Json, schedule: Schedule | None = None) -> None:
        super().__init__(account.clock, account.versions, "active")
        self.account = account
        self.spec = spec
        self.id: str = spec["id"]
        self.schedule = schedule
        self.index = TaskIndex()
        self.queue = ReadyQueue()
        self.dependencies = Dependencies()
        self.records: dict[str, NodeRecord] = {}
        self.pool_key: str | None = None
        self.end: Micros | None = None
        self.terminate_reason: str | None = None
        self.scheduling_error: Json | None = None
        self._clock_limit: Timer | None = None
        self._finishing = False

    @property
    def key(self) -> str:
        return self.id.lower()

    @property
    def url(self) -> str:
        return f"{self.account.endpoint}/jobs/{self.id}"

    @property
    def pool(self) -> Pool | None:
        """The pool that it runs on, None as long as there is no such pool."""
        return None if self.pool_key is None else self.account.pools.get(self.pool_key)

    @property
    def pool_id(self) -> str | None:
        pool = self.pool
        if pool is not None:
            return pool.id
        named: str | None = self.spec["poolInfo"].get("poolId")
        return named

    @property
    def priority(self) -> int:
        priority: int = self.spec.get("priority", 0)
        return priority

    @property
    def max_parallel(self) -> int:
        most: int = self.spec.get("maxParallelTasks", -1)
        return most

    @property
    def constraints(self) -> Json:
        constraints: Json = self.spec.get("constraints", {})
        return constraints

    def enter(self, state: str) -> None:
        self.note_counts()
        super().enter(state)

    def note_counts(self) -> None:
        """What the pool's formula reads of this job is about to change."""
        pool = self.pool
        if pool is not None:
            pool.metrics.note(self.clock.now())

    # -- beginning

    def begin(self) -> None:
        """Find or make the pool, start the clock, add the manager."""
        info = self.spec["poolInfo"]
        if "poolId" in info:
            self.pool_key = info["poolId"].lower()
        else:
            self._make_pool(info["autoPoolSpecification"])
        self._set_clock_limit()
        manager = self.spec.get("jobManagerTask")
        if manager is not None and self.state == "active":
            body = {name: manager[name] for name in _TASK_FIELDS if name in manager}
            self.account.tasks.add(self, body, manages=True)
        self.task_ended()

    def _make_pool(self, auto: Json) -> None:
        shared = self.schedule is not None and auto["poolLifetimeOption"] == "jobschedule"
        if shared:
            assert self.schedule is not None
            if self.schedule.pool_key in self.account.pools:
                self.pool_key = self.schedule.pool_key
                return
        pool_id = f"{auto.get('autoPoolIdPrefix', '')}{str(uuid.uuid4()).upper()}"
        try:
            pool = self.account.add_pool({"id": pool_id, **auto["pool"]}, owner=self.id)
        except BatchFault as problem:
            code = {
                "PoolQuotaReached": "AutoPoolCreationFailedWithQuotaReached",
                "AutoScalingFormulaSyntaxError": "InvalidAutoScaleFormulaInAutoPool",
                "InvalidApplicationPackageReferences": "InvalidApplicationPackageReferencesInAutoPool",
            }.get(problem.code, "InvalidAutoPoolSettings")
            self.scheduling_error = {"category": USER, "code": code, "message": str(problem)}
            self._complete(code)
            return
        self.pool_key = pool.key
        if shared and self.schedule is not None:
            self.schedule.pool_key = pool.key

    def _set_clock_limit(self) -> None:
        if self._clock_limit is not None:
            self._clock_limit.cancel()
            self._clock_limit = None
        text = self.constraints.get("maxWallClockTime")
        if text is not None and text != UNLIMITED_DURATION:
            self._clock_limit = self.clock.at(
                self.created + parse_duration(text), lambda: self.terminate("MaxWallClockTimeExpiry")
            )

    def change(self, changes: Json) -> None:
        """Take changed properties over."""
        self.spec = {**self.spec, **changes}
        if "poolInfo" in changes and "poolId" in changes["poolInfo"]:
            self._move(changes["poolInfo"]["poolId"].lower())
        self.touch()
        self._set_clock_limit()
        self.task_ended()
        self._kick()

    def _move(self, pool_key: str) -> None:
        self.note_counts()
        pool = self.account.pools.get(pool_key)
        if pool is not None:
            pool.metrics.note(self.clock.now())
        self.pool_key = pool_key

    def _kick(self) -> None:
        pool = self.pool
        if pool is not None:
            self.account.scheduler.kick(pool)

    # -- going on

    def require_active_for_tasks(self) -> None:
        """Refuse new tasks where the job takes none any more."""
        code = {
            "terminating": "JobBeingTerminated",
            "deleting": "JobBeingDeleted",
            "completed": "JobCompleted",
        }.get(self.state)
        if code is not None:
            raise BatchFault(code)

    def task_ended(self, task: Task | None = None, action: str = "none") -> None:
        """A task was completed or deleted, or what follows when all are has become another."""
        self.task_stopped()
        if self.state not in ("active", "disabling", "disabled", "enabling"):
            return
        if task is not None and task.manages and self.spec["jobManagerTask"].get("killJobOnCompletion", True):
            self.terminate("JMComplete")
            return
        if task is not None and self.spec.get("onTaskFailure") == "performexitoptionsjobaction":
            if action == "terminate":
                self.terminate("TaskFailed")
                return
            if action == "disable" and self.state != "disabled":
                self.disable("requeue")
        counts = self.index.counts
        all_done = counts.active == 0 and counts.running == 0
        if self.spec.get("onAllTasksComplete") == "terminatejob" and all_done and self.state == "active":
            self.terminate("AllTasksComplete")

    def task_stopped(self) -> None:
        """A task runs no more, whether it has ended or must run again: what waited for that goes on."""
        self._finish_disabling()
        self._finish_ending()

    def disable(self, option: str) -> None:
        """`requeue`, `terminate` or `wait` for what runs, and start nothing more."""
        self.enter("disabling")
        for task in list(self.index):
            if task.state in ("preparing", "running"):
                if option == "requeue":
                    self.account.tasks.requeue(task, by_user=True)
                elif option == "terminate":
                    self.account.tasks.end(task)
        self._finish_disabling()

    def _finish_disabling(self) -> None:
        if self.state == "disabling" and self.index.counts.running == 0:
            self._after_operation("disabling", "disabled")

    def enable(self) -> None:
        self.enter("enabling")
        self._after_operation("enabling", "active")

    def _after_operation(self, state: str, following: str) -> None:
        def go_on() -> None:
            if self.state == state:
                self.enter(following)
                self.task_ended()
                self._kick()

        seconds = self.account.settings.operation_seconds
        if seconds > 0:
            self.clock.after(seconds, go_on)
        else:
            go_on()

    # -- ending

    def terminate(self, reason: str | None, *, force: bool = False) -> None:
        """End the job: running tasks are ended, active ones stay as they are and never run.

        Args:
            force: do not wait for the nodes, nor for their release tasks.
        """
        if self.state in ("terminating", "completed", "deleting"):
            return
        self.terminate_reason = reason or "UserTerminate"
        self.enter("terminating")
        self._finishing = force
        self._end_running()
        self._finish_ending()
        if force:
            self._complete(self.terminate_reason)

    def delete(self, *, force: bool = False) -> None:
        """End the job if need be, then forget it with all its tasks; `force` as in `terminate`."""
        was_over = self.state == "completed"
        if self.state != "deleting":
            self.enter("deleting")
        self._finishing = self._finishing or force or was_over
        self._end_running()
        self._finish_ending()
        if force:
            self._forget()
        elif was_over:
            self._after_release()

    def _end_running(self) -> None:
        for task in list(self.index):
            if task.state in ("preparing", "running"):
                self.account.tasks.end(task)

    def _finish_ending(self) -> None:
        if self.state in ("terminating", "deleting") and not self._finishing and self.index.counts.running == 0:
            self._finishing = True
            self.account.keep(asyncio.get_running_loop().create_task(self._release_everywhere()))

    async def _release_everywhere(self) -> None:
        release = self.spec.get("jobReleaseTask")
        if release is not None:
            await asyncio.gather(
                *(self._release(record, release) for record in list(self.records.values())),
                return_exceptions=True,
            )
        self._after_release()

    def _after_release(self) -> None:
        def done() -> None:
            if self.state == "deleting" and self.account.jobs.get(self.key) is self:
                self._forget()
            elif self.state == "terminating":
                self._complete(self.terminate_reason)

        seconds = self.account.settings.operation_seconds
        if seconds > 0:
            self.clock.after(seconds, done)
        else:
            done()

    def _complete(self, reason: str | None) -> None:
        self.terminate_reason = reason
        self.enter("completed")
        self.end = self.state_time
        self._over()

    def _forget(self) -> None:
        self.note_counts()
        self.account.forget_job(self)
        self._over()

    def _over(self) -> None:
        if self._clock_limit is not None:
            self._clock_limit.cancel()
        auto = self.spec["poolInfo"].get("autoPoolSpecification")
        pool = self.pool
        if auto is not None and pool is not None and not auto.get("keepAlive", False):
            lifetime_is_job = self.schedule is None or auto["poolLifetimeOption"] == "job"
            if lifetime_is_job and pool.state != "deleting":
                pool.delete()
        if self.schedule is not None:
            self.schedule.job_over(self)

    # -- preparation and release tasks

    def refuses(self, node: Node) -> bool:
        """Whether the preparation task failed on a node, which then runs no task of this job."""
        record = self.records.get(node.id)
        return record is not None and record.failed

    async def prepare(self, node: Node) -> bool:
        """Run the preparation task on a node unless it has run there; whether tasks may run there."""
        record = self.records.setdefault(node.id, NodeRecord(node))
        if record.preparing is None:
            record.preparing = asyncio.create_task(self._run_preparation(record))
        if not self.spec["jobPreparationTask"].get("waitForSuccess", True):
            return True
        # Shielded: the task that waits may be ended, the preparation goes on for the others.
        return await asyncio.shield(record.preparing)

    async def _run_preparation(self, record: NodeRecord) -> bool:
        spec = self.spec["jobPreparationTask"]
        task_id = spec.get("id", DEFAULT_PREPARATION_ID)
        limit_text = spec.get("constraints", {}).get("maxWallClockTime")
        limit = None if limit_text is None else parse_duration(limit_text)
        most_retries = spec.get("constraints", {}).get("maxTaskRetryCount", 0)
        retries = 0
        while True:
            info = self._special_info(record.node, task_id, retries)
            if retries:
                info["lastRetryTime"] = info["startTime"]
            record.preparation = info
            ending = await run_command(
                record.node, self._special_command(record.node, spec, task_id, limit, keep_children=True)
            )
            if ending.retryable and (most_retries < 0 or retries < most_retries):
                retries += 1
                continue
            record.preparation = {
                **info,
                **ending_info(ending),
                "state": "completed",
                "endTime": iso(self.clock.now()),
            }
            record.failed = ending.failure is not None and spec.get("waitForSuccess", True)
            return ending.failure is None

    async def _release(self, record: NodeRecord, spec: Json) -> None:
        node = record.node
        if node.id not in node.pool.nodes or node.state not in ("idle", "running", "offline"):
            return
        if record.preparing is not None:
            await asyncio.shield(record.preparing)
        task_id = spec.get("id", DEFAULT_RELEASE_ID)
        info = self._special_info(node, task_id, None)
        record.release = info
        limit = _RELEASE_LIMIT
        if "maxWallClockTime" in spec:
            limit = parse_duration(spec["maxWallClockTime"])
        ending = await run_command(node, self._special_command(node, spec, task_id, limit, keep_children=False))
        record.release = {
            **info,
            **ending_info(ending),
            "state": "completed",
            "endTime": iso(self.clock.now()),
        }

    def _special_info(self, node: Node, task_id: str, retries: int | None) -> Json:
        relative = task_folder(node, self, task_id).root.relative_to(node.root).as_posix()
        info: Json = {
            "state": "running",
            "startTime": iso(self.clock.now()),
            "taskRootDirectory": relative,
            "taskRootDirectoryUrl": f"{node.url}/files/{relative}",
        }
        if retries is not None:
            info["retryCount"] = retries
        return info

    def _special_command(
        self, node: Node, spec: Json, task_id: str, limit: Micros | None, *, keep_children: bool
    ) -> Command:
        folder = task_folder(node, self, task_id)
        return Command(
            spec,
            folder,
            task_variables(node, self, task_id, folder),
            f"{node.mark}/job-{self.key}",
            resources=spec.get("resourceFiles", []),
            deadline=None if limit is None else self.clock.now() + limit,
            keep_children=keep_children,
        )

    def node_restarted(self, node: Node, *, reimaged: bool) -> None:
        """Whether the preparation task must run again after a node's restart."""
        record = self.records.get(node.id)
        if record is None:
            return
        again = self.spec.get("jobPreparationTask", {}).get("rerunOnNodeRebootAfterSuccess", True)
        unfinished = record.preparing is not None and not record.preparing.done()
        if unfinished and record.preparing is not None:
            record.preparing.cancel()
        if reimaged or again or unfinished or record.failed:
            del self.records[node.id]

    def node_gone(self, node: Node) -> None:
        record = self.records.pop(node.id, None)
        if record is not None and record.preparing is not None:
            record.preparing.cancel()

    # -- how it looks

    def json(self, *, stats: bool = False) -> Json:
        spec = self.spec
        found: Json = {"id": self.id, "url": self.url, **self.tracked_json()}
        for name in (
            "displayName",
            "jobManagerTask",
            "jobPreparationTask",
            "jobReleaseTask",
            "commonEnvironmentSettings",
            "networkConfiguration",
            "metadata",
        ):
            if name in spec:
                found[name] = without_secrets(spec[name])
        found["usesTaskDependencies"] = spec.get("usesTaskDependencies", False)
        found["priority"] = self.priority
        found["maxParallelTasks"] = self.max_parallel
        found["allowTaskPreemption"] = spec.get("allowTaskPreemption", False)
        found["constraints"] = {
            "maxWallClockTime": self.constraints.get("maxWallClockTime", UNLIMITED_DURATION),
            "maxTaskRetryCount": self.constraints.get("maxTaskRetryCount", 0),
        }
        found["poolInfo"] = without_secrets(spec["poolInfo"])
        found["onAllTasksComplete"] = spec.get("onAllTasksComplete", "noaction")
        found["onTaskFailure"] = spec.get("onTaskFailure", "noaction")
        found["executionInfo"] = self._execution_info()
        if stats:
            found["stats"] = self.statistics()
        return found

    def _execution_info(self) -> Json:
        info: Json = {"startTime": iso(self.created)}
        if self.end is not None:
            info["endTime"] = iso(self.end)
        if self.pool_id is not None:
            info["poolId"] = self.pool_id
        if self.scheduling_error is not None:
            info["schedulingError"] = self.scheduling_error
        if self.end is not None and self.terminate_reason is not None:
            info["terminateReason"] = self.terminate_reason
        return info

    def statistics(self) -> Json:
        tasks = list(self.index)
        now = self.clock.now()
        ran = sum((task.end or now) - task.start for task in tasks if task.start is not None)
        waited = sum(max(0, (task.start or now) - task.created) for task in tasks)
        return {
            "url": f"{self.url}/stats",
            "startTime": iso(self.created),
            "lastUpdateTime": iso(now),
            "userCPUTime": duration(round(sum(task.cpu_seconds[0] for task in tasks) * SECOND)),
            "kernelCPUTime": duration(round(sum(task.cpu_seconds[1] for task in tasks) * SECOND)),
            "wallClockTime": duration(ran),
            "waitTime": duration(waited),
            "readIOps": "0",
            "writeIOps": "0",
            "readIOGiB": 0.0,
            "writeIOGiB": 0.0,
            "numSucceededTasks": str(self.index.counts.succeeded),
            "numFailedTasks": str(self.index.counts.failed),
            "numTaskRetries": str(sum(task.retry_count for task in tasks)),
        }


def check_job(spec: Json, *, with_id: bool = True, on_schedule: bool = False) -> None:
    """What the service refuses in a job beyond the types of its properties.

    Raises:
        BatchFault: with the service's code.
    """
    if with_id:
        check_id("id", spec["id"])
    check_job_changes(spec)
    if "jobReleaseTask" in spec and "jobPreparationTask" not in spec:
        raise BatchFault("JobPreparationTaskNotSpecified", "a release task needs a preparation task", status=400)
    limit = spec.get("jobReleaseTask", {}).get("maxWallClockTime")
    if limit is not None and parse_duration(limit) > _RELEASE_LIMIT:
        raise invalid_property("jobReleaseTask.maxWallClockTime", limit, "must be at most 15 minutes")
    _check_pool_info(spec["poolInfo"], on_schedule=on_schedule)


def check_job_changes(spec: Json) -> None:
    """The checks of properties that may also be changed later."""
    priority = spec.get("priority", 0)
    if not LEAST_PRIORITY <= priority <= MOST_PRIORITY:
        raise invalid_property("priority", priority, f"must be from {LEAST_PRIORITY} to {MOST_PRIORITY}")
    most = spec.get("maxParallelTasks", -1)
    if most < -1 or most == 0:
        raise invalid_property("maxParallelTasks", most, "must be positive, or -1 for no limit")
    if spec.get("constraints", {}).get("maxTaskRetryCount", 0) < -1:
        raise invalid_property("constraints.maxTaskRetryCount", spec["constraints"], "must be -1 or more")
    check_metadata(spec)


def _check_pool_info(info: Json, *, on_schedule: bool) -> None:
    if ("poolId" in info) == ("autoPoolSpecification" in info):
        raise invalid_property("poolInfo", info, "needs either poolId or autoPoolSpecification")
    auto = info.get("autoPoolSpecification")
    if auto is None:
        return
    if auto["poolLifetimeOption"] == "jobschedule" and not on_schedule:
        raise invalid_property("poolLifetimeOption", "jobschedule", "is only for jobs of a schedule")
    if len(auto.get("autoPoolIdPrefix", "")) > _MAX_PREFIX:
        raise invalid_property(
            "autoPoolIdPrefix", auto["autoPoolIdPrefix"], f"must have at most {_MAX_PREFIX} characters"
        )
    if "pool" not in auto:
        raise BatchFault("MissingRequiredProperty", values={"PropertyName": "autoPoolSpecification.pool"})
    AutoScaling.check(auto["pool"])
    check_pool(auto["pool"], with_id=False)
