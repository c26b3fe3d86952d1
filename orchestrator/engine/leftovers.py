"""What dead runs have left behind: processes and pools, working folders, half-written files.

Nothing of a run that somebody drives is ever touched: what belongs to a run is reclaimed while its lock is held, so
that no driver can take it up meanwhile.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

from orchestrator.engine.lock import hold, holder
from orchestrator.engine.record import Record
from orchestrator.engine.runs import listed
from orchestrator.errors import MachineError, OrchestrateError, RunBusy
from orchestrator.providers import connect, used_regions
from orchestrator.providers.base import Compute, Owned
from orchestrator.runner.runner import remove_tree
from orchestrator.storage.base import KeepsUnfinished
from orchestrator.storage.layout import Home, RunKeys
from orchestrator.storage.local import LocalStore
from orchestrator.storage.open import open_store


@dataclass(frozen=True, slots=True)
class Leftover:
    """One thing: its kind, what it is called, the run that it belonged to, and ``remove``, which reclaims it."""

    kind: str
    name: str
    run: str | None
    detail: str
    remove: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Kept:
    """What a run that nobody drives has at a provider, left alone because the run may be taken up again.

    ``until`` is the Unix time when its lease is over.  ``here`` says whether this machine knows the run.
    """

    kind: str
    name: str
    run: str | None
    detail: str
    until: float | None
    here: bool


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A provider that could not be asked."""

    provider: str
    error: OrchestrateError


@dataclass(frozen=True, slots=True)
class _Known:
    provider: str
    store: str
    ended: bool


def find(
    home: Home, providers: Iterable[str] = (), regions: Collection[str] = ()
) -> Iterator[Leftover | Kept | Unreachable]:
    """Everything that may be reclaimed now, one by one; a run is unlocked again when the next thing is asked for.
    And what costs money though nobody drives it: ``Kept``.

    Asked are the providers of the runs that this machine knows, and these ``providers``: those that have regions, in
    the present one, in each that a run was in, and in these ``regions``.
    """
    known = {run: facts for run, _ in listed(home) if (facts := _facts(home, run)) is not None}
    for provider in sorted({"local", *providers, *(facts.provider for facts in known.values())}):
        try:
            where = used_regions(provider, home, regions)
        except OrchestrateError as error:
            yield Unreachable(provider, error)
            continue
        for region in where:
            try:
                with closing(connect(provider, home, "gc", region)) as compute:
                    yield from _things(home, provider, compute, known)
            except OrchestrateError as error:
                yield Unreachable(provider if region is None else f"{provider} in {region}", error)
    for run, facts in known.items():
        folder = _local_folder(facts.store, run)
        if folder is not None:
            yield from _guarded(home, run, partial(_folders, run, folder))
    for root in sorted({home.store, *(root for facts in known.values() if (root := _root(facts.store)))}):
        for path in LocalStore(root).leftovers():
            yield Leftover("half-written file", str(path), None, "", partial(path.unlink, missing_ok=True))
    for url in sorted({facts.store for facts in known.values() if _root(facts.store) is None}):
        try:
            store = open_store(url, home)
            for name, remove in store.unfinished() if isinstance(store, KeepsUnfinished) else ():
                yield Leftover("half-sent object", f"{store.url}/{name}", None, "", remove)
        except OrchestrateError as error:
            yield Unreachable(url, error)


def _facts(home: Home, run: str) -> _Known | None:
    try:
        with closing(Record.open(home.record(run))) as record:
            facts = record.facts()
    except MachineError:
        return None  # of another version, or damaged: nothing of it is judged
    return _Known(facts["provider"], facts["store"], facts.get("finished") is not None)


def _things(home: Home, provider: str, compute: Compute, known: dict[str, _Known]) -> Iterator[Leftover | Kept]:
    """What is alive at the provider and belongs to nobody who is alive.

    Where tasks outlive their driver, a run that has not ended keeps its pool until the lease is over: it may be
    resumed, or be driven from another machine.
    """
    survives = compute.capabilities.survives_client
    for thing in list(compute.owned()):
        over = thing.lease_until is not None and thing.lease_until < time.time()
        facts = known.get(thing.run or "")
        if survives and not over and (facts is None or not facts.ended):
            if facts is None or holder(home.lock(thing.run or "")) is None:
                detail = f"{provider} {thing.detail}".strip()
                yield Kept(thing.kind, thing.name, thing.run, detail, thing.lease_until, facts is not None)
            continue
        yield from _guarded(home, thing.run, partial(_thing, provider, compute, thing))


def _thing(provider: str, compute: Compute, thing: Owned) -> Iterator[Leftover]:
    detail = thing.detail if provider == "local" else f"{provider} {thing.detail}".strip()
    yield Leftover(thing.kind, thing.name, thing.run, detail, partial(compute.reclaim, thing))


def _guarded(home: Home, run: str | None, found: Callable[[], Iterator[Leftover]]) -> Iterator[Leftover]:
    """What is found, with the run's lock held meanwhile; nothing where a driver holds it."""
    if run is None or not home.run(run).is_dir():
        yield from found()
        return
    if holder(home.lock(run)) is not None:
        return
    with suppress(RunBusy), hold(home.lock(run), run):
        yield from found()


def _folders(run: str, folder: Path) -> Iterator[Leftover]:
    """Working directories of attempts that nobody runs any more, and those that slots kept ready."""
    for spare in _scan(folder.parent):
        if spare.name.startswith("slot-"):
            yield Leftover("working folder", str(spare), run, "", partial(_remove, spare))
    for trial in _scan(folder):
        for attempt in _scan(trial):
            work = attempt / "work"
            if work.is_dir() and not work.is_symlink():
                yield Leftover("working folder", str(work), run, "", partial(_remove, work))


def _remove(folder: Path) -> None:
    try:
        remove_tree(str(folder))
    except OSError as error:
        raise MachineError(f"{folder} cannot be deleted: {error.strerror}.") from error


def _scan(folder: Path) -> list[Path]:
    try:
        return sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []


def _root(store: str) -> Path | None:
    return Path(unquote(urlsplit(store).path)) if store.startswith("file:") else None


def _local_folder(store: str, run: str) -> Path | None:
    root = _root(store)
    return root / RunKeys(run).root / "trials" if root is not None else None


__all__ = ["Kept", "Leftover", "Unreachable", "find"]
