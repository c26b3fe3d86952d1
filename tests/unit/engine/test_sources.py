"""What a search reads beside its spec is the same for every driver of a run, or the run says that it is not."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from orchestrator.engine import session
from orchestrator.engine.machine import RunStatus, TrialState
from orchestrator.engine.record import Outcome, Record
from orchestrator.errors import UsageError
from orchestrator.spec.model import Spec
from orchestrator.storage.layout import Home, RunKeys
from orchestrator.storage.local import LocalStore


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def made(home: Home, base: Path, parameters: dict[str, Any], **search: Any) -> str:
    """A run that nobody has driven yet."""
    spec = Spec.model_validate(
        {"name": "s", "workload": {"command": "true"}, "parameters": parameters, "search": search}
    )
    return session.create(session.plan(spec, base, home), home).run


def tried(home: Home, run: str, *rows: dict[str, Any], value: float | None = None) -> None:
    """Trials as an earlier driver has left them."""
    with closing(Record.open(home.record(run))) as record:
        first = (record.last() or (-1, {}))[0] + 1
        for trial, params in enumerate(rows, start=first):
            record.add_trial(trial, params)
            if value is not None:
                record.save_trial(trial, TrialState.SUCCEEDED, 1, "", Outcome({"loss": value}))


def test_a_table_that_has_changed_since_stops_a_resume(home: Home, tmp_path: Path) -> None:
    table = tmp_path / "points.csv"
    table.write_text("x\n1\n2\n3\n")
    run = made(home, tmp_path, {}, algorithm="list", file="points.csv")
    manifest = json.loads(LocalStore(home.store).get(RunKeys(run).manifest))
    assert len(manifest["points"]) == 64
    table.write_text("x\n1\n2\n4\n")
    with pytest.raises(UsageError, match=f"points.csv has changed since {run} was started"):
        session.drive(run, home)
    table.write_text("x\n1\n2\n3\n")
    assert session.drive(run, home) is RunStatus.SUCCEEDED


def test_a_listing_in_which_a_file_has_come_in_between_stops_a_resume(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("b", "c"):
        (folder / name).write_text("")
    run = made(home, tmp_path, {}, algorithm="files", folder="./data")
    points = [{"url": (folder / n).as_uri(), "path": n, "name": n, "stem": n} for n in ("b", "c")]
    tried(home, run, *points)
    (folder / "a").write_text("")
    with pytest.raises(UsageError, match="The search gives trial 1 other parameters"):
        session.drive(run, home)
    (folder / "a").unlink()
    (folder / "d").write_text("")  # one more at the end moves none
    assert session.drive(run, home) is RunStatus.SUCCEEDED


def test_what_a_run_learns_from_earlier_ones_is_fixed_when_it_is_made(home: Home, tmp_path: Path) -> None:
    space = {"x": {"uniform": [0, 1]}}
    first = made(home, tmp_path, space, trials=9, metric="loss", goal="minimize")
    tried(home, first, *({"x": number / 9} for number in range(4)), value=0.5)
    second = made(home, tmp_path, space, algorithm="tpe", trials=2, metric="loss", goal="minimize", warm_start="last")
    tried(home, first, {"x": 0.9}, value=0.1)
    made(home, tmp_path, space, trials=9)  # from now on this one is the last
    with closing(Record.open(home.record(second))) as record:
        facts = record.facts()
    assert facts["spec"]["search"]["warm_start"] == [first]
    assert facts["earlier"] == [4]
    manifest = json.loads(LocalStore(home.store).get(RunKeys(second).manifest))
    assert manifest["earlier"] == [4]
    assert session.drive(second, home) is RunStatus.SUCCEEDED
