"""Input files and folders: each file is stored once, by its content, and a manifest lists a tree of them.

The manifest is a blob too: JSON ``{"version": 1, "files": [{"path", "sha256", "size", "mode"}]}``, sorted
by path. ``path`` has ``/`` between its parts; where one file alone was given it is ``"."``.  ``mode`` is
493 (0755) for a file that its owner may run and 420 (0644) for any other.  It is written last: where it
exists, so do its files.

Unlike code, inputs are taken as they are, whole: the user named them.  Links are followed wherever they lead.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import re
import shutil
import stat
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import InvalidRequest, UsageError
from orchestrator.storage import keys
from orchestrator.storage.base import ObjectStore
from orchestrator.storage.bundle import SEALED_NS
from orchestrator.storage.files import explain, sha256
from orchestrator.storage.hashes import HashCache
from orchestrator.storage.layout import BLOBS, blob_key
from orchestrator.storage.local import LocalStore
from orchestrator.storage.transfer import Parallel

THREADS = 16
"""Transfers at a time: enough to hide a cloud store's answer times behind one another."""

ITSELF = "."

_WORTH_LISTING = 10
_LISTED_A_FILE = 50
_LAST = f"{BLOBS}0"  # comes after all that lies below the folder, for "0" comes after "/"

_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class InputFile:
    path: str
    sha256: str
    size: int
    executable: bool


@dataclass(frozen=True, slots=True)
class Manifest:
    """A tree of files, or one file (whose path is ``"."``)."""

    files: tuple[InputFile, ...]

    def to_json(self) -> bytes:
        """Always the same bytes for the same tree."""
        files = [
            {"path": f.path, "sha256": f.sha256, "size": f.size, "mode": 0o755 if f.executable else 0o644}
            for f in self.files
        ]
        return json.dumps({"version": 1, "files": files}, separators=(",", ":"), sort_keys=True).encode()

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.to_json()).hexdigest()

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True)
class Stored:
    """An input in the store: its manifest's key, and how many bytes had to be sent (0: all was there)."""

    key: str
    manifest: Manifest
    bytes_sent: int


@dataclass(frozen=True, slots=True)
class Selection:
    """Some of a folder's files: those whose whole path below it matches ``path``.

    Entries of the folder whose names do not begin with ``start`` are not even looked at.
    """

    start: str
    path: re.Pattern[str]


EVERYTHING = Selection("", re.compile(".+", re.DOTALL))


def upload(
    store: ObjectStore,
    source: Path,
    *,
    only: Selection = EVERYTHING,
    hashes: HashCache | None = None,
    threads: int = THREADS,
) -> Stored:
    """Store a file or a folder with all that is in it and in ``only``, as far as the store lacks it.

    Repeating an upload that was interrupted sends only what is missing.  Raises UsageError where ``source``
    does not exist, cannot be read, or changes meanwhile.
    """
    files = _files(source, only)
    known = hashes.known((path, status) for _, path, status in files) if hashes else {}
    if len(known) == len({path for _, path, _ in files}):
        manifest = _manifest(files, known)
        if store.exists(blob_key(manifest.digest)):
            return Stored(blob_key(manifest.digest), manifest, 0)
    sending = _Sending(store, files, known)
    # Each file is sent as soon as it is hashed: the network need not wait for the disk, nor one file for the others.
    sent = sum(Parallel(threads).map(sending.send, files))
    if hashes:
        hashes.remember({path: (status, sending.digests[path]) for _, path, status in files if path not in known})
    manifest = _manifest(files, sending.digests)
    document, key = manifest.to_json(), blob_key(manifest.digest)
    if sent == 0 and store.exists(key):
        return Stored(key, manifest, 0)
    store.put(key, document)
    return Stored(key, manifest, sent + len(document))


_Files = list[tuple[str, Path, os.stat_result]]


def _manifest(files: _Files, digests: Mapping[Path, str]) -> Manifest:
    return Manifest(
        tuple(
            InputFile(name, digests[path], status.st_size, bool(status.st_mode & 0o100)) for name, path, status in files
        )
    )


class _Sending:
    """An upload of files under way.  ``digests`` grows with each that is done."""

    def __init__(self, store: ObjectStore, files: _Files, known: Mapping[Path, str]) -> None:
        self._store = store
        self._present = _Present(store, len(files))
        self._lock = threading.Lock()
        self._taken: set[str] = set()
        self.digests = dict(known)

    def send(self, file: tuple[str, Path, os.stat_result]) -> int:
        """Hash a file and store it where it is missing; how many bytes that took."""
        _, path, status = file
        digest = self.digests.get(path) or _digest(path)
        blob = blob_key(digest)
        with self._lock:
            self.digests[path] = digest
            if blob in self._taken:
                return 0  # another file with the same content sees to it
            self._taken.add(blob)
        missing = not self._present.has(blob)
        if missing:
            self._store.put(blob, path)
        now = path.stat()
        if (now.st_size, now.st_mtime_ns) != (status.st_size, status.st_mtime_ns):
            if missing:
                self._store.delete(blob)
            raise UsageError(f"The input file {path} changed while it was uploaded.", remedy="Run again.")
        return status.st_size if missing else 0


class _Present:
    """Which blobs a store has.

    Asking for many files one by one takes a call each; a listing tells a thousand in one.  So the store's first
    blobs are listed, some for each file, and only what comes after the last of them is asked for by itself.
    """

    def __init__(self, store: ObjectStore, files: int) -> None:
        self._store = store
        self._listed: set[str] = set()
        self._up_to = ""
        if files < _WORTH_LISTING or isinstance(store, LocalStore):
            return
        blobs = store.list(BLOBS)
        self._listed.update(info.key for info in itertools.islice(blobs, files * _LISTED_A_FILE))
        self._up_to = max(self._listed, default="") if next(blobs, None) else _LAST

    def has(self, blob: str) -> bool:
        return blob in self._listed if blob <= self._up_to else self._store.exists(blob)


def load(store: ObjectStore, key: str) -> Manifest:
    """The manifest under a key.  Raises NotFound, and InvalidRequest where the object is no manifest."""
    data = store.get(key)
    try:
        document = json.loads(data)
        if document["version"] != 1:
            raise ValueError(f"version {document['version']!r}")
        files = tuple(
            InputFile(str(f["path"]), str(f["sha256"]), int(f["size"]), bool(int(f["mode"]) & 0o100))
            for f in document["files"]
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidRequest(f"The object {key} in {store.url} is no list of input files ({error}).") from error
    for file in files:
        if file.path != ITSELF or len(files) != 1:
            keys.check(file.path)
        if not _DIGEST.fullmatch(file.sha256):
            raise InvalidRequest(f"The object {key} in {store.url} names {file.sha256[:100]!r} as a digest.")
    return Manifest(files)


def materialise(store: ObjectStore, manifest: Manifest, target: Path, *, threads: int = THREADS) -> None:
    """Put the files of a manifest below ``target`` (or at it, where it lists one file alone).

    From a local store files are linked, read-only, not copied; programs of root can write to them
    nevertheless, which is found out at the next use: InvalidRequest, and the next upload of the input
    stores it anew.
    """

    def place(file: InputFile) -> None:
        path = target if file.path == ITSELF else target / file.path
        if isinstance(store, LocalStore):
            _link(store, manifest, file, path)
            return
        store.fetch(blob_key(file.sha256), path)
        if sha256(path) != file.sha256:
            path.unlink()
            raise _damaged(store, file)
        path.chmod(0o755 if file.executable else 0o644)

    try:
        if not manifest.files:
            target.mkdir(parents=True, exist_ok=True)
        Parallel(threads).map(place, manifest.files)
    except OSError as error:
        raise explain(error, "write", error.filename2 or error.filename or target) from error


def _link(store: LocalStore, manifest: Manifest, file: InputFile, target: Path) -> None:
    key = blob_key(file.sha256)
    blob = store.path(key)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    if file.executable:  # one file has one mode under all its names
        store.fetch(key, target)
        target.chmod(0o755)
        return
    try:
        if blob.stat().st_mtime_ns != SEALED_NS:
            if sha256(blob) != file.sha256:
                store.delete(key)
                store.delete(blob_key(manifest.digest))
                raise _damaged(store, file)
            blob.chmod(0o444)
            os.utime(blob, ns=(SEALED_NS, SEALED_NS))
        os.link(blob, target)
    except FileNotFoundError:
        store.fetch(key, target)  # says what is missing
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOTSUP):
            raise
        shutil.copyfile(blob, target)


def _damaged(store: ObjectStore, file: InputFile) -> InvalidRequest:
    return InvalidRequest(
        f"The input {file.path} in {store.url} is not what was stored: something wrote to it.",
        remedy="Run again, so that it is uploaded anew, and let no program write to its inputs.",
    )


def _files(source: Path, only: Selection = EVERYTHING) -> list[tuple[str, Path, os.stat_result]]:
    """Path in the tree, path on this machine and status of every file, in order of the first."""
    try:
        status = source.stat()
        if not stat.S_ISDIR(status.st_mode):
            _regular(source, status)
            return [(ITSELF, source.absolute(), status)]
        found: list[tuple[str, Path, os.stat_result]] = []
        _walk(source.absolute(), "", [Path(os.path.realpath(source))], found, only)
    except OSError as error:
        where = error.filename or source
        raise UsageError(
            f"The input {where} cannot be read: {os.strerror(error.errno or 0)}.",
            remedy="Correct workload.inputs in the spec.",
        ) from error
    return sorted(found, key=lambda item: item[0])


def _walk(
    folder: Path, prefix: str, within: list[Path], found: list[tuple[str, Path, os.stat_result]], only: Selection
) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            name = prefix + entry.name
            if not prefix and not name.startswith(only.start):
                continue
            chosen = only.path.fullmatch(name) is not None
            if not chosen and not entry.is_dir():
                continue
            path = Path(entry.path)
            status = path.stat()
            keys.check(name)
            if stat.S_ISDIR(status.st_mode):
                real = Path(os.path.realpath(path))
                if real in within:
                    raise UsageError(f"The link {path} in an input points to a folder that holds it.")
                _walk(path, f"{name}/", [*within, real], found, only)
            else:
                _regular(path, status)
                found.append((name, path, status))


def _regular(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"The input {path} is neither a file nor a folder.")


def _digest(path: Path) -> str:
    try:
        return sha256(path)
    except OSError as error:
        raise UsageError(f"The input file {path} cannot be read: {os.strerror(error.errno or 0)}.") from error
