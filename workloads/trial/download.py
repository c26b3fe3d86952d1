"""Public data sets by URL: kept where they were put, and never used unless their checksum is the published one."""

import hashlib
import shutil
import urllib.error
import urllib.request
from pathlib import Path

from .errors import BadInput


def checked(path: Path, digest: str) -> Path:
    """`path`, if its checksum is `digest`, like `sha256:HEX` or `md5:HEX`; else `BadInput`."""
    if not path.is_file():
        raise BadInput(f"{path}: there is no such file")
    kind, _, wanted = digest.partition(":")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, kind).hexdigest()
    if found != wanted:
        raise BadInput(f"{path}: the {kind} checksum is {found}, not {wanted}: the file is cut short or another one")
    return path


def fetch(url: str, folder: Path, digest: str) -> Path:
    """The file at `url`, downloaded into `folder` once; `BadInput` if it cannot be had or is not what it should be."""
    path = folder / url.rstrip("/").rsplit("/", 1)[-1]
    if path.exists():
        return checked(path, digest)
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        with urllib.request.urlopen(url, timeout=60) as answer, part.open("wb") as file:
            shutil.copyfileobj(answer, file)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise BadInput(f"{url}: cannot be downloaded ({error}): give the data by path") from error
    checked(part, digest)
    return part.rename(path)
