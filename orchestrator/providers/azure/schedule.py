"""Schedules of the service itself: it makes job and pool when their time has come, and deletes them, with no client."""

from __future__ import annotations

import time
from collections.abc import Callable

from orchestrator.errors import InvalidRequest, Unavailable
from orchestrator.providers.azure import owned, request
from orchestrator.providers.azure.client import Batch, code_of
from orchestrator.providers.azure.pool import image_for
from orchestrator.providers.base import PoolRequest, Recurrence, Task

# Seconds that an earlier schedule of the same name is waited for until it is deleted.
PATIENCE = 60.0


def create(
    batch: Batch,
    wanted: PoolRequest,
    task: Task,
    when: Recurrence,
    site: request.Site,
    *,
    now: Callable[[], float] = time.time,
    sleep: Callable[[float], object] = time.sleep,
) -> None:
    """Make the schedule, in place of one of ours of this name.  Raises InvalidRequest where that is somebody else's."""
    from azure.batch.models import BatchJobScheduleCreateOptions

    image = image_for(batch, wanted, now())
    registry = request.registry_of(batch.settings, wanted)
    if registry is not None and registry.identity is not None:
        raise InvalidRequest(
            "Pools that Azure Batch makes by itself have no identity, and the image lies in a private registry.",
            remedy="Set AZURE_REGISTRY_USERNAME and AZURE_REGISTRY_PASSWORD in place of AZURE_REGISTRY_IDENTITY.",
        )
    equipment = request.Equipment(registry, site.mounts, batch.settings.start_command)
    body = request.schedule_body(wanted, task, when, site, image, equipment)
    deadline = now() + PATIENCE
    while True:
        try:
            batch.call(batch.sdk.create_job_schedule, BatchJobScheduleCreateOptions(body))
            return
        except InvalidRequest as error:
            if code_of(error) != "JobScheduleExists":
                raise
            _give_up(batch, wanted.name)
        except Unavailable as error:
            if code_of(error) != "JobScheduleBeingDeleted" or now() >= deadline:
                raise
        sleep(0.2 if batch.settings.local else 2.0)


def _give_up(batch: Batch, name: str) -> None:
    there = batch.call(batch.sdk.get_job_schedule, name)
    if owned.tags(there.metadata).get(request.OWNER) is None:
        raise InvalidRequest(
            f"The Batch account has a schedule '{name}' that this program did not make.",
            remedy="Give the sweep another name, or delete that schedule.",
        )
    owned.delete(batch, owned.SCHEDULE, name)
