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


def new_name() -> str:
    """A name for an emulator that no other ever had: the first part of its processes' marks."""
    return f"batch-{os.urandom(8).hex()}"


def marked(prefix: str, proc: str = "/proc") -> list[int]:
    """Process ids, other than our own, whose mark is `prefix` or lies below it."""
    exact = f"{MARK}={prefix}\0".encode()
    below = f"{MARK}={prefix}/".encode()
    found = []
    own = os.getpid()
    for name in os.listdir(proc):
        if not name.isdigit() or int(name) == own:
            continue
        try:
            with open(f"{proc}/{name}/environ", "rb") as file:
                environment = b"\0" + file.read() + b"\0"
        except OSError:
            continue  # It ended meanwhile, or belongs to another user and so is none of ours.
        if b"\0" + exact in environment or b"\0" + below in environment:
            found.append(int(name))
    return found


def kill_marked(prefix: str, limit_seconds: float = 5.0) -> list[int]:
    """Kill every process marked with `prefix` until none is left; return those that would not die in time."""
    deadline = time.monotonic() + limit_seconds
    pause = 0.001
    while True:
        found = marked(prefix)
        if not found or time.monotonic() > deadline:
            return found
        for process in found:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        # A process may have forked between the listing and the kill: look again.
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
