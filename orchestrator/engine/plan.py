"""A plan: the spec with everything decided, before anything has been started or written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from orchestrator.engine.job import job_document
from orchestrator.engine.machine import Rules
from orchestrator.errors import UsageError
from orchestrator.providers.base import Capabilities, Cause, Compute, Estimate, Machine, PoolRequest
from orchestrator.search import make_search
from orchestrator.search.base import Breeding, Search, Told
from orchestrator.search.setting import Listing
from orchestrator.spec.model import Spec

# How many attempts are in flight where the provider queues without a limit and the number of trials is not known.
WIDEST_WINDOW = 10_000


@dataclass(frozen=True, slots=True)
class Plan:
    """``trials`` is None where only running shows how many there are.

    ``cost`` is the most that the run can cost, in US$; None where nothing bounds it.
    """

    spec: Spec
    base: Path
    search: Search
    capabilities: Capabilities
    estimate: Estimate
    trials: int | None
    cost: float | None

    @property
    def points(self) -> int | None:
        """How many trials there are that wait for no other, but for the stage before them."""
        return None if self.trials is None else -(-self.trials // self.spec.stages)

    @property
    def parallel(self) -> int:
        return self.spec.limits.parallel or self.estimate.slots


def make_plan(
    spec: Spec, base: Path, compute: Compute, earlier: Sequence[Told] = (), listing: Listing | None = None
) -> Plan:
    """Decide everything and refuse what cannot run.  Raises UsageError or the provider's InvalidRequest.

    ``earlier`` are the ended trials of the runs that ``search.warm_start`` names; ``listing`` lists folders of object
    stores.
    """
    can = compute.capabilities
    if spec.workload.isolation == "docker" and not can.containers:
        raise UsageError(
            f"workload.isolation is docker, and the {can.name} provider runs no containers.",
            remedy="Set it to process.",
        )
    if spec.resources.nodes > 1 and not can.several_nodes:
        raise UsageError(
            f"resources.nodes is {spec.resources.nodes}, and the {can.name} provider gives a trial one machine.",
            remedy="Set it to 1, or take the azure provider.",
        )
    if spec.storage is not None and spec.storage.partition(":")[0] not in can.stores:
        raise UsageError(
            f"The {can.name} provider cannot keep its files in {spec.storage}.",
            remedy=f"It knows: {', '.join(can.stores)}.",
        )
    search = make_search(spec, base, listing=listing, earlier=earlier)
    request = pool_request(spec, "plan", job_document(spec, "plan", base, None), 0.0, search.size)
    estimate = compute.estimate(request)
    return Plan(spec, base, search, can, estimate, search.size, _most_cost(spec, search.size, estimate))


def _most_cost(spec: Spec, trials: int | None, estimate: Estimate) -> float | None:
    """Every trial taking its whole limits.timeout, or limits.max_cost, whichever is less."""
    if estimate.rate == 0:
        return 0.0
    bounds = [] if spec.limits.max_cost is None else [spec.limits.max_cost]
    hours = []
    if spec.limits.timeout is not None and trials is not None:
        points = -(-trials // spec.stages)
        rounds = spec.stages * -(-points // max(1, spec.limits.parallel or estimate.slots))
        hours.append(rounds * spec.limits.timeout / 3600)
    if spec.limits.run_timeout is not None:
        hours.append(spec.limits.run_timeout / 3600)
    if hours:
        bounds.append(min(hours) * estimate.rate)
    return min(bounds, default=None)


def rules(plan: Plan) -> Rules:
    """The limits that the machine keeps."""
    limits, can = plan.spec.limits, plan.capabilities
    if plan.search.adaptive:
        window = plan.parallel
        if isinstance(plan.search, Breeding):
            window = min(window, plan.search.population)
    elif can.ahead is None:
        window = plan.trials or WIDEST_WINDOW
    else:
        window = plan.parallel + can.ahead
    failures = limits.max_failures
    retries = limits.retries
    run_timeout = limits.run_timeout
    if can.survives_client:
        run_timeout = min(run_timeout or plan.spec.pool.lease, plan.spec.pool.lease)
    return Rules(
        window=window,
        total=plan.trials,
        keep_places=plan.search.adaptive,
        stages=plan.spec.stages,
        ordered=can.dependencies,
        retries={
            Cause.PREEMPTED: retries.preempted,
            Cause.NO_CAPACITY: retries.no_capacity,
            Cause.INFRASTRUCTURE: retries.infrastructure,
            Cause.EXIT_CODE: retries.exit_code,
            Cause.TIMEOUT: retries.timeout,
        },
        final=_exit_codes(plan.spec, "fail"),
        fatal=_exit_codes(plan.spec, "stop"),
        max_failures=failures if isinstance(failures, int) else None,
        max_failures_share=Fraction(failures[:-1]) / 100 if isinstance(failures, str) else None,
        timeout=limits.timeout,
        run_timeout=run_timeout,
        max_cost=limits.max_cost,
        poll=max(1.0, can.poll_seconds),
        grace=limits.grace,
    )


def _exit_codes(spec: Spec, what: str) -> frozenset[int]:
    return frozenset(code for code, follows in spec.limits.exit_codes.items() if follows == what)


def pool_request(spec: Spec, run: str, job: dict[str, object], now: float, trials: int | None) -> PoolRequest:
    """What the provider is asked for.  The values of the secrets are put in by the one who drives, last.

    ``trials`` is None where only running shows how many there are.
    """
    need, pool = spec.resources, spec.pool
    return PoolRequest(
        name=run,
        job=job,
        machine=Machine(need.cpus, need.gpus, need.gpu, need.memory, need.disk, need.shm, need.strict),
        slots=spec.limits.parallel,
        max_nodes=pool.max_nodes,
        lease_until=now + pool.lease,
        idle_timeout=pool.idle_timeout,
        spot=pool.spot,
        on_demand_fallback=pool.on_demand_fallback,
        vm_size=pool.vm_size,
        price=pool.price,
        region=pool.region,
        image=spec.workload.image,
        isolation=spec.workload.isolation,
        network=spec.workload.network,
        pack=spec.workload.pack,
        user=spec.workload.user,
        labels={"run": run, "sweep": spec.name},
        nodes=need.nodes,
        tasks=trials,
        stages=spec.stages,
        stop_codes=sorted(_exit_codes(spec, "stop")),
    )


def secret_values(spec: Spec) -> dict[str, str]:
    """The secrets from this process's environment.  Raises UsageError naming all that are missing."""
    missing = [name for name in spec.workload.secrets if name not in os.environ]
    if missing:
        raise UsageError(
            f"workload.secrets names {', '.join(missing)}, and the environment has no such variable.",
            remedy="Export it before you run.",
        )
    return {name: os.environ[name] for name in spec.workload.secrets}
