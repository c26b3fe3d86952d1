"""``run SPEC --provider azure --emulate``: the sweep of a laptop on a cloud that lives as long as the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.emulators.azurite import find_azurite
from orchestrator.emulators.childserver import ServerFailed

SPEC = """
name: squares
workload:
  code: code
  command: python3 train.py {x}
  inputs: [{from: data, to: data}]
  outputs: [model]
  metrics: {loss: 'loss=([0-9.]+)'}
parameters: {x: [1, 2, 3]}
search: {metric: loss, goal: minimize}
limits: {parallel: 2}
storage: az://real/store
"""
TRAIN = """
import sys, time
x = int(sys.argv[1])
time.sleep(1.2)  # nodes are counted every two seconds, and what was never counted has no price
print("loss=%d" % abs(x * x - int(open("data/wanted").read())))
open("model", "w").write(str(x))
"""


def test_a_sweep_runs_on_the_emulated_cloud_and_its_results_outlive_it(tmp_path: Path) -> None:
    try:
        find_azurite()
    except ServerFailed as missing:
        pytest.skip(str(missing))
    (tmp_path / "sweep.yaml").write_text(SPEC)
    for name, text in (("code/train.py", TRAIN), ("data/wanted", "4")):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    # What leads to the real cloud is no way out of the emulated one.
    env = {**os.environ, "ORCHESTRATE_HOME": str(tmp_path / "home"), "AZURE_STORAGE_URL": "az://real/other"}

    def call(*arguments: str) -> str:
        program = [sys.executable, "-m", "orchestrator", *arguments]
        done = subprocess.run(program, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    told = json.loads(call("run", "sweep.yaml", "--provider", "azure", "--emulate", "--json"))
    assert told["status"] == "succeeded"
    assert told["trials"]["succeeded"] == 3
    assert told["best"] == {"trial": 1, "params": {"x": 2}, "value": 0.0}
    assert told["cost"] > 0
    rows = [json.loads(line) for line in call("results", told["run"], "--json").splitlines()]
    assert {row["params"]["x"]: row["metrics"]["loss"] for row in rows} == {1: 3.0, 2: 0.0, 3: 5.0}
    assert all(row["outputs"][0].endswith("/outputs/model") for row in rows)
    kept = tmp_path / "home" / "fetched" / told["run"] / "trial-000001"
    assert (kept / "outputs" / "model").read_text() == "2"
    assert (kept / "stdout.txt").read_text() == "loss=0\n"
    assert str(kept) in call("results", told["run"])
    looked = subprocess.run(
        [sys.executable, "-m", "orchestrator", "logs", told["run"], "1"], cwd=tmp_path, env=env, capture_output=True
    )
    assert looked.returncode == 3
    assert b"nothing emulates it at the moment" in looked.stderr
    program = [sys.executable, "-m", "orchestrator", "emulate", "azure", "--json"]
    with subprocess.Popen(program, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as emulator:
        assert emulator.stdout is not None
        env.update(json.loads(emulator.stdout.readline()))
        assert call("logs", told["run"], "1") == "loss=0\n"
        assert call("fetch", told["run"], "0") == f"{told['run']}/trial-000000\n"
        assert (tmp_path / told["run"] / "trial-000000" / "outputs" / "model").read_text() == "1"
        emulator.terminate()
