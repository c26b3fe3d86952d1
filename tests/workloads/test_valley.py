"""The valley: a trial that is cut short ends as if nothing had happened, and another's state is gone on from."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import WORKLOADS


@pytest.fixture
def train(tmp_path: Path):
    def run(folder: str, trial: int, *arguments: object, state: dict | None = None) -> dict:
        kept = tmp_path / folder / "state.json"
        kept.parent.mkdir(exist_ok=True)
        if state is not None:
            kept.write_text(json.dumps(state))
        carried = {"ORCHESTRATE_RUN": "r", "ORCHESTRATE_TRIAL": str(trial), "ORCHESTRATE_CHECKPOINT": str(kept.parent)}
        clean = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATE_")}
        command = [sys.executable, WORKLOADS / "valley" / "train.py", *map(str, arguments)]
        subprocess.run(command, env=clean | carried, check=True, capture_output=True)
        return json.loads(kept.read_text())

    return run


def test_a_trial_that_was_cut_short_ends_where_an_undisturbed_one_ends(train) -> None:
    settings = ("--momentum", 0.5, "--noise", 3)
    whole = train("whole", 0, "--epochs", 5, *settings)
    # As it was left after its second epoch.
    cut = train("cut", 0, "--epochs", 2, *settings)
    assert train("cut", 0, "--epochs", 5, *settings, state=cut | {"until": 5}) == whole


def test_a_trial_that_begins_with_anothers_state_trains_on_for_its_own_epochs(train) -> None:
    first = train("member", 0, "--epochs", 5)
    second = train("member", 1, "--epochs", 5)
    assert (first["epoch"], second["epoch"]) == (5, 10)
    assert second["place"] != first["place"]
