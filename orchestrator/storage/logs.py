"""What an attempt has written to a stream, in whatever form its runner has stored it by now.

A store whose objects grow has it as one object.  Where they do not (S3), a log comes in parts below
``ATTEMPT/log/TRY/STREAM.txt/OFFSET`` while the program runs, and as one object, in place of the parts, at the end.
"""

from __future__ import annotations

from orchestrator.errors import NotFound
from orchestrator.storage.base import ObjectStore


def read(store: ObjectStore, key: str, offset: int, size: int) -> bytes | None:
    """Up to ``size`` bytes from ``offset`` of the stream whose whole is ``key``; None where nothing is stored of it."""
    try:
        return store.read_range(key, offset, size)
    except NotFound:
        pass
    try:
        return _from_parts(store, key, offset, size)
    except NotFound:
        return b""  # the whole has just taken their place: the next reading finds it


def _from_parts(store: ObjectStore, key: str, offset: int, size: int) -> bytes | None:
    """Those of the latest try follow each other without gaps."""
    attempt, _, name = key.rpartition("/")
    folder = f"{attempt}/log"
    tries: dict[int, list[tuple[int, int, str]]] = {}
    for item in store.list(folder):
        number, stream, begin = item.key[len(folder) + 1 :].split("/")
        parts = tries.setdefault(int(number), [])
        if stream == name:
            parts.append((int(begin), item.size, item.key))
    if not tries:
        return None
    data = b""
    for start, length, part in sorted(tries[max(tries)]):
        reached = offset + len(data)
        if len(data) < size and start <= reached < start + length:
            data += store.read_range(part, reached - start, size - len(data))
    return data
