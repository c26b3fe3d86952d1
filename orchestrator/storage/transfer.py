"""How much is moved at once: the sizes of parts, and the threads that move them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

_T = TypeVar("_T")
_R = TypeVar("_R")

_MEBIBYTE = 1 << 20

PART = 8 * _MEBIBYTE
"""Bytes of one part of a large object."""

SINGLE = 16 * _MEBIBYTE
"""Bytes up to which an object is sent and fetched in one call."""

THREADS = 10
"""Parts in flight at a time, of all the transfers of one store; each is held in memory."""


def part_size(size: int, most: int) -> int:
    """Bytes of each part but the last: the same whenever an object of this size is sent in at most ``most``."""
    step = -(-size // most)
    return max(PART, -(-step // _MEBIBYTE) * _MEBIBYTE)


class Parallel:
    """Threads that several calls share, started when the first needs them."""

    def __init__(self, threads: int = THREADS) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    def map(self, work: Callable[[_T], _R], items: Iterable[_T]) -> list[_R]:
        """The results in order.  The first error is raised when what has begun is over; the rest never begins."""
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="transfer")
        futures = [self._pool.submit(work, item) for item in items]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            for future in futures:
                future.cancel()
            wait(futures)
        for future in futures:
            if not future.cancelled() and (error := future.exception()):
                raise error
        return [future.result() for future in futures]

    def close(self) -> None:
        """End the threads; a later call would start them anew."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()
