"""Azure: Batch runs the tasks, Blob Storage keeps the files.  The SDKs are imported when they are first used.

settings, client        where the account is and who we are; calls, their errors and their repetition
request, sas, autoscale what is sent, made without any call: bodies, signed URLs, the dead-man formula
preview                 the same shown before a run, with nothing signed
manager                 pools that have an identity, which only Azure's resource manager makes
pool, ledger            the pool and its job, made, mended and deleted; what they have cost
schedule                jobs that the service begins by itself
site                    what a run's tasks find in the store
submit, cancel          tasks added; tasks stopped
progress, feed, states  what has changed; metrics of running tasks; the service's words in ours
logs, owned             what tasks print; everything of ours in the account
compute                 the contract, put together from these
"""

from __future__ import annotations

from orchestrator.providers.azure import settings
from orchestrator.providers.azure.compute import AzureCompute
from orchestrator.providers.base import Compute
from orchestrator.storage.layout import Home
from orchestrator.storage.open import open_store

__all__ = ["AzureCompute", "connect", "default_store"]


def connect(home: Home, run: str) -> Compute:
    """A connection for this run.  What is missing to make it is said by the first call that needs it."""
    return AzureCompute(home, run)


def default_store(home: Home) -> str:
    """Where runs are kept whose spec names no storage; its container is made where it is missing.

    Raises AuthenticationFailed naming the variable that is missing.
    """
    from orchestrator.storage.blob import BlobStore

    url = settings.store_url(settings.load(home))
    store = open_store(url, home)
    if isinstance(store, BlobStore):
        store.ensure()
    return url
