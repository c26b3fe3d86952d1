"""What the Docker engine is asked for, as data: the body of its call *create container*.  Pure: nothing is sent.

In the container::

    /orchestrate/inside.py, runner.py    our part, read-only
    /orchestrate/slot/                   the slot's folder: the trial that runs, the socket
    /orchestrate/store/bundles/…         the code bundle, read-only
    /orchestrate/store/blobs/            only where the job has stored inputs, read-only
    /orchestrate/inputs/N                the inputs that are files and folders of this machine, read-only

Source: https://docs.docker.com/engine/api/v1.41/#operation/ContainerCreate
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.providers.base import JSON, PoolRequest
from orchestrator.storage import sources
from orchestrator.storage.layout import BLOBS, Home, RunKeys, bundle_key

ROOT = "/orchestrate"
SLOT = f"{ROOT}/slot"
STORE = f"{ROOT}/store"

# Labels of every container.
LABEL_HOME, LABEL_RUN = "orchestrate.home", "orchestrate.run"
LABEL_LIFE, LABEL_LEASE = "orchestrate.life", "orchestrate.lease"


def home_label(home: Home) -> str:
    """Tells the containers of one home from those of others on the same engine."""
    return hashlib.sha256(os.fsencode(home.path.resolve())).hexdigest()[:16]


def berth(store: Path, run: str, slot: int) -> Path:
    """The folder that a slot shares with its containers.

    A trial's folder is moved here while the trial runs, so that a container that outlives the trial sees no other.
    """
    return store / RunKeys(run).root / f"berth-{slot}"


def left_berths(store: Path, run: str) -> list[Path]:
    """Those that there are, of one run or (``*``) of all."""
    return sorted(store.glob(f"{RunKeys(run).root}/berth-*"))


def input_places(job: JSON, brought: Path) -> list[tuple[str, str]]:
    """Where the job's inputs that lie on this machine are, outside and inside.

    Where a part of the path is a parameter, all of the folder above it is mounted: which of its files a trial needs is
    not known before it runs.  ``brought`` is the folder of what lies in object stores.  Raises InvalidRequest where it
    would be the whole disk.
    """
    found: dict[str, str] = {}
    for item in job.get("inputs", ()):
        source = item["from"]
        if not sources.is_stored(source):
            text = str(brought) if sources.scheme(source) else sources.fixed(source)
            place = sources.split(source)[0] if text is None else text
            found.setdefault(place, f"{ROOT}/inputs/{len(found)}")
    return list(found.items())


def present_inputs(job: JSON, brought: Path) -> list[tuple[str, str]]:
    """Those of them that there are: a trial that needs another one says so itself."""
    return [place for place in input_places(job, brought) if os.path.exists(place[0])]


def has_stored_inputs(job: JSON) -> bool:
    return any(sources.is_stored(item["from"]) for item in job.get("inputs", ()))


def container_body(
    request: PoolRequest,
    home: Home,
    store: Path,
    slot: int,
    *,
    image: str,
    user: str,
    life: str,
    runner: Path,
    devices: Sequence[str] = (),
) -> dict[str, Any]:
    """The call's body for a container of this slot.

    ``store`` is the root of the object store; ``user`` is ``UID:GID``; ``runner`` is the file; ``devices`` are indices
    or UUIDs of NVIDIA GPUs.
    """
    need, job, brought = request.machine, request.job, home.inputs(request.name)
    mounts = [
        _mount(berth(store, request.name, slot), SLOT, writable=True),
        _mount(Path(__file__).with_name("inside.py"), f"{ROOT}/inside.py"),
        _mount(runner, f"{ROOT}/runner.py"),
    ]
    if job.get("code"):
        key = bundle_key(job["code"]["digest"])
        mounts.append(_mount(store / key, f"{STORE}/{key}"))
    if has_stored_inputs(job):
        mounts.append(_mount(store / BLOBS, f"{STORE}/{BLOBS}"))
    mounts += [_mount(Path(outside), inside) for outside, inside in present_inputs(job, brought)]
    host: dict[str, Any] = {
        # The engine's own dead-man switch: process 1 ends when its slot does, and nothing is kept of the container.
        "AutoRemove": True,
        "NetworkMode": "default" if request.network else "none",
        "Mounts": mounts,
        "NanoCpus": round(need.cpus * 1e9),
        "LogConfig": {"Type": "none", "Config": {}},
        "SecurityOpt": ["no-new-privileges"],
    }
    if user.partition(":")[0] != "0":
        host["CapDrop"] = ["ALL"]
    if need.memory:
        # The same limit for memory and swap together: no swap.
        host |= {"Memory": need.memory, "MemorySwap": need.memory}
    if need.shm:
        host["ShmSize"] = need.shm
    if devices:
        host["DeviceRequests"] = [{"Driver": "nvidia", "DeviceIDs": list(devices), "Capabilities": [["gpu"]]}]
    body: dict[str, Any] = {
        "Image": image,
        "User": user,
        # What is compiled stays for the slot's next container: the runner is large.
        "Entrypoint": ["python3", "-I", "-S", "-X", f"pycache_prefix={SLOT}/compiled", f"{ROOT}/inside.py"],
        "Cmd": [],
        "WorkingDir": "/",
        "Labels": {
            LABEL_HOME: home_label(home),
            LABEL_RUN: request.name,
            LABEL_LIFE: life,
            LABEL_LEASE: str(int(request.lease_until)),
        },
        "HostConfig": host,
    }
    if not request.network:
        body["Hostname"] = "localhost"  # whose name, unlike any other, has an address without a network
    return body


def _mount(source: Path, target: str, *, writable: bool = False) -> dict[str, Any]:
    return {"Type": "bind", "Source": str(source.resolve()), "Target": target, "ReadOnly": not writable}


def devices_of(variables: Mapping[str, str]) -> list[str]:
    """The GPUs of a slot, from what it would tell a process about them."""
    return [word for word in variables.get("CUDA_VISIBLE_DEVICES", "").split(",") if word]
