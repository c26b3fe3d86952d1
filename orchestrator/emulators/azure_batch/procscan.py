"""Finding and killing processes by a mark in their environment.

Every process that the emulator starts carries `ORCHESTRATE_EMULATOR_MARK=EMULATOR/NODE/ATTEMPT`, and its children
inherit it, whatever process group or session they move to. So what must die can be found without any list that
could have been lost: a scan for a prefix of the mark. Standard library only, and importable as a plain file,
because the agent runs it without the package.
"""

from __future__ import annotations

import os
import signal
import time

MARK = "ORCHESTRATE_EMULATOR_MARK"
_KEY = f"{MARK}=".encode()


def new_name() -> str:
    """A name for an emulator that no other ever had: the first part of its processes' marks."""
    return f"batch-{os.urandom(8).hex()}"


def marked(*prefixes: str, proc: str = "/proc") -> list[int]:
    """Process ids, other than our own, whose mark is one of `prefixes` or lies below one.

    One look however many prefixes there are: it opens a file for every process of the machine.
    """
    wanted = {prefix.encode() for prefix in prefixes}
    found = []
    own = os.getpid()
    for name in os.listdir(proc):
        if not name.isdigit() or int(name) == own:
            continue
        try:
            with open(f"{proc}/{name}/environ", "rb") as file:
                environment = file.read()
        except OSError:
            continue  # It ended meanwhile, or belongs to another user and so is none of ours.
        if _KEY in environment and any(_lies_below(mark, wanted) for mark in _marks(environment)):
            found.append(int(name))
    return found


def _marks(environment: bytes) -> list[bytes]:
    return [entry[len(_KEY) :] for entry in environment.split(b"\0") if entry.startswith(_KEY)]


def _lies_below(mark: bytes, prefixes: set[bytes]) -> bool:
    """Whether one of `prefixes` is the mark, or the mark up to one of its slashes."""
    while mark not in prefixes:
        mark, slash, _ = mark.rpartition(b"/")
        if not slash:
            return False
    return True


def kill_marked(*prefixes: str, limit_seconds: float = 5.0) -> list[int]:
    """Kill every process marked with one of `prefixes` until none is left; return those that would not die in time.

    The time counts from the first kill: a look alone may take long where there are many processes.
    """
    deadline: float | None = None
    pause = 0.001
    while found := marked(*prefixes):
        if deadline is not None and time.monotonic() > deadline:
            break
        for process in found:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        deadline = deadline or time.monotonic() + limit_seconds
        # A process may have forked between the listing and the kill: look again.
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
    return found
