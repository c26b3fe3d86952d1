"""Images of frameworks, built and run by the real engine.

Their packages come from the network: a minute or two the first time, and seconds from the engine's layers after that.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.cli.main import main
from orchestrator.emulators import docker_engine
from tests.containers.test_recipes import FOLDER

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(900)

SWEEP = """
name: contained
workload:
  code: src
  command: python train.py --c {c}
  image: orchestrator/scikit-learn:1.9
  isolation: docker
  pack: 2
  outputs: [model.joblib]
  secrets: [TOKEN]
parameters: {c: [0.01, 1.0]}
search: {metric: accuracy}
resources: {cpus: 1, memory: 1GiB}
limits: {parallel: 1}
"""

TRAIN = """
import argparse, os
import joblib
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from orchestrator import report

parser = argparse.ArgumentParser()
parser.add_argument("--c", type=float)
features, labels = load_iris(return_X_y=True)
model = LogisticRegression(C=parser.parse_args().c, max_iter=500).fit(features, labels)
report(accuracy=model.score(features, labels), secret=len(os.environ["TOKEN"]), user=os.getuid())
joblib.dump(model, "model.joblib")
"""


def test_scikit_learn_is_built_and_a_sweep_runs_in_it(
    base: str, engine_host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("DOCKER_HOST", engine_host)
    monkeypatch.setenv("ORCHESTRATE_HOME", str(home))
    monkeypatch.setenv("TOKEN", "seven77")
    own = _built("scikit-learn", base, capsys)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "train.py").write_text(TRAIN)
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    assert main(["run", str(tmp_path / "sweep.yaml"), "--yes", "--json"]) == 0
    ended = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert ended["trials"]["succeeded"] == 2
    assert ended["best"]["params"] == {"c": 1.0}
    assert main(["results", ended["run"], "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all((row["metrics"]["secret"], row["metrics"]["user"]) == (7, 1000) for row in rows)
    assert all([Path(path).name for path in row["outputs"]] == ["model.joblib"] for row in rows)
    manifest = json.loads((home / "store" / "runs" / ended["run"] / "manifest.json").read_text())
    assert manifest["image"] == {"name": "orchestrator/scikit-learn:1.9", "pinned": own}
    assert json.loads((home / "images.json").read_text())["orchestrator/scikit-learn:1.9"]["id"] == own
    with closing(docker_engine.connect(engine_host)) as client:
        assert [one for one in client.containers.list(all=True) if ended["run"] in str(one.labels)] == []


def test_tensorflow_is_built_and_trains_the_glyphs_on_the_emulated_aws(
    base: str, engine_host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine_host)
    monkeypatch.setenv("ORCHESTRATE_HOME", str(tmp_path / "home"))
    image = _built("tensorflow", base, capsys)
    with closing(docker_engine.connect(engine_host)) as client:
        said: bytes = client.containers.run(image, network_mode="none", remove=True)
    assert said.decode().startswith("TensorFlow 2.21.0 with Keras 3.15.1 works")
    # The main job on the emulated AWS, at a size that ends in seconds.
    sweep = ROOT / "job_templates" / "glyphs.yaml"
    command = yaml.safe_load(sweep.read_text())["workload"]["command"]
    few = ["--set", "search.trials=2", "--set", f"workload.command={command} --smoke"]
    words = [sys.executable, "-m", "orchestrator", "run", str(sweep), "--provider", "aws", "--emulate", "--json", *few]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["trials"]["succeeded"] == 2
    kept = tmp_path / "home" / "fetched" / told["run"] / f"trial-{told['best']['trial']:06d}"
    assert (kept / "outputs" / "model" / "model.keras").stat().st_size > 0


def _built(name: str, base: str, capsys: pytest.CaptureFixture[Any]) -> str:
    """Build a recipe; the image's id."""
    words = ["images", "build", name, "--base", base, "--network", "host", "--folder", str(FOLDER)]
    assert main(words) == 0, capsys.readouterr().err
    image, identity = capsys.readouterr().out.split()
    assert image.startswith(f"orchestrator/{name}:")
    return str(identity)
