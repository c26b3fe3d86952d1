"""Starting, watching and ending processes, through the agent."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from . import procscan
from .protocol import Json


class LaunchFailed(Exception):
    """A command could not be started.

    Args:
        reason: what the operating system or the container engine said.
        missing: there is no such program.
    """

    def __init__(self, reason: str, *, missing: bool = False) -> None:
        super().__init__(reason)
        self.missing = missing


@dataclass(frozen=True, slots=True)
class Exit:
    """How a command ended: its exit code (128 + the signal's number where one killed it), its CPU seconds."""

    code: int
    user_seconds: float = 0.0
    system_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Launch:
    """A command to start.

    Args:
        variables: the service's and the user's variables.
        mark: see `procscan`.
        keep_children: background processes may outlive the command (as a coordination command's must).
        container: the task's container settings where it is to run in one.
        root: the node's root folder, which a container sees at the same path.
    """

    argv: list[str]
    variables: dict[str, str]
    working_directory: Path
    stdout: Path
    stderr: Path
    mark: str
    root: Path
    keep_children: bool = False
    container: Json | None = None


class Running(Protocol):
    """A command that was started."""

    async def wait(self) -> Exit: ...

    async def kill(self, grace_seconds: float) -> None:
        """End it and all that came of it; return when it is gone."""
        ...

    @property
    def container_info(self) -> Json | None: ...


class Process:
    """A command running as a process."""

    container_info: Json | None = None

    def __init__(self, agents: Agents, run: int, mark: str, exited: asyncio.Future[Exit]) -> None:
        self._agents = agents
        self._run = run
        self._mark = mark
        self._exited = exited

    async def wait(self) -> Exit:
        return await asyncio.shield(self._exited)

    async def kill(self, grace_seconds: float) -> None:
        if grace_seconds > 0 and not self._exited.done():
            self._agents.send(op="kill", id=self._run, signal=int(signal.SIGTERM), mark="")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._exited), grace_seconds)
        await self._agents.kill(self._run, self._mark)


class Agents:
    """The link to the agent.

    Args:
        name: first part of every mark of this emulator.
        base_environment: what a process has besides its own variables.
        on_loss: called where the agent died, which nothing but a signal to it does.
    """

    def __init__(self, name: str, base_environment: dict[str, str], on_loss: Callable[[], None]) -> None:
        self.name = name
        self._base = base_environment
        self._on_loss = on_loss
        self._ids = itertools.count(1)
        self._started: dict[int, asyncio.Future[None]] = {}
        self._exited: dict[int, asyncio.Future[Exit]] = {}
        self._killed: dict[int, list[asyncio.Future[None]]] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._stopping = False

    async def start(self) -> None:
        ours, theirs = socket.socketpair()
        script = Path(__file__).with_name("agent.py")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(script), str(theirs.fileno()), self.name, str(script.parent)],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        reader, self._writer = await asyncio.open_connection(sock=ours, limit=1 << 20)
        self._reader = asyncio.create_task(self._listen(reader))

    async def stop(self) -> None:
        """Let the agent kill everything, and wait until it has."""
        self._stopping = True
        if self._writer is not None:
            self._writer.close()
        if self._process is not None:
            await asyncio.to_thread(self._process.wait)
        if self._reader is not None:
            self._reader.cancel()

    async def launch(self, launch: Launch) -> Process:
        """Start a command as a process.

        Raises:
            LaunchFailed: there is no such program, or it cannot be run.
        """
        run = next(self._ids)
        loop = asyncio.get_running_loop()
        self._started[run] = started = loop.create_future()
        self._exited[run] = exited = loop.create_future()
        self.send(
            op="run",
            id=run,
            argv=launch.argv,
            env={**self._base, "HOME": str(launch.root / "home"), **launch.variables, procscan.MARK: launch.mark},
            cwd=str(launch.working_directory),
            stdout=str(launch.stdout),
            stderr=str(launch.stderr),
            keep=launch.keep_children,
        )
        process = Process(self, run, launch.mark, exited)
        try:
            await asyncio.shield(started)
        except asyncio.CancelledError:
            # Cancelled between the order and its answer: it may be running all the same.
            await self.kill(run, launch.mark)
            raise
        return process

    async def kill(self, run: int, mark: str) -> None:
        """Kill run `run`, and everything that carries `mark`."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._killed.setdefault(run, []).append(done)
        self.send(op="kill", id=run, signal=int(signal.SIGKILL), mark=mark)
        await done

    async def kill_all(self, mark: str) -> None:
        """Kill everything that carries `mark` or a mark below it."""
        await self.kill(next(self._ids), mark)

    def watch_docker(self, address: str) -> None:
        """Have the agent remove containers as well, should the emulator die."""
        self.send(op="docker", socket=address)

    def send(self, **order: Any) -> None:
        assert self._writer is not None
        if self._stopping:
            return  # Nobody listens, and all of them are being ended.
        self._writer.write(json.dumps(order).encode() + b"\n")

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            event = json.loads(line)
            run: int = event["id"]
            if event["event"] == "started":
                self._settle(self._started.pop(run, None), None)
            elif event["event"] == "failed":
                self._exited.pop(run, None)
                started = self._started.pop(run)
                if not started.done():
                    started.set_exception(LaunchFailed(event["reason"], missing=event["missing"]))
            elif event["event"] == "exited":
                self._settle(self._exited.pop(run, None), Exit(event["code"], event["user"], event["system"]))
            elif event["event"] == "killed":
                for done in self._killed.pop(run, []):
                    self._settle(done, None)
        if not self._stopping:
            procscan.kill_marked(self.name)
            self._on_loss()

    @staticmethod
    def _settle(future: asyncio.Future[Any] | None, result: object) -> None:
        if future is not None and not future.done():
            future.set_result(result)


def base_environment(extra: dict[str, str]) -> dict[str, str]:
    """What a process on a node has besides the service's variables: a path with Python in it, and a locale."""
    names = ("LANG", "LC_ALL", "TZ", "SYSTEMROOT")
    environment = {name: os.environ[name] for name in names if name in os.environ}
    environment.setdefault("LANG", "C.UTF-8")
    # First the Python that runs the emulator: `python3` of a version manager may be a slow shim.
    path = os.environ.get("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), path])
    environment["USER"] = "_azbatch"
    return {**environment, **extra}
