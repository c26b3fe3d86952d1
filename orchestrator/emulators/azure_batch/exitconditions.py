"""What follows from how a task ended: for its job, and for the tasks that depend on it."""

from __future__ import annotations

from dataclasses import dataclass

from .protocol import Json


@dataclass(frozen=True, slots=True)
class Ending:
    """How a task ended.

    Args:
        exit_code: None where its command never ran.
        failure: why it failed, None where it did not.
        pre_processing: it failed before its command ran.
        upload_failed: an output file could not be stored.
        retryable: the service may try again (its command ended with a code other than 0).
    """

    exit_code: int | None = None
    failure: Json | None = None
    pre_processing: bool = False
    upload_failed: bool = False
    retryable: bool = False
    container_info: Json | None = None
    cpu_seconds: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Consequence:
    """`none`, `disable` or `terminate` for the job; whether dependent tasks may go on."""

    job_action: str
    satisfies: bool


def consequence(conditions: Json | None, ending: Ending) -> Consequence:
    """Apply a task's exit conditions to how it ended."""
    given = conditions or {}
    of_code = _by_code(given, ending.exit_code)
    if of_code is not None:
        # Whatever else failed: what is given for an exit code comes before all others.
        options, success = of_code, ending.exit_code == 0
    elif ending.failure is None:
        options, success = {}, True
    else:
        default: Json = given.get("default", {})
        options, success = given.get(_condition(ending), default), False
    return Consequence(
        options.get("jobAction", "none" if success else "terminate"),
        options.get("dependencyAction", "satisfy" if success else "block") == "satisfy",
    )


def _condition(ending: Ending) -> str:
    if ending.pre_processing:
        return "preProcessingError"
    return "fileUploadError" if ending.upload_failed else "default"


def _by_code(conditions: Json, code: int | None) -> Json | None:
    """The options given for this very exit code, or for a range that it is in."""
    if code is None:
        return None
    ranges = [(mapping["code"], mapping["code"], mapping) for mapping in conditions.get("exitCodes", [])]
    ranges += [(mapping["start"], mapping["end"], mapping) for mapping in conditions.get("exitCodeRanges", [])]
    return next((mapping["exitOptions"] for start, end, mapping in ranges if start <= code <= end), None)
