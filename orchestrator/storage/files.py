"""Files of this machine: atomic writing, hashing, and the meaning of an operating system's error."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from orchestrator.errors import (
    AuthenticationFailed,
    InvalidRequest,
    MachineError,
    NotFound,
    OrchestrateError,
    QuotaExceeded,
    Unavailable,
)

PART = ".~"
"""How the names of half-written files begin."""

_GONE = {errno.ENOENT, errno.ENOTDIR}
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_NEVER = {
    errno.ENAMETOOLONG,
    errno.EINVAL,
    errno.EISDIR,
    errno.EEXIST,
    errno.ELOOP,
    errno.EFBIG,
    errno.EILSEQ,
}
_PASSING = {
    errno.EAGAIN,
    errno.EINTR,
    errno.EMFILE,
    errno.ENFILE,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.ENOTEMPTY,
}


_TRIES = 50


def explain(error: OSError, action: str, path: Path | str) -> OrchestrateError:
    """Our error for the operating system's, told apart by its errno; ``action`` reads like "write"."""
    text = f"Could not {action} {path}: {os.strerror(error.errno) if error.errno else error}."
    if error.errno in _GONE:
        return NotFound(text)
    if error.errno in _FULL:
        return QuotaExceeded(
            text,
            remedy="Free space on that disk or raise the quota, or set ORCHESTRATE_HOME to a folder on another disk.",
        )
    if error.errno in _FORBIDDEN:
        return AuthenticationFailed(
            text, remedy="Give this user the right to it, or set ORCHESTRATE_HOME to a folder of your own."
        )
    if error.errno in _NEVER:
        return InvalidRequest(text)
    if error.errno in _PASSING:
        return Unavailable(text)
    return MachineError(text)


def part_name() -> str:
    """A fresh name for a half-written file."""
    return PART + secrets.token_hex(8)


def write_atomically(target: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` make a file beside ``target`` and move it there; make the folders above as needed.

    Raises OSError as the system does; no half-written file stays behind, unless the process dies.
    """
    part = target.with_name(part_name())
    try:
        for attempt in range(_TRIES):
            try:
                write(part)
                break
            except FileNotFoundError:
                if attempt == _TRIES - 1:
                    raise
            # The folder is not there yet, or someone who deleted its last file is taking it away, perhaps just
            # when mkdir had found it there.  Where a file is in its place, the next write says so.
            with suppress(FileNotFoundError, FileExistsError):
                target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(part, target)
    except BaseException:
        with suppress(FileNotFoundError, NotADirectoryError):
            part.unlink()
        raise


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
