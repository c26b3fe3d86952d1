"""Stopping tasks: the runners are told through the store, and the service ends whoever does not listen.

The service ends a task at once, without SIGTERM and grace, so its checkpoint and outputs would be lost.  Runners look
every few seconds at one object that names the tasks to stop; telling any number of them costs one write.  Tasks that
still wait in the queue are ended by the service right away, and so is, after the job's grace, what runs on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable

from orchestrator.errors import InvalidRequest, NotFound
from orchestrator.providers.azure.client import Batch, code_of
from orchestrator.providers.base import Phase
from orchestrator.storage.base import ObjectStore
from orchestrator.storage.layout import RunKeys

# From this many waiting tasks on the job is disabled and then ended as a whole, instead of each task by itself.
MANY = 100
# Beyond the runner's poll and the job's grace, in seconds.
MARGIN = 5.0
PAGE = 1000


class Canceller:
    """Cancels tasks of one pool.  Call ``overdue`` every now and then.

    ``job_ended``: the job as a whole was ended, so that what waited in its queue never begins.
    """

    def __init__(
        self, batch: Batch, store: ObjectStore, pool: str, *, patience: float, now: Callable[[], float] = time.time
    ) -> None:
        self._batch, self._store, self._pool = batch, store, pool
        self._patience = patience
        self._now = now
        self._told: set[str] | None = None
        self._kill_at: dict[str, float] = {}
        self._end_at: float | None = None
        self.job_ended = False

    def cancel(self, names: Iterable[str], phases: dict[str, Phase], *, all_known: bool) -> None:
        """Tell them.  Unknown and ended tasks are ignored.  Raises NotFound where there is no job.

        ``all_known``: the job has no other tasks than those of ``phases``, so that it may be ended as a whole.
        """
        wanted = {name for name in names if phases.get(name) is not Phase.ENDED}
        if not wanted:
            return
        self._tell(wanted)
        deadline = self._now() + self._patience
        live = {name for name, phase in phases.items() if phase is not Phase.ENDED}
        if all_known and len(wanted) >= MANY and wanted >= live:
            self._disable()
            self._end_at = deadline
            return
        self._kill_at.update(dict.fromkeys(wanted, deadline))
        for name in self._queued() & wanted:
            self._terminate(name)

    def overdue(self, phases: dict[str, Phase]) -> None:
        """End what was told to stop and has not."""
        now = self._now()
        if self._end_at is not None and now >= self._end_at:
            self._end_at = None
            self._job("terminate", {"terminateReason": "orchestrate: cancelled"})
            self.job_ended = True
        for name in [name for name, at in self._kill_at.items() if now >= at or phases.get(name) is Phase.ENDED]:
            if phases.get(name) is not Phase.ENDED:
                self._terminate(name)
            del self._kill_at[name]

    def _tell(self, names: set[str]) -> None:
        key = RunKeys(self._pool).stop
        if self._told is None:
            try:
                self._told = set(json.loads(self._store.get(key)))
            except NotFound:
                self._told = set()
        if not names <= self._told:
            self._told |= names
            self._store.put(key, json.dumps(sorted(self._told)).encode())

    def _queued(self) -> set[str]:
        listing = self._batch.sdk.list_tasks(self._pool, max_results=PAGE, filter="state eq 'active'", select=["id"])
        return {task.id for page in self._batch.pages(listing) for task in page}

    def _terminate(self, name: str) -> None:
        try:
            self._batch.call(self._batch.sdk.terminate_task, self._pool, name)
        except NotFound:
            pass
        except InvalidRequest as error:
            if code_of(error) not in ("TaskCompleted", "JobCompleted", "JobNotActive"):
                raise

    def _disable(self) -> None:
        """No more tasks start; those that run go on."""
        self._job("disable", {"disableTasks": "wait"})

    def _job(self, verb: str, body: dict[str, str]) -> None:
        try:
            self._batch.send("POST", f"jobs/{self._pool}/{verb}", body)
        except InvalidRequest as error:
            if code_of(error) not in ("JobCompleted", "JobNotActive", "JobDisabled", "OperationInvalidForCurrentState"):
                raise
