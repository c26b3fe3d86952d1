"""What a task prints: from S3, and from CloudWatch only where a task has ended and its runner never stored anything.

CloudWatch answers about ten reads a second for a whole account; a sweep of silent tasks must not use them up.
"""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.errors import NotFound, ProviderError
from orchestrator.providers.aws.client import Aws
from orchestrator.storage import logs
from orchestrator.storage.base import ObjectStore
from orchestrator.storage.layout import RunKeys

GROUP = "/aws/batch/job"
# Events of one page, and pages that are read: such a container has only said why it could not begin.
EVENTS, PAGES = 10_000, 5
# Containers of a run whose own words are kept by one client: what keeps many from beginning is the same for all.
KEPT = 10
# Of a container's last line, so much becomes part of the reason.
LAST_LINE = 300


def read(aws: Aws, store: ObjectStore, key: str, offset: int, size: int, job: Callable[[], str | None]) -> bytes:
    """Bytes from ``offset`` of the stream whose whole is ``key``.

    ``job`` gives the id of the job where it has ended.
    """
    if size <= 0:
        return b""
    found = logs.read(store, key, offset, size)
    if found is not None:
        return found
    ended = job() if key.endswith("/stderr.txt") else None
    return _cloudwatch(aws, ended)[offset : offset + size] if ended is not None else b""


class Words:
    """What containers said whose runner never came to say anything, stored where their logs would be."""

    def __init__(self, aws: Aws, store: ObjectStore, run: str) -> None:
        self._aws, self._store, self._keys = aws, store, RunKeys(run)
        self._left = KEPT

    def last(self, trial: int, attempt: int, job: str) -> str:
        """The last line of a job that has failed; empty where it said nothing, or enough have been asked."""
        key = self._keys.log(trial, attempt, "stderr")
        try:
            if self._left <= 0 or logs.read(self._store, key, 0, 1) is not None:
                return ""
            self._left -= 1
            said = _cloudwatch(self._aws, job)
            if said.strip():
                self._store.put(key, said)
        except ProviderError:
            self._left = 0  # that a task failed is known without its words, and nobody waits for them twice
            return ""
        lines = said.decode("utf-8", "replace").strip().splitlines()
        return lines[-1].strip()[:LAST_LINE] if lines else ""


def _cloudwatch(aws: Aws, job: str) -> bytes:
    found = aws.call("batch", "describe_jobs", jobs=[job])["jobs"]
    stream = found[0].get("container", {}).get("logStreamName") if found else None
    if not stream:
        return b""
    lines: list[str] = []
    arguments = {"logGroupName": GROUP, "logStreamName": stream, "startFromHead": True, "limit": EVENTS}
    for _ in range(PAGES):
        try:
            page = aws.call("logs", "get_log_events", **arguments)
        except NotFound:
            break
        lines += [event["message"] for event in page["events"]]
        if not page["events"] or page["nextForwardToken"] == arguments.get("nextToken"):
            break
        arguments["nextToken"] = page["nextForwardToken"]
    return "".join(f"{line}\n" for line in lines).encode()
