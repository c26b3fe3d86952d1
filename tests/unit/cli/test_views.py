"""The live view and the plain lines."""

from __future__ import annotations

import io
import time
from types import SimpleNamespace

import pytest
from rich.console import Console

from orchestrator.cli.lines import BURST, Lines, ended_line, time_left
from orchestrator.cli.live import LiveView
from orchestrator.engine.driver import Best, Finished, Progress
from orchestrator.engine.machine import RunPhase, TrialState


def finished(
    trial: int, state: TrialState = TrialState.SUCCEEDED, value: float | None = 0.5, reason: str = ""
) -> Finished:
    return Finished(trial, state, {"lr": 0.1, "epochs": 5}, value, reason, 2.0)


def progress(**changes: object) -> Progress:
    seen = Progress("demo", time.time(), total=10)
    for name, value in changes.items():
        setattr(seen, name, value)
    return seen


def drawn(view: LiveView, console: Console) -> str:
    with console.capture() as capture:
        console.print(view.render())
    return capture.get()


def live(width: int = 80, height: int = 24) -> tuple[LiveView, Console]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    return LiveView("acc", frozenset({"epochs"}), console), console


def test_the_live_view_shows_progress_running_trials_and_the_best_so_far() -> None:
    view, console = live()
    view(
        progress(
            succeeded=3,
            failed=1,
            running={7: time.time() - 12, 8: time.time()},
            latest={7: {"loss": 0.25, "acc": 0.75}},
            best=Best(2, {"lr": 0.1, "epochs": 5}, 0.875),
            cost=0.5,
            note="waiting for quota",
        ),
        [finished(2), finished(3, TrialState.FAILED, None, "exit code 1")],
    )
    text = drawn(view, console)
    assert "4/10" in text
    assert "3 succeeded  1 failed  2 running  4 waiting  $0.50" in text
    assert "acc 0.875  lr=0.1\n" in text
    assert "acc 0.75  loss 0.25" in text
    assert "failed  exit code 1" in text
    assert "waiting for quota" in text
    assert "epochs" not in text  # the same for every trial


@pytest.mark.parametrize(("width", "height"), [(20, 6), (40, 10), (80, 24), (200, 60)])
def test_the_live_view_fits_the_terminal_whatever_runs(width: int, height: int) -> None:
    view, console = live(width, height)
    names = {f"parameter_{number}": "x" * 50 + "\n\x1b[2J" for number in range(20)}
    many = {trial: time.time() for trial in range(500)}
    best = Best(0, names, 0.5)
    view(
        progress(running=many, latest={0: dict.fromkeys(names, 0.1)}, best=best, succeeded=3, note="y" * 300),
        [Finished(trial, TrialState.SUCCEEDED, names, 0.5, "", 1.0) for trial in range(3)],
    )
    lines = drawn(view, console).splitlines()
    assert all(len(line) <= width for line in lines)
    assert all(line.isprintable() for line in lines)
    if height >= 24:
        assert len(lines) < height


def test_a_snapshot_is_not_changed_by_what_the_driver_does_next() -> None:
    view, console = live()
    seen = progress(running={1: time.time()}, latest={1: {"acc": 0.25}})
    view(seen, [])
    seen.latest[1]["acc"] = 0.75
    seen.running.clear()
    assert "acc 0.25" in drawn(view, console)


def test_a_ctrl_c_is_answered_before_the_driver_looks_again() -> None:
    view, console = live()
    seen = progress(running={1: time.time()})
    view(seen, [])
    seen.stopping = "interrupted by Ctrl-C"
    assert "Stopping: interrupted by Ctrl-C" in drawn(view, console)


def test_time_left_follows_the_pace_of_this_driver() -> None:
    seen = progress(succeeded=8, running={1: 0.0})
    assert time_left(seen, before=4, elapsed=20.0) == 10.0
    assert time_left(seen, before=8, elapsed=20.0) is None
    seen.total = None
    assert time_left(seen, before=4, elapsed=20.0) is None


def test_plain_lines_name_a_few_trials_at_once_and_no_flood(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.cli.lines.time", SimpleNamespace(monotonic=lambda: 0.0))
    lines = Lines("acc", frozenset({"epochs"}))
    for trial in range(1000):
        lines(progress(succeeded=trial), [finished(trial)])
    err = capfd.readouterr().err.splitlines()
    assert err[0] == "trial 0 succeeded in 2.0s (lr=0.1): acc 0.5"
    assert len(err) == BURST


def test_a_failed_trial_says_why_on_one_line() -> None:
    line = ended_line(finished(3, TrialState.FAILED, None, "exit\ncode 1"), "acc")
    assert line == "trial 3 failed in 2.0s (lr=0.1 epochs=5): exit\\ncode 1"


def test_the_end_before_its_time_is_said_once(capfd: pytest.CaptureFixture[str]) -> None:
    lines = Lines("acc")
    stopping = progress(running={1: 0.0, 2: 0.0}, stopping="interrupted by Ctrl-C", phase=RunPhase.DRAINING)
    for _ in range(3):
        lines(stopping, [])
    assert capfd.readouterr().err == (
        "Stopping: interrupted by Ctrl-C; waiting for 2 trials to stop (Ctrl-C again to leave at once)\n"
    )


def test_why_a_pool_cannot_be_given_back_is_shown_while_that_is_tried(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = progress(phase=RunPhase.DELETING, stopping="Ctrl-C", note="the service does not answer")
    view, console = live()
    view(seen, [])
    assert "the service does not answer" in drawn(view, console)
    monkeypatch.setattr("orchestrator.cli.lines.SUMMARY_SECONDS", 0.0)
    lines = Lines("acc")
    lines(seen, [])
    lines(seen, [])
    assert capfd.readouterr().err.count("the service does not answer") == 1
