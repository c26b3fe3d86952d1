"""Operations on tasks."""

from __future__ import annotations

from ..account import Account
from ..bodies import validated
from ..errors import BatchFault
from ..jobs import Job
from ..odata import (
    EQUAL,
    Property,
    continuation,
    expands_stats,
    list_body,
    one_page,
    parse_filter,
    project,
    selected,
)
from ..protocol import Call, Json, Reply, changed, check_conditions, json_reply, version_headers
from ..routing import operation
from ..task import Subtask, Task
from ..tasks import check_constraints
from ..timefmt import iso

MAX_COLLECTION = 100
# The service refuses a larger collection, however few its tasks.
MAX_COLLECTION_BYTES = 1024 * 1024

_PROPERTIES = [
    "id",
    "displayName",
    "url",
    "eTag",
    "lastModified",
    "creationTime",
    "exitConditions",
    "state",
    "stateTransitionTime",
    "previousState",
    "previousStateTransitionTime",
    "commandLine",
    "containerSettings",
    "resourceFiles",
    "outputFiles",
    "environmentSettings",
    "affinityInfo",
    "constraints",
    "requiredSlots",
    "userIdentity",
    "executionInfo",
    "nodeInfo",
    "multiInstanceSettings",
    "stats",
    "dependsOn",
    "applicationPackageReferences",
]
_SUBTASK_PROPERTIES = [
    "id",
    "nodeInfo",
    "startTime",
    "endTime",
    "exitCode",
    "containerInfo",
    "failureInfo",
    "state",
    "stateTransitionTime",
    "previousState",
    "previousStateTransitionTime",
    "result",
]

_FILTERS: dict[str, Property[Task]] = {
    "id": Property("str", lambda task: task.id, prefix=True),
    "state": Property("str", lambda task: task.state, EQUAL),
    "stateTransitionTime": Property("time", lambda task: task.state_time),
    "creationTime": Property("time", lambda task: task.created),
    "lastModified": Property("time", lambda task: task.modified),
    "lastModifiedTime": Property("time", lambda task: task.modified),
    "executionInfo/startTime": Property("time", lambda task: task.start),
    "executionInfo/endTime": Property("time", lambda task: task.end),
    "executionInfo/exitCode": Property("int", lambda task: task.exit_code),
    "executionInfo/result": Property("str", lambda task: task.result, EQUAL),
    "nodeInfo/poolId": Property("str", lambda task: (task.node_info or {}).get("poolId"), EQUAL),
    "nodeInfo/nodeId": Property("str", lambda task: (task.node_info or {}).get("nodeId"), EQUAL),
}


def _task(account: Account, call: Call) -> Task:
    task = account.find_job(call.parameters["jobId"]).index.find(call.parameters["taskId"])
    check_conditions(call, task)
    return task


@operation("POST", "/jobs/{jobId}/tasks", "BatchTaskCreateOptions")
def create_task(account: Account, call: Call) -> Reply:
    job = account.find_job(call.parameters["jobId"])
    job.require_active_for_tasks()
    task = account.tasks.add(job, call.content)
    return changed(task, task.url, 201)


@operation("POST", "/jobs/{jobId}/addtaskcollection", "raw")
def create_task_collection(account: Account, call: Call) -> Reply:
    """Add up to 100 tasks; each has a result of its own, and the reply is 200 whatever they are."""
    job = account.find_job(call.parameters["jobId"])
    job.require_active_for_tasks()
    if len(call.body) > MAX_COLLECTION_BYTES:
        raise BatchFault("RequestBodyTooLarge", f"a collection has at most {MAX_COLLECTION_BYTES} bytes")
    unknown = sorted(call.content.keys() - {"value"})
    if unknown:
        raise BatchFault("UnsupportedProperty", values={"PropertyName": unknown[0]})
    entries = call.content.get("value")
    if not isinstance(entries, list):
        raise BatchFault("MissingRequiredProperty", values={"PropertyName": "value"})
    if len(entries) > MAX_COLLECTION:
        raise BatchFault("RequestBodyTooLarge", f"a collection has at most {MAX_COLLECTION} tasks")
    # The types are checked before anything is added: a body that is no collection adds nothing.
    specs = [validated("BatchTaskCreateOptions", entry) for entry in entries]
    return json_reply(
        {
            "odata.metadata": f"{call.endpoint}/$metadata#taskaddresult",
            "value": [_add_one(account, job, call, spec) for spec in specs],
        },
        headers=version_headers(job),
    )


def _add_one(account: Account, job: Job, call: Call, spec: Json) -> Json:
    if account.faults.strikes_task(call.raw_path):
        return {
            "status": "servererror",
            "taskId": spec["id"],
            "error": BatchFault("ServerBusy").entity(),
        }
    try:
        task = account.tasks.add(job, spec)
    except BatchFault as problem:
        return {
            "status": "clienterror",
            "taskId": spec["id"],
            "error": problem.entity(),
            "location": f"{job.url}/tasks/{spec['id']}",
        }
    return {
        "status": "success",
        "taskId": task.id,
        "eTag": task.etag,
        "lastModified": iso(task.modified),
        "location": task.url,
    }


@operation("GET", "/jobs/{jobId}/tasks")
def list_tasks(account: Account, call: Call) -> Reply:
    job = account.find_job(call.parameters["jobId"])
    condition = parse_filter(call, _FILTERS)
    names = selected(call, _PROPERTIES)
    stats = expands_stats(call)
    candidates = job.index.candidates(condition, continuation(call))
    return json_reply(
        one_page(call, "tasks", candidates, lambda task: project(task.json(stats=stats), names), condition)
    )


@operation("GET", "/jobs/{jobId}/tasks/{taskId}")
def get_task(account: Account, call: Call) -> Reply:
    task = _task(account, call)
    body = project(task.json(stats=expands_stats(call)), selected(call, _PROPERTIES))
    metadata = {"odata.metadata": f"{call.endpoint}/$metadata#tasks/@Element"}
    return json_reply({**metadata, **body}, headers={**version_headers(task), "DataServiceId": task.url})


@operation("DELETE", "/jobs/{jobId}/tasks/{taskId}")
def delete_task(account: Account, call: Call) -> Reply:
    account.tasks.delete(_task(account, call))
    return Reply(200)


@operation("PUT", "/jobs/{jobId}/tasks/{taskId}", "BatchTask")
def replace_task(account: Account, call: Call) -> Reply:
    task = _task(account, call)
    if task.state == "completed":
        raise BatchFault("TaskCompleted")
    constraints: Json = call.content.get("constraints", {})
    check_constraints(constraints)
    task.constraints = constraints
    task.touch()
    return changed(task, task.url)


@operation("POST", "/jobs/{jobId}/tasks/{taskId}/terminate")
def terminate_task(account: Account, call: Call) -> Reply:
    task = _task(account, call)
    if task.state == "completed":
        raise BatchFault("TaskCompleted")
    account.tasks.end(task)
    return changed(task, task.url, 204)


@operation("POST", "/jobs/{jobId}/tasks/{taskId}/reactivate")
def reactivate_task(account: Account, call: Call) -> Reply:
    task = _task(account, call)
    task.job.require_active_for_tasks()
    account.tasks.reactivate(task)
    return changed(task, task.url, 204)


@operation("GET", "/jobs/{jobId}/tasks/{taskId}/subtasksinfo")
def list_subtasks(account: Account, call: Call) -> Reply:
    task = _task(account, call)
    names = selected(call, _SUBTASK_PROPERTIES)
    if not task.is_multi_instance:
        return json_reply(list_body(call, "subtasks", [], None))

    def render(subtask: Subtask) -> Json:
        return project(subtask.json(), names)

    items = [(f"{subtask.id:06d}", subtask) for subtask in task.subtasks]
    return json_reply(one_page(call, "subtasks", items, render))
