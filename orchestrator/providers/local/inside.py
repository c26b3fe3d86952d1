"""Process 1 of a container of trials: takes attempts from a slot outside, one after the other, and runs them.

Executed by the image's ``python3`` with ``runner.py`` beside it, so it is written for Python 3.6 and its standard
library, as that is.  What is where in the container is said in :mod:`orchestrator.providers.local.container`.

It talks with its slot through a Unix socket in the slot's folder, one JSON object a message.  First comes what all
attempts share, cut into pieces.  Then, from the slot: a task, ``{"stop": [CAUSE, REASON]}``.  To the slot:
``{"hello": PYTHON}``, and the messages of :mod:`orchestrator.providers.local.channel` about the task.

When the socket ends, the slot is gone, and so is everything in here: a container ends with its process 1.
"""

import json
import os
import select
import socket
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SLOT = os.path.join(HERE, "slot")
STORE = os.path.join(HERE, "store")
LONGEST = 64 << 10  # as in channel.py

if sys.version_info < (3, 6):
    sys.stderr.write("trials need Python 3.6 or newer, and the image has %s\n" % sys.version.split()[0])
    sys.exit(70)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional

    from orchestrator.runner import runner
else:
    sys.path.insert(0, HERE)
    import runner


class Line(object):
    """The socket to the slot."""

    def __init__(self, wake: "runner.Wake") -> None:
        self._wake = wake
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self._socket.connect(os.path.join(SLOT, "socket"))
        self._socket.setblocking(False)
        wake.watch(self._socket.fileno(), select.POLLIN)

    def receive(self, wait: bool) -> "Optional[bytes]":
        """The next message; None where there is none and nobody waits."""
        while True:
            try:
                data = self._socket.recv(LONGEST)
            except BlockingIOError:
                if not wait:
                    return None
                self._wake.wait(None)
                continue
            except OSError:
                data = b""
            if not data:
                os._exit(0)  # the slot is gone
            return data

    def send(self, message: bytes, wait: bool = True) -> bool:
        while True:
            try:
                self._socket.send(message)
                return True
            except BlockingIOError:
                if not wait:
                    return False
                time.sleep(0.01)  # the driver has much to read
            except OSError:
                os._exit(0)


class Inside(runner.Place):
    """Where attempts run: the slot's folder, which holds the folder of the trial that runs."""

    def __init__(self, line: Line, shared: "Dict[str, Any]") -> None:
        self.job = shared["job"]
        self.environ = _environment()
        self.secrets = shared["secrets"]
        self.shim = runner.write_shim(os.path.join(SLOT, "shim"))
        self._line = line
        self._inputs = shared["inputs"]  # type: List[List[str]]
        self._store = runner.FileTransport(STORE)
        self._name = ""
        self._announced = False
        self._stop = None  # type: Optional[runner.Stop]

    def run(self, task: "Dict[str, Any]", wake: "runner.Wake") -> bytes:
        """Run an attempt; returns the message that says how it ended."""
        self._name, self._announced, self._stop = task["name"], False, None
        self.oom_kills = runner.kernel_oom_kills()
        folder = os.path.join(SLOT, "%06d" % task["trial"], str(task["attempt"]))
        name = json.dumps(self._name)
        try:
            text = runner.Attempt(self.job, task, folder, self, wake).run()
        except OSError as error:
            reason = json.dumps("Nothing can be written for the trial: %s." % runner.describe(error))
            return ('{"failed": %s, "reason": %s, "at": %f}' % (name, reason, time.time())).encode()
        message = ('{"ended": %s, "result": %s}' % (name, text)).encode()
        return message if len(message) <= LONGEST else ('{"ended": %s}' % name).encode()

    def fill(self, digest: str, work: str) -> None:
        self._store.bundle(digest, work)

    def bring(self, source: str, target: str) -> None:
        if os.path.isabs(source):
            for outside, inside in self._inputs:
                if source == outside or source.startswith(outside.rstrip("/") + "/"):
                    self._store.bring(inside + source[len(outside.rstrip("/")) :], target)
                    return
            raise runner.Failure(runner.COMMAND, "The input '%s' does not exist." % source)
        self._store.bring(source, target)

    def checkpoint(self, trial: int, parent: "Optional[int]") -> str:
        folder = os.path.join(SLOT, "%06d" % trial, "checkpoint")
        os.makedirs(folder, exist_ok=True)
        return folder

    def look(self, attempt: "runner.Attempt") -> "Optional[runner.Stop]":
        if attempt.pid and not self._announced:
            message = {"running": self._name, "at": time.time()}
            self._announced = self._line.send(json.dumps(message).encode(), wait=False)
        order = self._line.receive(wait=False)
        if order is not None:
            self._stop = runner.Stop(*json.loads(order.decode())["stop"])
        return self._stop

    def seen(self, values: "List[runner.Value]", wait: bool) -> bool:
        rows = [(metric, runner.jsonable(value), step, at) for metric, value, step, at in values]
        return self._line.send(json.dumps({"metrics": self._name, "values": rows}).encode(), wait)


def _environment() -> "Dict[str, str]":
    """The image's; what a user without a name or a home lacks there is added, since many programs ask for it."""
    import pwd

    environ = dict(os.environ)
    if not os.access(environ.get("HOME", "/nowhere"), os.W_OK):
        environ["HOME"] = "/tmp"
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        environ.setdefault("USER", "trial")
    return environ


def main() -> None:
    os.dup2(os.open(os.path.join(SLOT, "container.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), 2)
    wake = runner.Wake([])
    runner.adopt_orphans()
    line = Line(wake)
    line.send(json.dumps({"hello": sys.version.split()[0]}).encode())
    size = int(line.receive(wait=True) or b"")
    text = b""
    while len(text) < size:
        text += line.receive(wait=True) or b""
    place = Inside(line, json.loads(text.decode()))
    while True:
        message = json.loads((line.receive(wait=True) or b"").decode())
        if "file" in message:
            message = json.loads(runner.read_whole(os.path.join(SLOT, message["file"])).decode())
        # An order to stop that came too late has no name.
        if "name" in message:
            line.send(place.run(message, wake))


if __name__ == "__main__":
    main()
