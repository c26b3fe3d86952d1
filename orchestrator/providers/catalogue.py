"""Machine sizes of the clouds: what they hold, what an hour costs, and which one a request needs.

The table is ``catalogue.json`` beside this file.  Prices are US$ an hour of one machine with Linux, in the region that
the row names, as published on the row's date by its source; None where we found none.  They are for planning and for
``limits.max_cost``; a user with another contract sets ``pool.price``.
"""

from __future__ import annotations

import difflib
import functools
import json
import re
from dataclasses import dataclass
from importlib import resources
from typing import Any

from orchestrator.errors import InvalidRequest
from orchestrator.providers.base import Machine

GIB = 1 << 30

_ALIASES = {"A100-40GB": "A100", "V100-16GB": "V100", "H100-80GB": "H100"}


@dataclass(frozen=True, slots=True)
class MachineSize:
    """One row.  ``memory`` and ``gpu_memory`` (of one GPU) in bytes; ``price`` on demand and ``spot`` in US$ an hour.

    ``date`` and ``source`` are those of ``price``; ``spot_source`` says both of ``spot``.  ``retired`` says since when
    the size is no longer offered; such a size is never chosen by itself.
    """

    cloud: str
    name: str
    cpus: int
    memory: int
    gpus: float
    gpu: str | None
    gpu_memory: int | None
    price: float | None
    spot: float | None
    region: str
    date: str
    source: str
    spot_source: str
    retired: str | None = None

    def slots(self, need: Machine) -> int:
        """How many tasks with this need fit at once; 0 when not one does."""
        bounds = [int(self.cpus // need.cpus)] if need.cpus > 0 else [self.cpus]
        if need.memory:
            bounds.append(self.memory // need.memory)
        if need.gpus > 0:
            if not serves(self.gpu, need.gpu):
                return 0
            # A share of a GPU cannot be put together from two of them.
            per_gpu = int(1 / need.gpus + 1e-9) if need.gpus < 1 else 0
            bounds.append(int(self.gpus) * per_gpu if per_gpu else int(self.gpus // need.gpus))
        return max(0, min(bounds))


@dataclass(frozen=True, slots=True)
class Choice:
    """A size and how many tasks run on one machine of it."""

    size: MachineSize
    slots: int


@functools.cache
def _table() -> dict[str, dict[str, MachineSize]]:
    document = json.loads((resources.files(__package__) / "catalogue.json").read_text("utf-8"))
    table: dict[str, dict[str, MachineSize]] = {}
    for row in document["sizes"]:
        size = _size(row, document["sources"])
        table.setdefault(size.cloud, {})[size.name.lower()] = size
    return table


def _size(row: dict[str, Any], sources: dict[str, dict[str, str]]) -> MachineSize:
    source = sources[row["source"]]
    spot_source = sources[row.get("spot_source", row["source"])]
    return MachineSize(
        row["cloud"],
        row["name"],
        row["cpus"],
        int(row["memory_gib"] * GIB),
        row["gpus"],
        row["gpu"],
        int(row["gpu_memory_gib"] * GIB) if row["gpu_memory_gib"] else None,
        row["price"],
        row["spot"],
        row["region"],
        source["date"],
        source["what"],
        f"{spot_source['what']} ({spot_source['date']})",
        row.get("retired"),
    )


def sizes(cloud: str) -> tuple[MachineSize, ...]:
    """Every size of ``azure`` or ``aws``, the retired ones too."""
    return tuple(_table().get(cloud, {}).values())


def find(cloud: str, name: str) -> MachineSize | None:
    """The size of this name, in any case of letters."""
    return _table().get(cloud, {}).get(name.lower())


def gpu_name(name: str) -> str:
    """One spelling of a GPU's model: ``nvidia tesla v100-16gb`` is ``V100``."""
    plain = re.sub(r"^(NVIDIA|TESLA|[\s_-])+", "", name.strip().upper()).replace("_", "-").replace(" ", "-")
    plain = re.sub(r"-?(SXM\d?|PCIE|NVL)", "", plain)
    return _ALIASES.get(plain, plain)


def serves(offered: str | None, wanted: str | None) -> bool:
    """Whether a machine with this GPU is what was asked for; a plain ``A100`` is served by an ``A100-80GB`` too."""
    if offered is None:
        return False
    if wanted is None:
        return True
    plain = gpu_name(wanted)
    return offered == plain or ("-" not in plain and offered.split("-")[0] == plain)


def choose(cloud: str, need: Machine, *, spot: bool = False, vm_size: str | None = None) -> Choice:
    """The cheapest size that fits one task, or ``vm_size`` where the user named it.

    Raises InvalidRequest where nothing fits.  A ``vm_size`` that the table does not know is taken as the cloud spells
    it, with the cores that its name tells, and without a price.
    """
    if vm_size is not None:
        size = find(cloud, vm_size) or _unknown(cloud, vm_size, need)
        slots = size.slots(need)
        if slots == 0:
            raise InvalidRequest(
                f"A machine of size {size.name} ({describe(size)}) is too small for one trial, which needs "
                f"{_need(need)}.",
                remedy="Choose a larger pool.vm_size, or lower resources.",
            )
        return Choice(size, slots)
    fitting = [size for size in sizes(cloud) if size.retired is None and size.slots(need) > 0]
    if need.gpus == 0:
        fitting = [size for size in fitting if size.gpus == 0] or fitting
    if not fitting:
        raise _nothing_fits(cloud, need)
    best = min(fitting, key=lambda size: (_price(size, spot), size.cpus, size.memory, size.name))
    return Choice(best, best.slots(need))


def _price(size: MachineSize, spot: bool) -> float:
    """Where nobody has told its spot price, its price on demand: so it is chosen only where even that is the lowest."""
    price = size.spot if spot and size.spot is not None else size.price
    return float("inf") if price is None else price


def _unknown(cloud: str, name: str, need: Machine) -> MachineSize:
    """A size that only the cloud knows: its name tells the cores, and it is believed to have the GPUs asked for."""
    found = re.match(r"(?:standard|basic)_[a-z]+?(\d+)", name.lower()) if cloud == "azure" else None
    cpus = int(found[1]) if found else max(1, int(need.cpus))
    gpus = max(1.0, need.gpus) if need.gpus else 0.0
    gpu = gpu_name(need.gpu or "unknown") if need.gpus else None
    memory = max(need.memory or 0, GIB)
    told = "the name that the user gave"
    return MachineSize(cloud, name, cpus, memory, gpus, gpu, None, None, None, "", "", told, told)


def _nothing_fits(cloud: str, need: Machine) -> InvalidRequest:
    if need.gpus > 0 and need.gpu is not None:
        offered = sorted({size.gpu for size in sizes(cloud) if size.gpu and size.retired is None})
        gone = {size.retired for size in sizes(cloud) if size.retired and serves(size.gpu, need.gpu)}
        if not any(serves(gpu, need.gpu) for gpu in offered):
            near = difflib.get_close_matches(gpu_name(need.gpu), offered, n=1)
            hint = f"Did you mean {near[0]}? " if near else ""
            why = f"the machines with it were retired ({max(gone)})" if gone else "no machine there has it"
            return InvalidRequest(
                f"{cloud} offers no {need.gpu}: {why}.", remedy=f"{hint}It offers: {', '.join(offered)}."
            )
    return InvalidRequest(
        f"No machine of {cloud} in our table fits one trial, which needs {_need(need)}.",
        remedy="Lower resources, or name a size in pool.vm_size.",
    )


def _need(need: Machine) -> str:
    parts = [f"{need.cpus:g} cores"]
    if need.gpus:
        parts.append(f"{need.gpus:g} GPUs" + (f" ({need.gpu})" if need.gpu else ""))
    if need.memory:
        parts.append(f"{need.memory / GIB:.4g} GiB of memory")
    return ", ".join(parts)


def describe(size: MachineSize) -> str:
    """A size's contents in a few words."""
    gpus = f"{size.gpus:g} x {size.gpu}, " if size.gpus else ""
    return f"{gpus}{size.cpus} cores, {size.memory / GIB:.4g} GiB"
