"""Metrics of all running tasks from one growing object in Blob: the same few reads however many tasks there are.

Every runner appends its values to the run's feed, each in one atomic addition, so that those of one task stay in
order.  A part of the feed takes 50,000 additions (limit of append blobs); when it is full the runners go on to the
next.  A line is ``[TASK, AT, STEP, {NAME: VALUE}]``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from orchestrator.errors import NotFound
from orchestrator.providers.azure.request import FEED_PARTS
from orchestrator.providers.base import MetricSeen
from orchestrator.storage.base import ObjectStore
from orchestrator.storage.layout import RunKeys

# Bytes read at once.
READ = 4 << 20


@dataclass(frozen=True, slots=True)
class Position:
    """Where reading goes on: a part and the bytes of it that have been read."""

    part: int = 0
    offset: int = 0


def read(store: ObjectStore, run: str, position: Position) -> tuple[list[MetricSeen], Position]:
    """What was added since ``position``, at most READ bytes of it; takes two calls at most."""
    keys = RunKeys(run)
    lines = _lines(store, keys.feed(position.part), position.offset)
    if not lines and position.offset and position.part + 1 < FEED_PARTS:
        further = _lines(store, keys.feed(position.part + 1), 0)
        if further:
            position, lines = Position(position.part + 1), further
    seen = [value for line in lines.splitlines() for value in _values(line)]
    return seen, Position(position.part, position.offset + len(lines))


def _lines(store: ObjectStore, key: str, offset: int) -> bytes:
    """Whole lines alone: an addition is never torn, but READ may end inside of one."""
    try:
        data = store.read_range(key, offset, READ)
    except NotFound:
        return b""
    return data[: data.rfind(b"\n") + 1]


def _values(line: bytes) -> list[MetricSeen]:
    name, at, step, values = json.loads(line)
    return [MetricSeen(name, metric, float(value), step, at) for metric, value in values.items()]
