"""What a run would send to Azure Batch, before anything is sent: the bodies of :mod:`request`, with nothing signed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from urllib.parse import unquote, urlsplit

from orchestrator.errors import AuthenticationFailed
from orchestrator.providers.azure import request, settings, site, submit
from orchestrator.providers.azure.sas import Unsigned
from orchestrator.providers.base import Call, PoolRequest, Task
from orchestrator.storage.layout import Home

# The store of an account that nobody has named yet.
_NO_STORE = "az://<account>/orchestrate"
_IMAGE = request.Image("<node agent of the image>", {"<image>": "the newest verified Ubuntu that the account offers"})


def calls(
    home: Home, wanted: PoolRequest, tasks: Iterable[Task], now: Callable[[], float] = time.time
) -> Iterator[Call]:
    """Pool, job, and the tasks in the chunks in which they would go."""
    known, store = _known(home)
    sized = request.sizing(wanted)
    place = _place(wanted.store or store, known)
    registry = request.registry_of(known, wanted) if known is not None else None
    if registry is not None and registry.identity is None:
        registry = replace(registry, password="<AZURE_REGISTRY_PASSWORD>")
    token = place.signer.container("", "rl")
    mounts = tuple(request.Mount(account, container, token) for account, container in request.mounted(wanted.job))
    equipment = request.Equipment(registry, mounts, known.start_command if known is not None else None)
    pool = request.pool_body(wanted, sized, _IMAGE, now(), equipment)
    if registry is not None and registry.identity is not None:
        yield Call(f"PUT {wanted.name} by the resource manager", request.managed_pool_body(pool, registry.identity))
    else:
        yield Call("create_pool", pool)
    yield Call("create_job", request.job_body(wanted, now(), place.url))
    for chunk in submit.chunks(request.task_body(task, wanted, place) for task in tasks):
        yield Call("create_task_collection", {"value": chunk})


def _known(home: Home) -> tuple[settings.Settings | None, str]:
    """What is set, and the store; a plan asks for no account."""
    try:
        known = settings.load(home)
    except AuthenticationFailed:
        return None, _NO_STORE
    try:
        return known, settings.store_url(known)
    except AuthenticationFailed:
        return known, _NO_STORE


def _place(store: str, known: settings.Settings | None) -> request.Site:
    parts = urlsplit(store)
    container, _, prefix = unquote(parts.path).strip("/").partition("/")
    root = "/".join(part for part in (f"https://{parts.netloc}.blob.core.windows.net", container, prefix) if part)
    poll = known.poll_seconds if known is not None else settings.POLL
    return request.Site(
        root, container, f"{prefix}/" if prefix else "", Unsigned(), site.runner()[0], heartbeat=3 * poll
    )
