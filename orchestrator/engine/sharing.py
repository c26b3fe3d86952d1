"""A run's record in its object store, so that another machine can go on with the run.

The record is stored at the run's beginning, now and then, and at its end.  What it misses by then is found again: a
task that it does not know has a name that is known to the provider, and parameters that follow from the search.  Those
of a learning search follow from what it knew when it was asked, so each of them is stored before its trial is
submitted.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path

from orchestrator.engine.clock import SystemClock
from orchestrator.engine.driver import Finished, Observer, Progress
from orchestrator.engine.record import Record
from orchestrator.engine.retry import retrying
from orchestrator.engine.runs import find
from orchestrator.errors import MachineError, NotFound, ProviderError, RunNotFound, UsageError
from orchestrator.storage.base import ObjectStore
from orchestrator.storage.layout import Home, RunKeys
from orchestrator.storage.open import open_store

# Seconds between two copies, and how many times as long as one took they are apart at least.
EVERY, SHARE = 60.0, 50.0


class Shared:
    """An observer of a driver that stores what it sees; ``then`` is another one.

    A store that fails does not end the run: it is tried again later.
    """

    def __init__(
        self,
        run: str,
        home: Home,
        record: Record,
        store: ObjectStore,
        then: Observer | None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run, self._home, self._keys = run, home, RunKeys(run)
        self._record, self._store, self._then = record, store, then
        self._monotonic = monotonic
        self._next = 0.0
        self._asked = 0

    def __call__(self, progress: Progress, finished: list[Finished]) -> None:
        try:
            self._store_asks()
            if self._monotonic() >= self._next:
                self._store_record()
        except ProviderError as error:
            self._next = self._monotonic() + EVERY
            progress.note = f"The run cannot be attached to elsewhere: {error}"
        if self._then is not None:
            self._then(progress, finished)

    def end(self) -> None:
        """The last copy.  A store that fails even now has an older one, from which a resume comes to the same end."""
        with suppress(ProviderError):
            retrying(self._store_record, SystemClock())

    def _store_asks(self) -> None:
        asks = self._record.asked_for(self._asked)
        if asks:
            self._store.put(f"{self._keys.asked}/{asks[0][0]:06d}.json", json.dumps(asks).encode())
            self._asked = asks[-1][0] + 1

    def _store_record(self) -> None:
        began = self._monotonic()
        path = self._home.run(self._run) / "shared.db"
        try:
            self._record.copy(path)
            self._store.put(self._keys.record, path)
            where = self._home.region(self._run)
            if where.exists():
                self._store.put(self._keys.region, where)
        except OSError as error:
            raise MachineError(f"The run's record cannot be copied: {error}.") from error
        finally:
            path.unlink(missing_ok=True)
        now = self._monotonic()
        self._next = now + max(EVERY, SHARE * (now - began))


def attach(url: str, home: Home) -> str:
    """Take up the run at ``STORE/runs/ID`` on this machine; its id.  Nothing is changed where it is known already.

    The driver that it had must be dead.  Raises UsageError for what is no such URL, RunNotFound where there is none.
    """
    root, found, run = url.rstrip("/").rpartition("/runs/")
    if not found or not run or "/" in run:
        raise UsageError(f"{url!r} names no run.", remedy="Write it as s3://BUCKET/PREFIX/runs/ID.")
    if home.record(run).exists():
        return find(home, run)
    store, keys, path = open_store(root, home), RunKeys(run), home.record(run)
    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _fetch(store, keys.record, part, url)
        _region(store, keys, home, run)
        with closing(Record.open(part)) as record:
            facts = record.facts()
            base = facts["base"] if Path(facts["base"]).is_dir() else str(path.parent)
            with record.transaction():
                record.set_facts({"store": store.url, "base": base})
                for ask in _asks(store, keys):
                    record.take_ask(*ask)
        part.replace(path)
    except OSError as error:
        raise MachineError(f"The run's record cannot be written: {error}.") from error
    return run


def _fetch(store: ObjectStore, key: str, part: Path, url: str) -> None:
    try:
        store.fetch(key, part)
    except NotFound as error:
        raise RunNotFound(
            f"There is no run at {url}, or it keeps no record there.",
            remedy="Runs of a cloud do, and those whose spec names a `storage`.",
        ) from error


def _region(store: ObjectStore, keys: RunKeys, home: Home, run: str) -> None:
    try:
        store.fetch(keys.region, home.region(run))
    except NotFound:
        return  # its provider has none


def _asks(store: ObjectStore, keys: RunKeys) -> Iterable[tuple[int, dict[str, object], int, int | None]]:
    for item in sorted(store.list(keys.asked), key=lambda item: item.key):
        yield from json.loads(store.get(item.key))
