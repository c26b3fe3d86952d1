"""Ids as the service takes them: letters, digits, hyphens, underscores; unique without regard to case."""

from __future__ import annotations

import re

from .errors import invalid_property

MAX_LENGTH = 64
_ID = re.compile(r"[A-Za-z0-9_-]+")


def check_id(name: str, value: str) -> None:
    """Refuse what is no id.

    Raises:
        BatchFault: InvalidPropertyValue.
    """
    if not value or len(value) > MAX_LENGTH or not _ID.fullmatch(value):
        raise invalid_property(name, value, f"must be 1 to {MAX_LENGTH} letters, digits, hyphens and underscores")
