"""Running one command line on a node: its files fetched, its time limited, its end reported."""

from __future__ import annotations

import asyncio
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .blobs import TransferFailed
from .environment import TaskFolder, settings_variables
from .exitconditions import Ending
from .failures import SERVER, USER, exit_code_failure, failure, out_of_time
from .processes import Exit, Launch, LaunchFailed, Running
from .protocol import Json
from .timefmt import Micros

if TYPE_CHECKING:
    from pathlib import Path

    from .nodes import Node

# 128 + SIGKILL, as a shell says it.
_KILLED_CODE = 137


@dataclass(frozen=True, slots=True)
class Command:
    """A command line with all that it needs.

    Args:
        spec: the task's body, of which command line, container, resource files and environment are taken.
        line: another command line than the body's (a coordination command).
        variables: the service's variables.
        resources, resource_target: the files to fetch, and where to.
        deadline: emulated time at which it is ended; None for none.
        keep_children: see `processes.Launch`.
        output: prefix of the names of its output files.
    """

    spec: Json
    folder: TaskFolder
    variables: dict[str, str]
    mark: str
    line: str | None = None
    resources: list[Json] = field(default_factory=list)
    resource_target: Path | None = None
    deadline: Micros | None = None
    keep_children: bool = False
    output: str = ""

    def all_variables(self) -> dict[str, str]:
        return {**self.variables, **settings_variables(self.spec.get("environmentSettings"))}


async def run_command(node: Node, command: Command) -> Ending:
    """Run a command to its end; on cancellation kill it and all that came of it, then go."""
    account = node.pool.account
    command.folder.make()
    stdout, stderr = _output_files(command)
    for file in (stdout, stderr):
        file.write_bytes(b"")
    try:
        await account.blobs.fetch(command.resources, command.resource_target or command.folder.working)
    except TransferFailed as problem:
        return Ending(failure=problem.info, pre_processing=True)
    try:
        running = await _launch(node, command)
    except LaunchFailed as problem:
        return Ending(failure=_launch_failure(problem), pre_processing=True)
    try:
        ended = await _wait(node, running, command.deadline)
    except asyncio.CancelledError:
        await running.kill(account.settings.kill_grace_seconds)
        raise
    if ended is None:
        await running.kill(account.settings.kill_grace_seconds)
        return Ending(_KILLED_CODE, out_of_time(), container_info=running.container_info)
    failed = ended.code != 0
    return Ending(
        ended.code,
        exit_code_failure() if failed else None,
        retryable=failed,
        container_info=running.container_info,
        cpu_seconds=(ended.user_seconds, ended.system_seconds),
    )


def _output_files(command: Command) -> tuple[Path, Path]:
    folder = command.folder
    if not command.output:
        return folder.stdout, folder.stderr
    return folder.root / f"{command.output}-stdout.txt", folder.root / f"{command.output}-stderr.txt"


async def _launch(node: Node, command: Command) -> Running:
    account = node.pool.account
    try:
        argv = shlex.split(command.line if command.line is not None else command.spec["commandLine"])
    except ValueError as problem:
        raise LaunchFailed(f"the command line cannot be split into words: {problem}") from problem
    container = command.spec.get("containerSettings") if account.settings.isolation == "docker" else None
    if not argv and container is None:
        raise LaunchFailed("the command line is empty", missing=True)
    stdout, stderr = _output_files(command)
    launch = Launch(
        argv=argv,
        variables=command.all_variables(),
        working_directory=command.folder.working,
        stdout=stdout,
        stderr=stderr,
        mark=command.mark,
        root=node.root,
        keep_children=command.keep_children,
        container=container,
    )
    if container is None:
        return await account.processes.launch(launch)
    runtime = await account.containers()
    return await runtime.launch(launch)


async def _wait(node: Node, running: Running, deadline: Micros | None) -> Exit | None:
    """How the command ended; None where its time was up before."""
    if deadline is None:
        return await running.wait()
    expired = asyncio.get_running_loop().create_future()
    timer = node.pool.account.clock.at(deadline, lambda: None if expired.done() else expired.set_result(None))
    waiting = asyncio.ensure_future(running.wait())
    try:
        await asyncio.wait({waiting, expired}, return_when=asyncio.FIRST_COMPLETED)
        return waiting.result() if waiting.done() else None
    finally:
        timer.cancel()
        waiting.cancel()
        expired.cancel()


def _launch_failure(problem: LaunchFailed) -> Json:
    if problem.missing:
        return failure(
            "CommandProgramNotFound", "The specified command program is not found", USER, {"Message": str(problem)}
        )
    return failure(
        "CommandLaunchFailed", "Failed to launch the specified command line", SERVER, {"Message": str(problem)}
    )
