"""The command line as a user starts it, in a home of its own."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path


def orchestrate(home: Path, *args: str) -> list[str]:
    """The command that the ``orchestrate`` script of this environment is, and nothing of the shell around it."""
    return [str(Path(sys.executable).with_name("orchestrate")), *args]


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "ORCHESTRATE_HOME": str(home)}


def seconds(command: Sequence[str], env: dict[str, str] | None = None, text: str | None = None) -> float:
    """Wall time of a command that must succeed."""
    start = time.perf_counter()
    done = subprocess.run(command, env=env, input=text, capture_output=True, text=True)
    took = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return took


def interleaved(rounds: int, *measured: Callable[[], float]) -> list[float]:
    """The median of each, measured in turns, so that a machine that drifts drifts for all."""
    times: list[list[float]] = [[] for _ in measured]
    for _ in range(rounds):
        for taken, measure in zip(times, measured, strict=True):
            taken.append(measure())
    return [statistics.median(taken) for taken in times]
