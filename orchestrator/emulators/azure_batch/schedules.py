"""Job schedules: making a job now, later, or again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .clock import Timer
from .errors import BatchFault, invalid_property
from .identifiers import check_id
from .jobs import Job, check_job
from .pools import check_metadata, without_secrets
from .protocol import Json
from .timefmt import MINUTE, SECOND, Micros, duration, iso, parse_duration, parse_iso
from .tracked import Tracked

if TYPE_CHECKING:
    from .account import Account

_LEAST = MINUTE

_SUMS = ("numSucceededTasks", "numFailedTasks", "numTaskRetries")
_TIMES = ("userCPUTime", "kernelCPUTime", "wallClockTime", "waitTime")


class Schedule(Tracked):
    """A job schedule; has at most one active job at a time.

    Args:
        spec: the body that asked for it, validated.
    """

    __slots__ = (
        "_due",
        "_jobs_made",
        "_timer",
        "account",
        "end",
        "id",
        "jobs",
        "next_run",
        "pool_key",
        "recent",
        "spec",
    )

    def __init__(self, account: Account, spec: Json) -> None:
        super().__init__(account.clock, account.versions, "active")
        self.account = account
        self.spec = spec
        self.id: str = spec["id"]
        self.jobs: dict[str, Job] = {}
        self.recent: Job | None = None
        self.next_run: Micros | None = None
        self.end: Micros | None = None
        self.pool_key: str | None = None
        self._jobs_made = 0
        self._timer: Timer | None = None
        # When the job that is due now, but cannot begin, should have begun.
        self._due: Micros | None = None

    @property
    def key(self) -> str:
        return self.id.lower()

    @property
    def url(self) -> str:
        return f"{self.account.endpoint}/jobschedules/{self.id}"

    def _time(self, name: str) -> Micros | None:
        text = self.spec["schedule"].get(name)
        return None if text is None else parse_iso(text)

    def _length(self, name: str) -> Micros | None:
        text = self.spec["schedule"].get(name)
        return None if text is None else parse_duration(text)

    def begin(self) -> None:
        now = self.clock.now()
        self._plan(max(now, self._time("doNotRunUntil") or now))

    def change(self, changes: Json) -> None:
        self.spec = {**self.spec, **changes}
        self.touch()
        if "schedule" in changes and self.state == "active":
            now = self.clock.now()
            start = max(now, self._time("doNotRunUntil") or now)
            recurrence = self._length("recurrenceInterval")
            if self._jobs_made and recurrence is None:
                self._check_over()
                return
            self._plan(start if not self._jobs_made or recurrence is None else start + recurrence)

    def _plan(self, when: Micros) -> None:
        self._cancel_timer()
        last = self._time("doNotRunAfter")
        if last is not None and when > last:
            self.next_run = None
            self._timer = self.clock.at(max(last, self.clock.now()), self._check_over)
            return
        self.next_run = when
        self._timer = self.clock.at(when, self._run_due)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _run_due(self) -> None:
        self._due = self.next_run
        recurrence = self._length("recurrenceInterval")
        due = self.next_run
        if recurrence is not None and due is not None:
            self._plan(due + recurrence)
        else:
            self.next_run = None
        self._make_job_if_possible()

    @property
    def active_job(self) -> Job | None:
        return self.recent if self.recent is not None and self.recent.state != "completed" else None

    def _make_job_if_possible(self) -> None:
        if self._due is None or self.state != "active" or self.active_job is not None:
            return
        window = self._length("startWindow")
        now = self.clock.now()
        last = self._time("doNotRunAfter")
        missed = window is not None and now - self._due > window
        self._due = None
        if missed or (last is not None and now > last):
            self._check_over()
            return
        self._jobs_made += 1
        body = {**self.spec["jobSpecification"], "id": f"{self.id}:job-{self._jobs_made}"}
        job = Job(self.account, body, schedule=self)
        self.recent = job
        self.jobs[job.key] = job
        self.account.add_job(job)

    def job_over(self, job: Job) -> None:
        """One of its jobs has completed or is deleted."""
        if job.state == "deleting":
            self.jobs.pop(job.key, None)
            if self.recent is job:
                self.recent = None
        if self.state == "terminating":
            self._finish_terminating()
        elif self.state == "deleting":
            self._finish_deleting()
        else:
            self._make_job_if_possible()
            self._check_over()

    def _check_over(self) -> None:
        """Complete, where no job is active and none can come any more."""
        if self.state != "active" or self.active_job is not None or self._due is not None:
            return
        last = self._time("doNotRunAfter")
        over = last is not None and self.clock.now() >= last
        if self._length("recurrenceInterval") is None:
            over = over or self.next_run is None
        if over:
            self._complete()

    def disable(self) -> None:
        self.enter("disabled")

    def enable(self) -> None:
        self.enter("active")
        self._make_job_if_possible()
        self._check_over()

    def terminate(self) -> None:
        self._cancel_timer()
        self.next_run = None
        self.enter("terminating")
        if self.active_job is not None:
            self.active_job.terminate("TerminateJobSchedule")
        self._finish_terminating()

    def _finish_terminating(self) -> None:
        if self.state == "terminating" and self.active_job is None:
            self._complete()

    def _complete(self) -> None:
        self._cancel_timer()
        self.next_run = None
        self.enter("completed")
        self.end = self.state_time
        self._drop_pool()

    def delete(self) -> None:
        self._cancel_timer()
        self.enter("deleting")
        for job in list(self.jobs.values()):
            if job.state != "deleting":
                job.delete()
        self._finish_deleting()

    def _finish_deleting(self) -> None:
        if self.state == "deleting" and not self.jobs:
            self._drop_pool()
            self.account.forget_schedule(self)

    def _drop_pool(self) -> None:
        auto = self.spec["jobSpecification"]["poolInfo"].get("autoPoolSpecification", {})
        pool = self.account.pools.get(self.pool_key) if self.pool_key is not None else None
        if pool is not None and pool.state != "deleting" and not auto.get("keepAlive", False):
            pool.delete()

    def json(self, *, stats: bool = False) -> Json:
        found: Json = {"id": self.id, "url": self.url, **self.tracked_json()}
        for name in ("displayName", "schedule", "metadata"):
            if name in self.spec:
                found[name] = self.spec[name]
        found["jobSpecification"] = without_secrets(self.spec["jobSpecification"])
        info: Json = {}
        if self.next_run is not None and self.state in ("active", "disabled"):
            info["nextRunTime"] = iso(self.next_run)
        if self.recent is not None:
            info["recentJob"] = {"id": self.recent.id, "url": self.recent.url}
        if self.end is not None:
            info["endTime"] = iso(self.end)
        found["executionInfo"] = info
        if stats:
            found["stats"] = self._stats()
        return found

    def _stats(self) -> Json:
        each = [job.statistics() for job in self.jobs.values()]
        found: Json = {
            "url": f"{self.url}/stats",
            "startTime": iso(self.created),
            "lastUpdateTime": iso(self.clock.now()),
            "readIOps": "0",
            "writeIOps": "0",
            "readIOGiB": 0.0,
            "writeIOGiB": 0.0,
        }
        for name in _TIMES:
            total = sum(parse_duration(one[name]) for one in each)
            found[name] = duration(total // SECOND * SECOND)
        for name in _SUMS:
            found[name] = str(sum(int(one[name]) for one in each))
        return found


def check_schedule(spec: Json, *, with_id: bool = True) -> None:
    """What the service refuses in a schedule beyond the types of its properties.

    Raises:
        BatchFault: with the service's code.
    """
    if with_id:
        check_id("id", spec["id"])
    times = spec.get("schedule", {})
    for name in ("startWindow", "recurrenceInterval"):
        if name in times and parse_duration(times[name]) < _LEAST:
            raise invalid_property(f"schedule.{name}", times[name], "must be at least 1 minute")
    if (
        "doNotRunAfter" in times
        and "doNotRunUntil" in times
        and parse_iso(times["doNotRunAfter"]) <= parse_iso(times["doNotRunUntil"])
    ):
        raise invalid_property("schedule.doNotRunAfter", times["doNotRunAfter"], "must be after doNotRunUntil")
    if "jobSpecification" in spec:
        check_job(spec["jobSpecification"], with_id=False, on_schedule=True)
    elif with_id:
        raise BatchFault("MissingRequiredProperty", values={"PropertyName": "jobSpecification"})
    check_metadata(spec)
