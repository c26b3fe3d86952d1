"""Stopping tasks: the runners are told through the store, and the service ends whoever does not listen.

AWS gives a container 30 seconds between SIGTERM and SIGKILL, whatever the job's grace.  Runners look every few seconds
at one object that names the tasks to stop; telling any number of them costs one write.  Tasks that still wait are ended
by the service right away, a whole array by one call or fifty of them, and so is, after the job's grace, what runs on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence

from orchestrator.errors import NotFound
from orchestrator.providers.aws import states
from orchestrator.providers.aws.client import Aws, kind_of
from orchestrator.providers.aws.progress import Progress
from orchestrator.providers.aws.submit import Batches
from orchestrator.providers.base import Phase
from orchestrator.storage.base import ObjectStore
from orchestrator.storage.layout import RunKeys

# Jobs of one TerminateJobs call (limit of the service).
AT_ONCE = 50
# Beyond the runner's poll and the job's grace, in seconds.
MARGIN = 10.0


class Canceller:
    """Cancels tasks of one run.  Call ``overdue`` every now and then.  ``patience`` in seconds."""

    def __init__(
        self,
        aws: Aws,
        store: ObjectStore,
        run: str,
        batches: Batches,
        progress: Progress,
        *,
        patience: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._aws, self._store, self._key = aws, store, RunKeys(run).stop
        self._batches, self._progress = batches, progress
        self._patience, self._now = patience, now
        self._told: set[str] | None = None
        self._kill_at: dict[str, float] = {}

    def cancel(self, names: Iterable[str]) -> None:
        """Tell them.  Unknown and ended tasks are ignored."""
        phases, places = self._progress.phases, self._batches.places
        wanted = {name for name in names if name in places and phases.get(name) is not Phase.ENDED}
        if not wanted:
            return
        self._tell(wanted)
        deadline = self._now() + self._patience
        for name in wanted:
            self._kill_at.setdefault(name, deadline)
        self._terminate({name for name in wanted if phases.get(name, Phase.QUEUED) is Phase.QUEUED})

    def overdue(self) -> None:
        """End what was told to stop and has not."""
        now, phases = self._now(), self._progress.phases
        over = {name for name, at in self._kill_at.items() if now >= at and phases.get(name) is not Phase.ENDED}
        self._kill_at = {
            name: at for name, at in self._kill_at.items() if name not in over and phases.get(name) is not Phase.ENDED
        }
        self._terminate(over)

    def _tell(self, names: set[str]) -> None:
        if self._told is None:
            try:
                self._told = set(json.loads(self._store.get(self._key)))
            except NotFound:
                self._told = set()
        if not names <= self._told:
            self._told |= names
            self._store.put(self._key, json.dumps(sorted(self._told)).encode())

    def _terminate(self, names: set[str]) -> None:
        """Each child by itself, or the array where all of it that is alive is meant."""
        if not names:
            return
        self._progress.doubt()
        phases = self._progress.phases
        jobs: list[str] = []
        for batch in self._batches.known.values():
            live = [name for name in batch.names if phases.get(name) is not Phase.ENDED]
            meant = names.intersection(live)
            if meant and len(meant) == len(live):
                jobs.append(batch.job)
            else:
                jobs += [batch.child(self._batches.places[name][1]) for name in sorted(meant)]
        terminate(self._aws, jobs)


def terminate(aws: Aws, jobs: Sequence[str]) -> None:
    """End jobs, fifty by one call.  Those that have ended or are not known any more are fine."""
    for start in range(0, len(jobs), AT_ONCE):
        some = list(jobs[start : start + AT_ONCE])
        refused = aws.call("batch", "terminate_jobs", jobs=some, reason=states.CANCELLED).get("errors") or ()
        for error in refused:
            raise kind_of(error["code"])(f"The job {error['job']} could not be ended: {error['message']}")
