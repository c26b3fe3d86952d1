"""The provider: AWS Batch runs the tasks, S3 keeps what they need and leave."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

from orchestrator.errors import InvalidRequest, MachineError, NotFound, Unavailable
from orchestrator.providers.aws import feed, logs, network, owned, request, settings
from orchestrator.providers.aws.alarms import Alarms
from orchestrator.providers.aws.cancel import MARGIN, Canceller
from orchestrator.providers.aws.client import Aws
from orchestrator.providers.aws.feed import Feed
from orchestrator.providers.aws.ledger import Ledger
from orchestrator.providers.aws.pool import Pool
from orchestrator.providers.aws.progress import Progress
from orchestrator.providers.aws.submit import ARRAY, Batches
from orchestrator.providers.base import (
    Call,
    Capabilities,
    Changes,
    Estimate,
    Owned,
    Phase,
    PoolRequest,
    PoolState,
    PoolStatus,
    Task,
)
from orchestrator.storage.layout import Home, RunKeys
from orchestrator.storage.open import open_store

if TYPE_CHECKING:
    from orchestrator.storage.s3 import S3Store

T = TypeVar("T")

# Calls to Batch beside the submissions: environments, queue and definition, made and looked at.
CALLS_AROUND = 8
# Seconds between two questions why tasks wait, and between two steps of making a pool or taking it down.
WHY_EVERY = 30.0
STEP = 2.0
# Seconds that `reclaim` waits for one run's things to be gone.
RECLAIM_PATIENCE = 600.0


class AwsCompute:
    """See :class:`orchestrator.providers.base.Compute`.  Nothing is contacted before the first call that must.

    ``session`` is a ``boto3.Session`` for the calls to all services but the object store; None: as boto3 is configured.
    """

    def __init__(self, home: Home, session: Any = None, region: str | None = None) -> None:
        self._home = home
        self._aws = Aws(session, region)
        self._known: settings.Settings | None = None
        self._opened: S3Store | None = None
        self._requests: dict[str, PoolRequest] = {}
        self._pools: dict[str, Pool] = {}
        self._batches: dict[str, Batches] = {}
        self._progress: dict[str, Progress] = {}
        self._cancellers: dict[str, Canceller] = {}
        self._asked_why: dict[str, tuple[float, str]] = {}

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            name="aws",
            ahead=None,
            poll_seconds=self._settings.poll_seconds,
            survives_client=True,
            processes=False,
            containers=True,
            spot=True,
            stores=("s3",),
        )

    def estimate(self, request_: PoolRequest) -> Estimate:
        request.check_inputs(request_.job)
        sized, tasks = request.sizing(request_), request_.tasks or 0
        warnings: list[str] = []
        if sized.price is None:
            warnings.append(f"Nobody has told what {sized.machine} costs: set pool.price, or limits.max_cost is void.")
        if 0 < request_.machine.gpus < 1:
            warnings.append("AWS Batch gives out whole GPUs: each trial gets one.")
        # Batch fills the second environment when the first one is full, and it has the same bound.
        most = sized.max_nodes * (2 if request_.spot and request_.on_demand_fallback else 1)
        # Batch rents for the tasks that there are, whatever the pool may grow to.
        nodes = min(most, -(-(request_.at_once or 0) // sized.slots_per_node)) if tasks else most
        return Estimate(
            api_calls=CALLS_AROUND + -(-tasks // ARRAY),
            slots=sized.slots,
            rate=(sized.price or 0.0) * nodes,
            nodes=nodes,
            machine=sized.machine,
            warnings=tuple(warnings),
            usual=sized.usual * nodes if sized.usual is not None else None,
        )

    def requests(self, request_: PoolRequest, tasks: Iterable[Task]) -> Iterator[Call]:
        from orchestrator.providers.aws import preview

        return preview.calls(self._home, request_, tasks)

    # ------------------------------------------------------------------------------------------------- pools

    def create_pool(self, request_: PoolRequest) -> None:
        from orchestrator.providers.aws import site
        from orchestrator.storage.hashes import HashCache

        request.sizing(request_)
        if request_.region is not None:
            self._aws.move(request_.region)
        self._keep_region(request_.name)
        if request_.store is not None:
            self._use(request_.store)
        runner = site.prepare(self._store, request_, HashCache(self._home.hashes))
        run = request_.name
        place = network.place(self._aws, self._settings, request_, self._store.url, runner)
        for kept in (self._batches, self._progress, self._cancellers):
            kept.pop(run, None)
        self._requests[run] = request_
        self._pool(run).create(request_, place)

    def _keep_region(self, run: str) -> None:
        """Whoever goes on, or cleans up, must look there, whatever region is the present one by then."""
        path = self._home.region(run)
        if path.parent.is_dir():
            try:
                path.write_text(f"{self._aws.region}\n", "utf-8")
            except OSError as error:
                raise MachineError(f"{path} cannot be written: {error.strerror}.") from error

    def pool_status(self, pool: str) -> PoolStatus:
        status = self._pool(pool).status(lambda: self._why(pool))
        if status.state is PoolState.GONE:
            self._forget(pool)
        return status

    def delete_pool(self, pool: str) -> None:
        self._forget(pool)
        self._pool(pool).delete()

    def _forget(self, pool: str) -> None:
        self._requests.pop(pool, None)
        for kept in (self._batches, self._progress, self._cancellers):
            kept.pop(pool, None)

    def _why(self, pool: str) -> str:
        """What AWS says of tasks that wait, asked for now and then."""
        at, reason = self._asked_why.get(pool, (0.0, ""))
        if time.monotonic() - at > WHY_EVERY and pool in self._progress:
            reason = self._progress[pool].why_waiting()
            self._asked_why[pool] = (time.monotonic(), reason)
        return reason

    # ------------------------------------------------------------------------------------------------- tasks

    def submit(self, pool: str, tasks: Iterable[Task]) -> Iterator[str]:
        if pool not in self._requests:
            raise NotFound(f"The pool {pool} has not been made through this connection.")
        return self._where_it_is(pool, self._tasks(pool).submit(tasks))

    def _where_it_is(self, pool: str, names: Iterator[str]) -> Iterator[str]:
        try:
            yield from names
        except InvalidRequest as error:
            # Batch has one code for whatever a request names that does not exist, and for all else.
            if not self._pool(pool).exists():
                raise NotFound(f"The pool {pool} does not exist: {error.message}") from error
            raise

    def changes(self, pool: str, cursor: str | None, wait: float) -> Changes:
        progress = self._watch(pool)
        canceller = self._cancellers.get(pool)
        if canceller is not None:
            canceller.overdue()
        try:
            return progress.changes(cursor, wait)
        except InvalidRequest as error:
            if not self._pool(pool).exists():
                raise NotFound(f"The pool {pool} does not exist: {error.message}") from error
            raise

    def cancel(self, pool: str, names: Iterable[str]) -> None:
        progress = self._watch(pool)
        if pool not in self._cancellers:
            known = self._requests.get(pool)
            grace = float((known.job.get("grace") if known is not None else None) or 0.0)
            patience = grace + self._settings.poll_seconds + MARGIN
            self._cancellers[pool] = Canceller(
                self._aws, self._store, pool, self._tasks(pool), progress, patience=patience
            )
        self._cancellers[pool].cancel(names)

    def read_log(self, pool: str, task: str, stream: str, offset: int, size: int) -> bytes:
        if stream not in ("stdout", "stderr"):
            raise InvalidRequest(f"There is no stream '{stream}'.", remedy="There are: stdout, stderr.")
        trial, attempt = parse(task)
        key = RunKeys(pool).log(trial, attempt, stream)

        def ended() -> str | None:
            progress = self._progress.get(pool)
            if progress is None or progress.phases.get(task) is not Phase.ENDED:
                return None
            batch, index = self._tasks(pool).places[task]
            return batch.child(index)

        return logs.read(self._aws, self._store, key, offset, size, ended)

    # ------------------------------------------------------------------------------------------- the account

    def owned(self) -> Iterator[Owned]:
        return owned.everything(self._aws)

    def reclaim(self, owned_: Owned) -> None:
        """All of the run that it belongs to, since none of it can go without the others."""
        if owned_.run is None:
            return
        pool = self._pool(owned_.run)
        deadline = time.monotonic() + RECLAIM_PATIENCE
        pool.delete()
        while pool.status().state is not PoolState.GONE:
            if time.monotonic() > deadline:
                raise Unavailable(f"{owned_.name} is still being deleted.")
            time.sleep(self._step)
        self._forget(owned_.run)

    def close(self) -> None:
        self._aws.close()

    # ----------------------------------------------------------------------------------------------- inside

    @property
    def _settings(self) -> settings.Settings:
        if self._known is None:
            self._known = settings.load(self._home)
        return self._known

    @property
    def _step(self) -> float:
        return min(STEP, self._settings.poll_seconds)

    @property
    def _store(self) -> S3Store:
        return self._opened or self._use(self._settings.store_url())

    def _use(self, url: str) -> S3Store:
        """Take this store; nothing has been read through another one yet."""
        from orchestrator.storage.s3 import S3Store

        if self._opened is None or self._opened.url != url:
            store = open_store(url, self._home)
            if not isinstance(store, S3Store):
                raise InvalidRequest(f"Tasks on AWS cannot reach {store.url}.", remedy="Use an s3:// store.")
            self._opened = store
            self._pools.clear()
        return self._opened

    def _pool(self, run: str) -> Pool:
        def made() -> Pool:
            # What is only taken down (`orchestrate gc`) needs no store.
            known = self._opened is not None or self._settings.storage is not None
            store = self._store if known else None
            return Pool(self._aws, run, Ledger(store, run), pause=self._step, tidy=lambda: feed.clear(store, run))

        return _kept(self._pools, run, made)

    def _tasks(self, run: str) -> Batches:
        return _kept(self._batches, run, lambda: Batches(self._aws, self._store, run, lag=self._step))

    def _watch(self, run: str) -> Progress:
        def made() -> Progress:
            store = self._store
            prefix = unquote(urlsplit(store.url).path).strip("/")
            news = Feed(self._aws, store, store.bucket, f"{prefix}/" if prefix else "", run)
            known = self._settings
            alarms = Alarms(self._aws, known.events, run) if known.events is not None else None
            words = logs.Words(self._aws, store, run)

            def said(task: str, job: str) -> str:
                return words.last(*parse(task), job)

            return Progress(self._aws, news, self._tasks(run), known.poll_seconds, alarms, said)

        return _kept(self._progress, run, made)


def _kept(known: dict[str, T], name: str, make: Callable[[], T]) -> T:
    if name not in known:
        known[name] = make()
    return known[name]


def parse(task: str) -> tuple[int, int]:
    """Trial and attempt of a task by its name.  Raises NotFound for a name that is none of ours."""
    trial, _, attempt = task.partition("-a")
    if not trial.startswith("t") or not trial[1:].isdigit() or not attempt.isdigit():
        raise NotFound(f"There is no task '{task}'.")
    return int(trial[1:]), int(attempt)
