from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from orchestrator.spec import Limits, Resources, Retries, Spec, expand


def spec(**more: Any) -> Spec:
    return Spec.model_validate({"name": "a", "workload": {"command": "true"}, **more})


def test_everything_but_the_name_and_the_command_has_a_default() -> None:
    found = spec()
    assert (found.provider, found.storage, found.matrix, found.parameters) == ("local", None, None, {})
    assert (found.search.goal, found.search.seed, found.workload.isolation) == ("maximize", 0, "process")
    assert (found.pool.lease, found.pool.idle_timeout, found.limits.grace) == (86400.0, 300.0, 10.0)


def test_a_kind_of_gpu_means_one_of_them() -> None:
    assert Resources().gpus == 0
    assert Resources(gpu="T4").gpus == 1
    assert Resources(gpu="T4", gpus=0.5).gpus == 0.5


def test_one_number_of_retries_is_for_the_causes_that_a_user_thinks_of() -> None:
    def retries(written: Any) -> Retries:
        return Limits.model_validate({"retries": written}).retries

    two = retries(2)
    assert (two.exit_code, two.timeout, two.infrastructure) == (2, 2, 2)
    assert (two.preempted, two.no_capacity) == (Retries().preempted, Retries().no_capacity)
    assert retries({"exit_code": 1}).exit_code == 1
    assert Limits().retries == Retries()
    assert Limits().retries.exit_code == 0


def test_an_exit_code_that_decides_is_one_that_programs_have() -> None:
    limits = Limits.model_validate({"exit_codes": {"2": "fail", 3: "stop"}})
    assert limits.exit_codes == {2: "fail", 3: "stop"}
    written = limits.model_dump(mode="json", exclude_unset=True)
    assert Limits.model_validate(written) == limits


@pytest.mark.parametrize(
    ("limit", "trials", "allowed"),
    [
        (None, 100, None),
        (5, 100, 5),
        (0, 100, 0),
        ("20%", 100, 20),
        ("7%", 100, 7),
        ("20%", 4, 0),
        ("12.5%", 40, 5),
        ("100%", 3, 3),
    ],
)
def test_shares_of_failures_are_exact_and_rounded_down(limit: Any, trials: int, allowed: int | None) -> None:
    assert Limits(max_failures=limit).failures_allowed(trials) == allowed


def test_a_grid_is_the_default_where_every_parameter_is_finite() -> None:
    assert spec(parameters={"a": [1, 2], "b": {"range": [0, 3]}}).algorithm == "grid"
    assert spec(parameters={"a": [1, 2], "b": {"uniform": [0, 3]}}).algorithm == "random"
    assert spec().algorithm == "grid"
    assert spec(search={"algorithm": "random", "trials": 2}).algorithm == "random"


def test_what_the_user_set_reads_back_as_the_same_spec() -> None:
    found = spec(
        parameters={"lr": {"loguniform": [1e-4, 0.1]}, "h": [1, "x"], "e": 5, "r": {"range": [0, 1, 0.1]}},
        workload={"command": ["a", "{lr}"], "inputs": [{"from": "x", "to": "y"}], "env": {"A": 1}},
        limits={"retries": 2, "timeout": "1h", "max_failures": "20 %"},
        resources={"memory": "16GiB", "gpu": "T4"},
    )
    dumped = found.model_dump(mode="json", exclude_unset=True)
    assert Spec.model_validate(dumped) == found
    assert Spec.model_validate(found.model_dump(mode="json")) == found
    assert Spec.model_validate_json(found.model_dump_json()) == found
    assert dumped["workload"]["inputs"] == [{"from": "x", "to": "y"}]


def test_a_spec_cannot_be_changed_and_takes_no_unknown_key() -> None:
    with pytest.raises(ValidationError):
        spec().name = "b"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        spec(surprise=1)


def test_a_matrix_expands_to_one_spec_an_entry() -> None:
    found = spec(
        parameters={"lr": {"loguniform": [1e-4, 0.1]}, "h": [1, 2]},
        workload={"command": "x {lr} {h}", "image": "base", "env": {"A": "1", "B": "2"}},
        resources={"gpu": "T4"},
        search={"trials": 3},
        matrix=[
            {"name": "torch", "workload": {"image": "torch", "env": {"B": "3"}}, "parameters": {"lr": [0.1]}},
            {"workload": {"notebook": "n.ipynb"}, "resources": {"gpu": None}},
        ],
    )
    torch, second = expand(found)
    assert (torch.name, second.name) == ("a-torch", "a-2")
    assert (torch.workload.image, torch.workload.env) == ("torch", {"A": "1", "B": "3"})
    assert torch.parameters["lr"].kind == "choice"
    assert torch.parameters["h"] == found.parameters["h"]
    assert (second.workload.command, second.workload.notebook) == (None, "n.ipynb")
    assert (second.resources.gpu, second.resources.gpus) == (None, 0)
    assert torch.matrix is None
    assert expand(torch) == [torch]


def test_importing_the_spec_imports_nothing_heavy_and_nothing_else_of_orchestrator() -> None:
    code = (
        "import sys, orchestrator.spec\n"
        "heavy = {'numpy', 'click', 'rich', 'jsonschema', 'tenacity', 'sqlite3', 'asyncio', 'scipy', 'optuna'}\n"
        "own = {n.split('.')[1] for n in sys.modules if n.startswith('orchestrator.')} - {'spec', 'version'}\n"
        "print(sorted(heavy & set(sys.modules)), sorted(own))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] []"
