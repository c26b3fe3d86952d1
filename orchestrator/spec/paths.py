"""Paths of a spec: relative to the spec's folder."""

from __future__ import annotations

import os
from pathlib import Path as Folder

from orchestrator.spec.template import names_in


def is_local(path: str) -> bool:
    """Whether a path of a spec is one on this machine and the same for every trial."""
    return "://" not in path and not names_in(path, shell=False)


def resolved(base: Folder, path: str) -> Folder:
    """The path on this machine; ``~`` is the home folder."""
    return base / os.path.expanduser(path)
