"""A run's pool and its job: made, watched, and deleted until nothing of them is left."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from orchestrator.errors import InvalidRequest, NotFound, ProviderError, Throttled, Unavailable
from orchestrator.providers import catalogue
from orchestrator.providers.azure import autoscale, manager, owned, request, states
from orchestrator.providers.azure.client import Batch, code_of
from orchestrator.providers.azure.ledger import Ledger
from orchestrator.providers.base import PoolRequest, PoolState, PoolStatus
from orchestrator.storage.base import ObjectStore
from orchestrator.storage.layout import RunKeys

if TYPE_CHECKING:
    from azure.batch.models import BatchNode, BatchPool, BatchPoolNodeCounts

# Seconds that a job of an earlier life is waited for until it is deleted.
JOB_PATIENCE = 20.0
# The service takes a formula anew once in 30 seconds; evaluating it is how a failed resize is tried again.
NUDGE_EVERY = 40.0
# Broken nodes are replaced up to this many times the pool's size, and at least so often.
REPLACE_SHARE, REPLACE_LEAST = 1, 3
# Nodes of one removal (limit of the service).
REMOVE_AT_ONCE = 100

# Bytes of a broken node's logs that are kept.
EVIDENCE = 1 << 20

_BROKEN = ("unusable", "starttaskfailed")


@dataclass(slots=True)
class _Nodes:
    """How many nodes there are of each kind, and in which states."""

    dedicated: int = 0
    spot: int = 0
    preempted: int = 0
    starting: int = 0
    broken: int = 0

    @property
    def paid(self) -> int:
        return self.dedicated + self.spot - self.preempted


class Pool:
    """One run's pool and the job in it, both under the run's id."""

    def __init__(
        self,
        batch: Batch,
        store: ObjectStore,
        name: str,
        *,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._batch, self._store, self.name = batch, store, name
        self._now, self._sleep = now, sleep
        self._request: PoolRequest | None = None
        self._pool: BatchPool | None = None
        self._nodes: _Nodes | None = None
        self._turn = 0
        self._deleting = False
        self._replaced = 0
        self._why = ""
        self._nudges, self._nudged = 0, 0.0
        self._ledger = Ledger(store, name)

    # ----------------------------------------------------------------------------------------------- making

    def create(self, wanted: PoolRequest, place: request.Site) -> None:
        """Ask for the pool and its job.  Raises InvalidRequest where the name is somebody else's."""
        self._request, self._deleting = wanted, False
        sized = request.sizing(wanted)
        image = image_for(self._batch, wanted, self._now())
        # The formula is evaluated by the service's clock; how far that is from ours its answer has told.
        ahead = self._batch.ahead
        there = replace(wanted, lease_until=wanted.lease_until + ahead)
        settings = self._batch.settings
        registry = request.registry_of(settings, wanted)
        equipment = request.Equipment(registry, place.mounts, settings.start_command)
        body = request.pool_body(there, sized, image, self._now() + ahead, equipment)
        try:
            self._create_pool(body, registry.identity if registry is not None else None)
        except InvalidRequest as error:
            if not isinstance(error, manager.PoolExists) and code_of(error) != "PoolExists":
                raise
            self._take_over()
        self._create_job(request.job_body(there, self._now() + ahead, place.url))

    def _create_pool(self, body: request.Body, identity: str | None) -> None:
        from azure.batch.models import BatchPoolCreateOptions

        if identity is None:
            self._batch.call(self._batch.sdk.create_pool, BatchPoolCreateOptions(body))
        else:
            self._batch.call(manager.create_pool, self._batch.settings, body, identity)

    def _take_over(self) -> None:
        pool = self._batch.call(self._batch.sdk.get_pool, self.name)
        tags = owned.tags(pool.metadata)
        if tags.get(request.OWNER) is None:
            raise InvalidRequest(
                f"The Batch account has a pool '{self.name}' that this program did not make.",
                remedy="Give the sweep another name, or delete that pool.",
            )
        if _text(pool.state) == "deleting":
            raise Unavailable(f"The pool {self.name} is still being deleted.")
        if float(tags.get(request.LEASE, "inf")) < self._now() + self._batch.ahead:
            # Its formula gives it no machine any more.
            for kind in (owned.JOB, owned.POOL):
                owned.delete(self._batch, kind, self.name)
            raise Unavailable(f"The lease of the pool {self.name} is over: it is deleted, and then made anew.")

    def _create_job(self, body: dict[str, Any]) -> None:
        from azure.batch.models import BatchJobCreateOptions

        deadline = self._now() + JOB_PATIENCE
        while True:
            try:
                self._batch.call(self._batch.sdk.create_job, BatchJobCreateOptions(body))
                return
            except InvalidRequest as error:
                if code_of(error) != "JobExists":
                    raise
            except Unavailable as error:
                if code_of(error) != "JobBeingDeleted":
                    raise
            if self._job_usable():
                return
            if self._now() >= deadline:
                raise Unavailable(f"The job {self.name} of an earlier try is still being deleted.")
            self._sleep(0.2 if self._batch.settings.local else 2.0)

    def _job_usable(self) -> bool:
        """Whether the job that there is takes tasks.  One that has ended never will again, and is deleted."""
        try:
            state = _text(self._batch.call(self._batch.sdk.get_job, self.name).state)
        except NotFound:
            return False
        if state in ("disabled", "disabling"):
            self._batch.send("POST", f"jobs/{self.name}/enable")
        elif state in ("completed", "terminating"):
            owned.delete(self._batch, owned.JOB, self.name)
        return state in ("active", "enabling", "disabled", "disabling")

    # --------------------------------------------------------------------------------------------- watching

    def status(self) -> PoolStatus:
        """A call each time: the pool and its nodes are asked for in turns, so that a poll stays cheap."""
        try:
            pool, nodes = self._look()
        except NotFound:
            return self._without_pool()
        now = self._now()
        self._ledger.note(now, self._rate(pool, nodes))
        if _text(pool.state) == "deleting":
            return self._status(PoolState.DELETING)
        # Preempted nodes count: the service brings them back, whatever it refuses beside.
        trouble = states.trouble(pool.resize_errors, nodes=nodes.dedicated + nodes.spot)
        if trouble is not None and trouble.lasting:
            return self._status(PoolState.FAILED, f"The pool gets no nodes: {trouble.reason} {trouble.remedy}".strip())
        if trouble is not None:
            self._nudges = 2  # the first asks for the nodes that there are, the second for all
        if self._nudges:
            self._nudge(pool, now)
        if nodes.broken and not self._replace_broken(pool):
            return self._status(PoolState.FAILED, f"{self._replaced} nodes broke and were replaced: {self._why}.")
        return self._status(PoolState.READY, _reason(pool, nodes, trouble))

    def _look(self) -> tuple[BatchPool, _Nodes]:
        self._turn += 1
        pool, nodes = self._pool, self._nodes
        if pool is None or nodes is None or self._deleting or self._turn % 2:
            pool = self._batch.call(self._batch.sdk.get_pool, self.name)
        if nodes is None:
            nodes = _uncounted(pool)
        elif not self._deleting and self._turn % 2 == 0:
            nodes = self._count()
        self._pool, self._nodes = pool, nodes
        return pool, nodes

    def _count(self) -> _Nodes:
        listing = self._batch.sdk.list_pool_node_counts(filter=f"poolId eq '{self.name}'")
        for page in self._batch.pages(listing):
            for counts in page:
                return _counted(counts)
        return _Nodes()

    def _rate(self, pool: BatchPool, nodes: _Nodes) -> float:
        """US$ an hour of the nodes that there are now."""
        size = catalogue.find("azure", pool.vm_size)
        own = self._request.price if self._request is not None else None
        dedicated = own if own is not None else (size.price if size else None)
        spot = own if own is not None else (size.spot if size and size.spot is not None else dedicated)
        return nodes.dedicated * (dedicated or 0.0) + (nodes.spot - nodes.preempted) * (spot or 0.0)

    def _status(self, state: PoolState, reason: str = "") -> PoolStatus:
        nodes = self._nodes.paid if self._nodes is not None else 0
        slots = nodes * (self._pool.task_slots_per_node or 1 if self._pool is not None else 1)
        slots //= self._request.nodes if self._request is not None else 1
        return PoolStatus(state, reason, nodes, slots, self._ledger.cost, self._ledger.rate)

    def _without_pool(self) -> PoolStatus:
        """No pool: gone, unless its job is still on its way out."""
        self._pool = self._nodes = None
        self._ledger.note(self._now(), 0.0)
        try:
            state = _text(self._batch.call(self._batch.sdk.get_job, self.name).state)
        except NotFound:
            return self._status(PoolState.GONE)
        if self._deleting and state != "deleting":
            owned.delete(self._batch, owned.JOB, self.name)
        return self._status(PoolState.DELETING if self._deleting or state == "deleting" else PoolState.GONE)

    # ----------------------------------------------------------------------------------------------- mending

    def _nudge(self, pool: BatchPool, now: float) -> None:
        """Have the formula evaluated now: a resize that failed for want of machines is tried again by it, in two steps
        (see :mod:`orchestrator.providers.azure.autoscale`)."""
        if now - self._nudged < NUDGE_EVERY or _text(pool.allocation_state) != "steady":
            return
        self._nudged = now
        from azure.batch.models import BatchPoolEnableAutoScaleOptions

        options = BatchPoolEnableAutoScaleOptions(
            auto_scale_formula=pool.auto_scale_formula,
            auto_scale_evaluation_interval=timedelta(seconds=autoscale.EVALUATION),
        )
        try:
            self._batch.call(self._batch.sdk.enable_pool_auto_scale, self.name, options)
        except (Throttled, Unavailable, NotFound):
            return  # the service evaluates it by itself every five minutes
        self._nudges -= 1

    def _replace_broken(self, pool: BatchPool) -> bool:
        """Keep what broken nodes tell, and remove them: the formula asks for others.  False: it has been too many."""
        if _text(pool.allocation_state) != "steady":
            return True
        where = " or ".join(f"state eq '{state}'" for state in _BROKEN)
        select = ["id", "state", "errors", "startTaskInfo"]
        listing = self._batch.sdk.list_nodes(self.name, filter=where, select=select)
        broken = [node for page in self._batch.pages(listing) for node in page][:REMOVE_AT_ONCE]
        for node in broken:
            self._keep_evidence(node)
        self._replaced += len(broken)
        if self._replaced > max(REPLACE_LEAST, REPLACE_SHARE * _target(pool)):
            return False
        if broken:
            body = {"nodeList": [node.id for node in broken], "nodeDeallocationOption": "requeue"}
            try:
                self._batch.send("POST", f"pools/{self.name}/removenodes", body)
            except (Unavailable, NotFound):
                self._replaced -= len(broken)  # it is being resized: at the next look
        return True

    def _keep_evidence(self, node: BatchNode) -> None:
        errors = [f"{error.code}: {error.message}" for error in node.errors or ()]
        start = node.start_task_info
        if start is not None and start.failure_info is not None:
            errors.append(f"start task: {start.failure_info.code}: {start.failure_info.message}")
        self._why = "; ".join(errors) or f"node {node.id} is {_text(node.state)}"
        folder = f"{RunKeys(self.name).root}/nodes/{node.id}"
        told = {"node": node.id, "state": _text(node.state), "errors": errors, "at": self._now()}
        self._store.put(f"{folder}/node.json", json.dumps(told).encode())
        for stream in ("stdout.txt", "stderr.txt"):
            try:
                data = self._batch.file(f"pools/{self.name}/nodes/{node.id}/files/startup%2F{stream}", 0, EVIDENCE)
            except ProviderError:
                continue  # a node that cannot be reached keeps its files
            self._store.put(f"{folder}/{stream}", data)

    # ---------------------------------------------------------------------------------------------- deleting

    def delete(self) -> None:
        self._deleting = True
        if self._ledger.at is not None:
            self._ledger.write(self._now())
        owned.delete(self._batch, owned.JOB, self.name)
        owned.delete(self._batch, owned.POOL, self.name)


def image_for(batch: Batch, wanted: PoolRequest, now: float) -> request.Image:
    """The machine image for a pool, of those that the account offers."""
    images = [image.as_dict() for page in batch.pages(batch.sdk.list_supported_images()) for image in page]
    return request.choose_image(
        images,
        gpus=wanted.machine.gpus > 0,
        containers=wanted.image is not None,
        until=min(wanted.lease_until, now + timedelta(days=7).total_seconds()),
    )


def _text(value: object) -> str:
    """An enumeration's value; the SDK gives words that it does not know as plain strings."""
    return str(getattr(value, "value", value))


def _uncounted(pool: BatchPool) -> _Nodes:
    """What a pool itself tells of its nodes; whether they are up is asked for at the next look."""
    nodes = _Nodes(pool.current_dedicated_nodes or 0, pool.current_low_priority_nodes or 0)
    nodes.starting = nodes.dedicated + nodes.spot
    return nodes


def _counted(counts: BatchPoolNodeCounts) -> _Nodes:
    nodes = _Nodes()
    for kind in (counts.dedicated, counts.low_priority):
        if kind is None:
            continue
        nodes.preempted += kind.preempted
        nodes.starting += kind.creating + kind.starting + kind.waiting_for_start_task + kind.rebooting
        nodes.broken += kind.unusable + kind.start_task_failed
    nodes.dedicated = counts.dedicated.total if counts.dedicated is not None else 0
    nodes.spot = counts.low_priority.total if counts.low_priority is not None else 0
    return nodes


def _target(pool: BatchPool) -> int:
    return (pool.target_dedicated_nodes or 0) + (pool.target_low_priority_nodes or 0)


def _reason(pool: BatchPool, nodes: _Nodes, trouble: states.Trouble | None) -> str:
    """Why the pool has not all the nodes that it asked for."""
    told: list[str] = []
    usable = nodes.paid - nodes.starting
    if usable < _target(pool):
        told.append(f"{usable} of {_target(pool)} nodes are ready")
    if nodes.starting:
        told.append(f"{nodes.starting} starting")
    if nodes.preempted:
        told.append(f"{nodes.preempted} preempted")
    if trouble is not None:
        told.append(f"{trouble.reason}; it is tried again")
    run = pool.auto_scale_run
    if run is not None and run.error is not None:
        told.append(f"the pool's formula failed: {run.error.code} {run.error.message or ''}".strip())
    return "; ".join(told)
