"""Many short trials, the whole command with start-up and record, beside the bare operating system and other tools.

The other tools are installed and measured only with ``--peers`` (see :mod:`benchmarks.peers`).
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.command import environment, interleaved, orchestrate, seconds
from benchmarks.report import Figure

ROUNDS = 5


def sweep(folder: Path, trials: int) -> Path:
    """``trials`` trials that each start a Python process which does nothing, two at a time."""
    path = folder / f"pass{trials}.json"
    spec = {
        "name": "pass",
        "workload": {"command": [sys.executable, "-c", "pass"]},
        "parameters": {"x": {"range": [0, trials]}},
        "limits": {"parallel": 2},
    }
    path.write_text(json.dumps(spec))
    return path


def ours(folder: Path, trials: int) -> float:
    # Kept until the end: file systems are slow for a while after thousands of files were deleted.
    home = Path(tempfile.mkdtemp(dir=folder))
    return seconds(orchestrate(home, "run", str(sweep(folder, trials)), "--json"), environment(home))


def xargs(trials: int) -> float:
    words = "\n".join("pass" for _ in range(trials))
    return seconds(["xargs", "-P2", "-n1", sys.executable, "-c"], text=words)


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mine, bare = interleaved(ROUNDS, lambda: ours(folder, 500), lambda: xargs(500))
        few = interleaved(ROUNDS, lambda: ours(folder, 64))[0]
        figures = [
            Figure(
                "500 trials of `python -c pass` on 2 slots, against xargs -P2",
                mine / bare,
                "times its wall time",
                most=1.3,
                note=f"({mine:.2f} s and {bare:.2f} s)",
            ),
            Figure("64 trials that each start a process, whole command", few, "s", most=1.0),
        ]
        if os.environ.get("ORCHESTRATE_BENCHMARK_PEERS"):
            from benchmarks import peers

            figures += peers.run(few)
    return figures
