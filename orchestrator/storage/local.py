"""The object store in a folder of this machine: one file an object, its path the key.

A key can therefore not be an object and a folder of objects at once (InvalidRequest).  What is written
survives the death of any process at any instant; after a power failure the newest objects may be missing,
since nothing is forced to disk.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from orchestrator.errors import InvalidRequest, NotFound, OrchestrateError, Unavailable
from orchestrator.storage import keys
from orchestrator.storage.base import ObjectInfo
from orchestrator.storage.files import PART, explain, write_atomically


class LocalStore:
    """Objects as files below ``root``, made when it is first written to.  Safe for threads and processes."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    @property
    def url(self) -> str:
        return self.root.as_uri()

    def path(self, key: str) -> Path:
        """The file that is, or would be, this object."""
        keys.check(key)
        if key.startswith(PART) or f"/{PART}" in key:
            raise InvalidRequest(
                f"{key!r} cannot be an object key here: names that begin with {PART!r} are kept "
                "for files that are being written."
            )
        return self.root / key

    def put(self, key: str, data: bytes | Path) -> None:
        target = self.path(key)

        def write(part: Path) -> None:
            if isinstance(data, Path):
                shutil.copyfile(data, part)
            else:
                part.write_bytes(data)

        if isinstance(data, Path) and not data.is_file():
            raise NotFound(f"There is no file {data} to store as {key!r}.")
        try:
            write_atomically(target, write)
        except OSError as error:
            raise self._explain_write(error, key, target) from error

    def get(self, key: str) -> bytes:
        path = self.path(key)
        try:
            return path.read_bytes()
        except OSError as error:
            raise self._explain_read(error, key, path) from error

    def fetch(self, key: str, target: Path) -> None:
        path = self.path(key)
        if not path.is_file():
            raise self._missing(key)
        try:
            write_atomically(target, lambda part: shutil.copyfile(path, part))
        except OSError as error:
            raise explain(error, "write", target) from error

    def read_range(self, key: str, offset: int, size: int) -> bytes:
        if offset < 0 or size < 0:
            raise InvalidRequest(f"A range of {key!r} cannot begin at {offset} with {size} bytes.")
        path = self.path(key)
        try:
            with path.open("rb") as file:
                file.seek(offset)
                return file.read(size)
        except OSError as error:
            raise self._explain_read(error, key, path) from error

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        prefix = keys.check_prefix(prefix)
        start = self.path(prefix) if prefix else self.root
        try:
            if start.is_file():
                status = start.stat()
                yield ObjectInfo(prefix, status.st_size, status.st_mtime)
            else:
                yield from _walk(str(start), f"{prefix}/" if prefix else "")
        except FileNotFoundError:
            return
        except OSError as error:
            raise explain(error, "list", start) from error

    def delete(self, key: str) -> None:
        path = self.path(key)
        try:
            path.unlink()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return
        except OSError as error:
            raise explain(error, "delete", path) from error
        self._drop_empty_folders(path.parent)

    def delete_prefix(self, prefix: str) -> None:
        prefix = keys.check_prefix(prefix)
        start = self.path(prefix) if prefix else self.root
        if start.is_file():
            self.delete(prefix)
            return
        for _ in range(5):  # someone who writes below it meanwhile can get in between the files and their folder
            try:
                shutil.rmtree(start)
                break
            except FileNotFoundError:
                if not start.exists():
                    break
            except NotADirectoryError:
                break
            except OSError as error:
                if error.errno != errno.ENOTEMPTY:
                    raise explain(error, "delete", start) from error
        else:
            raise Unavailable(f"Could not delete {start}: files are being written below it.")
        self._drop_empty_folders(start.parent)

    def exists(self, key: str) -> bool:
        return self.path(key).is_file()

    def grant(self, key: str, seconds: float, *, write: bool = False) -> str:
        """A ``file:`` URL; the rights of the file itself decide who can use it, and for how long."""
        return self.path(key).as_uri()

    def leftovers(self, older_than: float = 86_400.0) -> Iterator[Path]:
        """Half-written files older than so many seconds, which dead processes left."""
        limit = time.time() - older_than
        for folder, _, names in os.walk(self.root):
            for name in names:
                path = Path(folder, name)
                if name.startswith(PART) and path.lstat().st_mtime < limit:
                    yield path

    def remove_leftovers(self, older_than: float = 86_400.0) -> int:
        """Delete the :meth:`leftovers`; says how many there were."""
        removed = 0
        for path in self.leftovers(older_than):
            path.unlink(missing_ok=True)
            removed += 1
        return removed

    def _drop_empty_folders(self, folder: Path) -> None:
        while folder != self.root and folder.is_relative_to(self.root):
            try:
                folder.rmdir()
            except OSError:
                return  # not empty, or gone: either way there is nothing to tidy
            folder = folder.parent

    def _missing(self, key: str) -> NotFound:
        return NotFound(f"There is no object {key!r} in {self.url}.")

    def _explain_read(self, error: OSError, key: str, path: Path) -> OrchestrateError:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR):
            return self._missing(key)
        return explain(error, "read", path)

    def _explain_write(self, error: OSError, key: str, path: Path) -> OrchestrateError:
        if error.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR):
            return InvalidRequest(
                f"{key!r} cannot be written to {self.url}: a part of it is an object already, or objects lie below it."
            )
        return explain(error, "write", path)


def _walk(folder: str, prefix: str) -> Iterator[ObjectInfo]:
    try:
        with os.scandir(folder) as entries:
            found = [
                (f"{entry.name}/" if entry.is_dir() else entry.name, entry)
                for entry in entries
                if not entry.name.startswith(PART)
            ]
    except FileNotFoundError:
        return
    # With its slash a folder sorts where its keys do: "a-b" comes before "a/b".
    for name, entry in sorted(found, key=lambda pair: pair[0]):
        if name.endswith("/"):
            yield from _walk(entry.path, prefix + name)
        else:
            try:
                status = entry.stat()
            except FileNotFoundError:
                continue
            yield ObjectInfo(prefix + name, status.st_size, status.st_mtime)
