"""The contract of an object store: where code, inputs, logs and outputs live.

Keys are relative, with ``/`` between their parts; no part is empty, ``.`` or ``..``.  Every call is
idempotent.  Errors are those of :mod:`orchestrator.errors`: NotFound for a missing key, Unavailable and
Throttled for what may be tried again, AuthenticationFailed, QuotaExceeded (a full disk too) and
InvalidRequest for what may not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object: its size in bytes and when it was last written, in Unix seconds."""

    key: str
    size: int
    modified: float


class ObjectStore(Protocol):
    """A store of objects under one URL.  Safe to use from several threads."""

    @property
    def url(self) -> str:
        """``file:///...``, ``s3://bucket/prefix`` or ``az://account/container/prefix``."""

    def put(self, key: str, data: bytes | Path) -> None:
        """Write an object as a whole: readers see the old one or the new one, never a part."""

    def get(self, key: str) -> bytes:
        """The whole object."""

    def fetch(self, key: str, target: Path) -> None:
        """The whole object into a file, which appears complete or not at all."""

    def read_range(self, key: str, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes from ``offset``; empty past the end."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose key is ``prefix`` or lies below it, in order of key."""

    def delete(self, key: str) -> None:
        """Fine if it is gone."""

    def delete_prefix(self, prefix: str) -> None:
        """Delete every object whose key is ``prefix`` or lies below it."""

    def exists(self, key: str) -> bool: ...

    def grant(self, key: str, seconds: float, *, write: bool = False) -> str:
        """A URL by which whoever holds it can read (or write) this one object for so long."""


@runtime_checkable
class KeepsUnfinished(Protocol):
    """A store in which an upload that was broken off lies unseen, and costs money, until it is given up."""

    def unfinished(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """Key of each that began so long ago that nobody goes on with it, and what gives it up."""
