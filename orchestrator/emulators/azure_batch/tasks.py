"""What happens to tasks: being added, queued, assigned, ended, retried, requeued."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from .attempts import Attempt, node_info
from .dependencies import MAX_STORED_LENGTH
from .environment import DEFAULT_PREPARATION_ID, DEFAULT_RELEASE_ID
from .errors import BatchFault, invalid_property
from .exitconditions import Ending, consequence
from .failures import ended_by_user
from .identifiers import check_id
from .pools import check_applications
from .protocol import Json
from .task import Task

if TYPE_CHECKING:
    from .account import Account
    from .jobs import Job
    from .nodes import Node


class Tasks:
    """The transitions of all tasks; the only place where a task's state is changed."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._attempts = itertools.count(1)

    # -- adding and removing

    def add(self, job: Job, spec: Json, *, manages: bool = False) -> Task:
        """Add a task to a job.

        Raises:
            BatchFault: it exists, or the service would refuse it.
        """
        check_task(job, spec)
        if job.index.get(spec["id"]) is not None:
            raise BatchFault("TaskExists")
        job.note_counts()
        task = Task(job, spec, manages=manages)
        if "dependsOn" in spec:
            task.unmet = job.dependencies.add(task)
        job.index.add(task)
        if task.unmet == 0:
            job.queue.push(task)
            self._kick(job)
        return task

    def delete(self, task: Task) -> None:
        """Take a task out of its job; what runs of it is killed."""
        job = task.job
        job.note_counts()
        attempt = self._drop_attempt(task)
        job.index.remove(task)
        job.dependencies.withdraw(task.id)
        if attempt is not None:
            attempt.abandon()
        self._account.remove_task_files(task)
        job.task_ended()

    # -- running

    def assign(self, task: Task, nodes: list[Node]) -> None:
        """Begin an attempt at a queued task."""
        job = task.job
        job.note_counts()
        job.index.leaving_state(task)
        now = task.clock.now()
        task.node = nodes[0]
        task.node_info = node_info(task, nodes[0])
        task.start = now
        if task.retrying:
            task.retrying = False
            task.last_retry = now
        task.enter("preparing" if "jobPreparationTask" in job.spec else "running")
        job.index.entered_state(task)
        exclusive = task.manages and job.spec["jobManagerTask"].get("runExclusive", True)
        task.attempt = Attempt(next(self._attempts), task, nodes, exclusive=exclusive)
        task.attempt.begin()

    def start_running(self, task: Task) -> None:
        """Its node is prepared."""
        if task.state == "preparing":
            task.job.index.leaving_state(task)
            task.enter("running")
            task.job.index.entered_state(task)

    def finish(self, task: Task, ending: Ending) -> None:
        """Its attempt ended by itself: try again, or complete it."""
        limit = task.max_retries
        if ending.retryable and (limit < 0 or task.retry_count < limit):
            self._retry(task)
        else:
            self._complete(task, ending)

    def _retry(self, task: Task) -> None:
        job = task.job
        job.note_counts()
        job.index.leaving_state(task)
        task.attempt = None
        task.retry_count += 1
        task.retrying = True
        task.preferred_node = task.node.id if task.node is not None else None
        task.enter("active")
        job.index.entered_state(task)
        job.queue.push(task, first=True)
        job.task_stopped()
        self._kick(job)

    def _complete(self, task: Task, ending: Ending) -> None:
        job = task.job
        job.note_counts()
        job.index.leaving_state(task)
        task.attempt = None
        task.exit_code = ending.exit_code
        task.failure = ending.failure
        task.container_info = ending.container_info
        task.cpu_seconds = ending.cpu_seconds
        task.enter("completed")
        task.end = task.state_time
        job.index.entered_state(task)
        if task.node is not None:
            for number, node in enumerate(task.last_attempt.nodes if task.last_attempt else [task.node]):
                node.note_task(_recent(task, number), succeeded=task.failure is None)
        follows = consequence(task.spec.get("exitConditions"), ending)
        if follows.satisfies:
            self._satisfy(task)
        job.task_ended(task, follows.job_action)

    def _satisfy(self, task: Task) -> None:
        counts = task.job.index.counts
        for waiting in task.job.dependencies.satisfy(task.id):
            if task.job.index.get(waiting.id) is not waiting:
                continue
            counts.add(waiting, -1)
            waiting.unmet -= 1
            counts.add(waiting, 1)
            if waiting.unmet == 0 and waiting.state == "active":
                task.job.queue.push(waiting)
        self._kick(task.job)

    # -- ended from outside

    def end(self, task: Task) -> None:
        """Complete a task that was not completed, as ended by the user."""
        if task.state == "completed":
            return  # The end of another has ended the job, and so this one.
        attempt = self._drop_attempt(task)
        self._complete(task, Ending(failure=ended_by_user()))
        if attempt is not None:
            attempt.abandon()

    def requeue(self, task: Task, *, by_user: bool) -> None:
        """Put a running task back into its queue, as the same task.

        Args:
            by_user: it follows from a user's request (a resize, a disabled job), and so counts as a requeue.
        """
        if task.state not in ("preparing", "running"):
            return
        job = task.job
        job.note_counts()
        attempt = self._drop_attempt(task)
        job.index.leaving_state(task)
        if by_user:
            task.requeue_count += 1
            task.last_requeue = task.clock.now()
        task.node = task.node_info = task.start = None
        task.subtasks = []
        task.enter("active")
        job.index.entered_state(task)
        if attempt is not None:
            attempt.abandon()
        job.queue.push(task, first=True)
        job.task_stopped()
        self._kick(job)

    def reactivate(self, task: Task) -> None:
        """Let a failed task run once more.

        Raises:
            BatchFault: it has not completed, or it succeeded.
        """
        if task.state != "completed":
            raise BatchFault("TaskNotCompleted")
        if task.failure is None:
            raise BatchFault("TaskSucceeded")
        job = task.job
        job.note_counts()
        job.dependencies.withdraw(task.id)
        job.index.leaving_state(task)
        task.exit_code = task.failure = task.end = task.start = task.container_info = None
        task.node = task.node_info = None
        task.retry_count = 0
        task.last_retry = None
        task.enter("active")
        job.index.entered_state(task)
        job.queue.push(task)
        self._kick(job)

    def _drop_attempt(self, task: Task) -> Attempt | None:
        attempt, task.attempt = task.attempt, None
        return attempt

    def _kick(self, job: Job) -> None:
        pool = job.pool
        if pool is not None:
            self._account.scheduler.kick(pool)


def _recent(task: Task, number: int) -> Json:
    info: Json = {
        "taskUrl": task.url,
        "jobId": task.job.id,
        "taskId": task.id,
        "taskState": task.state,
        "executionInfo": task.execution_info(),
    }
    if number > 0:
        info["subtaskId"] = number
    return info


def check_task(job: Job, spec: Json) -> None:
    """What the service refuses in a task beyond the types of its properties.

    Raises:
        BatchFault: with the service's code.
    """
    check_id("id", spec["id"])
    own_id = spec["id"].lower()
    for name, default, code in (
        ("jobPreparationTask", DEFAULT_PREPARATION_ID, "TaskIdSameAsJobPreparationTask"),
        ("jobReleaseTask", DEFAULT_RELEASE_ID, "TaskIdSameAsJobReleaseTask"),
    ):
        if name in job.spec and job.spec[name].get("id", default).lower() == own_id:
            raise BatchFault(code)
    if "dependsOn" in spec:
        _check_dependencies(job, spec["dependsOn"])
    check_constraints(spec.get("constraints", {}))
    check_applications(spec)
    check_resource_files(spec.get("resourceFiles", []))
    if spec.get("requiredSlots", 1) < 1:
        raise invalid_property("requiredSlots", spec["requiredSlots"], "must be at least 1")
    instances = spec.get("multiInstanceSettings", {}).get("numberOfInstances", 1)
    if instances < 1:
        raise invalid_property("multiInstanceSettings.numberOfInstances", instances, "must be at least 1")
    conditions = spec.get("exitConditions", {})
    if job.spec.get("onTaskFailure", "noaction") == "noaction":
        _refuse_action(conditions, "jobAction", "is not allowed where onTaskFailure is noaction")
    if not job.spec.get("usesTaskDependencies", False):
        _refuse_action(conditions, "dependencyAction", "is not allowed where usesTaskDependencies is false")


def _check_dependencies(job: Job, wanted: Json) -> None:
    if not job.spec.get("usesTaskDependencies", False):
        raise BatchFault("TaskDependenciesNotSpecifiedOnJob")
    if sum(len(task_id) + 1 for task_id in wanted.get("taskIds", [])) > MAX_STORED_LENGTH:
        raise BatchFault("TaskDependencyListTooLong")
    for each in wanted.get("taskIdRanges", []):
        if not 0 <= each["start"] <= each["end"]:
            raise invalid_property(
                "dependsOn.taskIdRanges", f"{each['start']}..{each['end']}", "must go up from 0 or more"
            )


def _refuse_action(conditions: Json, action: str, reason: str) -> None:
    options = [mapping["exitOptions"] for mapping in conditions.get("exitCodes", [])]
    options += [mapping["exitOptions"] for mapping in conditions.get("exitCodeRanges", [])]
    options += [conditions.get(name, {}) for name in ("preProcessingError", "fileUploadError", "default")]
    for option in options:
        if action in option:
            raise invalid_property(f"exitConditions.{action}", option[action], reason)


def check_constraints(constraints: Json) -> None:
    retries = constraints.get("maxTaskRetryCount", 0)
    if retries < -1:
        raise invalid_property("constraints.maxTaskRetryCount", retries, "must be -1 or more")


def check_resource_files(files: list[Json]) -> None:
    """Each resource file has exactly one source, and a path where it is a single file."""
    for file in files:
        sources = [name for name in ("autoStorageContainerName", "storageContainerUrl", "httpUrl") if file.get(name)]
        if len(sources) != 1:
            raise invalid_property(
                "resourceFiles",
                ", ".join(sources),
                "needs exactly one of autoStorageContainerName, storageContainerUrl and httpUrl",
            )
        if sources == ["httpUrl"] and not file.get("filePath"):
            raise invalid_property("resourceFiles.filePath", "", "is needed with httpUrl")
        if sources == ["httpUrl"] and file.get("blobPrefix"):
            raise invalid_property("resourceFiles.blobPrefix", file["blobPrefix"], "is not allowed with httpUrl")
