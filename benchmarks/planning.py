"""``plan --list`` of a million-point grid: the first trial soon, and all of them in constant memory."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.command import environment, orchestrate
from benchmarks.report import Figure


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spec = folder / "grid.json"
        spec.write_text(
            json.dumps(
                {
                    "name": "grid",
                    "workload": {"command": "true {a} {b} {c}"},
                    "parameters": {"a": {"range": [0, 100]}, "b": {"linspace": [0, 1, 100]}, "c": {"range": [0, 100]}},
                }
            )
        )
        command = orchestrate(folder, "plan", str(spec), "--list", "--json")
        start = time.perf_counter()
        child = subprocess.Popen(command, env=environment(folder), stdout=subprocess.PIPE)
        assert child.stdout is not None
        lines = 0
        first = None
        for line in child.stdout:
            if first is None and line.startswith(b'{"trial"'):
                first = time.perf_counter() - start
            lines += 1
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        assert child.returncode == 0
        assert lines >= 1_000_000, lines
        assert first is not None
        return [
            Figure("plan of a million-point grid, to its first trial", first, "s", most=1.0),
            Figure("plan of a million-point grid, resident memory", usage.ru_maxrss / 1024, "MB", most=150),
        ]
