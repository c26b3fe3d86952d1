"""Where a job's inputs are taken from: what can be read off a template, before any parameter is known.  Pure.

A template is a list of texts, with ``{"name": PARAMETER}`` between them.  It begins with a path of this machine, the
key of a stored input (``blobs/aa/DIGEST``), or a URL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.errors import InvalidRequest
from orchestrator.storage.layout import BLOBS

Source = Sequence[str | dict[str, str]]

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):")


def shown(source: Source) -> str:
    """As the user wrote it."""
    return "".join(part if isinstance(part, str) else f"{{{part['name']}}}" for part in source)


def scheme(source: Source) -> str:
    """``s3`` of ``s3://bucket/key``; empty for a path."""
    match = _SCHEME.match(source[0]) if source and isinstance(source[0], str) else None
    return match[1] if match else ""


def fixed(source: Source) -> str | None:
    """The text of a template without parameters."""
    return source[0] if len(source) == 1 and isinstance(source[0], str) else None


def is_stored(source: Source) -> bool:
    return bool(source) and str(source[0]).startswith(f"{BLOBS}/")


def manifest_key(source: Source) -> str:
    """The key of the list of files that a stored input is, or is chosen from."""
    return "/".join(str(source[0]).split("/")[:3])


def split(source: Source) -> tuple[str, Source]:
    """The folder above the first parameter, and the template of what is taken from it.

    Raises InvalidRequest where that folder would be the whole disk.
    """
    first = source[0] if source and isinstance(source[0], str) else ""
    folder, slash, start = first.rpartition("/")
    if not slash or not folder.strip("/"):
        raise InvalidRequest(
            f"The input {shown(source)} begins with a parameter, so that it could be any file of this machine.",
            remedy="Write the folder that holds the files in front of it: from: /data/{file}.",
        )
    return folder, [start, *source[1:]] if start else source[1:]


def in_store(source: Source) -> tuple[str, Source]:
    """The bucket or container of a source in an object store, by its URL, and the template of the key there.

    Raises InvalidRequest where a parameter would have to name it: what may be read is settled before parameters are.
    """
    of = scheme(source)
    depth = 2 if of == "az" else 1
    first = str(source[0])
    *names, key = [*first.removeprefix(f"{of}://").split("/", depth), *[""] * depth][: depth + 1]
    if not all(names) or (len(source) > 1 and first.count("/") < depth + 2):
        like = "az://ACCOUNT/CONTAINER/PATH" if of == "az" else f"{of}://BUCKET/KEY"
        what = "container" if of == "az" else "bucket"
        raise InvalidRequest(f"The input {shown(source)} does not name a {what}.", remedy=f"Write it like {like}.")
    return f"{of}://{'/'.join(names)}", [key, *source[1:]] if key else source[1:]


def check(job: Mapping[str, Any], provider: str, schemes: Mapping[str, str]) -> None:
    """Raises InvalidRequest for an input that cannot be brought to tasks elsewhere.

    ``schemes`` are those of the provider, beside paths and ``https``; for each that it lacks, what to do instead.
    """
    for item in job.get("inputs") or ():
        source: Source = item["from"]
        of = scheme(source)
        if of in ("https", "http") or is_stored(source):
            continue
        if of:
            if remedy := schemes.get(of, f"Known are paths of this machine and https://, {_known(schemes)}."):
                raise InvalidRequest(
                    f"Tasks of the {provider} provider cannot be given the input {shown(source)}.", remedy=remedy
                )
            in_store(source)
        elif fixed(source) is None:
            _, rest = split(source)
            if ".." in "".join(part if isinstance(part, str) else "?" for part in rest).split("/"):
                raise InvalidRequest(
                    f"The input {shown(source)} goes up again, by .., after a parameter.",
                    remedy="Name the folder itself.",
                )


def _known(schemes: Mapping[str, str]) -> str:
    return ", ".join(f"{name}://" for name, remedy in schemes.items() if not remedy)
