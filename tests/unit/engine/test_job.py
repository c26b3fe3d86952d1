"""The job document says what the spec says, in the runner's words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator.engine.job import job_document
from orchestrator.spec.model import Spec

BASE = Path("/sweeps")


def document(**workload: Any) -> dict[str, Any]:
    spec = Spec.model_validate({"name": "s", "workload": workload, "parameters": {"lr": 0.1, "data": "x"}})
    return job_document(spec, "s-1", BASE, None)


def test_a_text_is_for_the_shell_and_a_list_is_not() -> None:
    assert document(command="train --lr {lr}")["command"] == {"shell": ["train --lr ", {"name": "lr"}]}
    assert document(command=["train", "--lr={lr}"])["command"] == {"argv": [["train"], ["--lr=", {"name": "lr"}]]}


def test_inputs_are_found_from_the_folder_of_the_spec() -> None:
    inputs = [
        {"from": "data/{data}.csv", "to": "in/{data}.csv"},
        {"from": "/abs", "to": "a"},
        {"from": "s3://b/k", "to": "c"},
    ]
    sources = [item["from"] for item in document(command="true", inputs=inputs)["inputs"]]
    assert sources == [["/sweeps/data/", {"name": "data"}, ".csv"], ["/abs"], ["s3://b/k"]]


def test_a_notebook_is_run_with_the_trials_parameters_and_kept_with_its_results() -> None:
    job = document(notebook="a b/train.ipynb", outputs=["model/"])
    python, flag, (program,), *files = job["command"]["argv"]
    assert (python, flag, files) == (["python"], ["-c"], [["a b/train.ipynb"], ["a b/train.executed.ipynb"]])
    compile(program, "notebook.py", "exec")
    assert job["outputs"] == [["model/"], ["a b/train.executed.ipynb"]]


def test_the_names_of_secrets_are_in_the_document_and_their_values_are_not(monkeypatch: Any) -> None:
    monkeypatch.setenv("TOKEN", "hunter2")
    job = document(command="true", secrets=["TOKEN"])
    assert job["secrets"] == ["TOKEN"]
    assert "hunter2" not in str(job)
