"""How long a user waits for the command line itself."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.command import environment, interleaved, orchestrate, seconds
from benchmarks.report import Figure
from orchestrator.engine.machine import TrialState
from orchestrator.engine.record import Outcome, Record
from orchestrator.storage.layout import Home

TRIALS = 10_000
RUN = "big-261121-000000-aaaa"


def big_run(home: Home) -> None:
    """The record of a finished run of many trials."""
    home.run(RUN).mkdir(parents=True)
    spec = {"name": "big", "workload": {"command": "true"}}
    facts = {
        "run": RUN, "name": "big", "created": time.time(), "status": "succeeded", "reason": "", "spec": spec,
        "base": "/", "provider": "local", "store": home.store.as_uri(), "total": TRIALS, "metric": "loss",
        "goal": "minimize", "job": {}, "started": 0.0, "finished": 1.0, "seconds": 1.0, "cost": 0.0,
    }  # fmt: skip
    record = Record.create(home.record(RUN), facts)
    with record.transaction():
        for trial in range(TRIALS):
            record.add_trial(trial, {"x": trial, "lr": 0.1})
            record.save_attempt(trial, 1, "ended", None)
            record.save_trial(trial, TrialState.SUCCEEDED, 1, "", Outcome({"loss": float(trial)}, (), 1.0))
    record.close()


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory() as name:
        home = Home(Path(name))
        big_run(home)
        env = environment(home.path)
        help_, status = interleaved(
            11,
            lambda: seconds(orchestrate(home.path, "--help"), env),
            lambda: seconds(orchestrate(home.path, "status", RUN), env),
        )
        return [
            Figure("orchestrate --help", help_ * 1000, "ms", most=100),
            Figure("orchestrate status of a run of 10,000 trials", status * 1000, "ms", most=300),
        ]
