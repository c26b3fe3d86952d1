"""Sweeps from Python."""

from __future__ import annotations

import csv
import io
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from orchestrator import Results, Run, SpecError, Sweep, attach, run, submit
from orchestrator.api import StillRunning
from orchestrator.engine.driver import Finished, Progress
from orchestrator.errors import RunNotFound, UsageError

PROGRAM = "from orchestrator import report; import sys; x = float(sys.argv[1]); report(step=1, loss=(x - 2) ** 2)"
FIVE = {"x": {"range": [0, 5]}}
BY_LOSS = {"metric": "loss", "goal": "minimize"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("ORCHESTRATE_HOME", str(tmp_path / "home"))
    before = set(psutil.Process().children(recursive=True))  # an engine or an emulator that all tests share
    yield tmp_path / "home"
    psutil.wait_procs(started_since(before), timeout=10)
    assert [child for child in started_since(before) if child.status() != psutil.STATUS_ZOMBIE] == []


def started_since(before: set[psutil.Process]) -> list[psutil.Process]:
    """The processes below this one that were not there before; a process counts as itself by its start time too."""
    return [child for child in psutil.Process().children(recursive=True) if child not in before]


def parabola(**keys: object) -> Sweep:
    command = [sys.executable, "-c", PROGRAM, "{x}"]
    return Sweep("parabola", command=command, parameters=FIVE, search=BY_LOSS, **keys)  # type: ignore[arg-type]


def sleepy() -> Sweep:
    return Sweep(
        "sleepy", command="sleep 0.3", parameters={"n": {"range": [0, 40]}}, limits={"parallel": 2, "grace": 1}
    )


def test_the_example_of_the_documentation_runs(home: Path, tmp_path: Path) -> None:
    seen: list[int] = []

    def progress(now: Progress, finished: list[Finished]) -> None:
        seen.extend(one.trial for one in finished)
        assert now.total == 5

    results = run(parabola(), progress=progress)
    assert results.best is not None
    assert results.best.params == {"x": 2}
    assert results.best.metrics == {"loss": 0.0}
    assert [trial.params["x"] for trial in results] == [2, 1, 3, 0, 4]
    assert len(results) == 5
    assert results[0] is results.best
    assert (results.status, results.cost, results.failed) == ("succeeded", 0.0, [])
    assert sorted(seen) == [0, 1, 2, 3, 4]
    rows = list(csv.DictReader(io.StringIO(results.to_csv(tmp_path / "results.csv"))))
    assert [row["loss"] for row in rows] == ["0.0", "1.0", "1.0", "4.0", "4.0"]
    assert (tmp_path / "results.csv").read_text() == results.to_csv()
    assert json.loads(results.to_json()) == results.to_records()
    assert results.to_records()[0]["params"] == {"x": 2}


def test_a_submitted_run_goes_on_elsewhere_and_gives_each_trial_once_as_it_ends(home: Path) -> None:
    started = submit(parabola())
    assert isinstance(started, Run)
    again = attach(started.id[:-1])
    assert again.id == started.id
    assert sorted(trial.trial for trial in started) == [0, 1, 2, 3, 4]
    results = started.wait(timeout=30)
    assert isinstance(results, Results)
    assert results.status == again.status == "succeeded"
    assert sorted(trial.trial for trial in again) == [0, 1, 2, 3, 4]


def test_a_run_can_be_cancelled_and_resumed(home: Path) -> None:
    started = submit(sleepy())
    assert started.status == "running"
    with pytest.raises(StillRunning):
        started.wait(timeout=0.5)
    started.cancel()
    assert started.status == "cancelled"
    done = started.results.counts["succeeded"]
    assert done < 40
    started.cancel()  # nothing more to do
    started.resume()
    assert started.status == "running"
    next(iter(started))
    started.cancel()
    assert started.results.counts["succeeded"] >= done


def test_logs_are_bytes(home: Path) -> None:
    results = run(Sweep("logs", command=r"printf 'a\000b'; printf oops >&2"))
    assert attach(results.run).logs(0) == b"a\0b"
    assert attach("last").logs(0, "stderr") == b"oops"
    with pytest.raises(UsageError, match="There is no stream 'out'"):
        attach("last").logs(0, "out")
    with pytest.raises(UsageError, match="no trial 7"):
        attach("last").logs(7)


def test_failures_are_in_the_results_and_numbers_stay_numbers(home: Path) -> None:
    sweep = Sweep(
        "failing",
        command="echo loss={value}; exit {code}",
        workload={"metrics": {"loss": r"loss=(\S+)"}},
        parameters={"value": "nan", "code": [0, 3]},
        search=BY_LOSS,
    )
    results = run(sweep)
    assert (results.status, results.best) == ("failed", None)
    assert math.isnan(results[0].metrics["loss"])
    assert [trial.trial for trial in results.failed] == [1]
    assert "exit code 3" in results.failed[0].reason
    assert json.loads(results.to_json())[0]["metrics"] == {"loss": None}


def test_mistakes_are_told_by_their_names(home: Path) -> None:
    with pytest.raises(SpecError) as caught:
        Sweep("bad name!", command="echo {x}", parameters={"x": {"unifrom": [1, 2]}}, limits={"paralel": 2})
    text = str(caught.value)
    assert len(caught.value.problems) == 3
    assert "uniform" in text
    assert "parallel" in text
    with pytest.raises(UsageError, match="command is given twice"):
        Sweep("twice", command="true", workload={"command": "false"})
    with pytest.raises(RunNotFound):
        attach("nothing")
    assert not home.exists()


def test_a_sweep_of_a_file_is_the_same_as_one_of_python(home: Path, tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text("name: demo\nworkload: {command: 'echo {x}'}\nparameters: {x: [1, 2]}\n")
    sweep = Sweep.from_file(tmp_path / "sweep.yaml", ["parameters.x=[1, 2, 3]"])
    assert sweep.plan().trials == 3
    assert sweep.spec == Sweep("demo", command="echo {x}", parameters={"x": [1, 2, 3]}).spec
    assert not home.exists()


def test_a_matrix_is_run_by_its_variants(home: Path) -> None:
    sweep = Sweep("demo", command="echo {x}", matrix=[{"name": n, "parameters": {"x": n}} for n in ("a", "b")])
    with pytest.raises(UsageError, match="stands for 2 runs"):
        run(sweep)
    assert [one.spec.name for one in sweep.variants()] == ["demo-a", "demo-b"]
    assert [run(one).status for one in sweep.variants()] == ["succeeded", "succeeded"]


def test_ctrl_c_stops_the_trials_and_is_raised(home: Path) -> None:
    program = (
        "import os, signal, sys, threading; from orchestrator import Sweep, run\n"
        "def progress(now, finished):\n"
        "    if now.running: os.kill(os.getpid(), signal.SIGINT)\n"
        "try:\n"
        "    run(Sweep('slow', command='sleep 60', limits={'grace': 1}), progress=progress)\n"
        "except KeyboardInterrupt:\n"
        "    print('raised')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "raised\n"
    assert attach("last").status in ("interrupted", "abandoned")


def test_reporting_costs_a_program_no_import_of_the_rest() -> None:
    heavy = ("pydantic", "yaml", "numpy", "sqlite3", "click", "rich")
    program = f"from orchestrator import report; import sys; print([n for n in {heavy!r} if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "[]\n"


def test_every_public_name_is_there() -> None:
    import orchestrator

    for name in orchestrator.__all__:
        assert getattr(orchestrator, name) is not None
    with pytest.raises(AttributeError):
        orchestrator.nothing  # noqa: B018


def test_a_run_goes_on_with_more_trials_and_a_trial_runs_again(home: Path, tmp_path: Path) -> None:
    sweep = Sweep(
        "parabola",
        command=[sys.executable, "-c", PROGRAM, "{x}"],
        parameters={"x": {"uniform": [0, 4]}, "seed": {"repeat": 2}},
        search={**BY_LOSS, "algorithm": "random", "trials": 2},
    )
    first = attach(run(sweep).run)
    results = first.resume(trials="+2").wait()
    assert (results.status, len(results), len(results.points)) == ("succeeded", 4, 2)
    best = results.points[0]
    assert (best.n, best.deviations, best.params) == (2, {"loss": 0.0}, {"x": results[0].params["x"]})
    assert results.where("seed == 1 and loss < 100") == [one for one in results if one.params["seed"] == 1]
    again = first.rerun(3)
    assert (again.same.equal, again.results[0].trial, again.warnings) == (True, 3, ())
    pq = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow, which make test installs")
    results.to_parquet(tmp_path / "found.parquet")
    assert pq.read_table(tmp_path / "found.parquet").num_rows == 4
