"""The main job, as `make run` starts it: a real sweep of real models, and what a user finds afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(900)
def test_the_sweep_of_the_readme_finds_a_model_that_reads_fonts_it_has_never_seen(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow", reason="the main job trains TensorFlow models: make test installs it")
    orchestrate = Path(sys.executable).with_name("orchestrate")
    env = {**os.environ, "ORCHESTRATE_HOME": str(tmp_path)}
    sweep = ROOT / "job_templates" / "glyphs.yaml"
    done = subprocess.run(
        [orchestrate, "run", str(sweep), "--json"], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=800
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["trials"] == {"total": 12, "succeeded": 12, "failed": 0, "pruned": 0, "cancelled": 0}

    results = subprocess.run(
        [orchestrate, "results", summary["run"], "--json"], env=env, capture_output=True, text=True, check=True
    )
    trials = [json.loads(line) for line in results.stdout.splitlines()]
    best = trials[0]
    assert best["trial"] == summary["best"]["trial"]
    # Chosen on the validation fonts, judged on fonts that took part in neither training nor choice.
    assert best["metrics"]["val_accuracy"] == max(trial["metrics"]["val_accuracy"] for trial in trials)
    assert best["metrics"]["test_accuracy"] >= 0.90
    names = {Path(path).name for path in best["outputs"]}
    assert {"model.keras", "model.json"} <= names
    assert all(Path(path).is_file() for path in best["outputs"])
