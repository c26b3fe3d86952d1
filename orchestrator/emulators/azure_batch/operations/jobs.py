"""Operations on jobs."""

from __future__ import annotations

from collections.abc import Iterable

from ..account import Account
from ..errors import BatchFault
from ..jobs import Job, NodeRecord, check_job, check_job_changes
from ..odata import EQUAL, Property, Value, expands_stats, one_page, parse_filter, project, selected
from ..protocol import Call, Reply, changed, check_conditions, json_reply, version_headers
from ..routing import operation
from ..timefmt import parse_iso

_PROPERTIES = [
    "id",
    "displayName",
    "usesTaskDependencies",
    "url",
    "eTag",
    "lastModified",
    "creationTime",
    "state",
    "stateTransitionTime",
    "previousState",
    "previousStateTransitionTime",
    "priority",
    "allowTaskPreemption",
    "maxParallelTasks",
    "constraints",
    "jobManagerTask",
    "jobPreparationTask",
    "jobReleaseTask",
    "commonEnvironmentSettings",
    "poolInfo",
    "onAllTasksComplete",
    "onTaskFailure",
    "networkConfiguration",
    "metadata",
    "executionInfo",
    "stats",
]
_STATUS_PROPERTIES = (
    "poolId",
    "nodeId",
    "nodeUrl",
    "jobPreparationTaskExecutionInfo",
    "jobReleaseTaskExecutionInfo",
)

JOB_FILTERS: dict[str, Property[Job]] = {
    "id": Property("str", lambda job: job.id, prefix=True),
    "state": Property("str", lambda job: job.state, EQUAL),
    "stateTransitionTime": Property("time", lambda job: job.state_time),
    "creationTime": Property("time", lambda job: job.created),
    "lastModified": Property("time", lambda job: job.modified),
    "executionInfo/startTime": Property("time", lambda job: job.created),
    "executionInfo/endTime": Property("time", lambda job: job.end),
    "executionInfo/poolId": Property("str", lambda job: job.pool_id, prefix=True),
}


def _info(special: str, name: str) -> Property[NodeRecord]:
    def read(record: NodeRecord) -> Value:
        info = record.preparation if special == "Preparation" else record.release
        value: Value = (info or {}).get(name)
        return parse_iso(str(value)) if value is not None and name.endswith("Time") else value

    if name.endswith("Time"):
        return Property("time", read)
    return Property("int", read) if name == "exitCode" else Property("str", read, EQUAL)


_STATUS_FILTERS: dict[str, Property[NodeRecord]] = {
    "poolId": Property("str", lambda record: record.node.pool.id, EQUAL),
    "nodeId": Property("str", lambda record: record.node.id, EQUAL),
    **{
        f"job{special}TaskExecutionInfo/{name}": _info(special, name)
        for special in ("Preparation", "Release")
        for name in ("state", "startTime", "endTime", "exitCode", "result")
    },
}


def _job(account: Account, call: Call) -> Job:
    job = account.find_job(call.parameters["jobId"])
    check_conditions(call, job)
    return job


def _require(job: Job, *states: str) -> None:
    if job.state in states:
        return
    code = {
        "completed": "JobCompleted",
        "terminating": "JobBeingTerminated",
        "deleting": "JobBeingDeleted",
        "disabled": "JobDisabled",
    }.get(job.state, "OperationInvalidForCurrentState")
    raise BatchFault(code, f"the job is {job.state}")


@operation("POST", "/jobs", "BatchJobCreateOptions")
def create_job(account: Account, call: Call) -> Reply:
    check_job(call.content)
    key = call.content["id"].lower()
    if key in account.jobs:
        raise BatchFault("JobExists")
    if key in account.schedules:
        raise BatchFault("JobScheduleWithSameIdExists")
    account.check_job_quota()
    job = Job(account, call.content)
    account.add_job(job)
    return changed(job, job.url, 201)


def list_reply(call: Call, jobs: Iterable[tuple[str, Job]]) -> Reply:
    condition = parse_filter(call, JOB_FILTERS)
    names = selected(call, _PROPERTIES)
    stats = expands_stats(call)
    return json_reply(one_page(call, "jobs", jobs, lambda job: project(job.json(stats=stats), names), condition))


@operation("GET", "/jobs")
def list_jobs(account: Account, call: Call) -> Reply:
    return list_reply(call, sorted(account.jobs.items()))


@operation("GET", "/jobs/{jobId}")
def get_job(account: Account, call: Call) -> Reply:
    job = _job(account, call)
    body = project(job.json(stats=expands_stats(call)), selected(call, _PROPERTIES))
    metadata = {"odata.metadata": f"{call.endpoint}/$metadata#jobs/@Element"}
    return json_reply({**metadata, **body}, headers=version_headers(job))


@operation("DELETE", "/jobs/{jobId}")
def delete_job(account: Account, call: Call) -> Reply:
    job = _job(account, call)
    if job.state == "deleting" and not call.flag("force"):
        raise BatchFault("JobBeingDeleted")
    job.delete(force=call.flag("force"))
    return Reply(202)


@operation("PATCH", "/jobs/{jobId}", "BatchJobUpdateOptions")
def update_job(account: Account, call: Call) -> Reply:
    return _change(account, call, keep_defaults=True)


@operation("PUT", "/jobs/{jobId}", "BatchJob")
def replace_job(account: Account, call: Call) -> Reply:
    return _change(account, call, keep_defaults=False)


def _change(account: Account, call: Call, *, keep_defaults: bool) -> Reply:
    job = _job(account, call)
    _require(job, "active", "disabled", "disabling", "enabling")
    changes = dict(call.content)
    check_job_changes(changes)
    if "poolInfo" in changes and changes["poolInfo"] == job.spec["poolInfo"]:
        del changes["poolInfo"]
    if "poolInfo" in changes and job.state != "disabled":
        raise BatchFault("OperationInvalidForCurrentState", "the pool can only be changed while the job is disabled")
    if changes.get("onAllTasksComplete") == "noaction" and job.spec.get("onAllTasksComplete") == "terminatejob":
        raise BatchFault(
            "InvalidPropertyValue",
            "once terminatejob, onAllTasksComplete cannot be changed back",
            values={"PropertyName": "onAllTasksComplete", "PropertyValue": "noaction"},
        )
    if not keep_defaults:
        for name in ("priority", "maxParallelTasks", "allowTaskPreemption", "constraints", "metadata"):
            if name not in changes:
                job.spec = {key: value for key, value in job.spec.items() if key != name}
    job.change(changes)
    return changed(job, job.url)


@operation("POST", "/jobs/{jobId}/disable", "BatchJobDisableOptions")
def disable_job(account: Account, call: Call) -> Reply:
    job = _job(account, call)
    _require(job, "active", "disabling", "disabled", "enabling")
    job.disable(call.content["disableTasks"])
    return changed(job, job.url, 202)


@operation("POST", "/jobs/{jobId}/enable")
def enable_job(account: Account, call: Call) -> Reply:
    job = _job(account, call)
    _require(job, "disabled", "disabling", "enabling", "active")
    if job.state != "active":
        job.enable()
    return changed(job, job.url, 202)


@operation("POST", "/jobs/{jobId}/terminate", "BatchJobTerminateOptions", body_optional=True)
def terminate_job(account: Account, call: Call) -> Reply:
    job = _job(account, call)
    _require(job, "active", "disabled", "disabling", "enabling")
    job.terminate(call.content.get("terminateReason"), force=call.flag("force"))
    return changed(job, job.url, 202)


@operation("GET", "/jobs/{jobId}/taskcounts")
def get_job_task_counts(account: Account, call: Call) -> Reply:
    job = _job(account, call)
    counts = job.index.counts
    names = ("active", "running", "completed", "succeeded", "failed")
    return json_reply(
        {
            "taskCounts": {name: getattr(counts, name) for name in names},
            "taskSlotCounts": {name: getattr(counts, f"{name}_slots") for name in names},
        },
        headers=version_headers(job),
    )


@operation("GET", "/jobs/{jobId}/jobpreparationandreleasetaskstatus")
def list_job_preparation_and_release_task_status(account: Account, call: Call) -> Reply:
    job = _job(account, call)
    if "jobPreparationTask" not in job.spec:
        raise BatchFault("JobPreparationTaskNotSpecified")
    condition = parse_filter(call, _STATUS_FILTERS)
    names = selected(call, _STATUS_PROPERTIES)
    return json_reply(
        one_page(
            call,
            "jobpreparationandreleasetaskstatuslist",
            sorted(job.records.items()),
            lambda record: project(record.json(), names),
            condition,
        )
    )
