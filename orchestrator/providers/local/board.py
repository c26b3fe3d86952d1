"""A few bytes of shared memory through which the supervisor and its slots see each other, across their forks.

Each slot notes the name of its task in its own place, all share one flag, and names of cancelled tasks are appended
to a list that only grows.
"""

from __future__ import annotations

import os

NAME_LIMIT = 400
"""Bytes that a task's name may have."""

_ROW = 512


class Board:
    """Made by the supervisor before it forks its slots."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._rows = os.memfd_create("orchestrate-slots")
        self._names = os.memfd_create("orchestrate-cancelled")
        os.ftruncate(self._rows, (slots + 1) * _ROW)
        self._read = 0
        self._cancelled: set[str] = set()

    def busy_with(self, slot: int, name: str) -> None:
        """Note what a slot does; nothing when ``name`` is empty."""
        os.pwrite(self._rows, name.encode().ljust(_ROW, b"\0"), slot * _ROW)

    def task_of(self, slot: int) -> str:
        return os.pread(self._rows, _ROW, slot * _ROW).rstrip(b"\0").decode()

    def raise_flag(self) -> None:
        """Tell all slots to copy the code instead of linking it: a trial has written to a link."""
        os.pwrite(self._rows, b"1", self._slots * _ROW)

    @property
    def flag(self) -> bool:
        return os.pread(self._rows, 1, self._slots * _ROW) == b"1"

    def cancel(self, names: list[str]) -> None:
        """Only the supervisor calls this."""
        os.write(self._names, "".join(f"{name}\n" for name in names).encode())

    def cancelled(self, name: str) -> bool:
        """Whether this task has been cancelled so far."""
        while data := os.pread(self._names, 65536, self._read):
            whole = data[: data.rfind(b"\n") + 1]
            self._read += len(whole)
            self._cancelled.update(whole.decode().splitlines())
            if not whole:
                break
        return name in self._cancelled
