"""What the local provider adds to starting processes, beside ``xargs -P`` doing the same.

Runs the same command under both, in turns, since any machine drifts, and prints the ratio of their wall times and the
processor time that each trial costs beyond its own.  This is the provider alone, from making the pool to its end:
neither the start of the command line nor the record is in it.

    python benchmarks/local_slots.py [--trials 500] [--slots 2] [--rounds 5]
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from orchestrator.providers.base import Machine, Phase, PoolRequest, Task, TaskChanged
from orchestrator.providers.local import LocalCompute
from orchestrator.storage.layout import Home


def by_xargs(argv: list[str], trials: int, slots: int) -> None:
    numbers = "\n".join(map(str, range(trials)))
    # -I with a name that does not occur: the number is not passed on.
    subprocess.run(
        ["xargs", f"-P{slots}", "-I", "@@", *argv], input=numbers, text=True, check=True, stdout=subprocess.DEVNULL
    )


def by_us(argv: list[str], trials: int, slots: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
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
        compute.create_pool(PoolRequest("benchmark", job, Machine(), slots, None, 0.0, 0.0))
        window = slots + (compute.capabilities.ahead or 0)
        numbers = iter(range(trials))
        cursor, ended, under_way = None, 0, 0
        while ended < trials:
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for label, argv in (
        ("python -c pass", [sys.executable, "-c", "pass"]),
        ("true", ["/bin/true"]),
    ):
        walls: dict[str, list[float]] = {"xargs": [], "orchestrate": []}
        costs: dict[str, list[float]] = {"xargs": [], "orchestrate": []}
        for _ in range(options.rounds):
            for name, run in (("xargs", by_xargs), ("orchestrate", by_us)):
                wall, cost = time.perf_counter(), processor_seconds()
                run(argv, options.trials, options.slots)
                walls[name].append(time.perf_counter() - wall)
                costs[name].append(processor_seconds() - cost)
        wall = {name: statistics.median(values) for name, values in walls.items()}
        cost = {name: statistics.median(values) for name, values in costs.items()}
        line = {
            "command": label,
            "trials": options.trials,
            "slots": options.slots,
            "seconds": {name: round(value, 3) for name, value in wall.items()},
            "ratio": round(wall["orchestrate"] / wall["xargs"], 3),
            "added_processor_ms_a_trial": round(1000 * (cost["orchestrate"] - cost["xargs"]) / options.trials, 3),
        }
        print(json.dumps(line))


if __name__ == "__main__":
    main()
