"""Where a run's tasks find their files: the store's container, the signer of their grants, and what is put there.

Local inputs are uploaded here, by content; in the job that the tasks read they are named by their keys.
"""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from importlib import resources
from typing import Any
from urllib.parse import unquote, urlsplit

from orchestrator.errors import AuthenticationFailed, InvalidRequest, Unavailable
from orchestrator.providers.azure import request
from orchestrator.providers.azure.request import Body, Site
from orchestrator.providers.azure.sas import SKEW, Delegation, Signer
from orchestrator.providers.base import PoolRequest
from orchestrator.storage import inputs, job_inputs, sources
from orchestrator.storage.blob import LONGEST_DELEGATION, Account, BlobStore
from orchestrator.storage.hashes import HashCache
from orchestrator.storage.layout import RunKeys, blob_key, bundle_key

# Seconds that a delegation key is asked for less than the service allows, since clocks differ.
_MARGIN = 1200.0


@functools.cache
def runner() -> tuple[str, bytes]:
    """Key and text of the program that runs beside the user's; the same program is stored once for all runs."""
    data = (resources.files("orchestrator.runner") / "runner.py").read_bytes()
    return blob_key(hashlib.sha256(data).hexdigest()), data


def prepare(
    store: BlobStore,
    wanted: PoolRequest,
    poll_seconds: float,
    hashes: HashCache | None,
    now: Callable[[], float] = time.time,
    *,
    environ: Mapping[str, str] | None = None,
) -> Site:
    """Store what all tasks need, as far as it is not there, and the grants with which they reach it.

    ``environ`` is what is known of the accounts whose containers are mounted; None: the environment.
    """
    store.ensure()
    # An emulator on this machine costs nothing to ask, so that all goes faster there.
    place = replace(
        site(store, wanted.lease_until, now()),
        heartbeat=3 * poll_seconds,
        mounts=_mounts(store.account, wanted, now(), environ),
    )
    key, data = runner()
    if not store.exists(key):
        store.put(key, data)
    keys = RunKeys(wanted.name)
    job, reads = _stored_inputs(store, wanted, hashes)
    if job.get("code"):
        reads.append(bundle_key(job["code"]["digest"]))
    store.put(keys.job, json.dumps(job).encode())
    grants = request.shared_grants(place, wanted.name, reads, poll_seconds=poll_seconds)
    store.put(keys.grants, json.dumps(grants, separators=(",", ":")).encode())
    return place


def site(store: BlobStore, lease_until: float, now: float) -> Site:
    """Grants that begin now and end a little after the lease: a task that waited for days finds them working."""
    account = store.account
    prefix = unquote(urlsplit(store.url).path).strip("/").removeprefix(store.container).strip("/")
    signer = _signer(account, lease_until, now)
    root = "/".join(part for part in (account.endpoint.rstrip("/"), store.container, prefix) if part)
    folders = _has_folders(account) if _secure(account) else False
    return Site(root, store.container, f"{prefix}/" if prefix else "", signer, runner()[0], folders)


def _secure(account: Account) -> bool:
    return account.endpoint.startswith("https:")


def _signer(account: Account, lease_until: float, now: float) -> Signer:
    expiry = max(lease_until, now) + request.GRANTS_OUTLIVE
    if isinstance(account.credential, str):
        return Signer(account.name, account.credential, start=now, expiry=expiry, https=_secure(account))
    return _delegated(account, now, expiry, https=_secure(account))


def _mounts(
    own: Account, wanted: PoolRequest, now: float, environ: Mapping[str, str] | None
) -> tuple[request.Mount, ...]:
    """What the nodes have mounted, each with a grant to read and list that one container until the lease ends."""
    found = []
    for name, container in request.mounted(wanted.job):
        account = own if name == own.name else Account.from_environment(name, environ)
        token = _signer(account, wanted.lease_until, now).container(container, "rl")
        found.append(request.Mount(name, container, token))
    return tuple(found)


def _service(account: Account) -> Any:
    from azure.storage.blob import BlobServiceClient

    return BlobServiceClient(account.endpoint, account.credential)


def _delegated(account: Account, now: float, expiry: float, *, https: bool) -> Signer:
    from azure.core.credentials import AzureSasCredential
    from azure.core.exceptions import AzureError, HttpResponseError

    if isinstance(account.credential, AzureSasCredential):
        raise AuthenticationFailed(
            "A shared access signature cannot make the grants that the tasks need.",
            remedy="Set AZURE_STORAGE_KEY, or unset AZURE_STORAGE_SAS_TOKEN and sign in with `az login`.",
        )
    longest = now + LONGEST_DELEGATION - _MARGIN
    if expiry > longest:
        raise InvalidRequest(
            f"The lease ends in {(expiry - now) / 86400:.1f} days, and without the storage account's key Azure lets "
            "grants last 7 days at most.",
            remedy="Shorten pool.lease, or set AZURE_STORAGE_KEY.",
        )
    try:
        key = _service(account).get_user_delegation_key(
            datetime.fromtimestamp(now - SKEW, UTC), datetime.fromtimestamp(expiry, UTC)
        )
    except HttpResponseError as error:
        if error.status_code in (401, 403):
            raise AuthenticationFailed(
                f"Azure Storage refuses a user delegation key for {account.name}: {error.reason}.",
                remedy="Give yourself the roles 'Storage Blob Data Contributor' and 'Storage Blob Delegator'.",
            ) from error
        raise Unavailable(f"Azure Storage did not give a user delegation key: {error.reason}.") from error
    except AzureError as error:
        raise Unavailable(f"Azure Storage did not answer: {error.message}.") from error
    d = Delegation(
        key.signed_oid, key.signed_tid, key.signed_start, key.signed_expiry, key.signed_service, key.signed_version
    )
    return Signer(account.name, key.value, start=now, expiry=expiry, https=https, delegation=d)


def _has_folders(account: Account) -> bool:
    """Whether the account has a hierarchical namespace; one that does not tell is taken for one without."""
    from azure.core.exceptions import HttpResponseError

    try:
        return bool(_service(account).get_account_information().get("is_hns_enabled"))
    except HttpResponseError:
        return False


def _stored_inputs(store: BlobStore, wanted: PoolRequest, hashes: HashCache | None) -> tuple[Body, list[str]]:
    """The job with its local inputs named by their keys, and the keys of all that its tasks read."""
    job = job_inputs.upload(store, wanted.name, wanted.job, hashes)
    reads: list[str] = []
    for item in job.get("inputs") or ():
        place = request.in_blob(item["from"])
        if place is not None:
            account, container, rest = place
            item["from"] = [f"mount:{request.mount_name(account, container)}/", *rest]
        elif sources.is_stored(item["from"]):
            key = sources.manifest_key(item["from"])
            manifest = inputs.load(store, key)
            reads += [key, *sorted({blob_key(file.sha256) for file in manifest.files})]
    return job, reads
