"""NumPy's `.npz` files: the arrays in one, never unpickled, or one sentence where it cannot be read."""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .errors import BadInput


def read_npz(path: str | Path, needed: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays named, which must be there; without names, all that the file holds."""
    try:
        found = np.load(path)
        if not isinstance(found, np.lib.npyio.NpzFile):
            raise BadInput(f"{path}: holds one array, and an .npz file of several is needed")
        with found:
            # NumPy does not always read as far as an array's checksum.
            if found.zip.testzip() is not None:
                raise BadInput(f"{path}: is damaged: a checksum in it is wrong")
            missing = [name for name in needed or () if name not in found.files]
            if missing:
                raise BadInput(f"{path}: {', '.join(missing)} is not in it; there are {', '.join(found.files)}")
            arrays = {name: found[name] for name in needed or found.files}
            if not all(isinstance(array, np.ndarray) for array in arrays.values()):
                raise BadInput(f"{path}: holds files that are no arrays")
            return arrays
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        raise BadInput(f"{path}: cannot be read as an .npz file ({error})") from error
