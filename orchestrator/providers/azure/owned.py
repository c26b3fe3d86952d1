"""What of the account is ours: pools, jobs and schedules that carry our metadata."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from orchestrator.errors import NotFound, Unavailable
from orchestrator.providers.azure.client import Batch, code_of
from orchestrator.providers.azure.request import LEASE, OWNER, RUN
from orchestrator.providers.base import Owned

if TYPE_CHECKING:
    from azure.batch.models import BatchMetadataItem

POOL, JOB, SCHEDULE = "azure-pool", "azure-job", "azure-schedule"
_PATHS = {POOL: "pools", JOB: "jobs", SCHEDULE: "jobschedules"}
_GOING = frozenset({"PoolBeingDeleted", "JobBeingDeleted", "JobScheduleBeingDeleted"})


def tags(metadata: Iterable[BatchMetadataItem] | None) -> dict[str, str]:
    return {item.name: item.value for item in metadata or ()}


def everything(batch: Batch) -> Iterator[Owned]:
    """Every schedule, pool and job of ours, of every run."""
    select = ["id", "state", "metadata"]
    yield from _listed(batch, SCHEDULE, batch.sdk.list_job_schedules(select=select))
    yield from _listed(batch, POOL, batch.sdk.list_pools(select=select))
    yield from _listed(batch, JOB, batch.sdk.list_jobs(select=select))


def _listed(batch: Batch, kind: str, listing: Any) -> Iterator[Owned]:
    for page in batch.pages(listing):
        for thing in page:
            known = tags(thing.metadata)
            if known.get(OWNER) is None or str(getattr(thing.state, "value", thing.state)) == "deleting":
                continue
            # Leases are written by the service's clock, which may be before ours.
            lease = float(known[LEASE]) - batch.ahead if LEASE in known else None
            yield Owned(kind, thing.id, known.get(RUN), lease, batch.settings.account)


def delete(batch: Batch, kind: str, name: str) -> None:
    """Fine if it is gone or going."""
    try:
        batch.send("DELETE", f"{_PATHS[kind]}/{name}")
    except NotFound:
        return
    except Unavailable as error:
        if code_of(error) not in _GOING:
            raise
