"""A node's start task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .commands import Command, run_command
from .environment import node_variables, startup_folder
from .exitconditions import Ending
from .protocol import Json
from .timefmt import iso

if TYPE_CHECKING:
    from .nodes import Node


async def run_start_task(node: Node) -> bool:
    """Run the pool's start task on a node, as often as it may be retried; whether it succeeded.

    The node's `start_info` shows it on the way.
    """
    spec = node.pool.spec["startTask"]
    folder = startup_folder(node)
    clock = node.pool.account.clock
    retries = 0
    while True:
        info: Json = {"state": "running", "startTime": iso(clock.now()), "retryCount": retries}
        if retries:
            info["lastRetryTime"] = info["startTime"]
        node.start_info = info
        ending = await run_command(
            node,
            Command(
                spec,
                folder,
                node_variables(node, folder),
                f"{node.mark}/start",
                resources=spec.get("resourceFiles", []),
                # A start task may well start a service for the tasks to come.
                keep_children=True,
            ),
        )
        limit = spec.get("maxTaskRetryCount", 0)
        if ending.retryable and (limit < 0 or retries < limit):
            retries += 1
            continue
        node.start_info = {**info, **ending_info(ending), "state": "completed", "endTime": iso(clock.now())}
        return ending.failure is None


def ending_info(ending: Ending) -> Json:
    """The properties by which all the special tasks tell how they ended."""
    info: Json = {"result": "success" if ending.failure is None else "failure"}
    if ending.exit_code is not None:
        info["exitCode"] = ending.exit_code
    if ending.failure is not None:
        info["failureInfo"] = ending.failure
    if ending.container_info is not None:
        info["containerInfo"] = ending.container_info
    return info
