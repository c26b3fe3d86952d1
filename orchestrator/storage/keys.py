"""What a key may look like.  Every store asks here before it touches anything."""

from __future__ import annotations

from orchestrator.errors import InvalidRequest

LONGEST = 1024
"""Bytes of UTF-8 in a key; S3's limit (Azure Blob: 1,024 characters)."""


def check(key: str) -> str:
    """The key itself.  InvalidRequest for one that some store could not keep or that would leave its root."""
    wrong = _fault(key)
    if wrong:
        raise InvalidRequest(
            f"{key[:200]!r} cannot be an object key: {wrong}.",
            remedy="Use relative names with '/' between their parts.",
        )
    return key


def check_prefix(prefix: str) -> str:
    """Like :func:`check`, and empty for the whole store.  One trailing slash is fine and is dropped."""
    return check(prefix.removesuffix("/")) if prefix else ""


def _fault(key: str) -> str:
    if not key:
        return "it is empty"
    if "\0" in key:
        return "it holds a NUL character"
    if key.startswith("/"):
        return "it starts with a slash"
    if any(part in ("", ".", "..") for part in key.split("/")):
        return "a part of it is empty, '.' or '..'"
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return "it cannot be written in UTF-8"
    return f"it is longer than {LONGEST} bytes" if size > LONGEST else ""
