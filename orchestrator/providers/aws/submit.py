"""Array jobs, each sent once.

A batch's tasks are written to the store first, one a line; then one job is sent that carries the batch's name, and its
children find their lines by their index.  ``SubmitJob`` knows no token by which a repetition is recognised, so where an
answer is lost the job is looked for by its name before it is sent again.  A batch whose job the queue does not know
was never sent, and is nothing.
"""

from __future__ import annotations

import json
import operator
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from orchestrator.errors import NotFound, Unavailable
from orchestrator.providers.aws import request
from orchestrator.providers.aws.client import Aws
from orchestrator.providers.base import Task
from orchestrator.storage.base import ObjectStore
from orchestrator.storage.layout import RunKeys

# Children of one array (limit of the service), and of the first arrays where nobody knows how many tasks will come.
ARRAY = 10_000
FIRST, GROWTH = 16, 4
# Looks for a job whose submission got no answer, and the seconds between two: listings may lag behind.
LOOKS, LAG = 3, 2.0
# Seconds for which a list without a job may still get one; beyond any lag and any difference of clocks.
RECENT = 300.0
TRIES = 6


@dataclass(frozen=True, slots=True)
class Batch:
    """A job that the service knows, and the names of its tasks in order."""

    number: int
    job: str
    names: tuple[str, ...] = field(repr=False)

    def child(self, index: int) -> str:
        """The job id of one task."""
        return f"{self.job}:{index}" if len(self.names) > 1 else self.job


class Batches:
    """The batches of one run.  ``lag`` is how far listings may be behind, in seconds."""

    def __init__(
        self,
        aws: Aws,
        store: ObjectStore,
        run: str,
        *,
        lag: float = LAG,
        sleep: Callable[[float], object] = time.sleep,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._aws, self._store, self._run = aws, store, run
        self._lag, self._sleep, self._now = lag, sleep, now
        self._last = 0
        self._loaded = False
        self.known: dict[int, Batch] = {}
        self.places: dict[str, tuple[Batch, int]] = {}

    def forget(self) -> None:
        """The pool is another one now."""
        self._loaded = False
        self.known, self.places = {}, {}

    def load(self) -> None:
        """Ask the service for all batches.  Raises InvalidRequest where there is no queue."""
        for name, job in self._jobs(f"{request.name(self._run)}-b*").items():
            number = int(name.rpartition("-b")[2])
            if number not in self.known or self.known[number].job != job:
                self._add(number, job, self._names(number))
        if not self._loaded:
            lists = {
                int(item.key.rpartition("/")[2].partition(".")[0]): item.modified
                for item in self._store.list(f"{RunKeys(self._run).root}/batches")
            }
            self._last = max([self._last, *lists, *self.known])
            if self._last not in self.known and self._now() - lists.get(self._last, 0.0) < RECENT:
                # Whoever wrote the list may have sent it and died, too shortly ago for listings.
                found = self._looked_for(request.batch_name(self._run, self._last))
                if found is not None:
                    self._add(self._last, found, self._names(self._last))
            self._loaded = True

    def submit(self, tasks: Iterable[Task]) -> Iterator[str]:
        """Send those that are in no batch yet; yields every name once it is in one."""
        size = ARRAY if operator.length_hint(tasks, 0) else FIRST
        source = iter(tasks)
        while chunk := list(islice(source, size)):
            size = min(size * GROWTH, ARRAY)
            if not self._loaded:
                self.load()
            fresh = {task.name: task for task in chunk if task.name not in self.places}
            if fresh:
                self._send(list(fresh.values()))
            yield from (task.name for task in chunk)

    def _send(self, tasks: list[Task]) -> None:
        number = self._last = self._last + 1
        data = b"\n".join(request.task_line(task) for task in tasks) + b"\n"
        self._store.put(request.batch_key(self._run, number), data)
        body = request.submission(self._run, number, len(tasks))
        for left in reversed(range(TRIES)):
            try:
                job = str(self._aws.call("batch", "submit_job", once=True, **body)["jobId"])
                break
            except Unavailable:
                found = self._looked_for(body["jobName"])
                if found is not None:
                    job = found
                    break
                if left == 0:
                    raise
        self._add(number, job, tuple(task.name for task in tasks))

    def _looked_for(self, name: str) -> str | None:
        for look in range(LOOKS):
            if look:
                self._sleep(self._lag)
            found = self._jobs(name).get(name)
            if found is not None:
                return found
        return None

    def _jobs(self, name: str) -> dict[str, str]:
        """Ids by name, of the jobs that are no children."""
        filters = [{"name": "JOB_NAME", "values": [name]}]
        queue = request.name(self._run)
        found = self._aws.pages("batch", "list_jobs", "jobSummaryList", jobQueue=queue, filters=filters)
        return {job["jobName"]: job["jobId"] for job in found if ":" not in job["jobId"]}

    def _names(self, number: int) -> tuple[str, ...]:
        try:
            data = self._store.get(request.batch_key(self._run, number))
        except NotFound as error:
            raise Unavailable(f"The list of the tasks of batch {number} is not in {self._store.url}.") from error
        return tuple(json.loads(line)["name"] for line in data.splitlines())

    def _add(self, number: int, job: str, names: tuple[str, ...]) -> None:
        batch = Batch(number, job, names)
        self.known[number] = batch
        self.places.update((name, (batch, index)) for index, name in enumerate(names))
