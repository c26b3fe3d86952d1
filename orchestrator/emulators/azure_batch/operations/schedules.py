"""Operations on job schedules."""

from __future__ import annotations

from ..account import Account
from ..errors import BatchFault
from ..odata import EQUAL, Property, expands_stats, one_page, parse_filter, project, selected
from ..protocol import Call, Json, Reply, changed, check_conditions, json_reply, version_headers
from ..routing import operation
from ..schedules import Schedule, check_schedule
from ..timefmt import Micros, parse_iso
from .jobs import list_reply

_PROPERTIES = [
    "id",
    "displayName",
    "url",
    "eTag",
    "lastModified",
    "creationTime",
    "state",
    "stateTransitionTime",
    "previousState",
    "previousStateTransitionTime",
    "schedule",
    "jobSpecification",
    "executionInfo",
    "metadata",
    "stats",
]


def _bound(schedule: Schedule, name: str) -> Micros | None:
    text = schedule.spec["schedule"].get(name)
    return None if text is None else parse_iso(text)


_FILTERS: dict[str, Property[Schedule]] = {
    "id": Property("str", lambda schedule: schedule.id, prefix=True),
    "state": Property("str", lambda schedule: schedule.state, EQUAL),
    "stateTransitionTime": Property("time", lambda schedule: schedule.state_time),
    "creationTime": Property("time", lambda schedule: schedule.created),
    "lastModified": Property("time", lambda schedule: schedule.modified),
    "executionInfo/endTime": Property("time", lambda schedule: schedule.end),
    "schedule/doNotRunUntil": Property("time", lambda schedule: _bound(schedule, "doNotRunUntil")),
    "schedule/doNotRunAfter": Property("time", lambda schedule: _bound(schedule, "doNotRunAfter")),
}


def _schedule(account: Account, call: Call) -> Schedule:
    schedule = account.find_schedule(call.parameters["jobScheduleId"])
    check_conditions(call, schedule)
    return schedule


def _require(schedule: Schedule, *states: str) -> None:
    if schedule.state in states:
        return
    code = {
        "completed": "JobScheduleCompleted",
        "terminating": "JobScheduleBeingTerminated",
        "deleting": "JobScheduleBeingDeleted",
        "disabled": "JobScheduleDisabled",
    }.get(schedule.state, "OperationInvalidForCurrentState")
    raise BatchFault(code, f"the job schedule is {schedule.state}")


@operation("POST", "/jobschedules", "BatchJobScheduleCreateOptions")
def create_job_schedule(account: Account, call: Call) -> Reply:
    check_schedule(call.content)
    key = call.content["id"].lower()
    if key in account.schedules:
        raise BatchFault("JobScheduleExists")
    if key in account.jobs:
        raise BatchFault("JobWithSameIdExists")
    account.check_job_quota()
    schedule = Schedule(account, call.content)
    account.schedules[key] = schedule
    schedule.begin()
    return changed(schedule, schedule.url, 201)


@operation("GET", "/jobschedules")
def list_job_schedules(account: Account, call: Call) -> Reply:
    condition = parse_filter(call, _FILTERS)
    names = selected(call, _PROPERTIES)
    stats = expands_stats(call)
    items = sorted(account.schedules.items())
    return json_reply(
        one_page(call, "jobschedules", items, lambda each: project(each.json(stats=stats), names), condition)
    )


@operation("GET", "/jobschedules/{jobScheduleId}")
def get_job_schedule(account: Account, call: Call) -> Reply:
    schedule = _schedule(account, call)
    body = project(schedule.json(stats=expands_stats(call)), selected(call, _PROPERTIES))
    metadata = {"odata.metadata": f"{call.endpoint}/$metadata#jobschedules/@Element"}
    return json_reply({**metadata, **body}, headers=version_headers(schedule))


@operation("HEAD", "/jobschedules/{jobScheduleId}")
def job_schedule_exists(account: Account, call: Call) -> Reply:
    return Reply(200, headers=version_headers(_schedule(account, call)))


@operation("DELETE", "/jobschedules/{jobScheduleId}")
def delete_job_schedule(account: Account, call: Call) -> Reply:
    schedule = _schedule(account, call)
    if schedule.state == "deleting" and not call.flag("force"):
        raise BatchFault("JobScheduleBeingDeleted")
    schedule.delete()
    return Reply(202)


@operation("PATCH", "/jobschedules/{jobScheduleId}", "BatchJobScheduleUpdateOptions")
def update_job_schedule(account: Account, call: Call) -> Reply:
    return _change(account, call)


@operation("PUT", "/jobschedules/{jobScheduleId}", "BatchJobSchedule")
def replace_job_schedule(account: Account, call: Call) -> Reply:
    return _change(account, call)


def _change(account: Account, call: Call) -> Reply:
    schedule = _schedule(account, call)
    _require(schedule, "active", "disabled")
    check_schedule(call.content, with_id=False)
    replaced: Json = {"schedule": {}, "metadata": []} if call.method == "PUT" else {}
    schedule.change({**replaced, **call.content})
    return changed(schedule, schedule.url)


@operation("POST", "/jobschedules/{jobScheduleId}/disable")
def disable_job_schedule(account: Account, call: Call) -> Reply:
    schedule = _schedule(account, call)
    _require(schedule, "active", "disabled")
    if schedule.state == "active":
        schedule.disable()
    return changed(schedule, schedule.url, 204)


@operation("POST", "/jobschedules/{jobScheduleId}/enable")
def enable_job_schedule(account: Account, call: Call) -> Reply:
    schedule = _schedule(account, call)
    _require(schedule, "active", "disabled")
    if schedule.state == "disabled":
        schedule.enable()
    return changed(schedule, schedule.url, 204)


@operation("POST", "/jobschedules/{jobScheduleId}/terminate")
def terminate_job_schedule(account: Account, call: Call) -> Reply:
    schedule = _schedule(account, call)
    _require(schedule, "active", "disabled")
    schedule.terminate()
    return changed(schedule, schedule.url, 202)


@operation("GET", "/jobschedules/{jobScheduleId}/jobs")
def list_jobs_from_schedule(account: Account, call: Call) -> Reply:
    schedule = account.find_schedule(call.parameters["jobScheduleId"])
    return list_reply(call, sorted(schedule.jobs.items()))
