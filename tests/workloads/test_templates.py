"""Every ready sweep plans, and runs at its smallest through the command line."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from .conftest import WORKLOADS

TEMPLATES = WORKLOADS.parent / "job_templates"
ORCHESTRATE = Path(sys.executable).with_name("orchestrate")

# What can run in the environment of the tests, and the package that it needs there.
HERE = {
    "admissions": "numpy",
    "digits": "tensorflow",
    "documents": "sklearn",
    "forecast": "tensorflow",
    "from_scratch": "sklearn",
    "generate": "tensorflow",
    "glyphs": "tensorflow",
    "scoring": "sklearn",
    "text": "tensorflow",
}
# What installs packages of its own, which takes minutes the first time and needs the network.
INSTALLING = ("cifar10", "frameworks", "inspections", "notebook")


def orchestrate(home: Path, *arguments: str, timeout: float = 250) -> subprocess.CompletedProcess[str]:
    # What is installed for the tests is what `python` means in a template.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [ORCHESTRATE, *arguments],
        env=os.environ | {"ORCHESTRATE_HOME": str(home), "PATH": path},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def spec(name: str) -> dict:
    return yaml.safe_load((TEMPLATES / f"{name}.yaml").read_text())


def test_every_template_is_run_by_one_of_these_tests() -> None:
    names = {path.stem for path in TEMPLATES.glob("*.yaml")}
    assert names == {*HERE, *INSTALLING, "documents_consensus"}


@pytest.mark.parametrize("name", [*HERE, *INSTALLING])
def test_a_template_plans_as_it_is(name: str, tmp_path: Path) -> None:
    planned = orchestrate(tmp_path, "plan", str(TEMPLATES / f"{name}.yaml"), "--json")
    assert planned.returncode == 0, planned.stderr
    plans = [json.loads(line) for line in planned.stdout.splitlines()]
    assert len(plans) == len(spec(name).get("matrix", [None]))
    assert all(plan["trials"] >= 1 for plan in plans)


@pytest.mark.parametrize("name", HERE)
def test_a_template_runs_at_its_smallest(name: str, tmp_path: Path) -> None:
    pytest.importorskip(HERE[name])
    metric = spec(name)["search"]["metric"]
    run = orchestrate(
        tmp_path,
        "run",
        str(TEMPLATES / f"{name}.yaml"),
        "--json",
        "--set",
        "search.trials=1",
        "--set",
        f"workload.command={spec(name)['workload']['command']} --smoke",
    )
    assert run.returncode == 0, run.stderr
    summary = json.loads(run.stdout)
    assert summary["trials"]["succeeded"] == 1
    listed = orchestrate(tmp_path, "results", summary["run"], "--json")
    (trial,) = map(json.loads, listed.stdout.splitlines())
    assert np.isfinite(trial["metrics"][metric])
    outputs = [Path(path) for path in trial["outputs"]]
    assert outputs
    assert all(path.is_file() for path in outputs)


def test_the_documents_of_one_sweep_vote_in_the_next(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    command = "workload.command=" + spec("documents")["workload"]["command"] + " --smoke"
    only = "parameters.strength=[1.0]"
    first = orchestrate(tmp_path, "run", str(TEMPLATES / "documents.yaml"), "--json", "--set", command, "--set", only)
    assert first.returncode == 0, first.stderr
    listed = orchestrate(tmp_path, "results", json.loads(first.stdout)["run"], "--json")
    trials = [json.loads(line) for line in listed.stdout.splitlines()]
    assert len(trials) == 3
    sweeps = tmp_path / "sweeps"
    for trial in trials:
        (kept,) = (path for path in trial["outputs"] if path.endswith("predictions.npz"))
        folder = sweeps / "predictions" / str(trial["trial"])
        folder.mkdir(parents=True)
        shutil.copy(kept, folder)
    text = (TEMPLATES / "documents_consensus.yaml").read_text().replace("../workloads", str(WORKLOADS))
    (sweeps / "consensus.yaml").write_text(text)
    second = orchestrate(tmp_path, "run", str(sweeps / "consensus.yaml"), "--json")
    assert second.returncode == 0, second.stderr
    best = max(trial["metrics"]["val_accuracy"] for trial in trials)
    assert json.loads(second.stdout)["best"]["value"] >= best - 1e-9


def test_a_sweep_whose_driver_is_killed_goes_on_from_its_checkpoint_with_equal_results(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    template = str(TEMPLATES / "from_scratch.yaml")
    settings = ["--set", "parameters.model=lstm", "--set", "parameters.lr=[0.1]", "--set", "parameters.epochs=40"]
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    assert orchestrate(tmp_path / "whole", "run", template, *settings).returncode == 0

    driver = subprocess.Popen(
        [ORCHESTRATE, "run", template, *settings],
        env=os.environ | {"ORCHESTRATE_HOME": str(tmp_path / "cut")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not any(path.read_text().count("\n") > 5 for path in (tmp_path / "cut").rglob("metrics.jsonl")):
        assert driver.poll() is None, "the run ended before it could be cut"
        time.sleep(0.05)
    driver.kill()
    driver.wait()
    (run,) = (json.loads(line) for line in orchestrate(tmp_path / "cut", "status", "--json").stdout.splitlines())
    resumed = orchestrate(tmp_path / "cut", "resume", run["run"])
    assert resumed.returncode == 0, resumed.stderr
    assert "going on after epoch" in orchestrate(tmp_path / "cut", "logs", run["run"], "0").stdout
    cards = [json.loads(path.read_text()) for path in sorted(tmp_path.rglob("model.json")) if "outputs" in path.parts]
    assert len(cards) == 2
    assert cards[0] == cards[1]


@pytest.mark.soak
@pytest.mark.parametrize("name", INSTALLING)
@pytest.mark.timeout(3600)
def test_a_template_with_requirements_installs_them_and_runs(name: str, tmp_path: Path) -> None:
    arguments = ["run", str(TEMPLATES / f"{name}.yaml"), "--json"]
    if "command" in spec(name)["workload"]:
        arguments += ["--set", f"workload.command={spec(name)['workload']['command']} --smoke"]
    run = orchestrate(tmp_path, *arguments, timeout=3500)
    assert run.returncode == 0, run.stderr
