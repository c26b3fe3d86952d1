"""What a run's tasks find in the store: the runner, the job, and the local inputs, uploaded by content."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Any

from orchestrator.errors import InvalidRequest, NotFound
from orchestrator.providers.base import PoolRequest
from orchestrator.storage import inputs
from orchestrator.storage.base import ObjectStore
from orchestrator.storage.hashes import HashCache
from orchestrator.storage.layout import RunKeys, blob_key


@functools.cache
def runner() -> tuple[str, bytes]:
    """Key and text of the program that runs beside the user's; the same program is stored once for all runs."""
    data = (resources.files("orchestrator.runner") / "runner.py").read_bytes()
    return blob_key(hashlib.sha256(data).hexdigest()), data


def prepare(store: ObjectStore, wanted: PoolRequest, hashes: HashCache | None) -> str:
    """Store what all tasks need, as far as it is not there; returns the runner's key."""
    key, data = runner()
    if not store.exists(key):
        store.put(key, data)
    store.put(RunKeys(wanted.name).job, json.dumps(_stored_inputs(store, wanted, hashes)).encode())
    return key


def _stored_inputs(store: ObjectStore, wanted: PoolRequest, hashes: HashCache | None) -> dict[str, Any]:
    """The job, in which local inputs are named by their keys."""
    job: dict[str, Any] = copy.deepcopy(dict(wanted.job))
    for number, item in enumerate(job.get("inputs") or ()):
        source = item["from"][0] if len(item["from"]) == 1 else None
        if not isinstance(source, str):
            raise InvalidRequest(
                "An input whose path depends on a parameter cannot be uploaded for AWS.",
                remedy="Name a folder that holds all of them in workload.inputs, or a URL.",
            )
        if source.startswith(("https://", "http://", "blobs/")):
            continue
        path = Path(source)
        item["from"] = [
            inputs.upload(store, path, hashes=hashes).key if path.exists() else _as_before(store, wanted, number, path)
        ]
    return job


def _as_before(store: ObjectStore, wanted: PoolRequest, number: int, path: Path) -> str:
    """A run that goes on on another machine has its inputs in the store already."""
    try:
        source = str(json.loads(store.get(RunKeys(wanted.name).job))["inputs"][number]["from"][0])
    except (NotFound, KeyError, IndexError):
        source = ""
    if not source.startswith("blobs/"):
        raise InvalidRequest(f"The input {path} does not exist on this machine.", remedy="Correct workload.inputs.")
    return source
