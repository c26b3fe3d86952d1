"""Adding tasks: streamed in chunks, several calls in flight, each task acknowledged or named in an error.

A task whose id the job knows already was added by a call whose answer was lost: that is an acknowledgement.  Ten
thousand tasks take a hundred calls, where nothing fails and no chunk is too large.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

from orchestrator.errors import InvalidRequest, NotFound, ProviderError, Throttled, Unavailable
from orchestrator.providers.azure.client import Batch, code_of
from orchestrator.providers.azure.request import Body

if TYPE_CHECKING:
    from azure.batch.models import BatchTaskCreateResult

# Limits of the service for one call: tasks, and bytes of the body (1 MiB, less what we do not count ourselves).
CHUNK, CHUNK_BYTES = 100, 1_000_000
IN_FLIGHT = 4
# Bytes of a task's body beside its command and its environment: at most so many.
OTHERWISE = 2500
# Tries for tasks of a chunk that the service failed at (each after a wait, in seconds, that doubles up to LONGEST).
TRIES, WAIT, LONGEST = 8, 0.1, 5.0


@dataclass(slots=True)
class _Outcome:
    """What became of a chunk: names acknowledged, in order, and the first error, with the task that it is about."""

    names: list[str] = field(default_factory=list)
    error: ProviderError | None = None


def submit(
    batch: Batch, job: str, tasks: Iterable[Body], *, sleep: Callable[[float], object] = time.sleep
) -> Iterator[str]:
    """Add ``tasks`` lazily; yields each id that the service has acknowledged, in the order given.

    After the first error the chunks that are in flight are waited for and their ids yielded; then it is raised.  Where
    the service refuses one task for good, that one is the first of those not yielded.
    """
    groups = chunks(tasks)
    flying: deque[Future[_Outcome]] = deque()
    error: ProviderError | None = None
    with ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="submit") as pool:
        while True:
            while error is None and len(flying) <= IN_FLIGHT and (chunk := next(groups, None)) is not None:
                flying.append(pool.submit(_add, batch, job, chunk, sleep))
            if not flying:
                break
            outcome = flying.popleft().result()
            yield from outcome.names
            error = error or outcome.error
    if error is not None:
        raise error


def chunks(tasks: Iterable[Body]) -> Iterator[list[Body]]:
    """Groups that one call takes."""
    chunk: list[Body] = []
    size = 0
    for body in tasks:
        length = _length(body)
        if chunk and (len(chunk) == CHUNK or size + length > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(body)
        size += length
    if chunk:
        yield chunk


def _length(body: Body) -> int:
    """Bytes that a task adds to a call; of one that cannot matter, a bound."""
    bound = len(body["commandLine"]) + OTHERWISE
    # A character becomes six bytes at most, and in JSON within JSON a quote becomes three; most stay one.
    bound += sum(2 * len(item["value"]) for item in body.get("environmentSettings", ()))
    return bound if bound < CHUNK_BYTES // CHUNK else len(json.dumps(body)) + 2


def _add(batch: Batch, job: str, chunk: list[Body], sleep: Callable[[float], object]) -> _Outcome:
    """Until every task of the chunk is acknowledged or one is refused."""
    waiting = {body["id"]: body for body in chunk}
    known: set[str] = set()
    refused: dict[str, ProviderError] = {}
    broken: ProviderError | None = None
    wait = WAIT
    for left in reversed(range(TRIES)):
        try:
            results = _call(batch, job, list(waiting.values()))
        except ProviderError as error:
            broken = error
            break
        for result in results:
            verdict = _verdict(result)
            if verdict is None:
                known.add(result.task_id)
            elif verdict.retryable:
                continue
            else:
                refused[result.task_id] = verdict
            waiting.pop(result.task_id, None)
        if not waiting or not left:
            break
        sleep(wait)
        wait = min(2 * wait, LONGEST)
    if broken is None and waiting:
        some = ", ".join(list(waiting)[:5])
        broken = Unavailable(f"Azure Batch did not take {len(waiting)} tasks of {len(chunk)}: {some}.")
    first = next((refused[body["id"]] for body in chunk if body["id"] in refused), None)
    return _Outcome([body["id"] for body in chunk if body["id"] in known], broken or first)


def _call(batch: Batch, job: str, bodies: list[Body]) -> list[BatchTaskCreateResult]:
    try:
        # The SDK writes the group as JSON and looks at nothing in it: making its model of a hundred tasks first would
        # take longer than the call.
        group: Any = {"value": bodies}
        return batch.call(batch.sdk.create_task_collection, job, group).result_values or []
    except InvalidRequest as error:
        code = code_of(error)
        if code in ("JobBeingTerminated", "JobCompleted", "JobNotActive"):
            raise NotFound(f"The job {job} has ended: {error.message}") from error
        if code != "RequestBodyTooLarge" or len(bodies) == 1:
            raise
    half = len(bodies) // 2
    return list(chain(_call(batch, job, bodies[:half]), _call(batch, job, bodies[half:])))


def _verdict(result: BatchTaskCreateResult) -> ProviderError | None:
    """None where the task is there."""
    from azure.batch.models import BatchTaskAddStatus

    code = (result.error.code if result.error is not None else None) or ""
    status = BatchTaskAddStatus(result.status)
    if status is BatchTaskAddStatus.SUCCESS or code == "TaskExists":
        return None
    told = result.error.message.value if result.error is not None and result.error.message is not None else ""
    message = f"Azure Batch: task {result.task_id}: {code}: {(told or '').split(chr(10))[0]}"
    if status is BatchTaskAddStatus.SERVER_ERROR:
        return Unavailable(message)
    if code in ("TooManyRequests", "ServerBusy"):
        return Throttled(message)
    return InvalidRequest(message)
