"""From a line that a trial prints until ``logs -f`` shows it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.command import environment, orchestrate
from benchmarks.report import Figure

LINES = 60
PRINT = f"import time\nfor _ in range({LINES}):\n    print(time.time(), flush=True)\n    time.sleep(0.13)"


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spec = folder / "lines.json"
        spec.write_text(json.dumps({"name": "lines", "workload": {"command": [sys.executable, "-c", PRINT]}}))
        env = environment(folder)
        run_id = subprocess.run(
            orchestrate(folder, "run", str(spec), "--detach"), env=env, capture_output=True, text=True, check=True
        ).stdout.split()[-1]
        follow = subprocess.Popen(orchestrate(folder, "logs", run_id, "0", "-f"), env=env, stdout=subprocess.PIPE)
        started = time.time()
        assert follow.stdout is not None
        late = []
        for line in follow.stdout:
            now, printed = time.time(), float(line)
            if printed > started + 1:  # what was printed before we looked is not late
                late.append(now - printed)
        assert follow.wait() == 0
        assert len(late) > LINES // 2, len(late)
        late.sort()
        return [
            Figure(
                "a printed line until `logs -f` shows it, 95th percentile", late[int(len(late) * 0.95)], "s", most=0.3
            )
        ]
