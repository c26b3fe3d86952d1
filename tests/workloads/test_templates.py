"""Every ready sweep plans, runs at its smallest through the command line, and is cut there and goes on."""

import json
import os
import re
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import yaml

from orchestrator.engine import session
from orchestrator.spec import load as load_spec
from orchestrator.storage.layout import Home
from tests.environments import TEMPLATES, Environments

from .conftest import Shell


@dataclass(frozen=True)
class Case:
    """A sweep, or one row of its matrix, made small.

    It runs in the environment of the tests if that has `package`, else in the one of its own requirements.
    """

    template: str
    package: str
    row: str = ""
    change: tuple[str, str] = ("", " --smoke")  # of the command: what is replaced (its end, if nothing), and by what
    values: tuple[str, ...] = ()
    # The file at which a program without checkpoints is cut; it then begins again.
    stop_at: str = ""

    def __str__(self) -> str:
        return f"{self.template}-{self.row}" if self.row else self.template


CASES = (
    Case("admissions", "numpy"),
    Case("cifar10", "tensorflow", "tensorflow"),
    Case("cifar10", "torch", "pytorch"),
    Case("digits", "tensorflow"),
    Case("documents", "sklearn", stop_at="model.json"),
    Case("forecast", "tensorflow"),
    Case("frameworks", "tensorflow", "tensorflow"),
    Case("frameworks", "tensorflow", "keras-tensorflow"),
    Case("frameworks", "jax", "keras-jax"),
    Case("frameworks", "torch", "keras-torch"),
    Case("frameworks", "torch", "pytorch"),
    Case("frameworks", "flax", "flax"),
    Case("frameworks", "sklearn", "scikit-learn"),
    Case("frameworks", "mxnet", "mxnet"),
    Case("frameworks", "chainer", "chainer"),
    Case("from_scratch", "sklearn"),
    Case("generate", "tensorflow"),
    Case("glyphs", "tensorflow"),
    Case("inspections", "pyspark", stop_at="model.json"),
    Case("notebook", "papermill", values=("parameters.epochs=2",)),
    Case("scoring", "sklearn", change=("--shards 4", "--shards 1")),  # checkpoints after 20 files and 40
    Case("text", "tensorflow"),
)


def load(name: str) -> dict:
    return yaml.safe_load((TEMPLATES / f"{name}.yaml").read_text())


def changed(case: Case, folder: Path, *, install: bool) -> list[str]:
    """`run` and its arguments for the case; the file differs from the template in what cannot be set there."""
    spec = load(case.template)
    rows = [row for row in spec.get("matrix", []) if row["name"] == case.row]
    assert len(rows) == bool(case.row)
    if rows:
        spec["matrix"] = rows
    for workload in (spec["workload"], *(row["workload"] for row in rows)):
        for key in ("code", "requirements", "build_constraints"):
            if key in workload:
                workload[key] = os.path.normpath(TEMPLATES / workload[key])
        if not install:
            workload.pop("requirements", None)
            workload.pop("build_constraints", None)
    (folder / "sweep.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    values = ["search.trials=1", *case.values]
    if "command" in spec["workload"]:
        old, new = case.change
        command = spec["workload"]["command"]
        assert old in command
        values.append(f"workload.command={command.replace(old, new) if old else command + new}")
    return ["run", str(folder / "sweep.yaml"), "--json", *(word for value in values for word in ("--set", value))]


_TEXT = r"[^/]+\.(txt|csv)$"


def told(trial: dict) -> dict:
    """What a trial came to, without what the clock has a part in."""
    clocks = {"samples_per_second", "train_seconds"}
    card = [json.loads(Path(path).read_text()) for path in trial["outputs"] if path.endswith("model.json")]
    metrics = {name: value for name, value in trial["metrics"].items() if name not in clocks}
    # Pictures and models carry the time of their making, Spark's files a random name; texts and tables neither.
    files = {
        re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|_[0-9a-f]{12}", "*", name): Path(path).read_text()
        if re.match(_TEXT, name)
        else ""
        for path in trial["outputs"]
        for name in [path.split("/outputs/")[1]]
    }
    return {"state": trial["state"], "params": trial["params"], "metrics": metrics, "card": card, "files": files}


def test_every_template_is_run_by_one_of_these_tests() -> None:
    names = {path.stem for path in TEMPLATES.glob("*.yaml")}
    assert names == {*(case.template for case in CASES), "documents_consensus"}
    rows = {(name, row["name"]) for name in names for row in load(name).get("matrix", [])}
    assert rows == {(case.template, case.row) for case in CASES if case.row}


@pytest.mark.parametrize("provider", ["local", "azure", "aws"])
@pytest.mark.parametrize("name", sorted({case.template for case in CASES}))
def test_a_template_plans_as_it_is_on_every_provider(name: str, provider: str, tmp_path: Path) -> None:
    loaded = load_spec(TEMPLATES / f"{name}.yaml", [f"provider={provider}"])
    plans = [session.plan(one, loaded.base, Home(tmp_path)) for one in loaded.specs]
    assert len(plans) == len(load(name).get("matrix", [None]))
    assert all(plan.trials >= 1 for plan in plans)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_template_runs_and_goes_on_where_it_was_cut_with_equal_results(
    case: Case, shell: Shell, environments: Environments, pytestconfig: pytest.Config
) -> None:
    install = pytestconfig.getoption("--soak") or find_spec(case.package) is None
    if install:
        environments.of(case.template, case.row)
    arguments = changed(case, shell.folder, install=install)
    whole = shell.start(*arguments)
    run = shell.cut(arguments, case.stop_at)
    summary = json.loads(shell.end(whole))
    assert summary["trials"]["succeeded"] == summary["trials"]["total"] == 1
    (expected,) = shell.trials(summary["run"])
    assert np.isfinite(expected["metrics"][load(case.template)["search"]["metric"]])
    assert expected["outputs"]
    assert all(Path(path).is_file() for path in expected["outputs"])

    shell.end(shell.start("resume", run))
    (found,) = shell.trials(run)
    assert told(found) == told(expected)
    if not case.stop_at:
        assert "going on after epoch" in Path(shell.folder / "home").joinpath(*logs(run, found)).read_text()


def logs(run: str, trial: dict) -> tuple[str, ...]:
    return ("store", "runs", run, "trials", f"{trial['trial']:06d}", str(trial["attempts"]), "stdout.txt")


def test_the_documents_of_one_sweep_vote_in_the_next(shell: Shell) -> None:
    pytest.importorskip("sklearn")
    arguments = changed(Case("documents", "sklearn"), shell.folder, install=False)
    arguments[arguments.index("search.trials=1")] = "parameters.strength=[1.0]"
    (first,) = shell(*arguments)
    trials = shell.trials(first["run"])
    assert len(trials) == 3
    for trial in trials:
        (kept,) = (path for path in trial["outputs"] if path.endswith("predictions.npz"))
        folder = shell.folder / "predictions" / str(trial["trial"])
        folder.mkdir(parents=True)
        shutil.copy(kept, folder)
    second = changed(Case("documents_consensus", "sklearn", change=("", "")), shell.folder, install=False)
    run = shell.cut(second, "consensus.png")
    shell.end(shell.start("resume", run))
    (voted,) = shell.trials(run)
    assert voted["metrics"]["val_accuracy"] >= max(trial["metrics"]["val_accuracy"] for trial in trials) - 1e-9


def pins(path: Path) -> dict[str, str]:
    lines = [line.split("==") for line in path.read_text().splitlines() if "==" in line and not line.startswith("#")]
    return {name.removesuffix("-cpu"): version for name, version in lines}


@pytest.mark.parametrize("name", sorted({case.template for case in CASES}))
def test_the_image_of_a_sweep_has_what_its_program_needs(name: str) -> None:
    for one in load_spec(TEMPLATES / f"{name}.yaml").specs:
        work = one.workload
        image = str(work.image).removeprefix("orchestrator/").partition(":")[0]
        program = (work.notebook or re.findall(r"python -m (\w+)", str(work.command))[0]).split("/")[0]
        usual = "requirements/tensorflow.txt" if program == "digits" else "requirements.txt"
        needed = TEMPLATES / (work.requirements or f"../workloads/{program}/{usual}")
        there = pins(TEMPLATES.parent / "containers" / image / "requirements-cpu.txt")
        assert pins(needed).items() <= there.items(), (
            f"{one.name}: {image} lacks {pins(needed).items() - there.items()}"
        )
