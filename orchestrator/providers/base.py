"""The contract of a provider: an engine that runs tasks on machines that a run rents.

A provider is a class with the methods of :class:`Compute`.  Every call is idempotent: names are chosen by the caller
and are deterministic, so a call that is repeated after a lost answer finds what the first one made.  Errors are those
of :mod:`orchestrator.errors` and no others.  A provider never imports the engine.

The same suite of behaviours (``orchestrator.testing``) is run against every provider.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

JSON = Mapping[str, Any]


class Cause(StrEnum):
    """Why an attempt ended without success.  Retries are counted by cause."""

    PREEMPTED = "preempted"  # the provider took the machine back
    NO_CAPACITY = "no-capacity"  # no machine could be had in time
    INFRASTRUCTURE = "infrastructure"  # node, network, storage or image failed, not the user's program
    EXIT_CODE = "exit-code"  # the program ended with a code other than 0, or by a signal
    TIMEOUT = "timeout"  # stopped at limits.timeout
    COMMAND = "command"  # the program cannot be started at all: never retried
    CANCELLED = "cancelled"  # stopped because we asked for it
    DRIVER_LOST = "driver-lost"  # died together with our own driver: made again, counted against no limit


class Phase(StrEnum):
    """Where a task is, in our words.  Each provider has one table from its own states to these."""

    QUEUED = "queued"
    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Task:
    """One attempt of one trial.  ``name`` is unique in the pool and the same whenever it is submitted again.

    ``parent`` is a trial of the run whose checkpoint this one starts from where it has none of its own yet; it has
    ended when this task begins.  ``after`` names the task of the same pool that must have ended well before; only a
    provider with the capability ``dependencies`` is given one.
    """

    name: str
    trial: int
    attempt: int
    params: JSON
    parent: int | None = None
    after: str | None = None

    @property
    def document(self) -> dict[str, Any]:
        """What the runner is told of it (see :mod:`orchestrator.runner`)."""
        said = {"name": self.name, "trial": self.trial, "attempt": self.attempt, "params": dict(self.params)}
        return said if self.parent is None else {**said, "parent": self.parent}


@dataclass(frozen=True, slots=True)
class Ended:
    """How a task ended.  ``cause`` is None exactly when it succeeded.  Times are Unix seconds, by the node's clock."""

    cause: Cause | None
    reason: str = ""
    exit_code: int | None = None
    signal: int | None = None
    started: float | None = None
    finished: float | None = None


@dataclass(frozen=True, slots=True)
class TaskChanged:
    """A task is in ``phase`` now.  May be repeated and may skip phases; ``ended`` is set exactly in ENDED.

    ``result`` is the runner's ``result.json`` where the provider has it at hand; None: it lies in the object store
    (or the runner never came to write it).
    """

    name: str
    phase: Phase
    at: float
    ended: Ended | None = None
    node: str | None = None
    result: JSON | None = None


@dataclass(frozen=True, slots=True)
class MetricSeen:
    """A value that a running task reported.  Delivered at least once, in order of reporting for each task."""

    name: str
    metric: str
    value: float
    step: float | None
    at: float


Event = TaskChanged | MetricSeen


@dataclass(frozen=True, slots=True)
class Changes:
    """What has changed since ``cursor`` was handed out.

    With ``complete`` the events name the present phase of every task that the pool knows: a task that is not named
    does not exist there.  That is the answer to a call without a cursor.
    """

    events: Sequence[Event]
    cursor: str
    complete: bool = False


class PoolState(StrEnum):
    CREATING = "creating"
    READY = "ready"
    DELETING = "deleting"
    GONE = "gone"
    FAILED = "failed"  # lasting: the reason says what the user must change


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """``cost`` is what the pool has cost so far and ``rate`` what it costs an hour now, both in US$."""

    state: PoolState
    reason: str = ""
    nodes: int = 0
    slots: int = 0
    cost: float = 0.0
    rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Machine:
    """What one trial needs.  Sizes in bytes; ``gpus`` below 1 is a share of one."""

    cpus: float = 1.0
    gpus: float = 0.0
    gpu: str | None = None
    memory: int | None = None
    disk: int | None = None
    shm: int | None = None
    strict: bool = False


@dataclass(frozen=True, slots=True)
class PoolRequest:
    """The machines that a run asks for, and the job that all its tasks share.

    ``name`` is the run's id.  ``job`` is the runner's job document (see :mod:`orchestrator.runner`).  ``slots`` is how
    many tasks may run at once (None: as many as the provider finds sensible).  ``lease_until`` is the Unix time after
    which the pool must be gone whoever is alive, ``idle_timeout`` the seconds without work after which it shrinks
    to nothing.  ``secrets`` are values for the tasks' environment: they go to the provider's own secret channel, are
    never written down and never shown, so they are left out of ``repr``.  ``network``, ``pack`` (trials a
    container) and ``user`` are for containers of this machine.  ``store`` is the URL of the object store that the run
    is kept in; None: the provider's own choice.  ``nodes`` is how many machines each task takes together, ``tasks`` how
    many there will be in all; None where only running shows it.  Of each ``stages`` tasks in a row one comes after the
    other.  ``stop_codes`` are exit codes of a program at which nothing of the pool is to go on; a provider that can,
    sees to that itself.
    """

    name: str
    job: JSON
    machine: Machine
    slots: int | None
    max_nodes: int | None
    lease_until: float
    idle_timeout: float
    spot: bool = False
    on_demand_fallback: bool = False
    vm_size: str | None = None
    price: float | None = None
    region: str | None = None
    image: str | None = None
    isolation: str = "process"
    network: bool = False
    pack: int = 1
    user: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    store: str | None = None
    nodes: int = 1
    tasks: int | None = None
    stages: int = 1
    stop_codes: Sequence[int] = ()

    @property
    def at_once(self) -> int | None:
        """How many tasks can run at the same time at most, however many machines there are."""
        return None if self.tasks is None else -(-self.tasks // self.stages)


@dataclass(frozen=True, slots=True)
class Recurrence:
    """When something begins again and again: every ``every`` seconds from ``start`` on, at once where that is None.

    It ends at ``until``, whoever is still alive.  Times are Unix seconds.
    """

    every: float
    until: float
    start: float | None = None


@dataclass(frozen=True, slots=True)
class Owned:
    """Something alive that carries our tags: a pool, a queue, a container, a process."""

    kind: str
    name: str
    run: str | None
    lease_until: float | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run would take: calls to the provider, the most that an hour can cost in US$, and warnings.

    ``usual`` is what such an hour usually costs, where that is less: spot machines have no fixed price.  ``image`` is
    the request's image by its digest, as the provider finds it now; empty where it does not know.
    """

    api_calls: int
    slots: int
    rate: float
    nodes: int = 1
    machine: str = ""
    warnings: Sequence[str] = ()
    image: str = ""
    usual: float | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A call that a run would make: the service's own operation, and the body as it would be sent.

    What only the service or the moment of sending knows stands in it as words in angle brackets, as every secret does.
    """

    operation: str
    body: JSON


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Facts about a provider that the engine plans with.

    ``ahead`` is how many tasks beyond those that can run it is worth to have submitted (None: all of them; the
    service queues).  ``poll_seconds`` is how long to wait between two looks.  ``survives_client`` says that tasks go
    on when the process that submitted them dies; where not, they are lost with it and made again.  ``several_nodes``
    says that a task can take several machines together, ``dependencies`` that one which comes after another is begun by
    the provider itself, once that one has ended well.
    """

    name: str
    ahead: int | None
    poll_seconds: float
    survives_client: bool
    processes: bool = True
    containers: bool = False
    spot: bool = False
    schedule: bool = False
    several_nodes: bool = False
    dependencies: bool = False
    stores: Sequence[str] = ("file",)


class Compute(Protocol):
    """An engine that runs tasks.  One instance serves one run, from one thread at a time, except ``read_log``."""

    @property
    def capabilities(self) -> Capabilities: ...

    def estimate(self, request: PoolRequest) -> Estimate:
        """What ``request.tasks`` tasks would take, or as many as the pool can hold.  Makes nothing.

        Raises InvalidRequest for what can never run here.  ``request.job`` is the job document, so that inputs that
        cannot be brought to the tasks are refused too.
        """

    def requests(self, request: PoolRequest, tasks: Iterable[Task]) -> Iterator[Call]:
        """What ``create_pool`` and ``submit`` would send to make and add something, lazily and in that order.

        Contacts nothing and needs no credentials.  The values of ``request.secrets`` are shown, so the caller gives
        words in their place.  A provider that sends no requests yields none.
        """

    def create_pool(self, request: PoolRequest) -> None:
        """Ask for the pool; it need not be ready on return.  A pool of this name that exists is taken over."""

    def pool_status(self, pool: str) -> PoolStatus:
        """State GONE (not NotFound) for a pool that does not exist."""

    def delete_pool(self, pool: str) -> None:
        """End its tasks and give the machines back; repeat until ``pool_status`` says GONE.  Fine if it is gone."""

    def submit(self, pool: str, tasks: Iterable[Task]) -> Iterator[str]:
        """Submit lazily and yield the name of each task that the provider has acknowledged.

        A task whose name the pool knows already is acknowledged and not run again.  Raises on the first call that
        fails for good; what was yielded before stays submitted.  InvalidRequest is about the first task that was not
        yielded.
        """

    def changes(self, pool: str, cursor: str | None, wait: float) -> Changes:
        """What changed since ``cursor``; blocks up to ``wait`` seconds while nothing has.  None: everything."""

    def cancel(self, pool: str, names: Iterable[str]) -> None:
        """Tell tasks to stop (SIGTERM, then SIGKILL after the job's grace).  Unknown and ended ones are ignored."""

    def read_log(self, pool: str, task: str, stream: str, offset: int, size: int) -> bytes:
        """Bytes of ``stdout`` or ``stderr`` from ``offset``; empty when there are none (yet)."""

    def owned(self) -> Iterator[Owned]:
        """Everything alive that carries our tags, of every run."""

    def reclaim(self, owned: Owned) -> None:
        """Delete one such thing for good.  Fine if it is gone."""

    def close(self) -> None:
        """Let go of connections and helper processes.  A local pool ends with it."""


class Schedules(Protocol):
    """What a provider with the capability ``schedule`` can do beside: begin by itself, with nobody of us alive."""

    def schedule(self, request: PoolRequest, task: Task, when: Recurrence) -> None:
        """Have ``task`` run each time on machines that are made for it and deleted after it.

        ``request.name`` names the schedule; one of this name that exists is replaced.  A beginning that finds the one
        before still running waits for it.  What the task stores replaces what it stored the time before.
        """

    def unschedule(self, name: str) -> None:
        """End the schedule and what runs of it.  Fine if it is gone."""
