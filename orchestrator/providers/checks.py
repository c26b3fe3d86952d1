"""What a check of this machine or of an account has found, for ``orchestrate doctor``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """``status`` is ok, warn or fail; ``remedy`` says what to do where it is not ok."""

    name: str
    status: str
    detail: str
    remedy: str = ""
