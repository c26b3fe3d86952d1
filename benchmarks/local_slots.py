"""What the local provider adds to starting processes, beside ``xargs -P2`` doing the same.

This is the provider alone, from making the pool to its end: neither the start of the command line nor the record is
in it.  Wall times of a loaded machine say little here (each trial is a session of its own, to which Linux gives a share
of the processors of its own), so what counts is the processor time that a trial costs beyond its own.
"""

from __future__ import annotations

import itertools
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import Figure
from orchestrator.providers.base import Machine, Phase, PoolRequest, Task, TaskChanged
from orchestrator.providers.local import LocalCompute
from orchestrator.storage.layout import Home

TRIALS = 300
SLOTS = 2
ROUNDS = 5


def by_xargs(argv: list[str], folder: Path) -> None:
    numbers = "\n".join(map(str, range(TRIALS)))
    # -I with a name that does not occur: the number is not passed on.
    subprocess.run(
        ["xargs", f"-P{SLOTS}", "-I", "@@", *argv], input=numbers, text=True, check=True, stdout=subprocess.DEVNULL
    )


def by_us(argv: list[str], folder: Path) -> None:
    home = Home(folder)
    job = {
        "version": 1,
        "run": "benchmark",
        "command": {"argv": [[word] for word in argv]},
        "env": {},
        "secrets": [],
        "inputs": [],
        "outputs": [],
        "metrics": {},
        "metric": None,
        "checkpoint": None,
        "timeout": None,
        "grace": 10.0,
        "memory": None,
        "code": None,
    }
    compute = LocalCompute(home, "benchmark")
    compute.create_pool(PoolRequest("benchmark", job, Machine(), SLOTS, None, 0.0, 0.0))
    window = SLOTS + (compute.capabilities.ahead or 0)
    numbers = iter(range(TRIALS))
    cursor, ended, under_way = None, 0, 0
    while ended < TRIALS:
        fresh = [Task(f"t{n}", n, 1, {"n": n}) for n in itertools.islice(numbers, window - under_way)]
        under_way += sum(1 for _ in compute.submit("benchmark", fresh))
        changes = compute.changes("benchmark", cursor, 10.0)
        cursor = changes.cursor
        for event in changes.events:
            if isinstance(event, TaskChanged) and event.phase is Phase.ENDED:
                assert event.ended is not None
                assert event.ended.cause is None, event.ended
                ended += 1
                under_way -= 1
    compute.close()


def processor_seconds() -> float:
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        return [
            *_compare("`python -c pass`", [sys.executable, "-c", "pass"], Path(folder, "python")),
            *_compare("`true`", ["/bin/true"], Path(folder, "true")),
        ]


def _compare(label: str, argv: list[str], folder: Path) -> list[Figure]:
    """Nothing is deleted in between: for some time after that, ext4 is slow to make new files."""
    walls: dict[str, list[float]] = {"xargs": [], "orchestrate": []}
    costs: dict[str, list[float]] = {"xargs": [], "orchestrate": []}
    for number in range(ROUNDS):
        for name, start in (("xargs", by_xargs), ("orchestrate", by_us)):
            wall, cost = time.perf_counter(), processor_seconds()
            start(argv, folder / str(number))
            walls[name].append(time.perf_counter() - wall)
            costs[name].append(processor_seconds() - cost)
    wall = {name: statistics.median(values) for name, values in walls.items()}
    added = statistics.median(costs["orchestrate"]) - statistics.median(costs["xargs"])
    return [
        Figure(
            f"{TRIALS} trials of {label} by the local provider, against xargs -P{SLOTS}",
            wall["orchestrate"] / wall["xargs"],
            "times its wall time",
            note=f"({wall['orchestrate']:.2f} s and {wall['xargs']:.2f} s)",
        ),
        Figure(f"processor time added to a trial of {label}", 1000 * added / TRIALS, "ms"),
    ]
