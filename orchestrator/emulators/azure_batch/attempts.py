"""One try at a task on a node (on several, for a multi-instance task)."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from .blobs import TransferFailed
from .commands import Command, run_command
from .environment import (
    TaskFolder,
    multi_instance_variables,
    task_folder,
    task_variables,
)
from .exitconditions import Ending
from .failures import SERVER, failure
from .protocol import Json
from .task import Subtask

if TYPE_CHECKING:
    from .nodes import Node
    from .task import Task

_log = logging.getLogger(__name__)


class PreparationFailed(Exception):
    """The job's preparation task failed on the node: the task must go elsewhere."""


class Attempt:
    """A try at `task`; the first of `nodes` is the primary's.

    The nodes' slots are taken from `begin` until every process of the attempt is gone.
    """

    def __init__(self, number: int, task: Task, nodes: list[Node], *, exclusive: bool) -> None:
        self.number = number
        self.task = task
        self.nodes = nodes
        self.slots = task.slots
        self.exclusive = exclusive
        self.done = asyncio.Event()
        self._work: asyncio.Task[None] | None = None

    @property
    def node(self) -> Node:
        return self.nodes[0]

    def folder(self, node: Node) -> TaskFolder:
        return task_folder(node, self.task.job, self.task.id)

    def mark(self, node: Node) -> str:
        return f"{node.mark}/{self.number}"

    def begin(self) -> None:
        for node in self.nodes:
            node.occupy(self)
        before = self.task.last_attempt
        self.task.last_attempt = self
        self._work = asyncio.create_task(self._run(before))

    def abandon(self) -> None:
        """Kill it; what becomes of the task is the caller's business."""
        if self._work is not None:
            self._work.cancel()

    async def _run(self, before: Attempt | None) -> None:
        tasks = self.task.job.account.tasks
        ending: Ending | None = None
        preparation_failed = False
        try:
            if before is not None:
                await before.done.wait()  # It may still be dying in the same folder.
            ending = await self._execute()
            if any(node.state == "unusable" for node in self.nodes):
                ending = None
                await asyncio.Event().wait()  # Nobody hears from there; it is abandoned when the node is dealt with.
        except asyncio.CancelledError:
            pass
        except PreparationFailed:
            preparation_failed = True
        except Exception as problem:
            _log.exception("task %s of job %s", self.task.id, self.task.job.id)
            ending = Ending(failure=failure("Unknown", str(problem), SERVER), pre_processing=True)
        if self.task.attempt is self:
            if preparation_failed:
                tasks.requeue(self.task, by_user=False)
            elif ending is not None:
                tasks.finish(self.task, ending)
        self.done.set()
        for node in self.nodes:
            node.free(self)

    async def _execute(self) -> Ending:
        job = self.task.job
        for node in self.nodes:
            await node.cleared()
        if "jobPreparationTask" in job.spec:
            prepared = await asyncio.gather(*(job.prepare(node) for node in self.nodes))
            if not all(prepared):
                raise PreparationFailed
            job.account.tasks.start_running(self.task)
        if self.task.is_multi_instance:
            return await self._execute_instances()
        return await self._execute_primary({})

    async def _execute_primary(self, more_variables: dict[str, str]) -> Ending:
        task, node = self.task, self.node
        folder = self.folder(node)
        command = Command(
            task.spec,
            folder,
            task_variables(node, task.job, task.id, folder) | more_variables,
            self.mark(node),
            resources=task.spec.get("resourceFiles", []),
            deadline=task.deadline,
        )
        return await self._store_outputs(command, await run_command(node, command))

    async def _store_outputs(self, command: Command, ending: Ending) -> Ending:
        if ending.exit_code is None:
            return ending
        met = {"taskcompletion", "tasksuccess" if ending.failure is None else "taskfailure"}
        wanted = [
            file for file in self.task.spec.get("outputFiles", []) if file["uploadOptions"]["uploadCondition"] in met
        ]
        if not wanted:
            return ending
        folder = command.folder
        try:
            await self.task.job.account.blobs.upload(wanted, folder.working, folder.root, command.all_variables())
        except TransferFailed as problem:
            return Ending(
                ending.exit_code,
                ending.failure or problem.info,
                upload_failed=True,
                retryable=ending.retryable,
                container_info=ending.container_info,
                cpu_seconds=ending.cpu_seconds,
            )
        return ending

    async def _execute_instances(self) -> Ending:
        """Coordinate on all nodes, then run the application on the first; then end what was started."""
        now = self.task.clock.now()
        self.task.subtasks = [
            Subtask(number, node_info(self.task, node), now) for number, node in enumerate(self.nodes) if number > 0
        ]
        try:
            failed = await self._coordinate()
            if failed is not None:
                return failed
            primary = self.nodes[0]
            shared = self.folder(primary).root
            return await self._execute_primary(multi_instance_variables(self.nodes, primary, shared))
        finally:
            await asyncio.gather(*(self.task.job.account.processes.kill_all(self.mark(node)) for node in self.nodes))
            for subtask in self.task.subtasks:
                subtask.complete(self.task.clock.now(), subtask.exit_code, subtask.failure)

    async def _coordinate(self) -> Ending | None:
        """Run the coordination command everywhere; the ending of the first that failed."""
        running = [asyncio.ensure_future(self._coordinate_one(number, node)) for number, node in enumerate(self.nodes)]
        try:
            for finished in asyncio.as_completed(running):
                ending = await finished
                if ending.failure is not None:
                    return ending
            return None
        finally:
            for each in running:
                each.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _coordinate_one(self, number: int, node: Node) -> Ending:
        task = self.task
        settings: Json = task.spec["multiInstanceSettings"]
        folder = self.folder(node)
        variables = task_variables(node, task.job, task.id, folder)
        variables |= multi_instance_variables(self.nodes, node, folder.root)
        ending = await run_command(
            node,
            Command(
                task.spec,
                folder,
                variables,
                self.mark(node),
                line=settings["coordinationCommandLine"],
                resources=settings.get("commonResourceFiles", []),
                resource_target=folder.root,
                deadline=task.deadline,
                keep_children=True,
                # The primary's own output is the application's.
                output="coordination" if number == 0 else "",
            ),
        )
        if number > 0:
            subtask = task.subtasks[number - 1]
            if ending.failure is None:
                # It is over with the primary, not with its command.
                subtask.exit_code = ending.exit_code
            else:
                subtask.complete(task.clock.now(), ending.exit_code, ending.failure)
        return ending


def node_info(task: Task, node: Node) -> Json:
    """Where a task runs or ran."""
    relative = task_folder(node, task.job, task.id).root.relative_to(node.root).as_posix()
    return {
        "affinityId": f"TVM:{node.id}",
        "nodeUrl": node.url,
        "poolId": node.pool.id,
        "nodeId": node.id,
        "taskRootDirectory": relative,
        "taskRootDirectoryUrl": f"{node.url}/files/{relative}",
    }
