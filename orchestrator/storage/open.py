"""From a URL to its object store.  A cloud's SDK is imported only when its scheme is asked for."""

from __future__ import annotations

import difflib
from pathlib import Path
from urllib.parse import unquote, urlsplit

from orchestrator.errors import InvalidRequest
from orchestrator.storage.base import ObjectStore
from orchestrator.storage.layout import Home
from orchestrator.storage.local import LocalStore

SCHEMES = ("file", "s3", "az")


def open_store(url: str | None, home: Home) -> ObjectStore:
    """The store at ``file:///folder``, ``s3://bucket/prefix`` or ``az://account/container/prefix``.

    None means the one in ``home``.  Raises InvalidRequest for a URL that names no store; nothing is
    contacted yet.
    """
    if url is None:
        return LocalStore(home.store)
    parts = urlsplit(url)
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise InvalidRequest(
                f"{url!r} is no store: a file URL names an absolute folder of this machine.",
                remedy="Write it as file:///folder, with three slashes.",
            )
        return LocalStore(Path(unquote(parts.path)))
    if not parts.scheme:
        raise InvalidRequest(
            f"{url!r} is no store: it has no scheme.",
            remedy=f"For a folder write {Path(url).absolute().as_uri()}.",
        )
    near = difflib.get_close_matches(parts.scheme, SCHEMES, 1, 0.6)
    raise InvalidRequest(
        f"{url!r} is no store: the scheme {parts.scheme!r} is not known.",
        remedy=f"Did you mean {near[0]}://?" if near else f"Known are {', '.join(SCHEMES)}.",
    )
