"""What has changed: what the runners tell, and what the service says of tasks whose runner tells nothing.

A look takes one listing of the feed for a thousand pieces of news and one call to Batch for a hundred arrays, however
many tasks run.  The arrays' own counts are a check sum: where they name more ended tasks than the runners have told of,
twice in a row, the failed and then the successful children are listed.  Where events tell of failures, the counts are
asked for once a minute.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from orchestrator.providers.aws import states
from orchestrator.providers.aws.alarms import Alarms
from orchestrator.providers.aws.client import Aws
from orchestrator.providers.aws.feed import Feed, News
from orchestrator.providers.aws.submit import Batch, Batches
from orchestrator.providers.base import Cause, Changes, Ended, Event, MetricSeen, Phase, TaskChanged

# Jobs of one DescribeJobs call (limit of the service).
DESCRIBED = 100
# Seconds between two looks at the arrays' counts where failures are told by events.
COUNTED_EVERY = 60.0


class Progress:
    """Looks at one run's batches.  ``phases`` is where each task was when it was last heard of.

    ``said`` gives the last line of a failed task's container, by the task's name and its job.
    """

    def __init__(
        self,
        aws: Aws,
        feed: Feed,
        batches: Batches,
        interval: float,
        alarms: Alarms | None = None,
        said: Callable[[str, str], str] = lambda name, job: "",
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._aws, self._feed, self._batches, self._interval = aws, feed, batches, interval
        self._monotonic, self._sleep, self._now = monotonic, sleep, now
        self._looked = -interval
        self._alarms, self._said = alarms, said
        self._counted = -COUNTED_EVERY
        self._unexplained: dict[int, int] = {}
        self.phases: dict[str, Phase] = {}
        self.counts: dict[int, dict[str, int]] = {}
        """Children by state, of each batch that was alive at the last look."""

    def changes(self, cursor: str | None, wait: float) -> Changes:
        """One look, or several until something has changed or ``wait`` seconds are over."""
        deadline = self._monotonic() + wait
        while True:
            due = self._looked + self._interval - self._monotonic()
            if cursor is not None and wait > 0 and due > 0:
                self._sleep(max(0.0, min(due, deadline - self._monotonic())))
            found = self._everything() if cursor is None else self._since(int(cursor))
            self._looked = self._monotonic()
            if found.events or found.complete or self._looked + self._interval > deadline:
                return found
            cursor = found.cursor

    def doubt(self) -> None:
        """Something was done that no runner will tell of: take the service's next counts at once."""
        self._unexplained = dict.fromkeys(self._batches.known, 1)

    # -------------------------------------------------------------------------------------------------- looks

    def _everything(self) -> Changes:
        self._batches.load()
        self.phases = dict.fromkeys(self._batches.places, Phase.QUEUED)
        news, last = self._feed.since(0)
        events = self._told(news)
        self.doubt()
        events += self._checked()
        named = {event.name: event for event in events if isinstance(event, TaskChanged)}
        now = self._now()
        waiting = [TaskChanged(name, Phase.QUEUED, now) for name in self.phases if name not in named]
        metrics = [event for event in events if isinstance(event, MetricSeen)]
        return Changes([*metrics, *waiting, *named.values()], str(last), complete=True)

    def _since(self, cursor: int) -> Changes:
        # Heard first: what a runner told before its container ended is in the feed by then, and says more.
        heard = self._alarms.heard() if self._alarms is not None else []
        news, last = self._feed.since(cursor)
        events = self._told(news)
        events += self._failed(heard)
        if self._alarms is None or self._unexplained or self._monotonic() - self._counted >= COUNTED_EVERY:
            events += self._checked()
        return Changes(events, str(last))

    def _failed(self, jobs: Iterable[dict[str, Any]]) -> list[Event]:
        batches = {batch.job: batch for batch in self._batches.known.values()} if jobs else {}
        events: list[Event] = []
        for job in jobs:
            name, _, index = str(job["jobId"]).partition(":")
            batch = batches.get(name)
            if batch is not None and (index or len(batch.names) == 1):
                events += self._child(batch, int(index or 0), job)
        return events

    def _told(self, news: Iterable[News]) -> list[Event]:
        events: list[Event] = []
        for item in news:
            if item.name not in self._batches.places:
                continue
            at = item.at / 1000
            if item.kind == "m":
                for when, step, values in item.content:
                    events += [MetricSeen(item.name, name, float(value), step, when) for name, value in values.items()]
            elif item.kind == "r":
                events += self._now_in(item.name, Phase.RUNNING, at, None)
            elif item.kind == "e":
                events += self._now_in(item.name, Phase.ENDED, at, _ended(item.content))
        return events

    def _now_in(self, name: str, phase: Phase, at: float, ended: Ended | None) -> list[TaskChanged]:
        if self.phases.get(name) is Phase.ENDED or self.phases.get(name) is phase:
            return []
        self.phases[name] = phase
        return [TaskChanged(name, phase, at, ended)]

    # ---------------------------------------------------------------------------------------------- the service

    def live(self) -> list[Batch]:
        """Batches with tasks that have not ended."""
        ended = Phase.ENDED
        return [b for b in self._batches.known.values() if any(self.phases.get(n) is not ended for n in b.names)]

    def _checked(self) -> list[Event]:
        """What the service says of tasks that have ended and did not tell it."""
        events: list[Event] = []
        batches = {batch.job: batch for batch in self.live()}
        jobs = list(batches)
        self._counted = self._monotonic()
        self.counts = {}
        for start in range(0, len(jobs), DESCRIBED):
            for job in self._aws.call("batch", "describe_jobs", jobs=jobs[start : start + DESCRIBED])["jobs"]:
                batch = batches.get(job["jobId"])
                if batch is not None:
                    events += self._check(batch, job)
        return events

    def _check(self, batch: Batch, job: dict[str, Any]) -> list[TaskChanged]:
        if len(batch.names) == 1:
            counts = {job["status"]: 1}
        else:
            counts = job.get("arrayProperties", {}).get("statusSummary", {})
        self.counts[batch.number] = counts
        if self._explained(batch, counts):
            self._unexplained.pop(batch.number, None)
            return []
        seen = self._unexplained.get(batch.number, 0) + 1
        self._unexplained[batch.number] = seen
        if seen < 2:
            return []
        if len(batch.names) == 1:
            return self._child(batch, 0, job)
        events: list[TaskChanged] = []
        for status in ("FAILED", "SUCCEEDED"):
            for child in self._children(batch, status):
                events += self._child(batch, int(child["jobId"].rpartition(":")[2]), child)
            if self._explained(batch, counts):
                break
        return events

    def _explained(self, batch: Batch, counts: dict[str, int]) -> bool:
        """Whether as many of its tasks are known to have ended as the service counts."""
        known = sum(self.phases.get(name) is Phase.ENDED for name in batch.names)
        return counts.get("SUCCEEDED", 0) + counts.get("FAILED", 0) <= known

    def _children(self, batch: Batch, status: str) -> Iterable[dict[str, Any]]:
        return self._aws.pages("batch", "list_jobs", "jobSummaryList", arrayJobId=batch.job, jobStatus=status)

    def _child(self, batch: Batch, index: int, job: dict[str, Any]) -> list[TaskChanged]:
        if states.PHASES[job["status"]] is not Phase.ENDED:
            return []
        name = batch.names[index]
        if self.phases.get(name) is Phase.ENDED:
            return []
        at = (job.get("stoppedAt") or job.get("createdAt") or 0) / 1000
        ended = states.how_ended(job)
        if ended.exit_code and ended.cause in (Cause.COMMAND, Cause.EXIT_CODE):
            last = self._said(name, batch.child(index))
            ended = replace(ended, reason=f"{ended.reason.rstrip('.')}: {last}") if last else ended
        return self._now_in(name, Phase.ENDED, at, ended)

    def why_waiting(self) -> str:
        """The reason that AWS gives for a task that it cannot place; empty where it gives none."""
        for batch in self.live():
            if not self.counts.get(batch.number, {}).get("RUNNABLE"):
                continue
            if len(batch.names) == 1:
                found = self._aws.call("batch", "describe_jobs", jobs=[batch.job])["jobs"]
            else:
                answer = self._aws.call("batch", "list_jobs", arrayJobId=batch.job, jobStatus="RUNNABLE", maxResults=20)
                found = answer["jobSummaryList"]
            for job in found:
                if job.get("statusReason"):
                    return str(job["statusReason"])
        return ""


def _ended(told: dict[str, Any]) -> Ended:
    cause = Cause(told["cause"]) if told["cause"] is not None else None
    return Ended(cause, "", told["exit_code"], told["signal"], told["started"], told["finished"])
