"""Whether files are as they were, told from their names, sizes and times alone: no content is read."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TypedDict

# Looking at more files would keep a run waiting.
MOST = 100_000


class Seen(TypedDict):
    """``digest`` is of every file's path, size and time of its last change; ``bytes`` all sizes together."""

    files: int
    bytes: int
    digest: str


def seen(path: Path) -> Seen | None:
    """A file or a folder as it is now; None where it cannot be looked at or holds too much."""
    digest, files, size = hashlib.sha256(), 0, 0
    try:
        for name in [path] if path.is_file() else _below(path):
            status = name.stat()
            files, size = files + 1, size + status.st_size
            if files > MOST:
                return None
            digest.update(
                f"{name.relative_to(path)}\0{status.st_size}\0{status.st_mtime_ns}\0".encode(errors="replace")
            )
    except OSError:
        return None
    return Seen(files=files, bytes=size, digest=digest.hexdigest()) if files else None


def _below(folder: Path) -> list[Path]:
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders.sort()
        found += [Path(place, name) for name in sorted(names)]
        if len(found) > MOST + 1:
            break
    return found
