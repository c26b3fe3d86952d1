"""The service's error codes, each with its HTTP status and message.

Source: the service's REST reference, "Batch Status and Error Codes"; codes not listed there carry a comment.
"""

from __future__ import annotations

import uuid
from typing import Any

from .timefmt import Micros, iso

_CODES: dict[str, tuple[int, str]] = {
    # Common to all operations.
    "MissingRequiredHeader": (400, "A required HTTP header was not specified."),
    "MissingRequiredProperty": (400, "A required property was not specified in the request body."),
    "UnsupportedProperty": (400, "One of the properties specified in the request body is not supported."),
    "InvalidHeaderValue": (400, "The value provided for one of the HTTP headers was not in the correct format."),
    "InvalidPropertyValue": (
        400,
        "The value provided for one of the properties in the request body is invalid.",
    ),
    "MissingRequiredQueryParameter": (400, "A required query parameter was not specified for this request."),
    "InvalidQueryParameterValue": (
        400,
        "Value for one of the query parameters specified in the request URI is invalid.",
    ),
    "OutOfRangeQueryParameterValue": (
        400,
        "A query parameter specified in the request URI is outside the permissible range.",
    ),
    "InvalidUri": (400, "The requested URI does not represent any resource on the server."),
    "InvalidRequestBody": (400, "The specified Request Body is not syntactically valid."),
    "InvalidAuthenticationInfo": (400, "The authentication information was not provided in the correct format."),
    "UnsupportedRequestVersion": (400, "The specified request version is not supported."),
    # A request with no Authorization header at all; one that is wrong is refused with 403.
    "Unauthenticated": (401, "Server failed to authenticate the request: it carries no Authorization header."),
    "AuthenticationFailed": (
        403,
        "Server failed to authenticate the request. Make sure the value of Authorization header is formed "
        "correctly including the signature.",
    ),
    "ResourceNotFound": (404, "The specified resource does not exist."),
    "UnsupportedHttpVerb": (405, "The resource doesn't support the specified HTTP verb."),
    "ConditionNotMet": (412, "The condition specified in the conditional header(s) was not met."),
    "RequestBodyTooLarge": (
        413,
        "The size of the request body exceeds the maximum size permitted, or a request has too many entries.",
    ),
    "InvalidRange": (416, "The range specified is invalid for the current size of the resource."),
    "TooManyRequests": (429, "Too many requests were sent. Retry after the time given in Retry-After."),
    "InternalError": (500, "Server encountered an internal error. Please try again after some time."),
    "OperationTimedOut": (500, "Operation could not be completed within the specified time."),
    "NotImplemented": (501, "The requested operation is not implemented."),
    "ServerBusy": (503, "The server is currently unable to receive requests. Please retry your request."),
    # Of the Batch service.
    "InvalidAutoScalingSettings": (400, "The specified auto-scaling settings are not valid."),
    "AutoScalingFormulaSyntaxError": (400, "The specified auto-scaling formula has a syntax error."),
    "AutoScalingFormulaTooLong": (400, "The specified auto-scaling formula exceeds the length limit."),
    "TaskDependenciesNotSpecifiedOnJob": (
        400,
        "A task was specified as depending on other tasks, but the job did not specify that it would use task "
        "dependencies.",
    ),
    "TaskDependencyListTooLong": (400, "The list of dependencies was too long to be stored."),
    "IOError": (403, "An I/O error occurred when accessing the specified resource."),
    "ApplicationNotFound": (404, "The specified application does not exist."),
    "PoolNotFound": (404, "The specified pool does not exist."),
    "NodeNotFound": (404, "The specified node does not exist."),
    "JobScheduleNotFound": (404, "The specified job schedule does not exist."),
    "JobNotFound": (404, "The specified job does not exist."),
    "TaskNotFound": (404, "The specified task does not exist."),
    "FileNotFound": (404, "The specified file does not exist."),
    "NodeUserNotFound": (404, "The specified node user does not exist."),
    "OperationInvalidForCurrentState": (
        409,
        "The specified operation is not valid for the current state of the resource.",
    ),
    "PoolBeingDeleted": (409, "The specified pool has been marked for deletion and is being reclaimed."),
    "PoolBeingResized": (409, "The specified pool is being resized."),
    "NodeBeingCreated": (409, "The specified node is being created."),
    "NodeBeingStarted": (409, "The specified node is being started."),
    "NodeBeingReimaged": (409, "The specified node is being reimaged."),
    "NodeBeingRebooted": (409, "The specified node is being rebooted."),
    "NodeStateUnusable": (409, "The state of the specified node is unusable."),
    "JobScheduleBeingTerminated": (409, "The specified job schedule is being terminated."),
    "JobScheduleBeingDeleted": (
        409,
        "The specified job schedule has been marked for deletion and is being reclaimed.",
    ),
    "PoolExists": (409, "The specified pool already exists."),
    "JobScheduleExists": (409, "The specified job schedule already exists."),
    "NodeUserExists": (409, "The specified node user already exists."),
    "JobExists": (409, "The specified job already exists."),
    "JobScheduleDisabled": (409, "The specified job schedule is disabled."),
    "JobScheduleCompleted": (409, "The specified job schedule is already in completed state."),
    "JobBeingTerminated": (409, "The specified job is being terminated."),
    "JobBeingDeleted": (
        409,
        "The specified job has been marked for deletion and is being garbage collected.",
    ),
    "JobDisabled": (409, "The specified job is disabled."),
    "JobCompleted": (409, "The specified job is already in a completed state."),
    "JobNotActive": (409, "The specified job is not in active state."),
    "TaskExists": (409, "The specified task already exists."),
    "TaskCompleted": (409, "The specified task is already in a completed state."),
    "TaskNotCompleted": (
        409,
        "The specified task is not in a completed state, and the requested operation can be performed only on "
        "completed tasks.",
    ),
    "TaskSucceeded": (
        409,
        "The specified task has already completed successfully, and the requested operation cannot be performed "
        "on successful tasks.",
    ),
    "TaskFilesUnavailable": (409, "The files of the specified task are unavailable."),
    "TaskFilesCleanedup": (409, "The files of the specified task are cleaned up."),
    "ActiveJobAndScheduleQuotaReached": (409, "Active job and schedule quota for the account has been reached."),
    "PoolQuotaReached": (409, "Pool quota for the account has been reached."),
    "JobPreparationTaskNotSpecified": (409, "The specified job does not have a job preparation task."),
    "TaskIdSameAsJobPreparationTask": (409, "The specified task id is same as the job preparation task."),
    "TaskIdSameAsJobReleaseTask": (409, "The specified task id is same as the job release task."),
    "JobWithSameIdExists": (409, "A job with the specified job schedule id exists."),
    "JobScheduleWithSameIdExists": (409, "A job schedule with the specified job id exists."),
    "NodeAlreadyInTargetSchedulingState": (
        409,
        "The specified node is already in the target scheduling state.",
    ),
    "OperationNotValidOnNode": (409, "The specified operation is not valid on the node."),
    "InvalidApplicationPackageReferences": (
        409,
        "One or more application package references could not be satisfied.",
    ),
    "TooManyEnableAutoScaleRequests": (
        503,
        "Too many Enable Pool AutoScale requests are issued on the pool; wait 30 seconds between two.",
    ),
}

# Codes that exist only to tell two statuses of one service code apart.
_SENT_AS = {"Unauthenticated": "AuthenticationFailed"}


class BatchFault(Exception):
    """A request that the service refuses: becomes its HTTP error.

    Args:
        code: a code of the table above.
        reason: what was wrong, where more than the code can be said.
        values: further pairs for the error's `values`.
        status: another status than the table's.
        headers: further response headers.
    """

    def __init__(
        self,
        code: str,
        reason: str | None = None,
        *,
        values: dict[str, str] | None = None,
        status: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.status, self.message = _CODES[code]
        if status is not None:
            self.status = status
        self.code = _SENT_AS.get(code, code)
        self.values = dict(values or {})
        if reason is not None:
            self.values["Reason"] = reason
        self.headers = dict(headers or {})
        super().__init__(f"{self.code}: {reason or self.message}")

    def entity(self) -> dict[str, Any]:
        """The error as it stands in a per-task result of an added collection."""
        entity: dict[str, Any] = {"code": self.code, "message": {"lang": "en-US", "value": self.message}}
        if self.values:
            entity["values"] = [{"key": key, "value": value} for key, value in self.values.items()]
        return entity

    def body(self, request_id: str, now: Micros) -> dict[str, Any]:
        """The error as the body of a response."""
        entity = self.entity()
        entity["message"]["value"] = f"{self.message}\nRequestId:{request_id}\nTime:{iso(now)}"
        return entity


def invalid_property(name: str, value: object, reason: str) -> BatchFault:
    """A 400 that names the property, its value and what is wrong with it."""
    return BatchFault("InvalidPropertyValue", reason, values={"PropertyName": name, "PropertyValue": str(value)})


def invalid_query(name: str, value: object, reason: str) -> BatchFault:
    """A 400 that names the query parameter, its value and what is wrong with it."""
    return BatchFault(
        "InvalidQueryParameterValue",
        reason,
        values={"QueryParameterName": name, "QueryParameterValue": str(value)},
    )


def new_request_id() -> str:
    return str(uuid.uuid4())
