"""One driver at a time holds a run: a file lock, which the kernel lets go of when its holder dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.errors import RunBusy

# Who only looks holds the lock for an instant too: so often it is tried, so many seconds apart.
TRIES = 20
PAUSE = 0.01


@contextmanager
def hold(path: Path, run: str) -> Iterator[None]:
    """Hold the run's lock while inside.  Raises RunBusy where another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        for last in (*(False,) * TRIES, True):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if last:
                    pid = os.pread(descriptor, 32, 0).decode(errors="replace")
                    raise RunBusy(
                        f"Run {run} is being driven by process {pid or 'unknown'} already.",
                        remedy=f"Watch it with `orchestrate status {run}`, end it with `orchestrate cancel {run}`.",
                    ) from None
                time.sleep(PAUSE)  # perhaps somebody only looks
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def holder(path: Path) -> int | None:
    """The process that drives the run now; None when nobody does."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        for _ in range(TRIES):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return None
            except BlockingIOError:
                text = os.pread(descriptor, 32, 0)
                if text.isdigit():
                    return int(text)
                time.sleep(PAUSE)  # it has just come or is about to go
        return None
    finally:
        os.close(descriptor)
