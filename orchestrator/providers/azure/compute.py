"""The provider: Azure Batch runs the tasks, Azure Blob Storage keeps what they need and leave."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from orchestrator.errors import InvalidRequest, NotFound
from orchestrator.providers.azure import logs, owned, request, schedule, settings, submit
from orchestrator.providers.azure.cancel import MARGIN, Canceller
from orchestrator.providers.azure.client import Batch
from orchestrator.providers.azure.pool import Pool
from orchestrator.providers.azure.progress import Progress
from orchestrator.providers.base import (
    Call,
    Capabilities,
    Changes,
    Estimate,
    Owned,
    Phase,
    PoolRequest,
    PoolStatus,
    Recurrence,
    Task,
)
from orchestrator.storage.layout import Home, RunKeys
from orchestrator.storage.open import open_store

if TYPE_CHECKING:
    from orchestrator.storage.blob import BlobStore

T = TypeVar("T")

# Calls beside the chunks of tasks: the list of images, the pool, the job.
CALLS_AROUND = 3


class AzureCompute:
    """See :class:`orchestrator.providers.base.Compute`.  Nothing is contacted before the first call that must."""

    def __init__(self, home: Home, run: str) -> None:
        self._home, self._run = home, run
        self._connected: Batch | None = None
        self._opened: BlobStore | None = None
        self._request: PoolRequest | None = None
        self._site: request.Site | None = None
        self._pools: dict[str, Pool] = {}
        self._progress: dict[str, Progress] = {}
        self._cancellers: dict[str, Canceller] = {}

    @property
    def capabilities(self) -> Capabilities:
        local = settings.is_local(os.environ.get("AZURE_BATCH_ENDPOINT", ""))
        return Capabilities(
            name="azure",
            ahead=None,
            poll_seconds=settings.LOCAL_POLL if local else settings.POLL,
            survives_client=True,
            containers=True,
            spot=True,
            schedule=True,
            several_nodes=True,
            dependencies=True,
            stores=("az",),
        )

    def estimate(self, request_: PoolRequest) -> Estimate:
        request.check_inputs(request_.job)
        sized, tasks = request.sizing(request_), request_.tasks or 0
        size = sized.choice.size
        warnings: list[str] = []
        if sized.price is None:
            warnings.append(f"Nobody has told what {size.name} costs: set pool.price, or limits.max_cost is void.")
        if size.retired is not None:
            warnings.append(f"Azure has retired {size.name} ({size.retired}).")
        if request_.idle_timeout < 300:
            warnings.append("Azure looks at an idle pool every 5 minutes, so it may cost that long.")
        return Estimate(
            api_calls=CALLS_AROUND + -(-tasks // submit.CHUNK),
            slots=sized.slots,
            rate=(sized.price or 0.0) * sized.max_nodes,
            nodes=sized.max_nodes,
            machine=size.name,
            warnings=tuple(warnings),
        )

    def requests(self, request_: PoolRequest, tasks: Iterable[Task]) -> Iterator[Call]:
        from orchestrator.providers.azure import preview

        return preview.calls(self._home, request_, tasks)

    # ------------------------------------------------------------------------------------------------- pools

    def create_pool(self, request_: PoolRequest) -> None:
        request.sizing(request_)
        self._site = self._prepared(request_)
        self._request = request_
        self._progress.pop(request_.name, None)
        self._cancellers.pop(request_.name, None)
        self._pool(request_.name).create(request_, self._site)

    def _prepared(self, request_: PoolRequest) -> request.Site:
        """The run's files in the store, and where its tasks find them."""
        from orchestrator.providers.azure import site
        from orchestrator.storage import profile
        from orchestrator.storage.hashes import HashCache

        if request_.store is not None:
            self._use(request_.store)
        known = profile.azure(self._home)
        hashes = HashCache(self._home.hashes)
        return site.prepare(self._store, request_, self._batch.settings.poll_seconds, hashes, environ=known)

    def pool_status(self, pool: str) -> PoolStatus:
        return self._pool(pool).status()

    def delete_pool(self, pool: str) -> None:
        self._pool(pool).delete()

    # ------------------------------------------------------------------------------------------------- tasks

    def submit(self, pool: str, tasks: Iterable[Task]) -> Iterator[str]:
        wanted, place = self._request, self._site
        if wanted is None or place is None or wanted.name != pool:
            raise NotFound(f"The pool {pool} has not been made through this connection.")
        progress = self._watch(pool)
        for name in submit.submit(self._batch, pool, (request.task_body(task, wanted, place) for task in tasks)):
            progress.added(name)
            yield name

    def changes(self, pool: str, cursor: str | None, wait: float) -> Changes:
        progress = self._watch(pool)
        canceller = self._cancellers.get(pool)
        if canceller is not None:
            canceller.overdue(progress.phases)
            progress.job_ended = progress.job_ended or canceller.job_ended
        return progress.changes(cursor, wait)

    def cancel(self, pool: str, names: Iterable[str]) -> None:
        if pool not in self._cancellers:
            grace = float((self._request.job.get("grace") if self._request is not None else None) or 0.0)
            patience = grace + self._batch.settings.poll_seconds + MARGIN
            self._cancellers[pool] = Canceller(self._batch, self._store, pool, patience=patience)
        progress = self._watch(pool)
        self._cancellers[pool].cancel(names, progress.phases, all_known=progress.all_known)

    def read_log(self, pool: str, task: str, stream: str, offset: int, size: int) -> bytes:
        if stream not in ("stdout", "stderr"):
            raise InvalidRequest(f"There is no stream '{stream}'.", remedy="There are: stdout, stderr.")
        trial, attempt = parse(task)
        key = RunKeys(pool).log(trial, attempt, stream)
        progress = self._progress.get(pool)
        ended = progress is not None and progress.phases.get(task) is Phase.ENDED
        return logs.read(self._batch, self._store, pool, task, key, stream, offset, size, ended=ended)

    # ------------------------------------------------------------------------------------------- the account

    def owned(self) -> Iterator[Owned]:
        return owned.everything(self._batch)

    def reclaim(self, owned_: Owned) -> None:
        if owned_.kind in (owned.POOL, owned.JOB, owned.SCHEDULE):
            owned.delete(self._batch, owned_.kind, owned_.name)

    def schedule(self, request_: PoolRequest, task: Task, when: Recurrence) -> None:
        """See :class:`orchestrator.providers.base.Schedules`."""
        if request_.nodes > 1:
            raise InvalidRequest(
                f"resources.nodes is {request_.nodes}, and what Azure Batch begins by itself takes one machine.",
                remedy="Set it to 1.",
            )
        lasting = replace(request_, lease_until=when.until)
        schedule.create(self._batch, lasting, task, when, self._prepared(lasting))

    def unschedule(self, name: str) -> None:
        owned.delete(self._batch, owned.SCHEDULE, name)

    def close(self) -> None:
        if self._connected is not None:
            self._connected.close()

    # ----------------------------------------------------------------------------------------------- inside

    @property
    def _batch(self) -> Batch:
        if self._connected is None:
            self._connected = Batch(settings.load(self._home))
        return self._connected

    @property
    def _store(self) -> BlobStore:
        if self._opened is None:
            return self._use(settings.store_url(self._batch.settings))
        return self._opened

    def _use(self, url: str) -> BlobStore:
        """Take this store; nothing has been read through another one yet."""
        from orchestrator.storage.blob import BlobStore

        if self._opened is None or self._opened.url != url:
            store = open_store(url, self._home)
            if not isinstance(store, BlobStore):
                raise InvalidRequest(f"Tasks on Azure Batch cannot reach {store.url}.", remedy="Use an az:// store.")
            self._opened = store
            self._pools.clear()
        return self._opened

    def _pool(self, name: str) -> Pool:
        return _kept(self._pools, name, lambda: Pool(self._batch, self._store, name))

    def _watch(self, pool: str) -> Progress:
        interval = self._batch.settings.poll_seconds
        return _kept(self._progress, pool, lambda: Progress(self._batch, self._store, pool, interval))


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
