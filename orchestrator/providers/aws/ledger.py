"""What a run's machines have cost, by those that were seen: kept in the store, so that it outlives the client.

AWS tells its prices a day later, so they are summed up here between two looks.  For a time in which nobody looked the
larger of the rates before and after it is taken: a spending limit must not be passed because of a crash.
"""

from __future__ import annotations

import json

from orchestrator.errors import NotFound
from orchestrator.storage.base import ObjectStore
from orchestrator.storage.layout import RunKeys

# Seconds between two writes.
WRITE_EVERY = 60.0


class Ledger:
    """``cost`` in US$ until the last look, and ``rate`` an hour since then.  Without a store nothing is kept."""

    def __init__(self, store: ObjectStore | None, run: str) -> None:
        self._store, self._key = store, RunKeys(run).ledger
        self.cost = self.rate = 0.0
        self._at: float | None = None
        self._written = 0.0
        self._loaded = False

    def note(self, now: float, rate: float) -> None:
        """The machines cost ``rate`` US$ an hour now."""
        if not self._loaded:
            self._loaded = True
            self._load()
            self.rate = max(self.rate, rate)
        if self._at is not None:
            self.cost += self.rate * max(0.0, now - self._at) / 3600
        changed = rate != self.rate
        self._at, self.rate = now, rate
        if self._store is not None and (self.cost or rate) and (changed or now - self._written >= WRITE_EVERY):
            self._written = now
            text = json.dumps({"at": now, "cost": self.cost, "rate": rate})
            self._store.put(self._key, text.encode())

    def _load(self) -> None:
        if self._store is None:
            return
        try:
            known = json.loads(self._store.get(self._key))
        except NotFound:
            return
        self._at, self.cost, self.rate = known["at"], known["cost"], known["rate"]
