"""What has changed: the tasks that changed their state since the last look, and the metrics of those that run.

A look takes two calls to the service (the filtered list and the task counts) and one or two reads from Blob, however
many tasks there are.  The counts are a check sum: where they name more ended tasks than the lists have shown, twice in
a row, everything is listed again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from orchestrator.providers.azure import feed, states
from orchestrator.providers.azure.client import Batch
from orchestrator.providers.azure.request import stamp
from orchestrator.providers.base import Changes, Event, Phase, TaskChanged
from orchestrator.storage.base import ObjectStore

# A transition may be seen later than another that came after it: until the last one is so old, in seconds, each look
# goes back so far behind it.
OVERLAP = 2.0
PAGE = 1000


@dataclass(frozen=True, slots=True)
class Cursor:
    """``since`` is the last transition that was seen, in Unix seconds by the service's clock.  The next look begins
    ``back`` seconds before it; 0: right after it.
    """

    since: float
    back: float
    feed: feed.Position

    def text(self) -> str:
        return json.dumps([self.since, self.back, self.feed.part, self.feed.offset])

    @classmethod
    def of(cls, text: str) -> Cursor:
        since, back, part, offset = json.loads(text)
        return cls(since, back, feed.Position(part, offset))


class Progress:
    """Looks at one job.  ``phases`` is where each task was when it was last seen, and ``all_known`` whether these are
    all that it has, as far as they were added through this connection.

    ``job_ended``: the service leaves the waiting tasks of a job that was ended in its queue for ever; here they have
    ended with it.
    """

    def __init__(
        self,
        batch: Batch,
        store: ObjectStore,
        pool: str,
        interval: float,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._batch, self._store, self._pool, self._interval = batch, store, pool, interval
        self._monotonic, self._sleep = monotonic, sleep
        self._looked = -interval
        self._moved = monotonic()
        # What was told together with the last cursor: it need not be told again to whoever comes back with that.
        self._told = ""
        self._recent: dict[str, tuple[Phase, float]] = {}
        self._unexplained = 0
        self._feed = feed.Position()
        self.phases: dict[str, Phase] = {}
        self.job_ended = False
        self.all_known = False

    def added(self, name: str) -> None:
        """The service has taken this task: it is there before any list shows it."""
        self.phases.setdefault(name, Phase.QUEUED)

    def changes(self, cursor: str | None, wait: float) -> Changes:
        """One look, or several until something has changed or ``wait`` seconds are over.  Raises NotFound."""
        deadline = self._monotonic() + wait
        while True:
            left = deadline - self._monotonic()
            due = self._looked + self._interval - self._monotonic()
            if cursor is not None and wait > 0 and due > 0:
                self._sleep(max(0.0, min(due, left)))
            found = self._everything() if cursor is None else self._since(cursor)
            self._looked, self._told = self._monotonic(), found.cursor
            if found.events or found.complete or self._looked + self._interval > deadline:
                return found
            cursor = found.cursor

    # -------------------------------------------------------------------------------------------------- looks

    def _everything(self) -> Changes:
        since = 0.0
        events: list[Event] = []
        phases: dict[str, Phase] = {}
        self.job_ended = self._job_state() in ("terminating", "completed", "deleting")
        for change in self._listed(None):
            events.append(change)
            phases[change.name] = change.phase
            since = max(since, change.at)
        self.phases, self.all_known = phases, True
        self._recent = {
            event.name: (event.phase, event.at)
            for event in events
            if isinstance(event, TaskChanged) and event.at >= since - OVERLAP
        }
        metrics, self._feed = feed.read(self._store, self._pool, self._feed)
        self._unexplained = 0
        events += self._never_began()
        # A task's values come before its end, as they were reported.
        self._moved = self._monotonic()
        return Changes([*metrics, *events], Cursor(since, OVERLAP, self._feed).text(), complete=True)

    def _since(self, text: str) -> Changes:
        cursor = Cursor.of(text)
        since = cursor.since
        if text != self._told:
            self._recent = {}
        events: list[TaskChanged] = []
        for change in self._listed(cursor):
            if self._recent.get(change.name) != (change.phase, change.at):
                self._recent[change.name] = (change.phase, change.at)
                if change.phase is Phase.RUNNING is self.phases.get(change.name):
                    # Its node was taken away and it got another between two looks.
                    events.append(TaskChanged(change.name, Phase.QUEUED, change.at))
                self.phases[change.name] = change.phase
                events.append(change)
            since = max(since, change.at)
        self._recent = {name: seen for name, seen in self._recent.items() if seen[1] >= since - OVERLAP}
        if self._missed():
            return self._everything()
        metrics, self._feed = feed.read(self._store, self._pool, cursor.feed)
        events.sort(key=lambda event: event.at)
        events += self._never_began()
        now = self._monotonic()
        if since > cursor.since:
            self._moved = now
        back = OVERLAP if now < self._moved + OVERLAP else 0.0
        return Changes([*metrics, *events], Cursor(since, back, self._feed).text())

    def _never_began(self) -> list[TaskChanged]:
        if not self.job_ended:
            return []
        waiting = [name for name, phase in self.phases.items() if phase is Phase.QUEUED]
        self.phases.update(dict.fromkeys(waiting, Phase.ENDED))
        return [states.never_began(name, time.time()) for name in waiting]

    def _job_state(self) -> str:
        job = self._batch.call(self._batch.sdk.get_job, self._pool, select=["id", "state"])
        return str(getattr(job.state, "value", job.state))

    def _listed(self, cursor: Cursor | None) -> Iterator[TaskChanged]:
        where: str | None = None
        if cursor is not None:
            where = f"stateTransitionTime gt datetime'{stamp(cursor.since)}'"
        if cursor is not None and cursor.back:
            # Thousands of tasks may have been added in the same seconds: of those we know without asking.
            early = stamp(max(0.0, cursor.since - cursor.back))
            where = f"({where}) or (stateTransitionTime ge datetime'{early}' and state ne 'active')"
        listing = self._batch.sdk.list_tasks(self._pool, max_results=PAGE, filter=where, select=states.SELECT)
        for page in self._batch.pages(listing):
            for task in page:
                yield states.changed(task)

    def _missed(self) -> bool:
        counts = self._batch.call(self._batch.sdk.get_job_task_counts, self._pool).task_counts
        ended = sum(phase is Phase.ENDED for phase in self.phases.values())
        self._unexplained = self._unexplained + 1 if counts.completed > ended else 0
        return self._unexplained >= 2
