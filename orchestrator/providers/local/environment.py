"""The environment that the trials of this machine start from."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path


def inherited(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Ours, in which ``python`` is the Python of the virtual environment that orchestrator is installed in.

    So a command ``python train.py`` finds the packages that were installed beside orchestrator, whether or not the
    environment has been activated.
    """
    if sys.prefix == sys.base_prefix:
        return dict(environ)
    own = str(Path(sys.executable).parent)
    path = environ.get("PATH", os.defpath).split(os.pathsep)
    return {**environ, "PATH": os.pathsep.join([own, *(entry for entry in path if entry != own)])}
