"""What a plan says that a run will cost, before anything is asked of a cloud."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.test_results import Orchestrate

SWEEP = """
name: spots
workload: {command: "train {x}", image: "image:1", checkpoint: checkpoint}
parameters: {x: {choice: [1, 2, 3]}}
search: {algorithm: grid}
resources: {gpus: 1, gpu: T4}
limits: {timeout: 1h}
"""


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP)
    return str(path)


def cost(orchestrate: Orchestrate, *arguments: str) -> str:
    told = orchestrate("plan", *arguments, "--provider", "aws").out
    return next(line for line in told.splitlines() if line.strip().startswith("cost")).split(maxsplit=1)[1]


def test_spot_machines_are_bound_by_their_price_on_demand_and_the_usual_one_is_told(
    orchestrate: Orchestrate, sweep: str
) -> None:
    assert cost(orchestrate, sweep) == "at most $1.58, $1.58 an hour"
    assert cost(orchestrate, sweep, "--set", "pool.spot=true") == "at most $1.58, $1.58 an hour, usually $0.65 as spot"


def test_a_pool_is_asked_for_no_more_machines_than_there_are_trials(orchestrate: Orchestrate, sweep: str) -> None:
    told = orchestrate("plan", sweep, "--provider", "azure", "--requests", "--json").out
    pool = next(call for call in map(json.loads, told.splitlines()) if "autoScaleFormula" in call["body"])
    assert "nodes = alive ? min(3, " in pool["body"]["autoScaleFormula"]
