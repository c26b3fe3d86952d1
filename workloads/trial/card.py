"""`model.json`: the card beside a saved model, which says what it was trained on and what it reached."""

import hashlib
import json
import platform
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np


def hash_arrays(*arrays: np.ndarray) -> str:
    """SHA-256 over the arrays' types, shapes and bytes: equal for equal data only."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def hash_file(path: str | Path) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_card(
    folder: str | Path,
    *,
    data: str,
    settings: Mapping[str, object],
    metrics: Mapping[str, float],
    packages: Iterable[str],
    **more: object,
) -> None:
    """Write `model.json` into `folder`: the data's hash, the settings, the metrics and the versions.

    `packages` are names that were imported, such as "tensorflow", whatever the wheel that brought them is called.
    """
    card = {
        "data_sha256": data,
        "settings": dict(settings),
        "metrics": {name: float(value) for name, value in metrics.items()},
        "versions": {"python": platform.python_version(), **{name: sys.modules[name].__version__ for name in packages}},
        **more,
    }
    Path(folder).mkdir(exist_ok=True)
    (Path(folder) / "model.json").write_text(json.dumps(card, indent=2) + "\n")
