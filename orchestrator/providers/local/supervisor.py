"""The process between the driver and the slots, which sees to it that nothing is left of a run when one of them dies.

It is started as ``main(FD)`` with one end of the channel, and reads its configuration from its standard input.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time

from orchestrator.providers.local.board import Board
from orchestrator.providers.local.slot import Slot
from orchestrator.runner import runner

TYPE_CHECKING = False  # typing is much to load for a process that is forked for every trial
if TYPE_CHECKING:
    from typing import Any, NoReturn

DRIVER_GONE, SLOT_LOST = 0, 3
"""Exit codes."""


def main(channel: int) -> NoReturn:
    """Run slots until the driver goes or one of them dies."""
    os.set_blocking(channel, False)
    os.set_inheritable(channel, False)  # it came through an exec, and trials must not have it
    runner.adopt_orphans()
    wake = runner.Wake([])
    lines = _Lines(wake)
    config = lines.first()
    board = Board(len(config["slots"]))
    if "containers" in config:
        # Once for all slots: it takes long, and memory.
        sys.path += config["path"]
        import docker  # noqa: F401
    # A slot that has not come to itself yet must not die of a cancellation; it reads the board before its first task.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    slots: dict[int, int] = {}
    for number in range(len(config["slots"])):
        slots[_fork_slot(config, number, channel, board)] = number
    code = _supervise(slots, lines, board, wake, channel)
    _end_all(wake)
    os._exit(code)


def _fork_slot(config: dict[str, Any], number: int, channel: int, board: Board) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.close(0)  # the driver's pipe is the supervisor's alone
        os.open(os.devnull, os.O_RDONLY)
        runner.adopt_orphans()
        wake = runner.Wake([signal.SIGTERM, signal.SIGUSR1])
        runner.die_with_parent(signal.SIGTERM, parent)
        _slot(config, number, channel, board, wake).serve()
    except SystemExit:
        pass
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _slot(config: dict[str, Any], number: int, channel: int, board: Board, wake: runner.Wake) -> Slot:
    if "containers" not in config:
        return Slot(config, number, channel, board, wake)
    from orchestrator.providers.local.container_slot import ContainerSlot

    return ContainerSlot(config, number, channel, board, wake)


def _supervise(slots: dict[int, int], lines: _Lines, board: Board, wake: runner.Wake, channel: int) -> int:
    while True:
        for message in lines.wait():
            board.cancel(message["cancel"])
            for pid in slots:
                os.kill(pid, signal.SIGUSR1)
        if lines.ended:
            return DRIVER_GONE
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid in slots:
                # What the slots had in hand cannot be told for certain any more: end all, and let the driver begin
                # anew.  Only for this task is it clear that its own slot died.
                how = (
                    runner.signal_name(os.WTERMSIG(status))
                    if os.WIFSIGNALED(status)
                    else f"exit code {os.WEXITSTATUS(status)}"
                )
                reason = f"The process that ran the trial has died ({how})."
                lost = {"lost": board.task_of(slots[pid]), "reason": reason, "at": time.time()}
                try:
                    os.write(channel, json.dumps(lost).encode())
                except (BlockingIOError, ConnectionError):
                    return SLOT_LOST  # the end of the channel says it of all tasks
                return SLOT_LOST


def _end_all(wake: runner.Wake) -> None:
    """SIGKILL for all descendants, until there is none."""
    deadline = time.monotonic() + runner.KILL_PATIENCE
    while time.monotonic() < deadline:
        runner.kill_descendants(os.getpid())
        wake.wait(0.02)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return


class _Lines:
    """JSON lines of the standard input, as they come."""

    def __init__(self, wake: runner.Wake) -> None:
        self.ended = False
        self._wake = wake
        self._rest = b""

    def first(self) -> Any:
        while b"\n" not in self._rest:
            data = os.read(0, 1 << 20)
            if not data:
                os._exit(DRIVER_GONE)
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        self._wake.watch(0, select.POLLIN)
        return json.loads(line)

    def wait(self) -> list[Any]:
        """Wait for lines, the end or a signal."""
        # A line may have come with the one before it; then there is nothing to wait for.
        if b"\n" not in self._rest and self._wake.wait(None):
            data = os.read(0, 1 << 16)
            self.ended = not data
            self._rest += data
        *lines, self._rest = self._rest.split(b"\n")
        return [json.loads(line) for line in lines]
