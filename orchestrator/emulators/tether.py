"""`python -I -S tether.py FOLDER PROGRAM ARGUMENT...`: run a program until it ends or our standard input does.

Standard input is a pipe that the starter holds open; when the starter goes, by whatever signal, the pipe ends and so
does the program, its children included, and then FOLDER where that is not empty text: it was a temporary one. A
program that ends by itself leaves its folder, with its log. Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import selectors
import shutil
import signal
import sys

PR_SET_PDEATHSIG = 1
# Emulators of machines give back containers meanwhile.
_GRACE_SECONDS = 5.0


def main(temporary: str, argv: list[str]) -> int:
    woken, waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    libc = ctypes.CDLL(None)
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            nothing = os.open(os.devnull, os.O_RDONLY)
            os.dup2(nothing, 0)
            os.execvp(argv[0], argv)
        except OSError as problem:
            os.write(2, f"{argv[0]}: {problem.strerror}\n".encode())
        finally:
            os._exit(127)
    with selectors.DefaultSelector() as selector:
        selector.register(woken, selectors.EVENT_READ)
        selector.register(0, selectors.EVENT_READ)
        deadline: float | None = None
        while True:
            ready = {key.fd for key, _ in selector.select(None if deadline is None else _GRACE_SECONDS)}
            if deadline is not None and not ready:
                _signal_group(child, signal.SIGKILL)
            if woken in ready:
                signals = os.read(woken, 4096)
                ended, status = os.waitpid(child, os.WNOHANG)
                if ended:
                    _signal_group(child, signal.SIGKILL)
                    if deadline is not None and temporary:
                        shutil.rmtree(temporary, ignore_errors=True)
                    return os.waitstatus_to_exitcode(status) & 0xFF
                stop = any(number != signal.SIGCHLD for number in signals)
            else:
                stop = 0 in ready and not os.read(0, 4096)
            if stop and deadline is None:
                deadline = _GRACE_SECONDS
                selector.unregister(0)
                _signal_group(child, signal.SIGTERM)


def _signal_group(leader: int, number: int) -> None:
    try:
        os.killpg(leader, number)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
