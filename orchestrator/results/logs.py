"""What trials have written, as bytes, while they write and afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from orchestrator.storage import logs
from orchestrator.storage.base import ObjectStore
from orchestrator.storage.layout import RunKeys

CHUNK = 1 << 20
STREAMS = ("stdout", "stderr")


Read = Callable[[int, int], bytes | None]
"""Up to ``size`` bytes of a stream from ``offset``; nothing, or None, where there is none (yet)."""


def stored(store: ObjectStore, run: str, trial: int, attempt: int, stream: str) -> Read:
    """The stream of an attempt as its runner has stored it by now."""
    return partial(logs.read, store, RunKeys(run).log(trial, attempt, stream))


class Tail:
    """One stream of one attempt, read from where the last reading ended."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._offset = 0

    def read(self) -> Iterator[bytes]:
        """Everything written since, in pieces; nothing where nothing has been written (yet)."""
        while True:
            data = self._read(self._offset, CHUNK)
            if not data:
                return
            self._offset += len(data)
            yield data


class Prefixed:
    """Bytes of several writers on one stream: each line whole and marked with its writer.

    A line that is longer than ``longest`` bytes is broken there rather than held back for ever.
    """

    def __init__(self, mark: bytes, longest: int = 1 << 16) -> None:
        self._mark = mark
        self._longest = longest
        self._rest = b""

    def take(self, data: bytes) -> bytes:
        """The lines that are complete with ``data``."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        out = b"".join(self._mark + line + b"\n" for line in lines)
        while len(self._rest) > self._longest:
            out += self._mark + self._rest[: self._longest] + b"\n"
            self._rest = self._rest[self._longest :]
        return out

    def end(self) -> bytes:
        """What is left of a last line without an end."""
        rest, self._rest = self._rest, b""
        return self._mark + rest + b"\n" if rest else b""
