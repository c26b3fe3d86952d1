"""A world in which everything that can go wrong does, from a seed.

The driver, the machine and the record (SQLite in memory) are the real ones.  The provider, the object store, the
search and the clock are simulated here, and every call across the border may fail before or after its effect, lose,
delay, repeat or reorder what it reports, or kill the driver on the spot.
"""

from __future__ import annotations

import json
import math
import random
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.errors import AuthenticationFailed, NoCapacity, NotFound, ProviderError, Throttled, Unavailable
from orchestrator.providers.base import (
    Capabilities,
    Cause,
    Changes,
    Ended,
    Estimate,
    Event,
    MetricSeen,
    Owned,
    Phase,
    PoolRequest,
    PoolState,
    PoolStatus,
    Task,
    TaskChanged,
)
from orchestrator.storage.layout import RunKeys

NODE_PRICE = 3.6  # US$ an hour: a tenth of a cent a second
TIMEOUT = 150.0  # seconds: limits.timeout, which no program takes by itself
SLOWEST_DELETION = 30.0  # seconds from the request until a pool costs nothing


class Killed(BaseException):
    """The driver's process dies here."""


@dataclass
class Faults:
    """How often each thing goes wrong, as probabilities a call (or a task)."""

    kill: float = 0.0  # the driver dies, between any two calls or statements
    fail_before: float = 0.0  # a call fails and had no effect
    fail_after: float = 0.0  # a call has its effect, and its answer is lost
    time_out: float = 0.0  # a call that fails, with or without an effect, fails after a long time
    lasting: float = 0.0  # a call that fails does so for good
    swallow: float = 0.0  # a task is neither taken nor refused
    lose_event: float = 0.0
    delay_event: float = 0.0
    repeat_event: float = 0.0
    shuffle_events: float = 0.0
    preempt: float = 0.0
    requeue: float = 0.0  # a preempted task is begun again by the provider itself
    hang: float = 0.0  # a task whose runner does not keep its timeout
    break_task: float = 0.0
    drop_pool: float = 0.0
    misjudge: float = 0.0  # the provider takes a task that ended well for one that did not

    @classmethod
    def drawn(cls, rng: random.Random) -> Faults:
        """Some runs are quiet in some ways, so that each kind of fault is also met alone."""

        def rate(most: float) -> float:
            return 0.0 if rng.random() < 0.4 else rng.uniform(0, most)

        return cls(
            kill=rate(0.03),
            fail_before=rate(0.3),
            fail_after=rate(0.3),
            time_out=rate(0.3),
            lasting=rate(0.02),
            swallow=rate(0.2),
            lose_event=rate(0.3),
            delay_event=rate(0.4),
            repeat_event=rate(0.4),
            shuffle_events=rate(0.5),
            preempt=rate(0.3),
            requeue=rate(1.0),
            hang=rate(0.1),
            break_task=rate(0.2),
            drop_pool=rate(0.01),
            misjudge=rate(0.2),
        )


class Fate:
    """Decides what goes wrong next.  ``calm()`` ends all faults, so that every run can come to its end."""

    def __init__(self, seed: int, faults: Faults) -> None:
        self.rng = random.Random(seed)
        self.faults = faults
        self.crossings = 0
        self.struck: Counter[str] = Counter()

    def strikes(self, fault: str) -> bool:
        probability: float = getattr(self.faults, fault)
        if probability <= 0 or self.rng.random() >= probability:
            return False
        self.struck[fault] += 1
        return True

    def border(self) -> None:
        """The driver is between two actions: it may die here."""
        self.crossings += 1
        if self.strikes("kill"):
            raise Killed

    def calm(self) -> None:
        self.faults = Faults()


class FatefulConnection(sqlite3.Connection):
    """SQLite at which the driver may die before or after any statement."""

    fate: Fate | None = None

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:  # type: ignore[override]
        dangerous = self.fate is not None and sql.startswith(("BEGIN", "COMMIT", "INSERT", "UPDATE"))
        if dangerous:
            assert self.fate is not None
            self.fate.border()
        cursor = super().execute(sql, *args)
        if dangerous and sql != "BEGIN IMMEDIATE":
            assert self.fate is not None
            self.fate.border()
        return cursor


class VirtualClock:
    def __init__(self) -> None:
        self.time = 1_000_000.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += max(0.0, seconds)


@dataclass
class SimulatedTask:
    task: Task
    submitted: float
    begins: float
    ends: float
    outcome: Cause | None
    deaf: bool = False  # its runner is dead: it hears of no request to stop
    phase: Phase = Phase.QUEUED
    stopping: float | None = None
    ended: Ended | None = None
    ended_at: float = 0.0


@dataclass
class Program:
    """What the user's program does: a function of the trial alone, as training with a seed is."""

    seconds: float
    fails: bool
    value: float

    @classmethod
    def of(cls, seed: int, trial: int, share_failing: float) -> Program:
        rng = random.Random(f"{seed}:{trial}")
        return cls(rng.uniform(1, 120), rng.random() < share_failing, rng.random())


class World:
    """The cloud: pools, tasks, results.  It goes on while the driver is dead."""

    def __init__(
        self,
        seed: int,
        fate: Fate,
        clock: VirtualClock,
        *,
        slots: int,
        failing: float,
        survives: bool,
        too_dear: float = math.inf,
        stages: int = 1,
        ordered: bool = False,
        fatal: bool = False,
    ) -> None:
        self.seed, self.fate, self.clock = seed, fate, clock
        self.slots, self.failing, self.survives = slots, failing, survives
        # From this cost on a driver that could look would stop; how long nobody could from then on.
        self.too_dear, self.dear_since = too_dear, math.inf
        self.blind, self.blind_since = 0.0, math.inf
        # Trials of a point that follow each other; whether tasks may name the one before them; whether a program that
        # fails ends all tasks.
        self.stages, self.ordered, self.fatal = stages, ordered, fatal
        self.well: set[int] = set()  # trials whose program has ended well
        self.job_over = False
        self.objects: dict[str, bytes] = {}
        self.pool: str | None = None
        self.pool_ready_at = 0.0
        self.pool_gone_at: float | None = None
        self.pool_since = 0.0
        self.spent = 0.0
        self.tasks: dict[str, SimulatedTask] = {}
        self.log: list[tuple[float, Event]] = []  # visible from this time on
        self.executions: dict[int, int] = {}

    # -- what happens by itself

    def advance(self) -> None:
        now = self.clock.now()
        if self.cost() >= self.too_dear:
            self.dear_since = min(self.dear_since, now - (self.cost() - self.too_dear) * 3600 / NODE_PRICE)
        if self.pool_gone_at is not None and now >= self.pool_gone_at:
            self._close_pool(self.pool_gone_at)
        if self.pool is None or now < self.pool_ready_at:
            return
        running = [t for t in self.tasks.values() if t.phase is Phase.RUNNING]
        for t in sorted(self.tasks.values(), key=lambda t: t.submitted):
            if t.phase is Phase.QUEUED and t.stopping is not None:
                self._end(t, t.stopping, Ended(Cause.CANCELLED, "cancelled"), None)
            elif t.phase is Phase.QUEUED and len(running) < self.slots and self._may_begin(t):
                before = self.tasks.get(t.task.after or "")
                t.begins = max(t.submitted, self.pool_ready_at, before.ended_at if before is not None else 0.0)
                if t.task.trial % self.stages:
                    assert t.task.trial - 1 in self.well, f"trial {t.task.trial} began before the stage before it ended"
                t.ends += t.begins
                t.phase = Phase.RUNNING
                running.append(t)
                self.executions[t.task.trial] = self.executions.get(t.task.trial, 0) + 1
                self._tell(TaskChanged(t.task.name, Phase.RUNNING, t.begins))
                self._tell(MetricSeen(t.task.name, "loss", self._program(t).value, 1.0, t.begins))
        for t in running:
            if t.stopping is not None and not t.deaf and t.stopping + 2 < t.ends:
                self._end(t, t.stopping + 2, Ended(Cause.CANCELLED, "cancelled"), None)
            elif now >= t.ends:
                self._finish(t)

    def _may_begin(self, t: SimulatedTask) -> bool:
        """By itself a provider begins a task after another only where it thinks that that one has ended well."""
        if t.task.after is None:
            return True
        before = self.tasks.get(t.task.after)
        return before is not None and before.ended is not None and before.ended.cause is None

    def _program(self, t: SimulatedTask) -> Program:
        return Program.of(self.seed, t.task.trial, self.failing)

    def _finish(self, t: SimulatedTask) -> None:
        program = self._program(t)
        if t.outcome is Cause.PREEMPTED and self.fate.strikes("requeue"):
            t.phase, t.outcome, t.ends = Phase.QUEUED, None, program.seconds
            self._tell(TaskChanged(t.task.name, Phase.QUEUED, self.clock.now()))
            return
        if t.outcome is not None:
            self._end(t, t.ends, Ended(t.outcome, str(t.outcome)), None)
            return
        cause = Cause.EXIT_CODE if program.fails else None
        result = {
            "cause": cause,
            "reason": "exit code 1" if program.fails else "",
            "exit_code": int(program.fails),
            "started": t.begins,
            "finished": t.ends,
            "seconds": program.seconds,
            "metrics": {"loss": {"last": program.value}},
            "outputs": ["model"],
        }
        if cause is None:
            self.well.add(t.task.trial)
        wrong = cause is None and self.fate.strikes("misjudge")
        seen = Ended(Cause.INFRASTRUCTURE, "lost sight of it") if wrong else Ended(cause, exit_code=int(program.fails))
        self._end(t, t.ends, seen, result)
        if self.fatal and self.ordered and program.fails:
            self.job_over = True
            for other in self.tasks.values():
                if other.phase is not Phase.ENDED:
                    self._end(other, t.ends, Ended(Cause.CANCELLED, "the provider has ended all tasks"), None)

    def _end(self, t: SimulatedTask, at: float, ended: Ended, result: Mapping[str, Any] | None) -> None:
        t.phase, t.ended, t.ended_at = Phase.ENDED, ended, at
        if result is not None:
            assert self.pool is not None
            key = RunKeys(self.pool).result(t.task.trial, t.task.attempt)
            self.objects[key] = json.dumps(result).encode()
        self._tell(TaskChanged(t.task.name, Phase.ENDED, at, ended))

    def _tell(self, event: Event) -> None:
        fate = self.fate
        if fate.strikes("lose_event"):
            return
        for _ in range(2 if fate.strikes("repeat_event") else 1):
            late = fate.rng.uniform(0, 200) if fate.strikes("delay_event") else 0.0
            self.log.append((self.clock.now() + late, event))

    def _close_pool(self, at: float) -> None:
        self.spent += (at - self.pool_since) * NODE_PRICE / 3600
        self.pool, self.pool_gone_at, self.job_over = None, None, False
        self.tasks.clear()

    def client_died(self) -> None:
        """On a provider whose tasks die with the client, they die now and leave no result."""
        self.advance()
        self.nobody_looks()
        if not self.survives and self.pool is not None:
            self._close_pool(self.clock.now())

    def nobody_looks(self) -> None:
        """From now on: the driver is dead, or what it asks is not answered."""
        self.blind_since = min(self.blind_since, self.clock.now())

    def somebody_looks(self) -> None:
        """Somebody has just seen what the pool costs, or ended it."""
        self.blind += max(0.0, self.clock.now() - max(self.blind_since, self.dear_since))
        self.blind_since = math.inf

    def cost(self) -> float:
        alive = 0.0 if self.pool is None else (self.clock.now() - self.pool_since) * NODE_PRICE / 3600
        return self.spent + alive


class SimulatedCompute:
    """One driver's connection to the world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._delivered: set[int] = set()

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            "simulated",
            ahead=2,
            poll_seconds=5.0,
            survives_client=self.world.survives,
            dependencies=self.world.ordered,
        )

    def _call(self) -> bool:
        """Before a call: the world moves, the driver may die, the call may fail.  True: it fails after its effect."""
        world, fate = self.world, self.world.fate
        fate.border()
        world.clock.sleep(fate.rng.uniform(0, 0.2))
        world.advance()
        if world.pool is not None and fate.strikes("drop_pool"):
            world.pool_gone_at = world.clock.now()
            world.advance()
        if fate.strikes("fail_before"):
            self._time_passes()
            raise self._failure()
        return fate.strikes("fail_after")

    def _time_passes(self) -> None:
        """Before a call fails, which may be at once or after a time-out."""
        self.world.nobody_looks()
        if self.world.fate.strikes("time_out"):
            self.world.clock.sleep(60.0)
            self.world.advance()

    def _failure(self) -> ProviderError:
        rng = self.world.fate.rng
        if self.world.fate.strikes("lasting"):
            return AuthenticationFailed("the key has been revoked")
        return rng.choice([Unavailable("no answer"), Throttled("busy", retry_after=rng.uniform(0, 5))])

    def _answer(self, fails_after: bool) -> None:
        if fails_after:
            self._time_passes()
            raise Unavailable("the answer was lost")
        self.world.fate.border()

    def estimate(self, request: PoolRequest) -> Estimate:
        return Estimate(0, self.world.slots, NODE_PRICE)

    def create_pool(self, request: PoolRequest) -> None:
        late = self._call()
        world = self.world
        if world.pool is None:
            if world.fate.strikes("fail_before"):
                raise NoCapacity("no such machine at the moment")
            world.pool = request.name
            world.pool_since = world.clock.now()
            world.pool_ready_at = world.clock.now() + world.fate.rng.uniform(0, 60)
        elif world.job_over:
            world.job_over = False
            world.tasks.clear()
        self._answer(late)

    def pool_status(self, pool: str) -> PoolStatus:
        late = self._call()
        world = self.world
        if world.pool is None:
            state = PoolState.GONE
        elif world.pool_gone_at is not None:
            state = PoolState.DELETING
        else:
            state = PoolState.READY if world.clock.now() >= world.pool_ready_at else PoolState.CREATING
        self._answer(late)
        world.somebody_looks()
        return PoolStatus(state, cost=world.cost(), rate=NODE_PRICE)

    def delete_pool(self, pool: str) -> None:
        late = self._call()
        if self.world.pool is not None and self.world.pool_gone_at is None:
            self.world.pool_gone_at = self.world.clock.now() + self.world.fate.rng.uniform(0, SLOWEST_DELETION)
        self.world.somebody_looks()
        self._answer(late)

    def submit(self, pool: str, tasks: Iterable[Task]) -> Iterator[str]:
        world, fate = self.world, self.world.fate
        for task in tasks:
            late = self._call()
            if world.pool is None or world.pool_gone_at is not None or world.job_over:
                raise NotFound("no such pool")
            if task.name not in world.tasks:
                if fate.strikes("swallow"):
                    continue
                world.tasks[task.name] = self._drawn(task)
            self._answer(late)
            yield task.name

    def _drawn(self, task: Task) -> SimulatedTask:
        """A task that will end as its program does, or otherwise."""
        world, fate = self.world, self.world.fate
        outcome, seconds, deaf = None, Program.of(world.seed, task.trial, world.failing).seconds, False
        if fate.strikes("preempt"):
            outcome, seconds = Cause.PREEMPTED, seconds * fate.rng.random()
        elif fate.strikes("break_task"):
            outcome, seconds = Cause.INFRASTRUCTURE, seconds * fate.rng.random()
        elif fate.strikes("hang"):  # until it is told to stop, or until the provider's own limit
            deaf = fate.rng.random() < 0.5
            outcome, seconds = Cause.TIMEOUT, 4 * TIMEOUT if deaf else math.inf
        return SimulatedTask(task, world.clock.now(), 0.0, seconds, outcome, deaf)

    def changes(self, pool: str, cursor: str | None, wait: float) -> Changes:
        late = self._call()
        world, fate = self.world, self.world.fate
        if world.pool is None:
            raise NotFound("no such pool")
        if cursor is None:
            self._delivered = set(range(len(world.log)))
            events = [self._present(t) for t in world.tasks.values()]
            self._answer(late)
            return Changes(events, "0", complete=True)
        new = self._new()
        if not new:
            world.clock.sleep(wait)
            world.advance()
            new = self._new()
        self._answer(late)  # a lost answer loses no events: they are delivered next time
        self._delivered.update(new)
        if fate.strikes("shuffle_events"):
            fate.rng.shuffle(new)
        return Changes([world.log[i][1] for i in new], "0")

    def _new(self) -> list[int]:
        now = self.world.clock.now()
        return [i for i, (when, _) in enumerate(self.world.log) if when <= now and i not in self._delivered]

    def _present(self, t: SimulatedTask) -> TaskChanged:
        at = self.world.clock.now()
        if t.phase is not Phase.ENDED:
            return TaskChanged(t.task.name, t.phase, at)
        assert t.ended is not None
        return TaskChanged(t.task.name, Phase.ENDED, at, t.ended)

    def cancel(self, pool: str, names: Iterable[str]) -> None:
        late = self._call()
        for name in names:
            t = self.world.tasks.get(name)
            if t is not None and t.phase is not Phase.ENDED and t.stopping is None:
                t.stopping = self.world.clock.now()
        self._answer(late)

    def read_log(self, pool: str, task: str, stream: str, offset: int, size: int) -> bytes:
        return b""

    def owned(self) -> Iterator[Owned]:
        if self.world.pool is not None:
            yield Owned("pool", self.world.pool, self.world.pool, None)

    def reclaim(self, owned: Owned) -> None:
        self.delete_pool(owned.name)

    def close(self) -> None: ...


class SimulatedStore:
    """The part of an object store that a driver uses."""

    url = "simulated://"

    def __init__(self, world: World) -> None:
        self.world = world

    def get(self, key: str) -> bytes:
        fate = self.world.fate
        fate.border()
        if fate.strikes("fail_before"):
            raise Unavailable("no answer")
        if key not in self.world.objects:
            raise NotFound(key)
        return self.world.objects[key]


@dataclass
class SimulatedSearch:
    """A search that learns: each point depends on the order in which results were told, as in adaptive searches.

    With one trial in flight that order is fixed, and so must be every point, whatever dies; with several, a point that
    is replayed must come when just those results have been told that it was made from.  Where it is not ``adaptive``
    its points are the same whatever happens.
    """

    count: int
    fate: Fate
    told: list[int] = field(default_factory=list)
    adaptive: bool = True

    @property
    def size(self) -> int | None:
        return None

    def ask(self, trial: int) -> Mapping[str, Any] | None:
        self.fate.border()
        if trial >= self.count:
            return None
        return {"x": trial, "after": list(self.told) if self.adaptive else []}

    def replay(self, trial: int, params: Mapping[str, Any]) -> None:
        assert not self.adaptive or params == {"x": trial, "after": self.told}, "replayed out of order"

    def tell(self, told: Any) -> None:
        assert told.trial not in self.told, "a trial was told twice"
        self.told.append(told.trial)
