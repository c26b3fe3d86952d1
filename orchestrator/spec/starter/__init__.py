"""What `orchestrate init` writes: a commented spec and a training program that run as they are."""

from __future__ import annotations

import os
from pathlib import Path

FILES = ("sweep.yaml", "train.py")


def write_starter(folder: str | os.PathLike[str]) -> list[Path]:
    """Write the files into ``folder``, which is made where it is missing.

    Returns their paths.  Raises FileExistsError, and writes nothing, when one of them is there already; OSError
    when they cannot be written.
    """
    target = Path(folder)
    paths = [target / name for name in FILES]
    for path in paths:
        if os.path.lexists(path):
            raise FileExistsError(f"{path} exists already")
    target.mkdir(parents=True, exist_ok=True)
    for path in paths:
        with open(path, "x", encoding="utf-8") as file:
            file.write((Path(__file__).parent / path.name).read_text(encoding="utf-8"))
    return paths
