"""Processes of runs, found by a variable in their environment, wherever they have gone to."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

MARK = "ORCHESTRATE_MARK"
"""The variable: ``HOME:RUN:LIFE`` with a hash of the home folder, the run's id, and which driver's pool it was."""

_SWEEP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Marked:
    """A live process of a run.  ``started`` (clock ticks since boot) tells it from a later one with the same id."""

    pid: int
    started: int
    run: str
    life: str
    program: str

    @property
    def name(self) -> str:
        return f"{self.pid}.{self.started}"


def make_mark(home: Path, run: str, life: str) -> str:
    return f"{_home_hash(home)}:{run}:{life}"


def _home_hash(home: Path) -> str:
    return hashlib.sha256(os.fsencode(home.resolve())).hexdigest()[:16]


def marked(home: Path) -> Iterator[Marked]:
    """Every live process of every run of this home that we may look at."""
    start = f"\0{MARK}={_home_hash(home)}:".encode()
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            environ = b"\0" + Path("/proc", name, "environ").read_bytes()
            at = environ.find(start)
            if at < 0:
                continue
            text = environ[at + len(start) : environ.index(b"\0", at + 1)].decode()
            run, _, life = text.partition(":")
            program = Path("/proc", name, "comm").read_text().strip()
            yield Marked(int(name), _stat(int(name)).started, run, life, program)
        except (OSError, ValueError):
            continue  # it has just ended, or belongs to somebody else


@dataclass(frozen=True, slots=True)
class _Stat:
    parent: int
    session: int
    started: int


def _stat(pid: int) -> _Stat:
    # proc(5): after the program's name in parentheses come the fields from 3 (state) on.
    fields = Path("/proc", str(pid), "stat").read_bytes().rpartition(b")")[2].split()
    return _Stat(int(fields[1]), int(fields[3]), int(fields[19]))


def _all() -> dict[int, _Stat]:
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                found[int(name)] = _stat(int(name))
    return found


def sweep(home: Path, is_stray: Callable[[Marked], bool]) -> list[int]:
    """SIGKILL for every marked process that is a stray, what descends from it, and the rest of its session.

    Repeats until a look finds none.  Returns the ids of those that did not end within seconds.
    """
    deadline = time.monotonic() + _SWEEP_SECONDS
    spared = _ourselves()
    while True:
        strays = {process.pid for process in marked(home) if is_stray(process)} - spared
        if not strays or time.monotonic() > deadline:
            return sorted(strays)
        everyone = _all()
        sessions = {everyone[pid].session for pid in strays if pid in everyone}
        sessions -= {everyone[pid].session for pid in spared if pid in everyone}
        doomed = strays | {pid for pid, stat in everyone.items() if stat.session in sessions}
        while below := {pid for pid, stat in everyone.items() if stat.parent in doomed} - doomed:
            doomed |= below
        for pid in doomed - spared:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _ourselves() -> set[int]:
    """This process and its ancestors: a driver may itself run inside a trial."""
    found, pid = set(), os.getpid()
    while pid > 0:
        found.add(pid)
        try:
            pid = _stat(pid).parent
        except OSError:
            break
    return found


def end(home: Path, name: str) -> bool:
    """SIGKILL for the process of a :attr:`Marked.name`, with all that belongs to it.  Whether it is gone."""
    return not sweep(home, lambda process: process.name == name)
