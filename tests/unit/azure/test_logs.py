"""``orchestrate logs -f`` of a run on the emulated cloud."""

from __future__ import annotations

from pathlib import Path

from orchestrator.emulators.azure_batch import AzureBatchEmulator
from orchestrator.emulators.azurite import Azurite
from tests.unit.azure.test_survival import Sweep, finish


def test_a_trial_that_is_followed_is_read_from_its_node_and_to_its_end(
    emulator: AzureBatchEmulator, storage: Azurite, tmp_path: Path
) -> None:
    sweep = Sweep(emulator, storage, tmp_path)
    command = f"echo begun; while ! [ -e {sweep.go} ]; do sleep 0.1; done; echo ended {{x}}"
    sweep.control.reset_calls()
    run = sweep.start(
        "run", str(sweep.spec), "--yes", "--set", f"workload.command={command}", "--set", "search.trials=1"
    )
    while sweep.run_id is None:
        assert run.poll() is None, run.communicate()
    follow = sweep.start("logs", sweep.run_id, "0", "-f")
    assert follow.stdout is not None
    assert follow.stdout.readline() == b"begun\n"
    read = sweep.control.calls()["operations"]["download_task_file"]
    assert sum(read.values()) > 0
    sweep.go.touch()
    assert finish(follow) == "ended 101\n"
    finish(run)
