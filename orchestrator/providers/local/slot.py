"""A slot: a process that takes one task after the other and runs it."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time

from orchestrator.providers.local.board import Board
from orchestrator.providers.local.channel import LONGEST
from orchestrator.providers.local.tree import SharedCode
from orchestrator.runner import runner

TYPE_CHECKING = False  # typing is much to load for a process that is forked for every trial
if TYPE_CHECKING:
    from typing import Any


class Slot(runner.Place):
    """Serves the tasks of one run.  ``channel`` does not block; ``config`` is the supervisor's."""

    def __init__(self, config: dict[str, Any], number: int, channel: int, board: Board, wake: runner.Wake) -> None:
        self.environ = {**os.environ, **config["slots"][number]}
        self.secrets = config["secrets"]
        self.shim = config["shim"]
        self._job = config["job"]
        self._number = number
        self._channel = channel
        self._board = board
        self._wake = wake
        self._store = runner.FileTransport(config["store"])
        self._code_folder = config["code"]
        self._spare = self._store.path(f"runs/{self._job['run']}/slot-{number}")
        self._code: SharedCode | None = None
        self._name = ""
        self._announced = False

    def serve(self) -> None:
        """Until the driver is gone."""
        while message := self._receive():
            task = json.loads(message)
            if "file" in task:
                task = json.loads(runner.read_whole(task["file"]))
            self._name = task["name"]
            self._announced = False
            self._board.busy_with(self._number, self._name)
            self._send(self._run(task))
            self._board.busy_with(self._number, "")

    def _run(self, task: dict[str, Any]) -> bytes:
        """Run a task; returns the message that says how it ended."""
        folder = self._store.path(runner.attempt_key(self._job["run"], task["trial"], task["attempt"]))
        name = json.dumps(self._name)
        try:
            text = self._earlier_result(folder) or runner.Attempt(self._job, task, folder, self, self._wake).run()
        except OSError as error:
            reason = json.dumps(f"Nothing can be written for the trial: {runner.describe(error)}.")
            return f'{{"failed": {name}, "reason": {reason}, "at": {time.time()}}}'.encode()
        message = f'{{"ended": {name}, "result": {text}}}'.encode()
        return message if len(message) <= LONGEST else f'{{"ended": {name}}}'.encode()

    def _earlier_result(self, folder: str) -> str | None:
        """What an earlier driver's slot had finished; else the folder is made, empty."""
        trial = os.path.dirname(folder)
        try:
            try:
                os.mkdir(trial)
            except FileNotFoundError:
                os.makedirs(trial, exist_ok=True)
            except FileExistsError:
                pass  # it has had an attempt
            os.mkdir(folder)
        except FileExistsError:
            try:
                text = runner.read_whole(os.path.join(folder, "result.json")).decode()
                json.loads(text)
                return text
            except (FileNotFoundError, ValueError):
                runner.remove_tree(folder)
                os.mkdir(folder)
        return None

    # ------------------------------------------------------------------------------------------ messages

    def _receive(self) -> bytes:
        """The next task; empty when there will be none."""
        while True:
            try:
                return os.read(self._channel, LONGEST)
            except BlockingIOError:
                self._wait_for(select.POLLIN)
            except ConnectionError:
                return b""

    def _send(self, message: bytes, *, wait: bool = True) -> bool:
        while True:
            try:
                os.write(self._channel, message)
                return True
            except BlockingIOError:
                if not wait:
                    return False
                self._wait_for(select.POLLOUT)
            except ConnectionError:
                sys.exit()  # the driver is gone

    def _wait_for(self, events: int) -> None:
        self._wake.watch(self._channel, events)
        self._wake.wait(None)
        self._wake.forget(self._channel)
        self._leave_if_told()

    def _leave_if_told(self) -> None:
        """SIGTERM comes from the kernel when the supervisor has died.  Leaving ends the trial on the way out."""
        if signal.SIGTERM in self._wake.caught:
            sys.exit()

    # ------------------------------------------------------------------------------------------- its place

    def open_work(self, work: str) -> None:
        try:
            os.rename(self._spare, work)
        except OSError:
            os.mkdir(work)

    def close_work(self, work: str) -> None:
        """Keep a folder that is as good as new for the next trial.

        On ext4 a folder is made and removed in 60 microseconds of work and 1.5 milliseconds of waiting; two renames
        take 20.
        """
        try:
            if not os.listdir(work):
                here, fresh = os.stat(work), os.stat(os.path.dirname(work))
                if here.st_mode == fresh.st_mode and here.st_size <= fresh.st_size:
                    os.rename(work, self._spare)
                    return
        except OSError:
            pass  # it is gone, or cannot be moved
        runner.remove_tree(work)

    def fill(self, digest: str, work: str) -> None:
        if self._code is None:
            self._code = SharedCode(os.path.join(self._code_folder, digest), self._store.path(f"bundles/{digest}.tar"))
        self._code.private = self._code.private or self._board.flag
        self._code.fill(work)

    def bring(self, source: str, target: str) -> None:
        self._store.bring(source, target)

    def checkpoint(self, trial: int, parent: int | None) -> str:
        first = None if parent is None else runner.checkpoint_key(self._job["run"], parent)
        return self._store.checkpoint(runner.checkpoint_key(self._job["run"], trial), "", first)

    def look(self, attempt: runner.Attempt) -> runner.Stop | None:
        self._leave_if_told()
        if attempt.pid and not self._announced:
            message = {"running": self._name, "at": time.time()}
            self._announced = self._send(json.dumps(message).encode(), wait=False)
        if self._board.cancelled(self._name):
            return runner.Stop(runner.CANCELLED, "The trial was cancelled.")
        return None

    def seen(self, values: list[runner.Value], wait: bool) -> bool:
        rows = [(metric, runner.jsonable(value), step, at) for metric, value, step, at in values]
        return self._send(json.dumps({"metrics": self._name, "values": rows}).encode(), wait=wait)

    def check(self) -> None:
        changed = self._code.changed() if self._code is not None else []
        if not changed:
            return
        assert self._code is not None
        self._board.raise_flag()
        reason = f"A trial has changed '{changed[0]}' of the code bundle in place, which all trials share"
        try:
            self._code.restore(changed)
        except OSError as error:
            raise runner.Failure(
                runner.INFRASTRUCTURE, f"{reason}, and it cannot be restored: {runner.describe(error)}."
            ) from error
        raise runner.Failure(
            runner.INFRASTRUCTURE, f"{reason}; it has been restored, and from now on each trial gets a copy."
        )
