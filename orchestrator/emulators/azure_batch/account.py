"""The account: everything that the emulator knows, and what its parts share."""

from __future__ import annotations

import asyncio
import itertools
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .blobs import Blobs
from .capacity import Capacity
from .clock import Clock
from .environment import task_folder
from .errors import BatchFault
from .faults import Faults
from .jobs import Job
from .pools import Pool, check_pool
from .processes import Agents, LaunchFailed
from .protocol import Json
from .scheduler import Scheduler
from .schedules import Schedule
from .settings import Settings
from .task import Task
from .tasks import Tasks
from .tracked import Versions

if TYPE_CHECKING:
    from .containers import ContainerRuntime

_log = logging.getLogger(__name__)


class Account:
    """State and shared parts of one emulator; used from its event loop only.

    Args:
        name: unique among all emulators ever; first part of the marks of its processes.
        processes: starts the tasks' processes.
    """

    def __init__(self, settings: Settings, name: str, processes: Agents) -> None:
        self.settings = settings
        self.name = name
        self.folder = Path(settings.folder)
        self.endpoint = ""
        self.clock = Clock(settings.clock_start)
        self.versions = Versions()
        self.processes = processes
        self.blobs = Blobs(settings.auto_storage_url)
        self.capacity = Capacity(self)
        self.faults = Faults()
        self.scheduler = Scheduler(self)
        self.tasks = Tasks(self)
        self.pools: dict[str, Pool] = {}
        self.jobs: dict[str, Job] = {}
        self.schedules: dict[str, Schedule] = {}
        self._node_numbers = itertools.count()
        self._background: set[asyncio.Task[None]] = set()
        self._containers: ContainerRuntime | None = None

    def next_node_number(self) -> int:
        return next(self._node_numbers)

    def keep(self, work: asyncio.Task[None]) -> None:
        """Hold on to background work until it is done, and log it if it fails."""
        self._background.add(work)
        work.add_done_callback(self._done)

    def _done(self, work: asyncio.Task[None]) -> None:
        self._background.discard(work)
        if not work.cancelled() and work.exception() is not None:
            _log.error("background work failed", exc_info=work.exception())

    async def containers(self) -> ContainerRuntime:
        """The container runtime, made when first needed.

        Raises:
            LaunchFailed: there is no container engine.
        """
        if self._containers is None:
            from .containers import ContainerRuntime

            runtime = ContainerRuntime()
            self.processes.watch_docker(await runtime.address())
            self._containers = runtime
        return self._containers

    # -- pools

    def find_pool(self, pool_id: str) -> Pool:
        pool = self.pools.get(pool_id.lower())
        if pool is None:
            raise BatchFault("PoolNotFound")
        return pool

    def add_pool(self, spec: Json, owner: str | None = None) -> Pool:
        """Make a pool.

        Raises:
            BatchFault: it exists, one too many, or the service would refuse it.
        """
        check_pool(spec)
        if spec["id"].lower() in self.pools:
            raise BatchFault("PoolExists")
        if len(self.pools) >= self.settings.pool_quota:
            raise BatchFault("PoolQuotaReached")
        pool = Pool(self, spec, owner)
        self.pools[pool.key] = pool
        pool.begin()
        return pool

    def forget_pool(self, pool: Pool) -> None:
        if self.pools.get(pool.key) is pool:
            del self.pools[pool.key]
            self.keep(asyncio.get_running_loop().create_task(self._remove(self.folder / "nodes" / pool.id)))

    async def _remove(self, folder: Path) -> None:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    def jobs_on(self, pool: Pool) -> Iterator[Job]:
        return (job for job in self.jobs.values() if job.pool_key == pool.key)

    # -- jobs

    def find_job(self, job_id: str) -> Job:
        job = self.jobs.get(job_id.lower())
        if job is None:
            raise BatchFault("JobNotFound")
        return job

    def add_job(self, job: Job) -> None:
        self.jobs[job.key] = job
        job.begin()

    def forget_job(self, job: Job) -> None:
        self.jobs.pop(job.key, None)
        for task in job.index:
            self.remove_task_files(task)

    def check_job_quota(self) -> None:
        active = sum(job.state != "completed" for job in self.jobs.values())
        active += sum(schedule.state != "completed" for schedule in self.schedules.values())
        if active >= self.settings.job_quota:
            raise BatchFault("ActiveJobAndScheduleQuotaReached")

    # -- schedules

    def find_schedule(self, schedule_id: str) -> Schedule:
        schedule = self.schedules.get(schedule_id.lower())
        if schedule is None:
            raise BatchFault("JobScheduleNotFound")
        return schedule

    def forget_schedule(self, schedule: Schedule) -> None:
        self.schedules.pop(schedule.key, None)

    # -- files

    def remove_task_files(self, task: Task) -> None:
        """Remove a task's folders, when its processes are gone."""
        attempt = task.last_attempt
        if attempt is None:
            return

        async def remove() -> None:
            await attempt.done.wait()
            for node in attempt.nodes:
                await asyncio.to_thread(shutil.rmtree, task_folder(node, task.job, task.id).root, ignore_errors=True)

        self.keep(asyncio.get_running_loop().create_task(remove()))

    async def check_isolation(self) -> None:
        """See that containers can be run, where they are to be.

        Raises:
            LaunchFailed: they cannot.
        """
        if self.settings.isolation == "docker":
            await self.containers()

    async def stop(self) -> None:
        """End everything that runs."""
        for pool in self.pools.values():
            for node in pool.nodes.values():
                for attempt in list(node.attempts):
                    attempt.task.attempt = None
                    attempt.abandon()
        if self._containers is not None:
            try:
                await self._containers.stop(self.name)
            except LaunchFailed:
                _log.exception("containers could not be removed")
        await self.processes.stop()
        self.blobs.stop()
        for work in list(self._background):
            work.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
