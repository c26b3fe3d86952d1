"""The value of a secret is nowhere but in the trial's own environment."""

from __future__ import annotations

import hashlib
import json
import secrets
import sys
from pathlib import Path

from tests.e2e.conftest import Shell

CHECK = """
import hashlib, os, pathlib, sys, time
assert hashlib.sha256(os.environ["API_TOKEN"].encode()).hexdigest() == sys.argv[1]
print("set -x shows", os.environ["API_TOKEN"], flush=True)
print("and so do errors:", os.environ["API_TOKEN"], file=sys.stderr, flush=True)
while not pathlib.Path(sys.argv[2]).exists():
    time.sleep(0.02)
sys.exit("this trial fails with " + os.environ["API_TOKEN"])
"""


def holding(folder: Path, value: str) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and value.encode() in path.read_bytes()]


def test_a_secret_is_written_nowhere(shell: Shell) -> None:
    value = f"hunter2-{secrets.token_hex(16)}"
    shell.env["API_TOKEN"] = value
    digest = hashlib.sha256(value.encode()).hexdigest()
    go = shell.folder / "go"
    spec = shell.spec(
        workload={"command": [sys.executable, "-c", CHECK, digest, str(go)], "secrets": ["API_TOKEN"]},
        parameters={"x": [1, 2]},
        limits={"retries": 1},
    )
    planned = shell("plan", spec, "--list")
    process = shell.start("--debug", "run", spec, "--json")
    run = shell.run_of(process)
    shell.wait_until(lambda: shell.look(run).count("running"))
    for alive in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert value.encode() not in alive.read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
    go.touch()
    out, err = process.communicate(timeout=60)
    assert json.loads(out)["trials"]["failed"] == 2
    detached = shell("run", spec, "--detach")
    shell.wait_until(lambda: shell.look(detached.stdout.strip()).status == "failed")
    printed = [out, err, planned.stdout, planned.stderr, detached.stdout, detached.stderr]
    printed += [shell(*words).stdout for words in (("status", run), ("results", run), ("logs", run, "--stderr"))]
    assert not any(value in text for text in printed)
    assert holding(shell.home, value) == []
    assert holding(shell.home, "this trial fails")  # or the search above would find nothing anyway
