"""What a run does next: a pure state machine.

``Machine.apply(event)`` changes the state and returns the actions that the driver must perform, in order.  Nothing in
here does I/O, reads a clock or draws a random number, so that the simulation can run thousands of runs from a seed.

Memory does not grow with the number of trials: only *live* trials (asked for and not ended) are held; the ended ones
are counts here and rows in the record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction

from orchestrator.providers.base import Cause, Ended, Phase, PoolState

# A command that could not be started this often, with nothing else having run, will not start for any trial.
HOPELESS_COMMANDS = 3
# How long after its own timeout and grace a task may stay silent before we stop it from here, in seconds.
TIMEOUT_MARGIN = 60.0
# How long a stopped task may take beyond its grace before its pool is deleted under it, in seconds.
STOP_MARGIN = 30.0


def stage_before(trial: int, stages: int) -> int | None:
    """The trial that must have ended well before this one may begin, where each point has so many stages."""
    return trial - 1 if trial % stages else None


class TrialState(StrEnum):
    """A trial that is not in a terminal state when its run has ended counts as cancelled; a resume takes it up."""

    PENDING = "pending"
    SUBMITTED = "submitted"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    PRUNED = "pruned"


TERMINAL = frozenset({TrialState.SUCCEEDED, TrialState.FAILED, TrialState.PRUNED})


class RunStatus(StrEnum):
    RUNNING = "running"
    SUCCEEDED = "succeeded"  # every trial ended, failures within the limits
    FAILED = "failed"  # more failures than the limits allow, or a search that could not go on
    CANCELLED = "cancelled"  # by `orchestrate cancel` or SIGTERM
    INTERRUPTED = "interrupted"  # by Ctrl-C
    OVER_BUDGET = "over-budget"  # limits.max_cost
    TIMED_OUT = "timed-out"  # limits.run_timeout
    BROKEN = "broken"  # the provider or this machine failed us


@dataclass(frozen=True, slots=True)
class Rules:
    """The limits of a run.  Times in seconds, money in US$.

    ``window`` is how many attempts may be submitted and not ended.  With ``keep_places`` a trial that waits for its
    next attempt keeps its place in the window, so that a search that learns is asked in the order that it would have
    been without the failure.  ``total`` is the number of trials, None while only asking shows it.

    Each ``stages`` trials in a row are one point, whose trials come one after the other: each may begin when the one
    before has ended well.  An ``ordered`` provider sees to that itself, so that all of them are submitted ahead.

    ``retries`` is how many attempts more a cause allows, but for ``final`` exit codes; at a ``fatal`` one the run is
    stopped.  ``backoff`` is the wait before the second attempt, doubled each time up to ``backoff_cap``.  ``poll`` is
    the time between two looks at the cost.  Without ``max_failures`` (a number) and ``max_failures_share`` (of all
    trials) failures never end the run early, but one is enough for the verdict ``failed``.
    """

    window: int
    total: int | None
    keep_places: bool = False
    stages: int = 1
    ordered: bool = False
    retries: Mapping[Cause, int] = field(default_factory=dict)
    final: frozenset[int] = frozenset()
    fatal: frozenset[int] = frozenset()
    max_failures: int | None = None
    max_failures_share: Fraction | None = None
    timeout: float | None = None
    run_timeout: float | None = None
    max_cost: float | None = None
    poll: float = 5.0
    grace: float = 10.0
    backoff: float = 1.0
    backoff_cap: float = 300.0

    def before(self, trial: int) -> int | None:
        """The trial that must have ended well before this one may begin."""
        return stage_before(trial, self.stages)

    def after(self, trial: int) -> int | None:
        """The trial that this one must have ended well for."""
        return trial + 1 if (trial + 1) % self.stages else None

    def time_is_over(self, started: float | None, now: float) -> bool:
        return self.run_timeout is not None and started is not None and now >= started + self.run_timeout

    def failures_allowed(self, total: int | None) -> int | None:
        if self.max_failures is not None:
            return self.max_failures
        if self.max_failures_share is not None and total is not None:
            return int(self.max_failures_share * total)
        return None


# ---------------------------------------------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class Begin:
    """A driver has taken the run, for the first time or again."""

    now: float


@dataclass(frozen=True, slots=True)
class PoolSeen:
    state: PoolState
    reason: str
    cost: float
    rate: float
    now: float


@dataclass(frozen=True, slots=True)
class Acknowledged:
    trial: int
    attempt: int
    now: float


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider will never take this task."""

    trial: int
    attempt: int
    reason: str
    now: float


@dataclass(frozen=True, slots=True)
class TaskSeen:
    """``overruled``: the task has ended well, and its provider thinks otherwise and so begins nothing after it."""

    trial: int
    attempt: int
    phase: Phase
    now: float
    ended: Ended | None = None
    overruled: bool = False


@dataclass(frozen=True, slots=True)
class TaskMissing:
    """A complete listing of the pool did not name this attempt."""

    trial: int
    attempt: int
    now: float


@dataclass(frozen=True, slots=True)
class PruneTrial:
    """Early stopping has given this trial up."""

    trial: int
    reason: str
    now: float


@dataclass(frozen=True, slots=True)
class Exhausted:
    """The search has no trial of this number or above; ``fault`` is why, where it should have had one."""

    total: int
    now: float
    fault: str = ""


@dataclass(frozen=True, slots=True)
class StopRun:
    """End the run now: Ctrl-C, cancel, a goal reached (SUCCEEDED) or a fault that nothing can mend (BROKEN)."""

    status: RunStatus
    reason: str
    now: float


@dataclass(frozen=True, slots=True)
class Tick:
    now: float


Event = Begin | PoolSeen | Acknowledged | Refused | TaskSeen | TaskMissing | PruneTrial | Exhausted | StopRun | Tick

# --------------------------------------------------------------------------------------------------- actions


@dataclass(frozen=True, slots=True)
class CreatePool:
    pass


@dataclass(frozen=True, slots=True)
class DeletePool:
    pass


@dataclass(frozen=True, slots=True)
class Foresee:
    """Write this trial down, with its parameters: it waits for the one before it."""

    trial: int


@dataclass(frozen=True, slots=True)
class Submit:
    """Submit this attempt.  The same attempt may be asked for again: its name is the same."""

    trial: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Cancel:
    trial: int
    attempt: int


@dataclass(frozen=True, slots=True)
class SaveAttempt:
    """Write down what became of an attempt."""

    trial: int
    attempt: int
    state: str  # submitting, submitted, running, ended
    ended: Ended | None = None


@dataclass(frozen=True, slots=True)
class SaveTrial:
    trial: int
    state: TrialState
    attempt: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SaveStatus:
    """The run is ending with this status: decided, though the teardown is still to come."""

    status: RunStatus
    reason: str


@dataclass(frozen=True, slots=True)
class Finish:
    status: RunStatus
    reason: str


Action = CreatePool | DeletePool | Foresee | Submit | Cancel | SaveAttempt | SaveTrial | SaveStatus | Finish

# ----------------------------------------------------------------------------------------------------- state


@dataclass(slots=True)
class Live:
    """A trial that has been asked for and has not ended.

    ``in_flight``: its attempt may exist at the provider.  ``failures`` counts the ended attempts by cause.
    """

    attempt: int = 1
    in_flight: bool = False
    acknowledged: bool = False
    running_since: float | None = None
    not_before: float = 0.0
    stopping_since: float | None = None
    prune_reason: str | None = None
    failures: dict[Cause, int] = field(default_factory=dict)


class RunPhase(StrEnum):
    WORKING = "working"
    DRAINING = "draining"  # told every task to stop, waiting for them
    DELETING = "deleting"  # waiting until the pool is gone
    FINISHED = "finished"


@dataclass(slots=True)
class State:
    next_trial: int = 0
    total: int | None = None
    live: dict[int, Live] = field(default_factory=dict)
    succeeded: int = 0
    failed: int = 0
    pruned: int = 0
    unstartable: int = 0
    skipped: int = 0  # failed without having begun, because a stage before them failed
    in_flight: int = 0
    phase: RunPhase = RunPhase.WORKING
    status: RunStatus = RunStatus.RUNNING
    reason: str = ""
    started: float | None = None
    draining_since: float = 0.0
    pool_wanted: bool = False
    cost: float = 0.0
    rate: float = 0.0

    @property
    def ended(self) -> int:
        return self.succeeded + self.failed + self.pruned


class Machine:
    """Decides.  One event at a time; see the module's docstring."""

    def __init__(self, rules: Rules, state: State | None = None) -> None:
        self.rules = rules
        self.state = state if state is not None else State()
        if self.state.total is None:
            self.state.total = rules.total
        # Live trials that wait for a (re)submission and not for a stage before them, kept apart so that filling the
        # window looks at no other.
        grounded = [trial for trial, live in self.state.live.items() if not live.in_flight]
        self._waiting = set(filter(self._may_begin, grounded))
        self.state.in_flight = len(self.state.live) - len(grounded)

    def apply(self, event: Event) -> list[Action]:
        state = self.state
        if state.phase is RunPhase.FINISHED:
            return []
        actions: list[Action] = []
        match event:
            case Begin():
                self._begin(event, actions)
            case PoolSeen():
                self._pool_seen(event, actions)
            case Acknowledged():
                self._acknowledged(event, actions)
            case Refused():
                live = self._attempt(event.trial, event.attempt)
                if live is not None:
                    self._ended(event.trial, live, Ended(Cause.COMMAND, event.reason), event.now, actions)
            case TaskSeen():
                self._task_seen(event, actions)
            case TaskMissing():
                self._missing(event, actions)
            case PruneTrial():
                self._prune(event, actions)
            case Exhausted():
                self._exhausted(event)
                if event.fault:
                    self._stop(RunStatus.FAILED, event.fault, event.now, actions)
            case StopRun():
                self._stop(event.status, event.reason, event.now, actions)
            case Tick():
                self._stop_overdue(event.now, actions)
        self._advance(event.now, actions)
        return actions

    def next_deadline(self, now: float) -> float | None:
        """When a Tick is next worth sending although nothing happens; None: never."""
        deadlines = [live.not_before for trial in self._waiting if (live := self.state.live[trial]).not_before > now]
        working = self.state.phase is RunPhase.WORKING
        if working and self.rules.run_timeout is not None and self.state.started is not None:
            deadlines.append(self.state.started + self.rules.run_timeout)
        if self.state.phase is RunPhase.DRAINING:
            deadlines.append(self._drain_deadline())
        return min(deadlines, default=None)

    # ------------------------------------------------------------------------------------------------ events

    def _begin(self, event: Begin, actions: list[Action]) -> None:
        state = self.state
        if state.started is None:
            state.started = event.now
        if state.status is RunStatus.RUNNING:
            state.pool_wanted = True
            actions.append(CreatePool())
        else:  # an earlier driver died in the teardown: finish that
            self._drain(event.now, actions)

    def _pool_seen(self, event: PoolSeen, actions: list[Action]) -> None:
        state = self.state
        state.cost = max(state.cost, event.cost)
        state.rate = event.rate
        if state.phase is RunPhase.DELETING:
            if event.state is PoolState.GONE:
                state.phase = RunPhase.FINISHED
                actions.append(Finish(state.status, state.reason))
        elif event.state is PoolState.FAILED:
            self._stop(RunStatus.BROKEN, event.reason, event.now, actions)
        elif event.state is PoolState.GONE and state.phase is RunPhase.WORKING:
            # Deleted under us: by a lease that ran out, by gc, or by hand.  The name is ours to make again.
            actions.append(CreatePool())
        elif event.state is PoolState.GONE and state.phase is RunPhase.DRAINING:
            self._delete(actions)  # nothing is left that could stop in order

    def _costs_too_much(self, seconds: float) -> bool:
        """Whether limits.max_cost would be passed after so long with the nodes that there are."""
        limit = self.rules.max_cost
        return limit is not None and self.state.cost + self.state.rate * seconds / 3600 >= limit

    def _acknowledged(self, event: Acknowledged, actions: list[Action]) -> None:
        live = self._attempt(event.trial, event.attempt)
        if live is None or not live.in_flight or live.acknowledged:
            return
        live.acknowledged = True
        actions.append(SaveAttempt(event.trial, event.attempt, "submitted"))

    def _task_seen(self, event: TaskSeen, actions: list[Action]) -> None:
        live = self._attempt(event.trial, event.attempt)
        if live is None or not live.in_flight:
            return  # repeated, late or of an earlier attempt: already counted
        live.acknowledged = True
        if event.phase is Phase.ENDED:
            self._ended(event.trial, live, event.ended or Ended(Cause.INFRASTRUCTURE), event.now, actions)
            if event.overruled:
                self._recall(event.trial, "what it waits for has ended well, which its provider does not know", actions)
        elif event.phase is Phase.RUNNING and live.running_since is None:
            live.running_since = event.now
            actions.append(SaveAttempt(event.trial, event.attempt, "running"))
        elif event.phase is Phase.QUEUED:
            live.running_since = None  # requeued by the service

    def _missing(self, event: TaskMissing, actions: list[Action]) -> None:
        live = self._attempt(event.trial, event.attempt)
        if live is None or not live.in_flight:
            return
        if live.acknowledged:
            lost = Ended(Cause.DRIVER_LOST, "the task is gone from its pool and left no result")
            self._ended(event.trial, live, lost, event.now, actions)
        else:  # an intent whose call never took effect: the same attempt goes out again
            self._land(event.trial, live)

    def _prune(self, event: PruneTrial, actions: list[Action]) -> None:
        live = self.state.live.get(event.trial)
        if live is None or live.prune_reason is not None:
            return
        live.prune_reason = event.reason
        if live.in_flight:
            live.stopping_since = event.now
            actions.append(Cancel(event.trial, live.attempt))
        else:
            self._end_trial(event.trial, TrialState.PRUNED, event.reason, actions)

    def _exhausted(self, event: Exhausted) -> None:
        state = self.state
        state.total = event.total
        state.next_trial = min(state.next_trial, event.total)
        for trial in [trial for trial in state.live if trial >= event.total]:
            self._land(trial, state.live[trial])
            self._forget(trial)

    # ------------------------------------------------------------------------------------------ one attempt

    def _attempt(self, trial: int, attempt: int) -> Live | None:
        live = self.state.live.get(trial)
        return live if live is not None and live.attempt == attempt else None

    def _ended(self, trial: int, live: Live, ended: Ended, now: float, actions: list[Action]) -> None:
        overdue = live.stopping_since is not None
        if live.in_flight:
            self._land(trial, live)
        stopped_by_us = live.prune_reason is not None or self.state.phase is not RunPhase.WORKING
        if ended.cause is Cause.CANCELLED and not stopped_by_us:
            if overdue:
                ended = replace(ended, cause=Cause.TIMEOUT, reason="the task passed limits.timeout and was stopped")
            else:
                ended = replace(ended, cause=Cause.INFRASTRUCTURE, reason="stopped by something other than this run")
        actions.append(SaveAttempt(trial, live.attempt, "ended", ended))
        cause = ended.cause
        if live.prune_reason is not None:
            self._end_trial(trial, TrialState.PRUNED, live.prune_reason, actions)
        elif cause is None:
            self._end_trial(trial, TrialState.SUCCEEDED, ended.reason, actions)
        elif cause is Cause.COMMAND:
            self.state.unstartable += 1
            self._end_trial(trial, TrialState.FAILED, ended.reason, actions)
        elif cause in (Cause.DRIVER_LOST, Cause.CANCELLED):
            self._again(trial, live, now, actions, ended)  # ours: counted against no limit
        else:
            live.failures[cause] = count = live.failures.get(cause, 0) + 1
            code = ended.exit_code if cause is Cause.EXIT_CODE else None
            fatal = code in self.rules.fatal
            if fatal or code in self.rules.final or count > self.rules.retries.get(cause, 0):
                self._end_trial(trial, TrialState.FAILED, ended.reason, actions)
                if fatal:
                    why = f"trial {trial} ended with exit code {code}, at which limits.exit_codes stops the run"
                    self._stop(RunStatus.FAILED, why, now, actions)
            else:
                wait = min(self.rules.backoff * 2.0 ** (count - 1), self.rules.backoff_cap)
                self._again(trial, live, now + wait, actions, ended)

    def _again(self, trial: int, live: Live, not_before: float, actions: list[Action], ended: Ended) -> None:
        live.attempt += 1
        live.not_before = not_before
        actions.append(SaveTrial(trial, TrialState.PENDING, live.attempt, ended.reason))
        self._recall(trial, f"trial {trial}, the stage before it, is tried again", actions)

    def _recall(self, trial: int, reason: str, actions: list[Action]) -> None:
        """What was submitted ahead to come after an attempt of this trial waits for that one in vain."""
        after = self.rules.after(trial)
        while after is not None and (live := self.state.live.get(after)) is not None and live.in_flight:
            self._withdraw(after, live, reason, actions)
            live.attempt += 1
            actions.append(SaveTrial(after, TrialState.PENDING, live.attempt, reason))
            after = self.rules.after(after)

    def _withdraw(self, trial: int, live: Live, reason: str, actions: list[Action]) -> None:
        """An attempt that never begins; if it does all the same, it is told to stop."""
        actions.append(SaveAttempt(trial, live.attempt, "ended", Ended(Cause.CANCELLED, reason)))
        actions.append(Cancel(trial, live.attempt))
        self._land(trial, live)

    def _land(self, trial: int, live: Live) -> None:
        """The attempt is at no provider any more."""
        if live.in_flight:
            self.state.in_flight -= 1
        live.in_flight = live.acknowledged = False
        live.running_since = live.stopping_since = None
        self._let_wait(trial)

    def _end_trial(self, trial: int, state: TrialState, reason: str, actions: list[Action]) -> None:
        self._count(trial, state, self.state.live[trial].attempt, reason, actions)
        after = self.rules.after(trial)
        if state is TrialState.SUCCEEDED:
            return
        while after is not None and (live := self.state.live.get(after)) is not None:
            why = f"not begun: trial {trial}, an earlier stage, {state}"
            if live.in_flight:
                self._withdraw(after, live, why, actions)
            self._count(after, TrialState.FAILED, 0, why, actions)
            self.state.skipped += 1
            after = self.rules.after(after)

    def _count(self, trial: int, state: TrialState, attempts: int, reason: str, actions: list[Action]) -> None:
        actions.append(SaveTrial(trial, state, attempts, reason))
        self._forget(trial)
        match state:
            case TrialState.SUCCEEDED:
                self.state.succeeded += 1
            case TrialState.PRUNED:
                self.state.pruned += 1
            case _:
                self.state.failed += 1

    def _forget(self, trial: int) -> None:
        del self.state.live[trial]
        self._waiting.discard(trial)
        self._let_wait(self.rules.after(trial))

    def _let_wait(self, trial: int | None) -> None:
        """A live trial that is nowhere waits for its time and for room, unless it waits for the stage before it."""
        live = None if trial is None else self.state.live.get(trial)
        if trial is not None and live is not None and not live.in_flight and self._may_begin(trial):
            self._waiting.add(trial)

    # ----------------------------------------------------------------------------------------- the whole run

    def _advance(self, now: float, actions: list[Action]) -> None:
        """What follows from the state and the time alone."""
        state = self.state
        if state.phase is RunPhase.WORKING:
            self._check_limits(now, actions)
        if state.phase is RunPhase.WORKING and state.pool_wanted:
            self._fill(now, actions)
            if not state.live and state.total is not None and state.next_trial >= state.total:
                self._stop(self._verdict(), "", now, actions)
        if state.phase is RunPhase.DRAINING and (state.in_flight == 0 or self._drained_enough(now)):
            self._delete(actions)

    def _check_limits(self, now: float, actions: list[Action]) -> None:
        state, rules = self.state, self.rules
        allowed = rules.failures_allowed(state.total)
        if allowed is not None and state.failed > allowed:
            reason = f"{state.failed} trials failed; limits.max_failures allows {allowed}"
            self._stop(RunStatus.FAILED, reason, now, actions)
        elif state.unstartable >= HOPELESS_COMMANDS and state.ended - state.skipped == state.unstartable:
            self._stop(RunStatus.FAILED, "the command could not be started for any trial so far", now, actions)
        elif rules.time_is_over(state.started, now):
            self._stop(RunStatus.TIMED_OUT, f"limits.run_timeout of {rules.run_timeout:g} s is over", now, actions)
        elif rules.max_cost is not None and self._costs_too_much(rules.poll + rules.grace):
            reason = (
                f"the run has cost ${state.cost:.2f}; "
                f"with its teardown it comes to limits.max_cost of ${rules.max_cost:.2f}"
            )
            self._stop(RunStatus.OVER_BUDGET, reason, now, actions)

    def _verdict(self) -> RunStatus:
        allowed = self.rules.failures_allowed(self.state.total)
        return RunStatus.FAILED if self.state.failed > (allowed or 0) else RunStatus.SUCCEEDED

    def _fill(self, now: float, actions: list[Action]) -> None:
        state = self.state
        room = self.rules.window - state.in_flight
        if room <= 0:
            return
        for trial in sorted(trial for trial in self._waiting if state.live[trial].not_before <= now):
            if room > 0 and self._may_begin(trial):
                self._launch(trial, state.live[trial], actions)
                room -= 1
        if self.rules.keep_places:
            room = self.rules.window - len(state.live)
        while room > 0 and (state.total is None or state.next_trial < state.total):
            room -= self._begin_point(room, actions)

    def _begin_point(self, room: int, actions: list[Action]) -> int:
        """Launch the next trial and, where they may be submitted ahead, the stages after it; returns how many."""
        launched = 0
        for trial in range(self.state.next_trial, self.state.next_trial + self.rules.stages):
            live = self.state.live[trial] = Live()
            self.state.next_trial = trial + 1
            if launched < room and self._may_begin(trial):
                self._launch(trial, live, actions)
                launched += 1
            else:
                actions.append(Foresee(trial))
                self._let_wait(trial)
        return launched

    def _may_begin(self, trial: int) -> bool:
        """Whether no stage before this trial keeps it from being submitted.  One is live until it has ended."""
        before = self.rules.before(trial)
        live = None if before is None else self.state.live.get(before)
        return live is None or (self.rules.ordered and live.in_flight)

    def _launch(self, trial: int, live: Live, actions: list[Action]) -> None:
        live.in_flight = True
        self._waiting.discard(trial)
        self._let_wait(self.rules.after(trial))
        self.state.in_flight += 1
        actions.append(SaveAttempt(trial, live.attempt, "submitting"))
        actions.append(Submit(trial, live.attempt))

    def _stop_overdue(self, now: float, actions: list[Action]) -> None:
        """The runner keeps limits.timeout itself; this is for a runner that cannot any more."""
        if self.rules.timeout is None or self.state.phase is not RunPhase.WORKING:
            return
        latest = now - self.rules.timeout - self.rules.grace - TIMEOUT_MARGIN
        for trial, live in list(self.state.live.items()):
            if live.running_since is None or live.running_since > latest:
                continue
            if live.stopping_since is None:
                live.stopping_since = now
                actions.append(Cancel(trial, live.attempt))
            elif now > live.stopping_since + self.rules.grace + TIMEOUT_MARGIN:
                silent = Ended(Cause.TIMEOUT, "the task passed limits.timeout and did not answer a request to stop")
                self._ended(trial, live, silent, now, actions)

    def _stop(self, status: RunStatus, reason: str, now: float, actions: list[Action]) -> None:
        if self.state.status is not RunStatus.RUNNING:
            return  # the first reason stands
        self.state.status = status
        self.state.reason = reason
        actions.append(SaveStatus(status, reason))
        self._drain(now, actions)

    def _drain(self, now: float, actions: list[Action]) -> None:
        self.state.phase = RunPhase.DRAINING
        self.state.draining_since = now
        for trial, live in self.state.live.items():
            if live.in_flight:
                actions.append(Cancel(trial, live.attempt))

    def _delete(self, actions: list[Action]) -> None:
        self.state.phase = RunPhase.DELETING
        actions.append(DeletePool())

    def _drained_enough(self, now: float) -> bool:
        """Whatever the run is stopped for, its last tasks are given no money that it does not have."""
        return now >= self._drain_deadline() or self._costs_too_much(self.rules.poll)

    def _drain_deadline(self) -> float:
        return self.state.draining_since + self.rules.grace + STOP_MARGIN
