"""``orchestrate logs``."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from orchestrator.engine.lock import hold
from orchestrator.engine.machine import TrialState
from orchestrator.providers.base import Cause, Ended
from tests.unit.cli.conftest import HandMade, Output

Make = Callable[..., HandMade]
Orchestrate = Callable[..., Output]
BINARY = b"\x00\xff\xfe no newline at the end\r\x1b[0m"


def bytes_of(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "orchestrator", "logs", *arguments], capture_output=True, timeout=60)


def test_the_log_of_a_trial_comes_out_byte_for_byte(make_run: Make) -> None:
    run = make_run()
    run.trial(0)
    run.log(0, BINARY)
    run.log(0, b"oops\n", "stderr")
    run.end()
    assert bytes_of(run.run, "0").stdout == BINARY
    assert bytes_of(run.run, "0", "--stderr").stdout == b"oops\n"


def test_the_last_attempt_is_shown_or_the_one_asked_for(make_run: Make, orchestrate: Orchestrate) -> None:
    run = make_run()
    run.trial(0)
    run.record.save_attempt(0, 2, "ended", Ended(None))
    run.log(0, b"first\n", attempt=1)
    run.log(0, b"second\n", attempt=2)
    run.end()
    assert orchestrate("logs", run.run, "0").out == "second\n"
    assert orchestrate("logs", run.run, "0", "--attempt", "1").out == "first\n"


def test_all_trials_come_out_line_by_line_with_their_numbers(make_run: Make, orchestrate: Orchestrate) -> None:
    run = make_run()
    for trial in (0, 1):
        run.trial(trial)
        run.log(trial, b"a\nb")
    run.end()
    assert orchestrate("logs", run.run).out == "[0] a\n[0] b\n[1] a\n[1] b\n"


@pytest.mark.parametrize(("trial", "text"), [("7", "has no trial 7"), ("2", "has not started")])
def test_a_trial_that_is_not_there_is_told_from_a_silent_one(
    make_run: Make, orchestrate: Orchestrate, trial: str, text: str
) -> None:
    run = make_run()
    run.trial(0)
    run.end()
    answer = orchestrate("logs", run.run, trial)
    assert (answer.code, answer.out) == (2, "")
    assert text in answer.err
    assert orchestrate("logs", run.run, "0").code == 0


class Reader:
    """``logs -f`` in a process of its own; what it prints is read as it comes."""

    def __init__(self, run: HandMade, *arguments: str) -> None:
        command = [sys.executable, "-m", "orchestrator", "logs", run.run, "-f", *arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0)
        self.seen = b""
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        while data := self._process.stdout.read(65536):
            self.seen += data

    def wait_for(self, text: bytes) -> None:
        deadline = time.monotonic() + 60
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            time.sleep(0.01)

    def end(self) -> bytes:
        self._reading.join(timeout=60)
        assert self._process.wait(timeout=60) == 0
        return self.seen


def test_following_goes_on_into_the_next_attempt_and_loses_no_last_byte(make_run: Make) -> None:
    run = make_run(total=1)
    run.trial(0, "running")
    with hold(run.home.lock(run.run), run.run):
        reader = Reader(run, "0")
        run.log(0, b"one\n")
        reader.wait_for(b"one\n")
        run.log(0, b"two")  # written just before the attempt ends
        run.record.save_attempt(0, 1, "ended", Ended(Cause.PREEMPTED))
        run.record.save_attempt(0, 2, "running", None)
        run.log(0, b"three\n", attempt=2)
        reader.wait_for(b"three\n")
        run.log(0, b"four", attempt=2)
        run.record.save_attempt(0, 2, "ended", Ended(None))
        run.record.save_trial(0, TrialState.SUCCEEDED, 2, "", None)
        assert reader.end() == b"one\ntwothree\nfour"


def test_following_all_trials_ends_with_the_run(make_run: Make) -> None:
    run = make_run(total=2)
    run.trial(0, "running")
    with hold(run.home.lock(run.run), run.run):
        reader = Reader(run)
        run.log(0, b"a\npart")
        reader.wait_for(b"[0] a\n")
        run.log(0, b"ly\n")
        run.trial(1, "running")
        run.log(1, b"other")
        reader.wait_for(b"partly")
        for trial in (0, 1):
            run.record.save_attempt(trial, 1, "ended", Ended(None))
            run.record.save_trial(trial, TrialState.SUCCEEDED, 1, "", None)
        run.end()
    lines = reader.end().splitlines()
    assert [line for line in lines if line.startswith(b"[0]")] == [b"[0] a", b"[0] partly"]
    assert [line for line in lines if line.startswith(b"[1]")] == [b"[1] other"]


def test_following_a_run_that_nobody_drives_ends_and_says_so(make_run: Make) -> None:
    run = make_run()
    run.trial(0, "running")
    run.log(0, b"left\n")
    done = bytes_of(run.run, "0", "-f")
    assert done.stdout == b"left\n"
    assert b"orchestrate resume" in done.stderr
