"""A slot whose attempts run in containers: see :mod:`orchestrator.providers.local.container`.

The slot makes a container when a task needs one, hands it tasks until as many as ``workload.pack`` have run or one has
failed, and passes on what it says.  The container ends when the socket to the slot does, so it cannot outlive it.
"""

from __future__ import annotations

import json
import os
import select
import socket
import time

from orchestrator.providers.local.board import Board
from orchestrator.providers.local.channel import BUFFER, LONGEST
from orchestrator.providers.local.slot import Slot
from orchestrator.runner import runner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

START_SECONDS = 60.0
"""How long a started container may take until its process 1 says hello."""

CALL_SECONDS = 120.0
"""How long the engine may take for one call."""

EVENT_SECONDS = 3
"""How long the engine's word about a container's end is waited for."""


class ContainerSlot(Slot):
    """``config["containers"]`` is what :meth:`orchestrator.providers.local.engine.Berths.config` makes."""

    def __init__(self, config: dict[str, Any], number: int, channel: int, board: Board, wake: runner.Wake) -> None:
        super().__init__(config, number, channel, board, wake)
        ours = config["containers"]
        self._body = ours["bodies"][number]
        self._berth: str = ours["berths"][number]
        self._owner: tuple[int, int] = tuple(ours["owner"])
        self._pack: int = ours["pack"]
        self._shared = json.dumps({"job": self._job, "secrets": self.secrets, "inputs": ours["inputs"]}).encode()
        self._address = (ours["host"], ours["api_version"])
        self._api: Any = None
        self._container = ""
        self._line: socket.socket | None = None
        self._used = 0
        self._born = 0.0

    def serve(self) -> None:
        os.makedirs(self._berth, mode=0o700, exist_ok=True)
        self._give(self._berth)
        super().serve()

    def _give(self, path: str) -> None:
        """Make a file the program's own.  Only root needs to, and can."""
        if os.geteuid() == 0:
            os.chown(path, *self._owner, follow_symlinks=False)

    # ------------------------------------------------------------------------------------------ one attempt

    def _run(self, task: dict[str, Any]) -> bytes:
        folder = self._store.path(runner.attempt_key(self._job["run"], task["trial"], task["attempt"]))
        try:
            text = self._earlier_result(folder)
            if text is not None:
                return self._ended(text)
            os.rmdir(folder)
            trial = os.path.dirname(folder)
            if task.get("parent") is not None:
                self.checkpoint(task["trial"], task["parent"])  # the container does not see the other trial
            inside = os.path.join(self._berth, os.path.basename(trial))
            move_in(trial, inside)
            try:
                self._hand_over(inside, str(task["attempt"]))
                return self._run_inside(task, os.path.join(inside, str(task["attempt"])))
            finally:
                move_back(inside, trial)
        except runner.Failure as failure:
            self._let_go()
            return self._failed(failure.cause, failure.reason)
        except OSError as error:
            self._let_go()
            reason = f"Nothing can be written for the trial: {runner.describe(error)}."
            return self._failed(runner.INFRASTRUCTURE, reason)

    def _hand_over(self, inside: str, attempt: str) -> None:
        """Make the trial's folder the program's own, with the checkpoint that another slot's may have left."""
        self._give(inside)
        for parent, folders, files in os.walk(os.path.join(inside, "checkpoint")):
            for path in (parent, *(os.path.join(parent, name) for name in (*folders, *files))):
                self._give(path)
        os.mkdir(os.path.join(inside, attempt))
        self._give(os.path.join(inside, attempt))

    def _ended(self, text: str) -> bytes:
        name = json.dumps(self._name)
        message = f'{{"ended": {name}, "result": {text}}}'.encode()
        return message if len(message) <= LONGEST else f'{{"ended": {name}}}'.encode()

    def _failed(self, cause: str, reason: str) -> bytes:
        message = {"failed": self._name, "cause": cause, "reason": reason, "at": time.time()}
        return json.dumps(message).encode()

    def _run_inside(self, task: dict[str, Any], folder: str) -> bytes:
        if self._board.cancelled(self._name):
            return self._failed(runner.CANCELLED, "The trial was cancelled.")
        if self._line is None:
            self._start()
        assert self._line is not None
        self._used += 1
        self._tell(json.dumps(task).encode())
        line = self._line.fileno()
        self._wake.watch(line, select.POLLIN)
        told = False
        try:
            while True:
                self._leave_if_told()
                if not told and self._board.cancelled(self._name):
                    told = True
                    order = {"stop": [runner.CANCELLED, "The trial was cancelled."]}
                    self._line.send(json.dumps(order).encode())
                try:
                    data = self._line.recv(LONGEST)
                except BlockingIOError:
                    self._wake.wait(None)
                    continue
                except ConnectionError:
                    data = b""
                if not data:
                    raise self._death()
                message = json.loads(data)
                if "running" in message or "metrics" in message:
                    self._send(data)
                    continue
                failed = "failed" in message or self._cause(message, folder) is not None
                if failed or self._used >= self._pack:
                    self._let_go()
                return data
        finally:
            self._wake.forget(line)

    def _tell(self, task: bytes) -> None:
        assert self._line is not None
        if len(task) > LONGEST:
            path = os.path.join(self._berth, "task.json")
            runner.write_file(path, task)
            self._give(path)
            task = b'{"file": "task.json"}'
        self._line.send(task)

    @staticmethod
    def _cause(message: dict[str, Any], folder: str) -> str | None:
        result = message.get("result") or json.loads(runner.read_whole(os.path.join(folder, "result.json")))
        cause: str | None = result["cause"]
        return cause

    # ------------------------------------------------------------------------------------------ the container

    def _start(self) -> None:
        """Raises Failure where no container can be had."""
        from docker.errors import APIError
        from requests import RequestException

        door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._open(door)
            self._born = time.time() - 1  # the engine's clock may round down
            try:
                self._container = self._engine().create_container_from_config(self._body)["Id"]
                self._engine().start(self._container)
            except APIError as error:
                # What the engine calls a bad request will be one the next time too.
                cause = runner.COMMAND if error.is_client_error() else runner.INFRASTRUCTURE
                raise runner.Failure(cause, f"No container can be started: {error.explanation}.") from error
            except RequestException as error:
                raise runner.Failure(runner.INFRASTRUCTURE, f"The Docker engine does not answer: {error}.") from error
            self._line = self._welcome(door)
        finally:
            door.close()
        self._line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        self._used = 0
        self._line.send(str(len(self._shared)).encode())
        for at in range(0, len(self._shared), LONGEST):
            self._line.send(self._shared[at : at + LONGEST])
        self._line.setblocking(False)

    def _engine(self) -> Any:
        if self._api is None:
            import docker

            host, version = self._address
            self._api = docker.APIClient(base_url=host, version=version, timeout=CALL_SECONDS)
        return self._api

    def _open(self, door: socket.socket) -> None:
        """Listen in the berth, whose path may be longer than an address can be."""
        os.chdir(self._berth)
        try:
            for name in ("socket", "container.log"):
                if os.path.lexists(name):
                    os.unlink(name)
            door.bind("socket")
            os.chmod("socket", 0o600)
            self._give("socket")
        finally:
            os.chdir("/")
        door.listen(1)
        door.setblocking(False)

    def _welcome(self, door: socket.socket) -> socket.socket:
        """Wait for the container to come, and for its first word."""
        line: socket.socket | None = None
        waiting = door
        deadline = time.monotonic() + START_SECONDS
        try:
            while True:
                self._wake.watch(waiting.fileno(), select.POLLIN)
                self._wake.wait(1.0)
                self._wake.forget(waiting.fileno())
                self._leave_if_told()
                try:
                    if line is None:
                        waiting = line = door.accept()[0]
                        line.setblocking(False)
                        os.unlink(os.path.join(self._berth, "socket"))
                    elif line.recv(LONGEST):
                        line.setblocking(True)
                        found, line = line, None
                        return found
                    else:
                        raise self._death()
                except BlockingIOError:
                    if not self._alive():
                        raise self._death() from None
                    if time.monotonic() > deadline:
                        reason = f"The container said nothing within {START_SECONDS:g} s."
                        raise runner.Failure(runner.INFRASTRUCTURE, reason) from None
        finally:
            if line is not None:
                line.close()

    def _alive(self) -> bool:
        from docker.errors import NotFound

        try:
            return bool(self._engine().inspect_container(self._container)["State"]["Running"])
        except NotFound:
            return False

    def _death(self) -> runner.Failure:
        """Why the container has ended, though nobody asked it to."""
        from docker.errors import APIError
        from requests import RequestException

        now = time.time()
        out_of_memory, code = False, None
        try:
            for event in self._engine().events(
                since=int(self._born),
                until=int(now) + EVENT_SECONDS,
                filters={"container": [self._container], "event": ["oom", "die"]},
                decode=True,
            ):
                out_of_memory = out_of_memory or event["Action"] == "oom"
                if event["Action"] == "die":
                    code = event["Actor"]["Attributes"].get("exitCode")
                    break
        except (APIError, RequestException) as error:
            return runner.Failure(
                runner.INFRASTRUCTURE, f"The container is gone, and the Docker engine does not answer: {error}."
            )
        if out_of_memory:
            limit = self._body["HostConfig"].get("Memory")
            bound = f" of {runner.size_text(limit)}" if limit else ""
            return runner.Failure(
                runner.EXIT_CODE, f"The container ran out of memory: it passed its limit{bound} and was killed."
            )
        words = ""
        try:
            lines = runner.read_whole(os.path.join(self._berth, "container.log")).decode("utf-8", "replace").split("\n")
            words = "".join(f" ({line.strip()})" for line in lines if line.strip())[-300:]
        except OSError:
            pass  # it never came to write
        how = f" with exit code {code}" if code is not None else ""
        return runner.Failure(runner.INFRASTRUCTURE, f"The container ended by itself{how}{words}.")

    def _let_go(self) -> None:
        """The container ends when the socket does, and the engine removes it."""
        if self._line is not None:
            self._line.close()
            self._line = None


def move_in(trial: str, inside: str) -> None:
    """Move a trial's folder to where its container sees it; a link stays, so that everybody finds it as ever."""
    os.rename(trial, inside)
    os.symlink(os.path.relpath(inside, os.path.dirname(trial)), trial)


def move_back(inside: str, trial: str) -> None:
    """Undo it.  Fine at any point where the other was cut off."""
    if os.path.islink(trial):
        os.unlink(trial)
    os.rename(inside, trial)


def recover(root: str) -> None:
    """Put back the trials' folders that a killed run has left in its berths; ``root`` is the run's folder."""
    try:
        berths = [entry for entry in os.scandir(root) if entry.name.startswith("berth-")]
    except FileNotFoundError:
        return
    for berth in berths:
        for entry in os.scandir(berth.path):
            if entry.name.isdigit():
                move_back(entry.path, os.path.join(root, "trials", entry.name))
        runner.remove_tree(berth.path)
