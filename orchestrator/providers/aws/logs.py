"""What a task prints: from S3, and from CloudWatch only where a task has ended and its runner never stored anything.

CloudWatch answers about ten reads a second for a whole account; a sweep of silent tasks must not use them up.
"""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.errors import NotFound
from orchestrator.providers.aws.client import Aws
from orchestrator.storage.base import ObjectStore

GROUP = "/aws/batch/job"
# Events of one page, and pages that are read: such a container has only said why it could not begin.
EVENTS, PAGES = 10_000, 5


def read(
    aws: Aws, store: ObjectStore, attempt: str, stream: str, offset: int, size: int, job: Callable[[], str | None]
) -> bytes:
    """Bytes of ``stdout`` or ``stderr`` from ``offset``; ``attempt`` is the key of the attempt's folder.

    ``job`` gives the id of the job where it has ended.
    """
    if size <= 0:
        return b""
    whole = f"{attempt}/{stream}.txt"
    try:
        return store.read_range(whole, offset, size)
    except NotFound:
        pass
    found = _parts(store, attempt, stream, offset, size)
    if found is not None:
        return found
    ended = job() if stream == "stderr" else None
    return _cloudwatch(aws, ended)[offset : offset + size] if ended is not None else b""


def _parts(store: ObjectStore, attempt: str, stream: str, offset: int, size: int) -> bytes | None:
    """From the parts of the latest try, which follow each other without gaps; None where there are none at all."""
    folder = f"{attempt}/log"
    tries: dict[int, list[tuple[int, int, str]]] = {}
    for item in store.list(folder):
        number, name, begin = item.key[len(folder) + 1 :].split("/")
        parts = tries.setdefault(int(number), [])
        if name == f"{stream}.txt":
            parts.append((int(begin), item.size, item.key))
    if not tries:
        return None
    data = b""
    for start, length, key in sorted(tries[max(tries)]):
        reached = offset + len(data)
        if len(data) < size and start <= reached < start + length:
            data += store.read_range(key, reached - start, size - len(data))
    return data


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
