"""Servers that run as child processes: started, waited for, and surely stopped."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

_STOP_SECONDS = 10.0
_LOG_TAIL = 2000


class ServerFailed(Exception):
    """A server could not be started; says what was wrong and what to do."""


class ChildServer:
    """A server program, tethered to this process: it goes when we go, even by `kill -9`.

    Args:
        argv: the program and its arguments.
        environment: its whole environment.
        log: file that gets its output.
        temporary: folder that goes with it.
    """

    def __init__(
        self, argv: Sequence[str], environment: Mapping[str, str], log: Path, temporary: Path | None = None
    ) -> None:
        self._argv = list(argv)
        self._environment = dict(environment)
        self.log = log
        self._temporary = "" if temporary is None else str(temporary)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, answers: Callable[[], bool], limit_seconds: float) -> None:
        """Start it, and wait until `answers` says so.

        Raises:
            ServerFailed: it ended, or did not answer in time; with the end of its output.
        """
        tether = Path(__file__).with_name("tether.py")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(tether), self._temporary, *self._argv],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )
        deadline = time.monotonic() + limit_seconds
        pause = 0.02
        while not answers():
            ended = self._process.poll()
            if ended is not None or time.monotonic() > deadline:
                how = "did not answer in time" if ended is None else f"ended with code {ended}"
                said = tail(self.log)
                self.stop()
                raise ServerFailed(f"{Path(self._argv[0]).name} {how}: {said}")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.2)

    @property
    def pid(self) -> int | None:
        """The tether's process id."""
        return None if self._process is None else self._process.pid

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def tail(log: Path) -> str:
    """The end of a log, for an error."""
    try:
        return log.read_text(errors="replace")[-_LOG_TAIL:].strip() or "it said nothing"
    except OSError:
        return "it left no log"


def free_ports(count: int) -> list[int]:
    """Ports of loopback that were free a moment ago."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def read_announcement(process: subprocess.Popen[bytes], limit_seconds: float, log: Path) -> dict[str, Any]:
    """The one line of JSON by which a server of ours says that it answers.

    Raises:
        ServerFailed: it ended, said nothing in time, or said what is wrong.
    """
    assert process.stdout is not None
    deadline = time.monotonic() + limit_seconds
    received = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while b"\n" not in received:
            left = deadline - time.monotonic()
            if left <= 0:
                raise ServerFailed(f"the emulator did not answer in time: {tail(log)}")
            if selector.select(left):
                data = os.read(process.stdout.fileno(), 65536)
                if not data:
                    raise ServerFailed(f"the emulator ended before it answered: {tail(log)}")
                received += data
    announcement: dict[str, Any] = json.loads(received.partition(b"\n")[0])
    if "error" in announcement:
        raise ServerFailed(f"the emulator could not be started: {announcement['error']}")
    return announcement
