"""A compute node: a folder on this machine, a loopback address, and a life.

    creating -> starting -> [waitingforstarttask ->] idle <-> running
                                                  \\-> starttaskfailed
    and from there: rebooting, reimaging, offline, unusable, preempted, deallocated, leavingpool

Every Linux answers on all of 127.0.0.0/8, so each node has an address of its own that its tasks can really bind.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .blobs import TransferFailed
from .clock import Timer
from .environment import make_node_folders
from .errors import BatchFault
from .protocol import Json
from .timefmt import Micros, iso

if TYPE_CHECKING:
    from .attempts import Attempt
    from .pools import Pool
    from .task import Task

AGENT_VERSION = "1.13.14"
_RECENT_TASKS = 10

# What an operation that needs a working node answers in each other state.
_NOT_READY = {
    "creating": "NodeBeingCreated",
    "starting": "NodeBeingStarted",
    "waitingforstarttask": "NodeBeingStarted",
    "rebooting": "NodeBeingRebooted",
    "reimaging": "NodeBeingReimaged",
    "unusable": "NodeStateUnusable",
}
# States in which a node's files can be read.
_WITH_FILES = frozenset(
    {"waitingforstarttask", "idle", "running", "offline", "starttaskfailed", "rebooting", "leavingpool"}
)


class Node:
    """One node of a pool.

    Args:
        number: counts the nodes of the emulator; makes the address.
    """

    def __init__(self, pool: Pool, node_id: str, number: int, *, dedicated: bool) -> None:
        self.pool = pool
        self.id = node_id
        self.number = number
        self.dedicated = dedicated
        # Short, for the paths of sockets have little room.
        self.root: Path = pool.account.folder / "nodes" / pool.id / f"n{number}"
        self.etag = pool.account.versions.next()
        now = pool.account.clock.now()
        self.allocated: Micros = now
        self.booted: Micros = now
        self.modified: Micros = now
        self.state: str = "creating"
        self.state_time: Micros = now
        self.scheduling = "enabled"
        self.leaving = False
        self.attempts: set[Attempt] = set()
        # Of these attempts: counted, since the scheduler asks for every node before each task that it places.
        self._taken_slots = self._exclusive = 0
        self.total_run = 0
        self.total_succeeded = 0
        self.recent: deque[Json] = deque(maxlen=_RECENT_TASKS)
        self.start_info: Json | None = None
        self.errors: list[Json] = []
        self.users: dict[str, Json] = {}
        self.log: list[tuple[Micros, str]] = []
        self._timer: Timer | None = None
        self._starting: asyncio.Task[None] | None = None
        self._clearing: asyncio.Task[None] | None = None
        # What happens when the last running task has ended.
        self._when_empty: Callable[[], None] | None = None

    @property
    def ip(self) -> str:
        return f"127.1.{self.number // 250 % 250}.{self.number % 250 + 4}"

    @property
    def url(self) -> str:
        return f"{self.pool.url}/nodes/{self.id}"

    @property
    def mark(self) -> str:
        """Mark of all its processes, see `procscan`."""
        return f"{self.pool.account.name}/{self.id}"

    # -- scheduling

    @property
    def free_slots(self) -> int:
        return self.pool.slots - self._taken_slots

    @property
    def accepts_tasks(self) -> bool:
        return (
            self.state in ("idle", "running")
            and self.scheduling == "enabled"
            and not self.leaving
            and self._when_empty is None
            and not self._exclusive
        )

    def occupy(self, attempt: Attempt) -> None:
        self.attempts.add(attempt)
        self._taken_slots += attempt.slots
        self._exclusive += attempt.exclusive
        self._settle()

    def free(self, attempt: Attempt) -> None:
        """An attempt is over and all its processes are gone."""
        self.attempts.remove(attempt)
        self._taken_slots -= attempt.slots
        self._exclusive -= attempt.exclusive
        if not self.attempts and self._when_empty is not None:
            then, self._when_empty = self._when_empty, None
            then()
        self._settle()
        self.pool.account.scheduler.kick(self.pool)

    def _settle(self) -> None:
        """Between idle, running and offline, as its tasks and its scheduling state have it."""
        if self.state not in ("idle", "running", "offline"):
            return
        if self.attempts:
            self.enter("running")
        else:
            self.enter("idle" if self.scheduling == "enabled" else "offline")

    def enter(self, state: str) -> None:
        if state == self.state:
            return
        account = self.pool.account
        self.pool.metrics.note(account.clock.now())
        self.state = state
        self.state_time = self.modified = account.clock.now()
        self.etag = account.versions.next()
        self.log.append((self.state_time, state))

    # -- life

    def begin(self) -> None:
        """Start to boot, as a new node or as one that was restored."""
        self.enter("creating")
        self._clear(wipe=True)
        self._after(self.pool.account.settings.boot_seconds / 2, self._boot_up)

    def _boot_up(self) -> None:
        self.enter("starting")
        self._after(self.pool.account.settings.boot_seconds / 2, self._booted)

    def _booted(self) -> None:
        self.booted = self.pool.account.clock.now()
        mounts = [
            mount["azureBlobFileSystemConfiguration"]
            for mount in self.pool.spec.get("mountConfiguration", [])
            if "azureBlobFileSystemConfiguration" in mount
        ]
        url = self.pool.account.settings.blob_url
        if not mounts or url is None:
            self._start_up()
            return
        self._starting = asyncio.create_task(self._mount(mounts, url))
        self.pool.account.keep(self._starting)

    async def _mount(self, mounts: list[Json], account_url: str) -> None:
        """What is mounted is copied; where it cannot be, the node cannot be used."""
        await self.cleared()
        files = [
            {
                "storageContainerUrl": f"{account_url.format(account=mount['accountName'])}/{mount['containerName']}"
                f"?{mount.get('sasKey', '')}",
                "filePath": mount["relativeMountPath"],
                "fileMode": "0444",
            }
            for mount in mounts
        ]
        try:
            await self.pool.account.blobs.fetch(files, self.root / "fsmounts")
        except TransferFailed as problem:
            self.errors = [{"code": "MountConfigurationException", "message": problem.info["message"]}]
            self.enter("unusable")
            return
        self._start_up()

    def _start_up(self) -> None:
        start_task = self.pool.spec.get("startTask")
        if start_task is None:
            self._ready()
            return
        if start_task.get("waitForSuccess", True):
            self.enter("waitingforstarttask")
        else:
            self._ready()
        self._starting = asyncio.create_task(self._run_start_task())
        self.pool.account.keep(self._starting)

    async def _run_start_task(self) -> None:
        from .starttask import run_start_task

        await self.cleared()
        succeeded = await run_start_task(self)
        if self.state == "waitingforstarttask":
            if succeeded:
                self._ready()
            else:
                self.enter("starttaskfailed")

    def _ready(self) -> None:
        self.scheduling = "enabled"
        self.enter("idle")
        self.pool.account.scheduler.kick(self.pool)

    async def cleared(self) -> None:
        """Wait until the remains of its last life are gone."""
        if self._clearing is not None:
            await asyncio.shield(self._clearing)

    def _clear(self, *, wipe: bool) -> None:
        """Kill all that runs here, and forget the disk where `wipe`; commands wait for it (see `cleared`)."""
        before = self._clearing

        async def clear() -> None:
            if before is not None:
                await before
            await self.pool.account.processes.kill_all(self.mark)
            if wipe:
                await asyncio.to_thread(shutil.rmtree, self.root, ignore_errors=True)
            await asyncio.to_thread(make_node_folders, self.root)

        self._clearing = asyncio.create_task(clear())

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        self._cancel_timer()
        if seconds <= 0:
            action()
        else:
            self._timer = self.pool.account.clock.after(seconds, action)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop_starting(self) -> None:
        self._cancel_timer()
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
        self._starting = None

    # -- what may happen to it

    def require(self, *states: str) -> None:
        """Refuse an operation outside of `states`, with the code that says why."""
        if self.state not in states:
            raise BatchFault(_NOT_READY.get(self.state, "OperationInvalidForCurrentState"), f"the node is {self.state}")

    def require_files(self) -> None:
        if self.state not in _WITH_FILES:
            raise BatchFault(_NOT_READY.get(self.state, "OperationInvalidForCurrentState"), f"the node is {self.state}")

    def release_tasks(self, option: str, then: Callable[[], None]) -> None:
        """Deal with the running tasks as `option` says, then act; at once where nothing is waited for."""
        if option in ("taskcompletion", "retaineddata") and self.attempts:
            self._when_empty = then
            return
        tasks = self.pool.account.tasks
        for task in self._running_tasks():
            if option == "terminate":
                tasks.end(task)
            else:
                tasks.requeue(task, by_user=True)
        then()

    def _running_tasks(self) -> list[Task]:
        """Without those whose attempt was given up, and is only still dying here."""
        return [attempt.task for attempt in self.attempts if attempt.task.attempt is attempt]

    def reboot(self, option: str, *, reimage: bool) -> None:
        """Restart; with `reimage` on an empty disk."""

        def restart() -> None:
            self._stop_starting()
            self.enter("reimaging" if reimage else "rebooting")
            self.errors = []
            for job in self.pool.account.jobs.values():
                job.node_restarted(self, reimaged=reimage)
            self._clear(wipe=reimage)
            self._after(self.pool.account.settings.boot_seconds / 2, self._boot_up_again)

        self.release_tasks(option, restart)

    def _boot_up_again(self) -> None:
        self.enter("starting")
        self._booted()

    def deallocate(self, option: str) -> None:
        def switch_off() -> None:
            self._stop_starting()
            self.enter("deallocating")
            self._clear(wipe=True)
            self._after(self.pool.account.settings.operation_seconds, lambda: self.enter("deallocated"))

        self.release_tasks(option, switch_off)

    def start(self) -> None:
        self._boot_up()

    def disable_scheduling(self, option: str) -> None:
        self.scheduling = "disabled"
        if option != "taskcompletion":
            self.release_tasks(option, lambda: None)
        self._settle()

    def enable_scheduling(self) -> None:
        self.scheduling = "enabled"
        self._settle()
        self.pool.account.scheduler.kick(self.pool)

    def preempt(self, restore_after: float | None) -> None:
        """The machine is taken away: its tasks go back into their queues, its disk is gone.

        Args:
            restore_after: emulated seconds until the service gets a machine for it again; None for never.
        """
        self._lose("preempted")
        if restore_after is not None:
            self._after(restore_after, self.begin)

    def restore(self) -> None:
        """Get a machine for a preempted node."""
        self.begin()

    def make_unusable(self, errors: list[Json], *, requeue: bool) -> None:
        """The service can no longer use the node.

        Args:
            requeue: put its tasks back at once; otherwise they seem to run until the node is dealt with.
        """
        self.errors = errors
        if requeue:
            self._lose("unusable")
        else:
            self._stop_starting()
            self.enter("unusable")
            account = self.pool.account
            account.keep(asyncio.create_task(account.processes.kill_all(self.mark)))

    def _lose(self, state: str) -> None:
        self._stop_starting()
        self._when_empty = None
        self.enter(state)
        for task in self._running_tasks():
            self.pool.account.tasks.requeue(task, by_user=False)
        for job in self.pool.account.jobs.values():
            job.node_restarted(self, reimaged=True)
        self._clear(wipe=True)
        if self.leaving:
            self._leave_now()

    def leave(self, option: str) -> None:
        """Go out of the pool, when the tasks are dealt with."""
        if self.leaving:
            return
        self.leaving = True
        self.release_tasks(option, self._leave_now)

    def _leave_now(self) -> None:
        self._stop_starting()
        self.enter("leavingpool")
        for task in self._running_tasks():
            self.pool.account.tasks.requeue(task, by_user=True)
        for job in self.pool.account.jobs.values():
            job.node_gone(self)
        self._after(self.pool.account.settings.operation_seconds, self._gone)

    def _gone(self) -> None:
        self.pool.metrics.note(self.pool.account.clock.now())
        self.pool.forget(self)
        before = self._clearing

        async def remove() -> None:
            if before is not None:
                await before
            await self.pool.account.processes.kill_all(self.mark)
            await asyncio.to_thread(shutil.rmtree, self.root, ignore_errors=True)

        self.pool.account.keep(asyncio.create_task(remove()))

    async def stop(self) -> None:
        """The emulator ends."""
        self._stop_starting()
        if self._clearing is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._clearing

    def note_task(self, info: Json, *, succeeded: bool) -> None:
        """A task ended here."""
        self.total_run += 1
        self.total_succeeded += succeeded
        self.recent.appendleft(info)

    def json(self) -> Json:
        pool = self.pool
        image = pool.spec.get("virtualMachineConfiguration", {}).get("imageReference", {})
        exact = {"exactVersion": image.get("version", "latest")} if "publisher" in image else {}
        found: Json = {
            "id": self.id,
            "url": self.url,
            "state": self.state,
            "schedulingState": self.scheduling,
            "stateTransitionTime": iso(self.state_time),
            "lastBootTime": iso(self.booted),
            "allocationTime": iso(self.allocated),
            "ipAddress": self.ip,
            "ipv6Address": f"::ffff:{self.ip}",
            "affinityId": f"TVM:{self.id}",
            "vmSize": pool.spec["vmSize"].lower(),
            "totalTasksRun": self.total_run,
            "runningTasksCount": len(self.attempts),
            "runningTaskSlotsCount": pool.slots - self.free_slots,
            "totalTasksSucceeded": self.total_succeeded,
            "recentTasks": list(self.recent),
            "isDedicated": self.dedicated,
            "endpointConfiguration": {
                "inboundEndpoints": [
                    {
                        "name": "SSHRule.0",
                        "protocol": "tcp",
                        "publicIPAddress": self.ip,
                        "publicFQDN": "localhost",
                        "frontendPort": 50000,
                        "backendPort": 22,
                    }
                ]
            },
            "nodeAgentInfo": {"version": AGENT_VERSION, "lastUpdateTime": iso(self.allocated)},
            "virtualMachineInfo": {
                "imageReference": {**image, **exact},
                "scaleSetVmResourceId": f"/emulated/{pool.id}/virtualMachines/{self.number}",
            },
        }
        if self.errors:
            found["errors"] = self.errors
        if pool.spec.get("startTask") is not None:
            found["startTask"] = pool.shown_start_task
        if self.start_info is not None:
            found["startTaskInfo"] = self.start_info
        return found
