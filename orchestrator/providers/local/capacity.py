"""How many trials this machine runs at a time, and on what."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import InvalidRequest
from orchestrator.providers.base import PoolRequest
from orchestrator.providers.local.gpus import find_gpus, is_kind, slots_of


@dataclass(frozen=True, slots=True)
class Capacity:
    """``slots`` holds the variables that each slot adds to its trials' environment."""

    slots: tuple[Mapping[str, str], ...]
    machine: str
    warnings: tuple[str, ...]


def capacity(request: PoolRequest, disk: Path) -> Capacity:
    """What the request gets here.  Raises InvalidRequest for what this machine does not have.

    ``request.slots`` is taken as it is where memory and GPUs allow it: trials that wait may share a processor.  Without
    it there are as many slots as each gets its processors.
    """
    cpus, memory = cpu_count(), memory_size()
    need = request.machine
    _refuse_too_much(request, cpus, memory, disk)
    warnings: list[str] = []
    slots = request.slots or max(1, int(cpus / need.cpus + 1e-6))
    if slots * need.cpus > cpus:
        each = f"{need.cpus:g} {'processor' if need.cpus == 1 else 'processors'}"
        warnings.append(f"{slots} trials of {each} at a time share the {cpus:g} processors of this machine.")
    if need.memory and slots * need.memory > memory:
        fitting = memory // need.memory
        warnings.append(
            f"Only {fitting} trials of {_size(need.memory)} fit into the {_size(memory)} of memory of this machine."
        )
        slots = fitting
    places: list[Mapping[str, str]] = [{}] * slots
    gpu = ""
    if need.gpus:
        devices, gpu, problem = _devices(request)
        if problem and need.strict:
            raise InvalidRequest(problem, remedy="Leave resources.strict out to use processors instead.")
        if problem:
            warnings.append(f"{problem} Trials run on processors alone.")
        else:
            if request.slots is not None and request.slots > len(devices):
                warnings.append(f"{len(devices)} trials run at a time, as the GPUs allow.")
            # In PCI order as NVML counts; CUDA by itself puts the fastest first.
            places = [{"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": device} for device in devices[:slots]]
    machine = f"{cpus:g} processors, {_size(memory)} of memory{gpu}"
    return Capacity(tuple(places), machine, tuple(warnings))


def _refuse_too_much(request: PoolRequest, cpus: float, memory: int, disk: Path) -> None:
    need = request.machine
    if need.cpus > cpus:
        raise InvalidRequest(
            f"A trial needs {need.cpus:g} processors and this machine has {cpus:g}.", remedy="Lower resources.cpus."
        )
    if need.memory and need.memory > memory:
        raise InvalidRequest(
            f"A trial needs {_size(need.memory)} of memory and this machine has {_size(memory)}.",
            remedy="Lower resources.memory.",
        )
    if need.gpus > 1 and need.gpus != int(need.gpus):
        raise InvalidRequest(
            f"A trial cannot have {need.gpus:g} GPUs.", remedy="Ask for whole ones, or for a share of one."
        )
    if need.disk:
        while not disk.exists():
            disk = disk.parent
        free = shutil.disk_usage(disk).free
        if need.disk > free:
            raise InvalidRequest(
                f"A trial needs {_size(need.disk)} of disk and {disk} has {_size(free)} left.",
                remedy="Lower resources.disk, or set ORCHESTRATE_HOME to a folder on a larger disk.",
            )


def _devices(request: PoolRequest) -> tuple[list[str], str, str]:
    """CUDA_VISIBLE_DEVICES of each slot, the GPUs as text, and what is wrong."""
    need = request.machine
    gpus, why = find_gpus()
    fitting = [gpu for gpu in gpus if is_kind(gpu, need.gpu)]
    wanted = f"{need.gpus:g} {need.gpu or 'NVIDIA'} GPU{'s' if need.gpus > 1 else ''}"
    if not gpus:
        return [], "", f"A trial asks for {wanted}, and {why}."
    names = ", ".join(sorted({gpu.name for gpu in gpus}))
    devices = slots_of(fitting, need.gpus)
    if not devices:
        return [], "", f"A trial asks for {wanted}, and this machine has {len(gpus)} ({names})."
    kinds = ", ".join(f"{sum(gpu.name == name for gpu in fitting)} {name}" for name in {gpu.name for gpu in fitting})
    return devices, f", {kinds}", ""


def cpu_count() -> float:
    """Processors that this process may use: its affinity, and its control group's share of time (cgroup v2)."""
    count = float(len(os.sched_getaffinity(0)))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            count = min(count, math.ceil(100 * int(quota) / int(period)) / 100)
    except (OSError, ValueError):
        pass  # no such limit here
    return count


def memory_size() -> int:
    """Bytes of memory of this machine, or of its control group where that has less."""
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        if limit != "max":
            size = min(size, int(limit))
    except (OSError, ValueError):
        pass  # no such limit here
    return size


def _size(size: float) -> str:
    return f"{size / 2**30:.3g} GiB" if size >= 2**30 else f"{size / 2**20:.3g} MiB"
