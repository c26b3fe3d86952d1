"""One trial for each file of a folder, on this machine or in an object store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from orchestrator.errors import UsageError
from orchestrator.search.rows import Row, rows_search
from orchestrator.search.setting import Listing, Setting
from orchestrator.search.static import StaticSearch
from orchestrator.spec.model import Spec
from orchestrator.spec.paths import is_local, resolved
from orchestrator.spec.search_options import FILE_NAMES


def files(spec: Spec, setting: Setting) -> StaticSearch:
    folder, match = spec.search.folder, spec.search.match
    if folder is None:
        raise UsageError("search.folder: is missing.", remedy="Add folder: ./data.")

    if is_local(folder):
        top = resolved(setting.base, folder)
        if not top.is_dir():
            raise UsageError(f"search.folder: {folder} is no folder.")

        def begin() -> Iterator[Row]:
            return (_row(f"file://{quote(str(top.absolute() / path))}", path) for path in _below(top, match))

        count: int | None = sum(1 for _ in _below(top, match))
    else:
        if setting.listing is None:
            raise UsageError(f"search.folder: {folder} cannot be listed here.", remedy="Give a folder of this machine.")
        listing: Listing = setting.listing

        def begin() -> Iterator[Row]:
            paths = (path for path in listing(folder) if _wanted(path, match))
            return (_row(f"{folder.rstrip('/')}/{path}", path) for path in paths)

        count = None if next(begin(), None) is not None else 0
    if count == 0:
        raise UsageError(f"search.folder: no file below {folder} matches '{match}'.")
    return rows_search(spec, FILE_NAMES, begin, count)


def _row(url: str, path: str) -> Row:
    pure = PurePosixPath(path)
    return dict(zip(FILE_NAMES, (url, path, pure.name, pure.stem), strict=True))


def _wanted(path: str, match: str) -> bool:
    return not any(part.startswith(".") for part in path.split("/")) and fnmatchcase(path, match)


def _below(folder: Path, match: str, prefix: str = "") -> Iterator[str]:
    """The paths of all files, in the order in which an object store lists them.  Hidden files are left out.

    One folder's names at a time are in memory.  Links to folders are not followed: they may lead in circles.
    """
    with os.scandir(folder) as entries:
        # A store compares whole keys: the folder "a" sorts as "a/", after "a.txt".
        found = sorted(
            entry.name + "/" if entry.is_dir(follow_symlinks=False) else entry.name
            for entry in entries
            if not entry.name.startswith(".") and (entry.is_dir(follow_symlinks=False) or entry.is_file())
        )
    for name in found:
        path = prefix + name
        if not path.isprintable():
            raise UsageError(f"search.folder: the file name {path!r} cannot be given to a program as text.")
        if name.endswith("/"):
            yield from _below(folder / name, match, path)
        elif _wanted(path, match):
            yield path
