"""What a pool has cost, by the nodes that were seen: kept in the store, so that it outlives the client.

The service tells a pool's usage hours later, so it is summed up here between two looks.  For the time in which nobody
looked the larger of the rates before and after it is taken: a spending limit must not be passed because of a crash.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from orchestrator.errors import NotFound
from orchestrator.storage.base import ObjectStore
from orchestrator.storage.layout import RunKeys

# Seconds between two writes.
WRITE_EVERY = 60.0


@dataclass(slots=True)
class Ledger:
    """Cost in US$ until ``at`` (Unix seconds), and the rate an hour since then."""

    store: ObjectStore
    run: str
    at: float | None = None
    cost: float = 0.0
    rate: float = 0.0
    _written: float = 0.0
    _loaded: bool = False

    def note(self, now: float, rate: float) -> None:
        """The pool costs ``rate`` US$ an hour now."""
        if not self._loaded:
            self._load()
            self.rate = max(self.rate, rate)
        if self.at is not None:
            self.cost += self.rate * max(0.0, now - self.at) / 3600
        changed = rate != self.rate or self.at is None
        self.at, self.rate = now, rate
        if (changed and rate) or now - self._written >= WRITE_EVERY:
            self.write(now)

    def write(self, now: float) -> None:
        self._written = now
        if self.cost or self.rate:
            text = json.dumps({"at": self.at, "cost": self.cost, "rate": self.rate})
            self.store.put(RunKeys(self.run).ledger, text.encode())

    def _load(self) -> None:
        self._loaded = True
        try:
            known = json.loads(self.store.get(RunKeys(self.run).ledger))
        except NotFound:
            return
        self.at, self.cost, self.rate = known["at"], known["cost"], known["rate"]
