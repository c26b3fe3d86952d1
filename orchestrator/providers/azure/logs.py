"""What a task prints: from its node while it runs, at once, and from Blob when the node is gone."""

from __future__ import annotations

from urllib.parse import quote

from orchestrator.errors import InvalidRequest, NotFound
from orchestrator.providers.azure.client import Batch, code_of
from orchestrator.providers.azure.request import FOLDER
from orchestrator.storage.base import ObjectStore

# What the service answers where there is no such file (yet, any more): not errors to anybody.
_ABSENT = frozenset(
    {"TaskFilesUnavailable", "TaskFilesCleanedup", "NodeStateUnusable", "OperationInvalidForCurrentState"}
)
_BEYOND = "InvalidRange"


def read(
    batch: Batch, store: ObjectStore, job: str, task: str, key: str, stream: str, offset: int, size: int, *, ended: bool
) -> bytes:
    """Bytes of ``stdout`` or ``stderr`` from ``offset``; ``key`` is where the runner stores them.

    Both have the same bytes at the same places, the node's file has them sooner.  Of a task whose runner never came
    to store anything the service's own file of the stream is read: it says what went wrong.
    """
    if not ended:
        found = from_node(batch, job, task, f"wd/{FOLDER}/attempt/{stream}.txt", offset, size)
        if found is not None:
            return found
    try:
        return store.read_range(key, offset, size)
    except NotFound:
        pass
    return (from_node(batch, job, task, f"{stream}.txt", offset, size) or b"") if ended else b""


def from_node(batch: Batch, job: str, task: str, path: str, offset: int, size: int) -> bytes | None:
    """A part of a task's file on its node; None where there is no such file."""
    if size <= 0:
        return b""

    try:
        return batch.file(f"jobs/{job}/tasks/{task}/files/{quote(path, safe='')}", offset, size)
    except NotFound:
        return None
    except InvalidRequest as error:
        if code_of(error) == _BEYOND:
            return b""
        if code_of(error) in _ABSENT:
            return None
        raise
