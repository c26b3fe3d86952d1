from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.spec import load
from orchestrator.spec.starter import FILES, write_starter
from tests.unit.spec.mutations import ROOT


def test_the_spec_that_init_writes_is_valid_and_beyond_doubt(tmp_path: Path) -> None:
    paths = write_starter(tmp_path / "new" / "folder")
    assert [path.name for path in paths] == list(FILES)
    loaded = load(paths[0])
    assert loaded.warnings == ()
    assert loaded.spec.search.trials == 12


def test_the_commented_lines_of_the_spec_are_valid_too(tmp_path: Path) -> None:
    path = write_starter(tmp_path)[0]
    lines = path.read_text().split("\n")
    for number, line in enumerate(lines):
        if line.lstrip().startswith("# ") and line.split("#", 1)[1].split(":")[0].strip().isidentifier():
            changed = [*lines[:number], line.replace("# ", "", 1), *lines[number + 1 :]]
            path.write_text("\n".join(changed))
            assert load(path).spec


def test_the_training_program_learns_and_leaves_a_model(tmp_path: Path) -> None:
    program = write_starter(tmp_path)[1]
    metrics = tmp_path / "metrics.jsonl"
    done = subprocess.run(
        [sys.executable, str(program), "--lr", "0.1", "--degree", "4", "--epochs", "4"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "ORCHESTRATE_METRICS": str(metrics)},
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    reported = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert [one["step"] for one in reported] == [1, 2, 3, 4]
    assert reported[-1]["val_accuracy"] > 0.8
    assert reported[-1]["loss"] < reported[0]["loss"]
    assert json.loads((tmp_path / "model/weights.json").read_text())["degree"] == 4
    assert "epoch 4" in done.stdout


@pytest.mark.parametrize("name", FILES)
def test_nothing_that_exists_is_overwritten_and_nothing_half_written(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError, match=name):
        write_starter(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
