"""Performs what the machine decides, and tells it what happened.

The order that nothing may break: what is about to be made outside is written down first (an attempt in state
``submitting``, a pool as an intent), then made, then confirmed.  A driver that dies in between leaves an unconfirmed
line, and the next one asks the provider, by the name, what became of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.engine import machine as m
from orchestrator.engine.clock import Clock
from orchestrator.engine.record import Outcome, Record, finite
from orchestrator.engine.retry import retrying
from orchestrator.errors import InvalidRequest, NotFound, ProviderError, Throttled, UsageError, sentence
from orchestrator.providers.base import (
    Cause,
    Compute,
    Ended,
    MetricSeen,
    Phase,
    PoolRequest,
    PoolState,
    Task,
    TaskChanged,
)
from orchestrator.search.base import Breeding, Search, Told
from orchestrator.storage.base import ObjectStore
from orchestrator.storage.layout import RunKeys

if TYPE_CHECKING:
    from orchestrator.search.stopping import Stopper

# A complete listing is taken when nothing has been heard for so long, in case an event was lost, in seconds.
RESYNC_SECONDS = 300.0
# The wait before a call that failed in passing (and after its quick repeats) is made again, in seconds.
DEFER_SECONDS = 15.0
# Characters of a failed program's last line that become part of the reason.
LAST_LINE = 200
# How long the deletion of a pool is tried before the run ends without it, in seconds.
DELETE_PATIENCE = 1800.0


def task_name(trial: int, attempt: int) -> str:
    """The name of an attempt in its pool; the same whenever it is submitted."""
    return f"t{trial:06d}-a{attempt}"


def parse_task_name(name: str) -> tuple[int, int]:
    """Trial and attempt of a name that ``task_name`` made.  Raises ValueError for any other."""
    trial, _, attempt = name.partition("-a")
    if not trial.startswith("t"):
        raise ValueError(f"not a task of ours: {name!r}")
    return int(trial[1:]), int(attempt)


@dataclass(frozen=True, slots=True)
class Best:
    trial: int
    params: Mapping[str, Any]
    value: float


@dataclass(frozen=True, slots=True)
class Finished:
    """A trial has ended."""

    trial: int
    state: m.TrialState
    params: Mapping[str, Any]
    value: float | None
    reason: str
    seconds: float | None


@dataclass(slots=True)
class Progress:
    """What a watcher sees.  The driver changes it in place; read it from the driver's thread."""

    run: str
    started: float
    total: int | None = None
    succeeded: int = 0
    failed: int = 0
    pruned: int = 0
    running: dict[int, float] = field(default_factory=dict)  # trial -> Unix time of its start
    latest: dict[int, dict[str, float]] = field(default_factory=dict)  # running trial -> last values
    queued: int = 0
    cost: float = 0.0
    best: Best | None = None
    note: str = ""
    phase: m.RunPhase = m.RunPhase.WORKING
    stopping: str = ""  # why the run is being ended before its time; empty while it is not


class Observer(Protocol):
    def __call__(self, progress: Progress, finished: list[Finished]) -> None: ...


class Driver:
    """Drives one run until it has finished.  The caller holds the run's lock."""

    def __init__(
        self,
        request: PoolRequest,
        rules: m.Rules,
        record: Record,
        compute: Compute,
        store: ObjectStore,
        search: Search,
        clock: Clock,
        *,
        metric: str | None = None,
        goals: Iterable[str] = (),
        maximize: bool = True,
        observer: Observer | None = None,
        stopper: Stopper | None = None,
        goal_met: Callable[[Told], str | None] | None = None,
    ) -> None:
        self._request = request
        self._pool = request.name
        self._keys = RunKeys(request.name)
        self._record = record
        self._compute = compute
        self._store = store
        self._search = search
        self._clock = clock
        self._metric = metric
        self._goals = tuple(goals) or (() if metric is None else (metric,))
        self._maximize = maximize
        self._observer = observer
        self._stopper = stopper
        self._goal_met = goal_met
        self._machine = m.Machine(rules, record.state())
        self._todo: list[m.Action] = []
        self._deferred: list[tuple[float, m.Action]] = []
        self._unread: list[TaskChanged] = []
        self._results: dict[tuple[int, int], Mapping[str, Any]] = {}
        self._finished: list[Finished] = []
        self._verdicts: dict[int, float | None] = {}  # trial that early stopping gave up -> its value then
        self._cursor: str | None = None
        self._heard = clock.now()
        self._next_look = 0.0
        self._pool_ready = False
        self._delete_asked: float | None = None
        self._stop: m.StopRun | None = None
        self.stopped = False  # somebody has asked the run to end
        self._fault = ""  # why the search could not say what to try
        self._hurry = False
        self._done: m.Finish | None = None
        self.progress = Progress(request.name, clock.now(), total=rules.total)

    # ---------------------------------------------------------------------------------------------- control

    def stop(self, status: m.RunStatus, reason: str) -> None:
        """Ask the run to end in order.  The second time: end without waiting.  Safe in a signal handler."""
        self._hurry, self.stopped = self.stopped, True
        self._stop = self._stop or m.StopRun(status, reason, self._clock.now())
        self.progress.stopping = self._stop.reason

    def run(self) -> m.RunStatus:
        """Drive until the pool is gone.  Raises MachineError when the record cannot be written any more."""
        self._restore()
        self._feed_all([m.Begin(self._clock.now())])
        while self._done is None:
            self._perform()
            if self._done is not None:
                break
            if self._hurry:
                return self._leave()
            self._look()
        return self._done.status

    def _restore(self) -> None:
        """Tell the search of an earlier life of this run."""
        given_up: list[m.PruneTrial] = []
        if self._metric is not None:
            for value in self._record.reported(self._metric) if self._stopper is not None else ():
                given_up += self._judged(value.trial, value.step, value.value, value.at)
        # In the order in which it happened: a search that learns asks what it asks because of what it knew then.  Any
        # other needs not be told.
        asks = self._record.asks() if self._search.adaptive else iter(())
        ask = next(asks, None)
        for ended, told in enumerate(self._record.told(self._metric)):
            while ask is not None and ask[2] <= ended:
                self._search.replay(ask[0], ask[1])
                ask = next(asks, None)
            self._told(told)
        while ask is not None:
            self._search.replay(ask[0], ask[1])
            ask = next(asks, None)
        for event in given_up:
            self._feed(event)
        facts = self._record.facts()
        self._machine.state.started = facts.get("started")
        status = facts.get("status")
        if status not in (None, m.RunStatus.RUNNING):  # died in the teardown
            self._machine.state.status = m.RunStatus(status)
            self._machine.state.reason = facts.get("reason", "")

    def _leave(self) -> m.RunStatus:
        """Stop waiting: the pool has been told to go, or is told now, and nobody watches it go."""
        if self._delete_asked is None:
            self._record.intend("delete-pool", self._pool, self._clock.now())
            self._compute.delete_pool(self._pool)
        status = self._machine.state.status
        return status if status is not m.RunStatus.RUNNING else m.RunStatus.INTERRUPTED

    # ------------------------------------------------------------------------------------------- perceiving

    def _look(self) -> None:
        """One look at the provider: what changed, how the pool is, what time it is."""
        now = self._clock.now()
        poll = self._compute.capabilities.poll_seconds
        working = self._machine.state.phase in (m.RunPhase.WORKING, m.RunPhase.DRAINING)
        events: list[m.Event] = []
        metrics: list[tuple[int, int, MetricSeen]] = []
        if working and self._pool_ready:
            if now - self._heard > RESYNC_SECONDS and self._machine.state.in_flight:
                self._cursor = None
            events, metrics = self._changes(self._wait(now, poll))
        else:
            self._clock.sleep(self._wait(now, poll))
        now = self._clock.now()
        if now >= self._next_look or not working:
            self._next_look = now + max(poll, 1.0)
            events += self._pool_seen(now)
        if self._stop is not None:
            events.append(replace(self._stop, now=now))
        events.append(m.Tick(now))
        self._feed_all(events, metrics)

    def _wait(self, now: float, poll: float) -> float:
        if self._todo or self._unread:
            return 0.0
        deadlines = [when for when, _ in self._deferred]
        deadline = self._machine.next_deadline(now)
        if deadline is not None:
            deadlines.append(deadline)
        return max(0.0, min([poll, *(when - now for when in deadlines)]))

    def _changes(self, wait: float) -> tuple[list[m.Event], list[tuple[int, int, MetricSeen]]]:
        in_flight = self._in_flight() if self._cursor is None else ()
        try:
            changes = retrying(lambda: self._compute.changes(self._pool, self._cursor, wait), self._clock)
        except NotFound:
            return [self._gone(self._clock.now())], []
        except ProviderError as error:
            return self._passing(error), []
        now = self._clock.now()
        self._cursor = changes.cursor
        if changes.events or changes.complete:
            self._heard = now
        unread, self._unread = self._unread, []
        events: list[m.Event] = []
        metrics: list[tuple[int, int, MetricSeen]] = []
        named: set[tuple[int, int]] = set()
        for event in (*unread, *changes.events):
            trial, attempt = parse_task_name(event.name)
            if isinstance(event, MetricSeen):
                metrics.append((trial, attempt, event))
            else:
                named.add((trial, attempt))
                seen = self._task_seen(trial, attempt, event, now)
                if seen is not None:
                    events.append(seen)
        if changes.complete:
            events += [self._missing(*one, now) for one in in_flight if one not in named]
        return events, metrics + self._unheard(events, metrics)

    def _missing(self, trial: int, attempt: int, now: float) -> m.Event:
        """Its pool does not know it (any more); what it had finished lies in the store all the same."""
        lost = TaskChanged(task_name(trial, attempt), Phase.ENDED, now, Ended(Cause.DRIVER_LOST))
        seen = self._task_seen(trial, attempt, lost, now)
        if seen is None:
            return m.Tick(now)
        return m.TaskMissing(trial, attempt, now) if seen.ended == lost.ended else seen

    def _unheard(
        self, events: list[m.Event], metrics: list[tuple[int, int, MetricSeen]]
    ) -> list[tuple[int, int, MetricSeen]]:
        """What ended attempts had reported and nobody has told us: it reached the store when the driver was dead.

        Early stopping must judge the same values, whoever has died.
        """
        unheard: list[tuple[int, int, MetricSeen]] = []
        for event in events if self._stopper is not None and self._metric is not None else ():
            if not isinstance(event, m.TaskSeen) or event.phase is not Phase.ENDED:
                continue
            trial, attempt = event.trial, event.attempt
            summary = self._results.get((trial, attempt), {}).get("metrics", {}).get(self._metric)
            heard = sum((trial, attempt, self._metric) == (one[0], one[1], one[2].metric) for one in metrics)
            if summary and summary["count"] > heard + self._record.reports(trial, attempt, self._metric or ""):
                unheard += self._stored_metrics(trial, attempt)
        return unheard

    def _stored_metrics(self, trial: int, attempt: int) -> list[tuple[int, int, MetricSeen]]:
        key = self._keys.metrics(trial, attempt)
        try:
            text = retrying(lambda: self._store.get(key), self._clock).decode()
        except ProviderError as error:
            self.progress.note = str(error)
            return []
        name = task_name(trial, attempt)
        return [
            (trial, attempt, MetricSeen(name, metric, float(value), line["step"], line["at"]))
            for line in map(json.loads, text.splitlines())
            for metric, value in line.items()
            if metric not in ("step", "at")
        ]

    def _in_flight(self) -> list[tuple[int, int]]:
        return [(trial, live.attempt) for trial, live in self._machine.state.live.items() if live.in_flight]

    def _task_seen(self, trial: int, attempt: int, event: TaskChanged, now: float) -> m.TaskSeen | None:
        live = self._machine.state.live.get(trial)
        if live is None or live.attempt != attempt:
            return None  # ended and counted already: its result need not be read again
        if event.phase is not Phase.ENDED or event.ended is None:
            return m.TaskSeen(trial, attempt, event.phase, now)
        try:
            result = event.result or self._read_result(trial, attempt)
        except ProviderError as error:
            self._passing(error)
            self._unread.append(event)  # the trial has not ended for us until its result is here
            return None
        ended = event.ended
        if result is not None:
            self._results[trial, attempt] = result
            ended = ended_from(result)
        elif ended.cause is None:
            ended = replace(
                ended, cause=Cause.INFRASTRUCTURE, reason="the task ended well and left no result.json in the store"
            )
        overruled = ended.cause is None and event.ended.cause is not None
        return m.TaskSeen(trial, attempt, Phase.ENDED, now, ended, overruled)

    def _read_result(self, trial: int, attempt: int) -> Mapping[str, Any] | None:
        key = self._keys.result(trial, attempt)
        try:
            data = retrying(lambda: self._store.get(key), self._clock)
        except NotFound:
            return None
        result: Mapping[str, Any] = json.loads(data)
        return result

    def _pool_seen(self, now: float) -> list[m.Event]:
        try:
            status = retrying(lambda: self._compute.pool_status(self._pool), self._clock)
        except ProviderError as error:
            return self._passing(error)
        self.progress.note = status.reason
        self._pool_ready = status.state is PoolState.READY or (self._pool_ready and status.state is PoolState.CREATING)
        if status.state is PoolState.GONE and self._delete_asked is None and self._creation_pending():
            return []
        return [m.PoolSeen(status.state, status.reason, status.cost, status.rate, now)]

    def _creation_pending(self) -> bool:
        actions = [*self._todo, *(action for _, action in self._deferred)]
        return any(isinstance(action, m.CreatePool) for action in actions)

    def _gone(self, now: float) -> m.Event:
        self._pool_ready = False
        return m.PoolSeen(PoolState.GONE, "", 0.0, 0.0, now)

    def _passing(self, error: ProviderError) -> list[m.Event]:
        """A call failed: in passing, so that it is worth going on, or for good."""
        self.progress.note = str(error)
        if error.retryable:
            return []
        return [m.StopRun(m.RunStatus.BROKEN, str(error), self._clock.now())]

    # ---------------------------------------------------------------------------------------------- deciding

    def _feed_all(self, events: Iterable[m.Event], metrics: Iterable[tuple[int, int, MetricSeen]] = ()) -> None:
        """Everything that one look has shown, in one transaction."""
        with self._record.transaction():
            self._metrics(list(metrics))
            for event in events:
                self._feed(event)
            state = self._machine.state
            if self.progress.cost != state.cost:
                self._record.set_facts({"cost": state.cost})
        self._observe_progress()

    def _feed(self, event: m.Event) -> None:
        exhausted: int | None = None
        for action in self._machine.apply(event):
            match action:
                case m.SaveAttempt() | m.Foresee():
                    known = self._known(action)
                    if known and isinstance(action, m.SaveAttempt):
                        self._save_attempt(action)
                    elif not known and (exhausted is None or action.trial < exhausted):
                        exhausted = action.trial
                case m.SaveTrial():
                    self._save_trial(action)
                case m.SaveStatus():
                    self._record.set_facts({"status": action.status, "reason": action.reason})
                case m.Finish():
                    self._record.confirm("delete-pool", self._pool, event.now)
                    self._finish(action)
                case _:
                    self._todo.append(action)
        if isinstance(event, m.Begin):
            self._record.set_facts({"started": self._machine.state.started, "status": self._machine.state.status})
        if exhausted is not None:
            if not self._fault:
                self._record.set_facts({"total": exhausted})
            self._feed(m.Exhausted(exhausted, event.now, self._fault))

    def _known(self, action: m.SaveAttempt | m.Foresee) -> bool:
        """The trial is in the record; the search is asked for a new one.  False: it has no more."""
        first = isinstance(action, m.Foresee) or (action.state == "submitting" and action.attempt == 1)
        if not first or self._record.params(action.trial) is not None:
            return True
        if self._fault:
            return False
        try:
            params = self._search.ask(action.trial)
        except UsageError as error:
            # Only asking shows that a formula has no value there, or that a user's sampler fails.  The run ends in
            # order: what it has found is kept, and its machines are given back.
            self._fault = str(error).rstrip(".")
            return False
        if params is None:
            return False
        self._record.add_trial(action.trial, params)
        if self._search.adaptive:
            parent = self._search.parent(action.trial) if isinstance(self._search, Breeding) else None
            self._record.add_ask(action.trial, parent)
        return True

    def _save_attempt(self, action: m.SaveAttempt) -> None:
        ended = action.ended
        if action.state == "running":
            self.progress.running[action.trial] = now = self._clock.now()
            ended = Ended(None, started=now)  # until its end tells it exactly
        self._record.save_attempt(action.trial, action.attempt, action.state, ended)
        if action.state == "ended":
            self.progress.running.pop(action.trial, None)
            self.progress.latest.pop(action.trial, None)

    def _save_trial(self, action: m.SaveTrial) -> None:
        outcome = None
        if action.state in m.TERMINAL:
            result = self._results.pop((action.trial, action.attempt), None)
            outcome = outcome_from(result) if result else Outcome(self._record.last_metrics(action.trial))
        reason = action.reason
        last_stage = self._machine.rules.after(action.trial) is None
        if outcome is not None and action.state is m.TrialState.SUCCEEDED and last_stage:
            reason = reason or self._unranked(outcome.metrics)
        if not self._record.save_trial(action.trial, action.state, action.attempt, reason, outcome):
            raise AssertionError(f"trial {action.trial} was about to be counted twice")
        if outcome is None:
            return
        params = self._record.params(action.trial) or {}
        value = finite(outcome.metrics.get(self._metric or ""))
        self._told(Told(action.trial, params, action.state, value, outcome.metrics))
        if self._stopper is not None:
            self._stopper.ended(action.trial)
        self._finished.append(Finished(action.trial, action.state, params, value, reason, outcome.seconds))

    def _unranked(self, metrics: Mapping[str, float]) -> str:
        """Why a trial that ended well tells the search nothing; empty where it does."""
        for name in self._goals:
            if name not in metrics:
                known = ", ".join(sorted(metrics)) or "nothing"
                return f"it reported no {name}, by which the trials are ranked; it reported {known}"
            if not math.isfinite(metrics[name]):
                return f"its {name} is {metrics[name]}, which cannot be ranked"
        return ""

    def _told(self, told: Told) -> None:
        """Whoever learns from results learns this one."""
        # How far a trial came between the decision and its end is chance, and nothing may be learnt from that.
        at_verdict = self._verdicts.pop(told.trial, told.value) if told.state == m.TrialState.PRUNED else told.value
        try:
            self._search.tell(replace(told, value=at_verdict))
        except UsageError as error:
            self._stop = self._stop or m.StopRun(m.RunStatus.FAILED, str(error).rstrip("."), self._clock.now())
        self._note_best(told)
        enough = self._goal_met(told) if self._goal_met is not None else None
        if enough is not None:
            self._stop = self._stop or m.StopRun(m.RunStatus.SUCCEEDED, enough, self._clock.now())

    def _metrics(self, metrics: list[tuple[int, int, MetricSeen]]) -> None:
        if not metrics:
            return
        self._record.add_metrics(metrics)
        for trial, attempt, seen in metrics:
            live = self._machine.state.live.get(trial)
            if live is None or live.attempt != attempt:
                continue
            self.progress.latest.setdefault(trial, {})[seen.metric] = seen.value
            if seen.metric == self._metric:
                for event in self._judged(trial, seen.step, seen.value, seen.at):
                    self._feed(event)

    def _judged(self, trial: int, step: float | None, value: float, at: float) -> list[m.PruneTrial]:
        """What early stopping says to a reported value."""
        if self._stopper is None or step is None:
            return []
        reason = self._stopper.observe(trial, step, value)
        if reason is None:
            return []
        self._verdicts[trial] = finite(value)
        return [m.PruneTrial(trial, reason, at)]

    def _note_best(self, told: Told) -> None:
        if told.value is None or told.state == m.TrialState.FAILED:
            return
        best = self.progress.best
        if best is None or (told.value > best.value if self._maximize else told.value < best.value):
            self.progress.best = Best(told.trial, told.params, told.value)

    def _finish(self, action: m.Finish) -> None:
        now = self._clock.now()
        started = self._machine.state.started or now
        reason = action.reason
        if not reason and self._metric is not None and self._machine.state.succeeded and self.progress.best is None:
            reason = f"no trial reported {self._metric}, by which they are ranked"
        seconds = now - started + self._record.facts().get("seconds_before", 0.0)
        self._record.set_facts({"status": action.status, "reason": reason, "finished": now, "seconds": seconds})
        self._done = action

    def _observe_progress(self) -> None:
        state, progress = self._machine.state, self.progress
        progress.total, progress.phase, progress.cost = state.total, state.phase, state.cost
        progress.stopping = state.reason or progress.stopping
        progress.succeeded, progress.failed, progress.pruned = state.succeeded, state.failed, state.pruned
        progress.queued = state.in_flight - len(progress.running)
        finished, self._finished = self._finished, []
        if self._observer is not None:
            self._observer(progress, finished)

    # -------------------------------------------------------------------------------------------- performing

    def _perform(self) -> None:
        """Perform what has been decided; what fails in passing comes back later."""
        now = self._clock.now()
        actions, self._todo = self._todo, []
        actions = [action for when, action in self._deferred if when <= now] + actions
        self._deferred = [(when, action) for when, action in self._deferred if when > now]
        submits: list[m.Submit] = []
        cancels: list[m.Cancel] = []
        for action in actions:
            match action:
                case m.CreatePool():
                    self._create_pool()
                case m.DeletePool():
                    self._delete_pool()
                case m.Submit():
                    submits.append(action)
                case m.Cancel():
                    cancels.append(action)
        if cancels:
            self._cancel(cancels)
        if not submits:
            return
        if self._machine.state.phase is m.RunPhase.WORKING:
            self._submit(submits)
        else:  # decided before the run was stopped, and now never sent: nothing is to be waited for
            now = self._clock.now()
            self._feed_all([m.TaskMissing(action.trial, action.attempt, now) for action in submits])

    def _later(self, actions: Iterable[m.Action], error: ProviderError) -> None:
        wait = DEFER_SECONDS
        if isinstance(error, Throttled) and error.retry_after is not None:
            wait = error.retry_after
        self.progress.note = str(error)
        self._deferred += [(self._clock.now() + wait, action) for action in actions]

    def _create_pool(self) -> None:
        if self._machine.state.phase is not m.RunPhase.WORKING:
            return
        self._record.intend("create-pool", self._pool, self._clock.now())
        self._cursor, self._pool_ready, self._next_look = None, False, 0.0
        try:
            retrying(lambda: self._compute.create_pool(self._request), self._clock)
        except ProviderError as error:
            if error.retryable:
                self._later([m.CreatePool()], error)
            else:
                self._feed_all([m.StopRun(m.RunStatus.BROKEN, str(error), self._clock.now())])
            return
        self._record.confirm("create-pool", self._pool, self._clock.now())
        self._feed_all(self._pool_seen(self._clock.now()))

    def _delete_pool(self) -> None:
        now = self._clock.now()
        if self._delete_asked is None:
            self._record.intend("delete-pool", self._pool, now)
            self._delete_asked = now
        self._deferred = [item for item in self._deferred if not isinstance(item[1], m.CreatePool)]
        try:
            retrying(lambda: self._compute.delete_pool(self._pool), self._clock)
        except ProviderError as error:
            if error.retryable and now - self._delete_asked < DELETE_PATIENCE:
                self._later([m.DeletePool()], error)
                return
            if ("create-pool", self._pool) in self._record.unconfirmed():
                reason = f"{sentence(str(error))} Whether anything of pool {self._pool} was made is not known"
            else:
                reason = f"pool {self._pool} could not be deleted and may still cost money: {str(error).rstrip('.')}"
            with self._record.transaction():
                self._finish(m.Finish(m.RunStatus.BROKEN, f"{reason}; `orchestrate gc` finds what there is."))
        else:
            self._feed_all(self._pool_seen(self._clock.now()))  # a local pool is gone at once

    def _cancel(self, cancels: list[m.Cancel]) -> None:
        names = [task_name(action.trial, action.attempt) for action in cancels]
        try:
            retrying(lambda: self._compute.cancel(self._pool, names), self._clock)
        except NotFound:
            pass  # no pool, so no task of it is alive
        except ProviderError as error:
            if error.retryable:
                self._later(cancels, error)
            else:
                self._feed_all(self._passing(error))

    def _submit(self, submits: list[m.Submit]) -> None:
        live = self._machine.state.live
        waiting = {
            task_name(action.trial, action.attempt): action
            for action in submits
            if action.trial in live and live[action.trial].attempt == action.attempt
        }
        events: list[m.Event] = []
        try:
            for name in self._compute.submit(self._pool, [self._task(action) for action in waiting.values()]):
                action = waiting.pop(name)
                events.append(m.Acknowledged(action.trial, action.attempt, self._clock.now()))
        except NotFound:
            events.append(self._gone(self._clock.now()))
        except InvalidRequest as error:
            action = waiting.pop(next(iter(waiting)))
            events.append(m.Refused(action.trial, action.attempt, str(error), self._clock.now()))
            self._todo += waiting.values()
        except ProviderError as error:
            if error.retryable:
                self._later(waiting.values(), error)
            events += self._passing(error)
        else:
            if waiting:
                # Not a refusal and not an acknowledgement: ask again, the names are the same.
                missing = ", ".join(list(waiting)[:5])
                self._later(waiting.values(), ProviderError(f"{len(waiting)} tasks were not acknowledged: {missing}"))
        if events:
            self._feed_all(events)

    def _task(self, action: m.Submit) -> Task:
        params = self._record.params(action.trial)
        assert params is not None  # written in the same transaction as the intent
        parent = self._record.parent(action.trial) if isinstance(self._search, Breeding) else None
        before = self._machine.rules.before(action.trial)
        live = None if before is None else self._machine.state.live.get(before)
        after = None if before is None or live is None else task_name(before, live.attempt)
        name = task_name(action.trial, action.attempt)
        return Task(name, action.trial, action.attempt, params, parent if before is None else before, after)


def ended_from(result: Mapping[str, Any]) -> Ended:
    """How an attempt ended by its runner's own word, and the program's last one where it failed by itself."""
    cause = result.get("cause")
    reason = result.get("reason", "")
    last = next((line.strip() for line in reversed(result.get("stderr_tail", "").splitlines()) if line.strip()), "")
    if cause == Cause.EXIT_CODE and last:
        reason = f"{reason.rstrip('.')}: {last[:LAST_LINE]}"
    return Ended(
        Cause(cause) if cause is not None else None,
        reason,
        result.get("exit_code"),
        result.get("signal"),
        result.get("started"),
        result.get("finished"),
    )


def outcome_from(result: Mapping[str, Any]) -> Outcome:
    """Metrics (their last values), outputs and seconds of a ``result.json``."""
    metrics = {name: float(summary["last"]) for name, summary in result.get("metrics", {}).items()}
    return Outcome(metrics, tuple(result.get("outputs", ())), result.get("seconds"))
