"""Objects of any store, brought to this machine once and kept while they are the same there.

Where an object came from, its size and when it was written say whether it is the same.  It is read in pieces, so that
whoever is told to stop need not wait for the rest of it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.errors import NotFound, OrchestrateError, Unavailable
from orchestrator.storage import keys
from orchestrator.storage.base import ObjectInfo, ObjectStore
from orchestrator.storage.bundle import SEALED_NS
from orchestrator.storage.files import explain, write_atomically
from orchestrator.storage.transfer import Parallel

PIECE = 16 << 20
"""Bytes of one call."""

_LOOK = 0.05  # seconds between two looks whether somebody else has brought it


class Stopped(OrchestrateError):
    """What was under way is not wanted any more."""


class Brought:
    """``cache`` holds the objects; ``root`` is the folder of links to them that programs are given."""

    def __init__(self, cache: Path, root: Path) -> None:
        self._cache, self._root = cache, root
        self._stop = threading.Event()
        self._parallel = Parallel()
        root.mkdir(parents=True, exist_ok=True)

    def stop(self) -> None:
        """Every call that is under way raises Stopped soon."""
        self._stop.set()

    def close(self) -> None:
        self.stop()
        self._parallel.close()

    def bring(self, store: ObjectStore, key: str) -> Path:
        """The object with this key, or the folder of all that lie below it.  Raises NotFound where there is neither."""
        objects = list(store.list(key))
        single = [info for info in objects if info.key == key]
        below = f"{key.rstrip('/')}/" if key else ""
        chosen = single or [info for info in objects if info.key.startswith(below)]
        if not chosen:
            raise NotFound(f"There is no object and no folder {store.url}/{key}.")
        paths = self._parallel.map(lambda info: self._object(store, info), chosen)
        names = ["" if single else info.key.removeprefix(below) for info in chosen]
        for name in names:
            if name:
                keys.check(name)
        links = dict(zip(names, paths, strict=True))
        listing = json.dumps([(name, path.name) for name, path in links.items()])
        place = self._root / hashlib.sha256(listing.encode()).hexdigest()
        try:
            self._linked(place, links)
        except OSError as error:
            raise explain(error, "write", place) from error
        return place

    def _object(self, store: ObjectStore, info: ObjectInfo) -> Path:
        known = json.dumps([store.url, info.key, info.size, info.modified])
        digest = hashlib.sha256(known.encode()).hexdigest()
        path = self._cache / digest[:2] / digest
        try:
            with self._locked(path):
                if not _intact(path, info.size):
                    write_atomically(path, lambda part: self._fetch(store, info, part))
        except OSError as error:
            raise explain(error, "write", path) from error
        return path

    def _fetch(self, store: ObjectStore, info: ObjectInfo, part: Path) -> None:
        with part.open("wb") as file:
            while file.tell() < info.size:
                if self._stop.is_set():
                    raise Stopped("It is not wanted any more.")
                piece = store.read_range(info.key, file.tell(), PIECE)
                if not piece:
                    break
                file.write(piece)
            written = file.tell()
        if written != info.size or next(iter(store.list(info.key)), None) != info:
            raise Unavailable(f"The object {store.url}/{info.key} changed while it was read.")
        part.chmod(0o444)
        os.utime(part, ns=(SEALED_NS, SEALED_NS))

    def _linked(self, place: Path, links: dict[str, Path]) -> None:
        with self._locked(place):
            if all(_intact(place / name, path.stat().st_size) for name, path in links.items()):
                return
            part = place.with_suffix(".part")
            for old in (part, place):
                if old.is_dir():
                    shutil.rmtree(old)
                else:
                    old.unlink(missing_ok=True)
            for name, path in links.items():
                target = part / name if name else part
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    os.link(path, target)
                except OSError as error:
                    if error.errno not in (errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOTSUP):
                        raise
                    shutil.copy2(path, target)
            part.rename(place)

    @contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        """Nobody else, in this process or another, makes this path meanwhile."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".lock").open("w") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if self._stop.wait(_LOOK):
                        raise Stopped("It is not wanted any more.") from None
            yield


def _intact(path: Path, size: int) -> bool:
    """Whether it is there and nothing has written to it: programs of root can, whatever its mode."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return (status.st_size, status.st_mtime_ns) == (size, SEALED_NS)
