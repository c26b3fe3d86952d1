"""The user's code as one object: what belongs to it, its digest, its upload, and its folder where it runs.

A bundle is a plain tar file of regular files alone, sorted by name, without times and owners, so that the
same code gives the same bytes on every machine.  Its digest is the SHA-256 of those bytes: ``sha256sum``
checks it. A link inside the tree becomes what it points to.  Folders without files are left out, as git
does.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from orchestrator.errors import InvalidRequest, NotFound, UsageError
from orchestrator.storage import keys
from orchestrator.storage.base import ObjectStore
from orchestrator.storage.files import PART, explain, part_name
from orchestrator.storage.layout import bundle_key
from orchestrator.storage.local import LocalStore
from orchestrator.storage.tree import Found, walk

WARN_ABOVE = 100 * 10**6
"""Bytes of code above which :func:`scan` warns: more is mostly data that strayed into the folder."""

SEALED_NS = 315_532_800 * 10**9
"""The time of last change that every unpacked file gets: 1 January 1980, the oldest that zip files can hold.

A file that says something else was written to after it was unpacked.
"""

_CHUNK = 1 << 20
_IN_MEMORY = 16 << 20
_ABANDONED = 86_400.0


@dataclass(frozen=True, slots=True)
class File:
    """One file of a bundle: its path with ``/`` between the parts, size in bytes and hexadecimal SHA-256."""

    path: str
    size: int
    executable: bool
    sha256: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """The code in ``root`` as it was when it was scanned.  ``size`` is the sum of its files' bytes."""

    root: Path
    digest: str
    files: tuple[File, ...]
    size: int
    warnings: tuple[str, ...]

    @property
    def key(self) -> str:
        return bundle_key(self.digest)


@dataclass(frozen=True, slots=True)
class Uploaded:
    """Where something lies in the store, and how many bytes had to be sent (0: it was there)."""

    key: str
    bytes_sent: int


def scan(folder: Path, *, warn_above: int = WARN_ABOVE) -> Bundle:
    """Everything in ``folder`` that its ignore files do not leave out (see :mod:`orchestrator.storage.tree`).

    Raises UsageError for a folder that is none, for links that leave it and for files that cannot be read.
    """
    tree = walk(folder)
    files: list[File] = []
    whole = hashlib.sha256()
    for found in tree.files:
        own = hashlib.sha256()
        header, chunks = _member(found)
        whole.update(header)
        for chunk in chunks:
            own.update(chunk)
            whole.update(chunk)
        whole.update(_padding(found.size))
        files.append(File(found.path, found.size, found.executable, own.hexdigest()))
    whole.update(_END)
    size = sum(file.size for file in files)
    warnings = list(tree.warnings)
    if not files:
        warnings.append(f"The code folder {folder} holds no files, or its ignore files leave all of them out.")
    if size > warn_above:
        largest = sorted(files, key=lambda file: -file.size)[:3]
        warnings.append(
            f"The code folder {folder} holds {_megabytes(size)}; the largest are "
            + ", ".join(f"{file.path} ({_megabytes(file.size)})" for file in largest)
            + ". Name what the trials do not need in .orchestrateignore, and data under workload.inputs."
        )
    return Bundle(tree.root, whole.hexdigest(), tuple(files), size, tuple(warnings))


def upload(store: ObjectStore, bundle: Bundle) -> Uploaded:
    """Store the bundle, unless it is there.  Raises UsageError where its files changed since the scan."""
    if store.exists(bundle.key):
        return Uploaded(bundle.key, 0)
    if bundle.size + 2048 * len(bundle.files) <= _IN_MEMORY:
        data = b"".join(_packed(bundle))
        store.put(bundle.key, data)
        return Uploaded(bundle.key, len(data))
    with tempfile.TemporaryDirectory(prefix="orchestrate-") as folder:
        path = Path(folder, "bundle.tar")
        try:
            with path.open("wb") as file:
                file.writelines(_packed(bundle))
        except OSError as error:
            raise explain(error, "write", path) from error
        store.put(bundle.key, path)
        return Uploaded(bundle.key, path.stat().st_size)


def unpack(store: ObjectStore, digest: str, code_root: Path) -> Path:
    """The folder ``code_root/digest`` with the bundle's files, made at once or there already.

    Its files are read-only and all carry :data:`SEALED_NS`, so that trials can share them through hard links.
    A folder whose files were written to or are missing is made anew; what links to the old files keeps them.
    Several processes may do this at the same time.  Raises NotFound where the store has no such bundle, and
    InvalidRequest for one whose bytes are not those of the digest or that would write outside its folder.
    """
    folder = code_root / digest
    if folder.is_dir():
        if _sealed(folder):
            return folder
        return rebuild(store, digest, code_root)
    try:
        code_root.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(code_root)
        fresh = code_root / part_name()
        fresh.mkdir()
        try:
            _extract(store, digest, fresh)
            _move_into_place(fresh, folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    except OSError as error:
        raise explain(error, "unpack code into", code_root) from error
    return folder


def rebuild(store: ObjectStore, digest: str, code_root: Path) -> Path:
    """Make ``code_root/digest`` anew from the store, whatever it holds now."""
    aside = code_root / part_name()
    try:
        (code_root / digest).rename(aside)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise explain(error, "replace", code_root / digest) from error
    try:
        return unpack(store, digest, code_root)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def index(folder: Path) -> dict[str, tuple[int, int]]:
    """Size in bytes and time of last change in nanoseconds of each file below a folder, by its path."""
    found: dict[str, tuple[int, int]] = {}
    pending = [""]
    while pending:
        prefix = pending.pop()
        with os.scandir(folder / prefix) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(f"{prefix}{entry.name}/")
                else:
                    status = entry.stat(follow_symlinks=False)
                    found[prefix + entry.name] = (status.st_size, status.st_mtime_ns)
    return found


def verify(folder: Path) -> bool:
    """Whether an unpacked folder still holds exactly the bytes of the digest that it is named after."""
    whole = hashlib.sha256()
    for path in sorted(index(folder)):
        file = folder / path
        status = file.lstat()
        if not file.is_file() or file.is_symlink():
            return False
        header, chunks = _member(Found(path, file, status.st_size, bool(status.st_mode & 0o100)))
        whole.update(header)
        for chunk in chunks:
            whole.update(chunk)
        whole.update(_padding(status.st_size))
    whole.update(_END)
    return whole.hexdigest() == folder.name


_END = bytes(2 * tarfile.BLOCKSIZE)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def _member(found: Found) -> tuple[bytes, Iterator[bytes]]:
    info = tarfile.TarInfo(found.path)
    info.size = found.size
    info.mode = 0o755 if found.executable else 0o644
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict"), _read(found)


def _read(found: Found) -> Iterator[bytes]:
    left = found.size
    try:
        with found.source.open("rb", buffering=0) as file:
            while chunk := file.read(_CHUNK):
                left -= len(chunk)
                if left < 0:
                    break
                yield chunk
    except OSError as error:
        raise UsageError(
            f"The file {found.source} of the code folder cannot be read: {os.strerror(error.errno or 0)}.",
            remedy="Make it readable, or name it in .orchestrateignore.",
        ) from error
    if left:
        raise _changed(found.source)


def _changed(source: Path) -> UsageError:
    return UsageError(
        f"The file {source} changed while the code was being read.",
        remedy="Run again when it is at rest, or name it in .orchestrateignore.",
    )


def _packed(bundle: Bundle) -> Iterator[bytes]:
    for file in bundle.files:
        source = bundle.root / file.path
        own = hashlib.sha256()
        header, chunks = _member(Found(file.path, source, file.size, file.executable))
        yield header
        for chunk in chunks:
            own.update(chunk)
            yield chunk
        if own.hexdigest() != file.sha256:
            raise _changed(source)
        yield _padding(file.size)
    yield _END


class _Hashing:
    """A file that is read once, from its start to its end, and hashed on the way."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._hash.update(data)
        return data

    def finish(self) -> str:
        while self.read(_CHUNK):
            pass
        return self._hash.hexdigest()


def _extract(store: ObjectStore, digest: str, folder: Path) -> None:
    key = bundle_key(digest)
    if isinstance(store, LocalStore):
        path = store.path(key)
    else:
        path = folder.with_name(folder.name + ".tar")
        store.fetch(key, path)
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise NotFound(f"There is no code bundle {digest} in {store.url}.") from error
    try:
        with file:
            hashing = _Hashing(file)
            try:
                _extract_members(hashing, folder)
            except (tarfile.TarError, EOFError) as error:
                raise _broken(store, digest, "it is no tar file") from error
            except _Unsafe as error:
                raise _broken(store, digest, str(error)) from error
            if hashing.finish() != digest:
                raise _broken(store, digest, "its bytes are not those of its digest")
    finally:
        if not isinstance(store, LocalStore):
            path.unlink(missing_ok=True)


def _broken(store: ObjectStore, digest: str, why: str) -> InvalidRequest:
    return InvalidRequest(
        f"The code bundle {bundle_key(digest)} in {store.url} cannot be used: {why}.",
        remedy="Delete that object and run again, so that the code is uploaded anew.",
    )


class _Unsafe(Exception):
    """A member that no bundle of ours holds."""


def _extract_members(source: Any, folder: Path) -> None:
    made = {folder}
    with tarfile.open(fileobj=source, mode="r|", bufsize=_CHUNK, encoding="utf-8", errors="strict") as archive:
        for member in archive:
            try:
                keys.check(member.name)
            except InvalidRequest as error:
                raise _Unsafe(f"it holds the name {member.name[:200]!r}") from error
            content = archive.extractfile(member) if member.type == tarfile.REGTYPE else None
            if content is None or member.sparse is not None:
                raise _Unsafe(f"{member.name[:200]!r} in it is not a regular file")
            target = folder / member.name
            if target.parent not in made:
                target.parent.mkdir(parents=True, exist_ok=True)
                made.add(target.parent)
            # Nothing but folders and regular files has been made below this new folder: no name leads out
            # of it.
            with content, open(target, "xb", buffering=0) as file:
                shutil.copyfileobj(content, file, _CHUNK)
                os.fchmod(file.fileno(), 0o555 if member.mode & 0o100 else 0o444)
                os.utime(file.fileno(), ns=(SEALED_NS, SEALED_NS))


def _move_into_place(fresh: Path, folder: Path) -> None:
    names = sorted(index(fresh))
    listing = _listing(folder)
    part = listing.with_name(part_name())
    part.write_text("".join(f"{name}\0" for name in names), encoding="utf-8")
    part.replace(listing)
    try:
        fresh.rename(folder)
    except OSError:
        if not folder.is_dir():  # else someone was faster, with the same bytes
            raise


def _listing(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.files")


def _sealed(folder: Path) -> bool:
    try:
        names = _listing(folder).read_text(encoding="utf-8").split("\0")[:-1]
    except FileNotFoundError:
        return verify(folder)
    found = index(folder)
    return sorted(found) == names and all(changed == SEALED_NS for _, changed in found.values())


def _remove_abandoned(code_root: Path) -> None:
    limit = time.time() - _ABANDONED
    for path in code_root.glob(f"{PART}*"):
        try:
            if path.stat().st_mtime < limit:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        except FileNotFoundError:
            continue  # another process tidies as well


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB" if size >= 10**7 else f"{size / 1e6:.1f} MB"
