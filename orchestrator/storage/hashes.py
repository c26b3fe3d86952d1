"""A memory of files' digests, so that large inputs which did not change are not read for every run."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

from orchestrator.errors import MachineError
from orchestrator.storage.files import explain

_SETTLED_NS = 2 * 10**9
"""A file that changed less than this long ago may do so again within one tick of the file system's clock."""

_TABLE = """CREATE TABLE IF NOT EXISTS hashes(
    path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER, inode INTEGER, sha256 TEXT
) WITHOUT ROWID"""
_LOOK_UP = "SELECT sha256 FROM hashes WHERE (path, size, mtime_ns, ctime_ns, inode) = (?, ?, ?, ?, ?)"


class HashCache:
    """The file ``path`` is a cache: it may be deleted at any time, and one that is damaged is made anew."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def known(self, files: Iterable[tuple[Path, os.stat_result]]) -> dict[Path, str]:
        """The digests of those files that have not changed since they were remembered."""
        if not self.path.exists():
            return {}
        found: dict[Path, str] = {}
        try:
            with closing(self._connect()) as database:
                for path, status in files:
                    row = database.execute(_LOOK_UP, (os.fsencode(path), *_identity(status))).fetchone()
                    if row:
                        found[path] = row[0]
        except sqlite3.DatabaseError:
            self.path.unlink(missing_ok=True)
            return {}
        return found

    def remember(self, digests: Mapping[Path, tuple[os.stat_result, str]]) -> None:
        """Keep digests; each status is from before its file was read."""
        limit = time.time_ns() - _SETTLED_NS
        rows = [
            (os.fsencode(path), *_identity(status), digest)
            for path, (status, digest) in digests.items()
            if max(status.st_mtime_ns, status.st_ctime_ns) < limit
        ]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._connect()) as database, database:
                database.executemany("INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?, ?, ?)", rows)
        except OSError as error:
            raise explain(error, "write", self.path) from error
        except sqlite3.Error as error:
            raise MachineError(f"Could not write {self.path}: {error}.", remedy="Delete that file.") from error

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.path, timeout=10)
        database.execute(_TABLE)
        return database


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
