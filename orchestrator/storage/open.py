"""From a URL to its object store.  A cloud's SDK is imported only when its scheme is asked for."""

from __future__ import annotations

import difflib
from pathlib import Path
from urllib.parse import unquote, urlsplit

from orchestrator.errors import InvalidRequest, MachineError, UsageError
from orchestrator.storage.base import ObjectStore
from orchestrator.storage.layout import Home
from orchestrator.storage.local import LocalStore

SCHEMES = ("file", "s3", "az")


def open_store(url: str | None, home: Home) -> ObjectStore:
    """The store at ``file:///folder``, ``s3://bucket/prefix`` or ``az://account/container/prefix``.

    None means the one in ``home``.  Raises UsageError for a URL that names no store; nothing is
    contacted yet.
    """
    if url is None:
        return LocalStore(home.store)
    parts = urlsplit(url)
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise UsageError(
                f"{url!r} is no store: a file URL names an absolute folder of this machine.",
                remedy="Write it as file:///folder, with three slashes.",
            )
        return LocalStore(Path(unquote(parts.path)))
    try:
        if parts.scheme == "s3":
            return _open_s3(parts.netloc, unquote(parts.path).strip("/"))
        if parts.scheme == "az":
            return _open_blob(parts.netloc, unquote(parts.path).strip("/"), home)
    except InvalidRequest as error:  # a prefix that no key can have
        raise UsageError(f"{url!r} is no store: {error.message}", remedy=error.remedy) from error
    if not parts.scheme:
        raise UsageError(
            f"{url!r} is no store: it has no scheme.",
            remedy=f"For a folder write {Path(url).absolute().as_uri()}.",
        )
    near = difflib.get_close_matches(parts.scheme, SCHEMES, 1, 0.6)
    raise UsageError(
        f"{url!r} is no store: the scheme {parts.scheme!r} is not known.",
        remedy=f"Did you mean {near[0]}://?" if near else f"Known are {', '.join(SCHEMES)}.",
    )


def _open_s3(bucket: str, prefix: str) -> ObjectStore:
    if not bucket:
        raise UsageError("An S3 store needs a bucket.", remedy="Write it as s3://bucket/prefix.")
    try:
        from orchestrator.storage.s3 import S3Store
    except ModuleNotFoundError as error:
        raise _not_installed(error, "aws") from error
    return S3Store(bucket, prefix)


def _open_blob(account: str, path: str, home: Home) -> ObjectStore:
    container, _, prefix = path.partition("/")
    if not account or not container:
        raise UsageError(
            "An Azure store needs an account and a container.", remedy="Write it as az://account/container/prefix."
        )
    try:
        from orchestrator.storage import profile
        from orchestrator.storage.blob import Account, BlobStore
    except ModuleNotFoundError as error:
        raise _not_installed(error, "azure") from error
    return BlobStore(Account.from_environment(account, profile.azure(home)), container, prefix)


def _not_installed(error: ModuleNotFoundError, extra: str) -> MachineError:
    return MachineError(
        f"This store needs the package {error.name}, which is not installed.",
        remedy=f"Install it with: pip install 'orchestrator[{extra}]'",
    )
