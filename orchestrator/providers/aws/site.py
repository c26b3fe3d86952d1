"""What a run's tasks find in the store: the runner, the job, and the local inputs, uploaded by content."""

from __future__ import annotations

import functools
import hashlib
import json
from importlib import resources

from orchestrator.providers.base import PoolRequest
from orchestrator.storage import job_inputs
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
    store.put(RunKeys(wanted.name).job, json.dumps(job_inputs.upload(store, wanted.name, wanted.job, hashes)).encode())
    return key
