"""One driver a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.engine.lock import hold, holder
from orchestrator.errors import RunBusy

HOLD = """
import sys, pathlib
from orchestrator.engine.lock import hold
with hold(pathlib.Path(sys.argv[1]), "r"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_driver_is_refused_and_told_who_holds_the_run(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert holder(path) is None
    with hold(path, "r"):
        assert holder(path) == os.getpid()
        with pytest.raises(RunBusy, match=str(os.getpid())), hold(path, "r"):
            pass
    assert holder(path) is None


def test_the_lock_dies_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        assert holder(path) == child.pid
        child.kill()
        child.wait()
    assert holder(path) is None
    with hold(path, "r"):
        pass
