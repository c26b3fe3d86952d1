"""A job's inputs for tasks that run elsewhere: what they need of this machine is uploaded, by content.

Where an input is taken from is a template: texts, and ``{"name": PARAMETER}`` between them.  Which files a trial needs
is known only to the trial, so all that the template can mean is uploaded: the files below the folder above its first
parameter whose paths match the rest of it, whatever the parameters are.  The job that the tasks read names that
folder's list of files by its key, ``["blobs/aa/DIGEST/", REST...]``, and the runner chooses.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.errors import InvalidRequest, NotFound
from orchestrator.storage import inputs
from orchestrator.storage.base import ObjectStore
from orchestrator.storage.hashes import HashCache
from orchestrator.storage.inputs import Selection
from orchestrator.storage.layout import RunKeys
from orchestrator.storage.sources import Source, fixed, is_stored, scheme, shown, split


def upload(store: ObjectStore, run: str, job: Mapping[str, Any], hashes: HashCache | None) -> dict[str, Any]:
    """The job, in which the inputs of this machine are named by their keys in the store, where they are now.

    A run that goes on on another machine has them in the store already, under the names in its earlier job.
    """
    stored: dict[str, Any] = copy.deepcopy(dict(job))
    earlier: list[Any] | None = None
    for number, item in enumerate(stored.get("inputs") or ()):
        source: Source = item["from"]
        if scheme(source) or is_stored(source):
            continue
        found = _uploaded(store, source, hashes)
        if found is None:
            earlier = _earlier(store, run) if earlier is None else earlier
            found = earlier[number]["from"] if number < len(earlier) else []
            if not is_stored(found):
                raise _missing(source)
        item["from"] = found
    return stored


def _uploaded(store: ObjectStore, source: Source, hashes: HashCache | None) -> Source | None:
    """None where there is nothing of it on this machine."""
    if (text := fixed(source)) is not None:
        return [inputs.upload(store, Path(text), hashes=hashes).key] if Path(text).exists() else None
    folder, rest = split(source)
    if not Path(folder).is_dir():
        return None
    found = inputs.upload(store, Path(folder), only=selection(rest), hashes=hashes)
    return [f"{found.key}/", *rest] if found.manifest.files else None


def selection(rest: Source) -> Selection:
    """The files that a template can mean below its folder, and all that lies below those which are folders."""
    # As the system reads paths, "a//b" and "a/./b" are "a/b".
    texts = [re.sub(r"/(\.?/)+", "/", part) if isinstance(part, str) else None for part in rest]
    if texts and texts[-1] is not None:
        texts[-1] = re.sub(r"(/\.?)+$", "", texts[-1])
    pattern = "".join(".+" if text is None else re.escape(text) for text in texts)
    return Selection(texts[0] or "" if texts else "", re.compile(f"{pattern}(/.+)?", re.DOTALL))


def _earlier(store: ObjectStore, run: str) -> list[Any]:
    try:
        found: list[Any] = json.loads(store.get(RunKeys(run).job)).get("inputs") or []
    except NotFound:
        return []
    return found


def _missing(source: Source) -> InvalidRequest:
    if fixed(source) is not None:
        return InvalidRequest(
            f"The input {shown(source)} does not exist on this machine.", remedy="Correct workload.inputs."
        )
    return InvalidRequest(
        f"Nothing on this machine can be the input {shown(source)}, whatever its parameters are.",
        remedy="Correct workload.inputs.",
    )
