"""A supervisor and its slots, from the driver's side."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orchestrator
from orchestrator.errors import MachineError
from orchestrator.providers.local.channel import BUFFER, LONGEST
from orchestrator.runner.runner import signal_name

CLOSING_SECONDS = 20.0
"""How long the end of a supervisor is waited for.  It gives processes that hang in the kernel half of that."""

# The packages on the way to the supervisor are made by hand, empty: what they import for others takes longer than all
# the rest of its start.
_PROGRAM = """
import sys
for name in ("orchestrator", "orchestrator.providers", "orchestrator.providers.local", "orchestrator.runner"):
    sys.modules[name] = package = type(sys)(name)
    package.__path__ = [{root!r} + "/" + name.replace(".", "/")]
from orchestrator.providers.local.supervisor import main
main({fd})
"""


class Crew:
    """Processes that run tasks until ``close``, or until the process that made this is gone.

    Raises MachineError where they cannot be started.
    """

    def __init__(self, config: Mapping[str, Any], environ: Mapping[str, str], log: Path, long_tasks: Path) -> None:
        self._long_tasks = long_tasks
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self._socket, other):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        self._socket.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        root = str(Path(orchestrator.__path__[0]).parent)
        program = _PROGRAM.format(root=root, fd=other.fileno()).encode()
        try:
            with other, log.open("ab") as errors:
                self._process = subprocess.Popen(
                    # Without the user's site-packages and variables: the standard library is all that is needed.
                    # Our name is not on its command line, so that whoever ends us by it (`pkill -9 -f orchestrate`)
                    # leaves those alive who clean up.
                    [sys.executable, "-I", "-S", "-c", f"import os; exec(os.read(0, {len(program)}))", "trials"],
                    stdin=subprocess.PIPE,
                    stdout=errors,
                    stderr=errors,
                    env=dict(environ),
                    pass_fds=[other.fileno()],
                    start_new_session=True,
                )
        except OSError as error:
            self._socket.close()
            raise MachineError(f"The supervisor of local trials cannot be started: {error}.") from error
        self._write(program)
        self._tell(config)

    @property
    def pid(self) -> int:
        """Process id of the supervisor."""
        return self._process.pid

    def _tell(self, message: Mapping[str, Any]) -> None:
        self._write(json.dumps(message).encode() + b"\n")

    def _write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has died: the end of the channel says so, and everything that was under way is lost

    def send(self, task: Mapping[str, Any]) -> bool:
        """Hand over a task.  False: the channel is full, and every task in it will be heard of."""
        message = json.dumps(task).encode()
        if len(message) > LONGEST:
            self._long_tasks.mkdir(exist_ok=True)
            path = self._long_tasks / f"{task['trial']}-{task['attempt']}.json"
            path.write_bytes(message)
            message = json.dumps({"file": str(path)}).encode()
        try:
            self._socket.send(message)
        except BlockingIOError:
            return False
        except ConnectionError:
            pass  # all have died; see _tell
        return True

    def cancel(self, names: Iterable[str]) -> None:
        self._tell({"cancel": list(names)})

    def receive(self, wait: float, most: int) -> tuple[list[Any], bool]:
        """Up to ``most`` messages, waiting up to ``wait`` seconds for the first; and whether all are dead."""
        messages: list[Any] = []
        if wait > 0:
            self._poll.poll(wait * 1000)
        try:
            while len(messages) < most:
                data = self._socket.recv(LONGEST)
                if not data:
                    return messages, True
                messages.append(json.loads(data))
        except BlockingIOError:
            pass
        except ConnectionError:
            return messages, True
        return messages, False

    def close(self) -> bool:
        """End all trials and processes.  False where that could not be seen through."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        deadline = time.monotonic() + CLOSING_SECONDS
        dead = False
        while not dead and time.monotonic() < deadline:
            dead = self.receive(deadline - time.monotonic(), 1000)[1]
        self._socket.close()
        try:
            self._process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        return dead

    def how_it_ended(self) -> str:
        """Why ``receive`` says that all are dead, as a part of a sentence."""
        self.close()
        code = self._process.returncode
        if code < 0:
            return f"killed by {signal_name(-code)}"
        return f"exit code {code}"
