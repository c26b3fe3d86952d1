"""The agent: a small process of its own that starts the tasks' processes, and ends them whatever happens.

It is separate from the emulator for two reasons. It stays alive when the emulator is killed with a signal that
nobody can catch, sees its socket close, and then kills every process, daemonised or not (see `procscan`). And it is
small and single-threaded, so forking is cheap and may set what must be set between fork and exec.

Run as `python -I -S agent.py SOCKET_FD MARK SCRIPT_FOLDER`; standard library only. Spoken on the socket: one JSON
object a line.

    to it:    {"op": "run", "id", "argv", "env", "cwd", "stdout", "stderr", "keep"}
              {"op": "kill", "id", "signal", "mark"}    the group of run `id`, then all that carry `mark`; where that
                                                        asks for SIGKILL it is answered when they are gone
              {"op": "docker", "socket"}                remember where containers of ours may run
    from it:  {"event": "started", "id", "pid"}, {"event": "failed", "id", "missing", "reason"},
              {"event": "exited", "id", "code", "user", "system"}, {"event": "killed", "id"}
"""

from __future__ import annotations

import ctypes
import errno
import http.client
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import time
import urllib.parse
from collections.abc import Callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Order = dict[str, Any]

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
# Looks for containers at the end: at most, and in a row that must have found none; seconds between two.
_LOOKS, _QUIET_LOOKS, _BETWEEN_LOOKS = 200, 3, 0.3


class Agent:
    """The agent's loop.

    Args:
        link: socket to the emulator; its end is the emulator's end.
        mark: prefix of the marks of all processes of this emulator.
        kill_marked: kills everything below any of some marks (`procscan.kill_marked`).
        label: key of the containers' label whose value is the mark.
    """

    def __init__(self, link: socket.socket, mark: str, kill_marked: Callable[..., object], label: str) -> None:
        self._link = link
        self._mark = mark
        self._kill_marked = kill_marked
        self._label = label
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._runs: dict[int, int] = {}  # pid -> run id
        self._pids: dict[int, int] = {}  # run id -> pid
        self._keep: set[int] = set()  # pids whose background children may outlive them
        self._dying: dict[int, str] = {}  # run id -> mark of what is to be killed before the order is answered
        self._docker: str | None = None
        self._received = b""
        self._outgoing = b""

    def serve(self) -> None:
        """Work until the emulator is gone, then kill everything."""
        # Orphans of tasks come to us and not to init, so that we can collect them.
        self._libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        woken, waker = socket.socketpair()
        woken.setblocking(False)
        waker.setblocking(False)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # A Ctrl-C in the terminal reaches us too; we go when the emulator has gone.
            signal.signal(ignored, signal.SIG_IGN)
        self._link.setblocking(False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._link, selectors.EVENT_READ)
            selector.register(woken, selectors.EVENT_READ)
            while True:
                selector.modify(self._link, selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outgoing else 0))
                for key, events in selector.select():
                    if key.fileobj is woken:
                        woken.recv(4096)
                        self._collect()
                    elif not self._exchange(events):
                        self._end()
                        return

    def _exchange(self, events: int) -> bool:
        try:
            if events & selectors.EVENT_WRITE:
                self._outgoing = self._outgoing[self._link.send(self._outgoing) :]
            if events & selectors.EVENT_READ:
                data = self._link.recv(1 << 20)
                if not data:
                    return False
                *lines, self._received = (self._received + data).split(b"\n")
                for line in lines:
                    self._obey(json.loads(line))
                self._finish_kills()
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True

    def _tell(self, **event: object) -> None:
        self._outgoing += json.dumps(event).encode() + b"\n"

    def _obey(self, order: Order) -> None:
        if order["op"] == "run":
            self._run(order)
        elif order["op"] == "kill":
            self._kill(order)
        elif order["op"] == "docker":
            self._docker = order["socket"]

    def _run(self, order: Order) -> None:
        try:
            pid, reader = self._fork(order)
        except OSError as full:  # The machine has no more room: the other tasks go on.
            self._tell_failure(order, full.errno, str(full))
            return
        with os.fdopen(reader, "rb") as pipe:
            problem = pipe.read()  # Empty at exec: the pipe closes itself.
        if problem:
            os.waitpid(pid, 0)
            number, _, reason = problem.decode().partition(":")
            self._tell_failure(order, int(number), reason)
            return
        self._runs[pid] = order["id"]
        self._pids[order["id"]] = pid
        if order["keep"]:
            self._keep.add(pid)
        self._tell(event="started", id=order["id"], pid=pid)

    def _fork(self, order: Order) -> tuple[int, int]:
        """A child that is becoming the task's program, and the pipe on which it says why it cannot."""
        reader, writer = os.pipe2(os.O_CLOEXEC)
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            os.close(reader)
            os.close(writer)
            raise
        if pid == 0:
            self._become(order, writer, parent)
        os.close(writer)
        return pid, reader

    def _tell_failure(self, order: Order, number: int | None, reason: str) -> None:
        missing = number in (errno.ENOENT, errno.ENOTDIR)
        self._tell(event="failed", id=order["id"], missing=missing, reason=reason)

    def _become(self, order: Order, writer: int, parent: int) -> None:
        """In the child: turn into the task's program; never return."""
        try:
            os.setsid()
            # Should even the agent be killed, the direct child goes with it.
            self._libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
            nothing = os.open(os.devnull, os.O_RDONLY)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
            out = os.open(order["stdout"], flags, 0o644)
            err = os.open(order["stderr"], flags, 0o644)
            for source, target in ((nothing, 0), (out, 1), (err, 2)):
                os.dup2(source, target)
            os.chdir(order["cwd"])
            os.execvpe(order["argv"][0], order["argv"], order["env"])
        except OSError as problem:
            os.write(writer, f"{problem.errno}:{problem}".encode())
        finally:
            os._exit(127)

    def _collect(self) -> None:
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            pid = ended.si_pid
            if pid in self._runs and pid not in self._keep:
                # Before the pid is given back: its group can be nobody else's yet.
                self._signal_group(pid, signal.SIGKILL)
            _, status, usage = os.wait4(pid, 0)
            run = self._runs.pop(pid, None)
            self._keep.discard(pid)
            if run is not None:
                del self._pids[run]
                code = os.waitstatus_to_exitcode(status)
                self._tell(
                    event="exited",
                    id=run,
                    code=code if code >= 0 else 128 - code,
                    user=usage.ru_utime,
                    system=usage.ru_stime,
                )

    def _signal_group(self, pid: int, number: int) -> None:
        try:
            os.killpg(pid, number)
        except (ProcessLookupError, PermissionError):
            return

    def _kill(self, order: Order) -> None:
        pid = self._pids.get(order["id"])
        if pid is not None:
            self._signal_group(pid, order["signal"])
        if order["signal"] == signal.SIGKILL:
            self._dying[order["id"]] = order["mark"]

    def _finish_kills(self) -> None:
        """One look at the machine's processes for all orders that came together.

        A job that is deleted asks for thousands of kills at once, and among thousands of processes a look takes long.
        """
        marks = [mark for mark in self._dying.values() if mark]
        if marks:
            self._kill_marked(*marks)
        for run in self._dying:
            self._tell(event="killed", id=run)
        self._dying.clear()

    def _end(self) -> None:
        self._link.close()
        self._kill_marked(self._mark)
        if self._docker is not None:
            _remove_containers(self._docker, f"{self._label}={self._mark}")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self._path)


def _remove_containers(docker: str, label: str) -> None:
    """Force away every container with our label, by the engine's own HTTP API.

    The engine may still be making or starting one: it shows that late, and refuses to remove it. So it is looked for
    until several looks in a row have found nothing.
    """
    address = urllib.parse.urlparse(docker)

    def ask(method: str, path: str) -> bytes:
        link = (
            _UnixConnection(address.path)
            if address.scheme in ("unix", "http+unix", "")
            else http.client.HTTPConnection(address.hostname or "localhost", address.port or 2375)
        )
        link.request(method, path)
        return link.getresponse().read()

    filters = urllib.parse.quote(json.dumps({"label": [label]}))
    quiet = 0
    for _ in range(_LOOKS):
        try:
            found = json.loads(ask("GET", f"/containers/json?all=1&filters={filters}"))
            for container in found:
                ask("DELETE", f"/containers/{container['Id']}?force=1&v=1")
        except (ConnectionRefusedError, FileNotFoundError):
            return  # The engine is gone, and with it its containers; nobody is left to be told.
        except (OSError, ValueError, http.client.HTTPException):
            found = True
        quiet = 0 if found else quiet + 1
        if quiet == _QUIET_LOOKS:
            return
        time.sleep(_BETWEEN_LOOKS)


def main(link: str, mark: str, folder: str) -> None:
    """Run the agent on the inherited socket `link`; `folder` holds `procscan.py`."""
    sys.path.insert(0, folder)
    scan = importlib.import_module("procscan")
    connection = socket.socket(fileno=int(link))
    # Or every task would hold the link, and its end would tell nobody anything.
    connection.set_inheritable(False)
    Agent(connection, mark, scan.kill_marked, scan.MARK).serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
