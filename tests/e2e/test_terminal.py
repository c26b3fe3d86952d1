"""On a terminal: the live view, the question about money, Ctrl-C from the keyboard."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping

from tests.e2e.conftest import Shell


def plain(text: str) -> str:
    """Without colours and movements."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def _without_size(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in environment.items() if name not in ("COLUMNS", "LINES")}


class Terminal:
    """``orchestrate`` with all three streams on a terminal of its own."""

    def __init__(self, shell: Shell, *arguments: str, columns: int = 80, rows: int = 24) -> None:
        self._leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", *arguments],
            cwd=shell.folder,
            # The size is the terminal's own, whatever the environment of the tests says.
            env={**_without_size(shell.env), "TERM": "xterm-256color"},
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(follower)
        self.seen = ""

    def read_until(self, what: Callable[[str], bool], seconds: float = 30) -> str:
        """All that was shown so far, once it satisfies the caller, or once the terminal has closed."""
        deadline = time.monotonic() + seconds
        while not what(self.seen):
            assert time.monotonic() < deadline, self.seen
            if not select.select([self._leader], [], [], 0.1)[0]:
                continue
            try:
                data = os.read(self._leader, 65536)
            except OSError:
                break
            self.seen += data.decode(errors="replace")
        return self.seen

    def type(self, text: str) -> None:
        os.write(self._leader, text.encode())

    def end(self) -> int:
        self.read_until(lambda _: False)
        os.close(self._leader)
        return self.process.wait(timeout=30)


def test_the_live_view_is_drawn_and_gives_way_to_the_table(shell: Shell) -> None:
    terminal = Terminal(shell, "run", shell.sweep(9, pause=0.3))
    terminal.read_until(lambda seen: "2 running" in seen and "best" in seen)
    assert terminal.end() == 1
    assert "━" in terminal.seen
    assert "8 trials succeeded, 1 failed" in terminal.seen
    shown = plain(terminal.seen)
    assert re.search(r"^trial +score +time", shown, re.MULTILINE)
    assert shown.rindex("running") < shown.index("trial  ")
    assert "Traceback" not in terminal.seen


def test_the_pace_of_drawing_is_bounded(shell: Shell) -> None:
    started = time.monotonic()
    terminal = Terminal(shell, "run", shell.sweep(40, pause=0.0))
    assert terminal.end() == 1
    # Each drawing shows the bar once; ten a second would be the most that anyone can follow.
    assert terminal.seen.count("succeeded  ") <= 10 * (time.monotonic() - started) + 2


def test_ctrl_c_from_the_keyboard_stops_in_order(shell: Shell) -> None:
    terminal = Terminal(shell, "run", shell.sweep(30, pause=0.5))
    terminal.read_until(lambda seen: "2 running" in seen)
    terminal.type("\x03")
    assert terminal.end() == 130
    assert "Stopping: interrupted by Ctrl-C" in terminal.seen
    assert "orchestrate resume demo-" in terminal.seen
    shell.nothing_left()


def test_what_may_cost_money_is_asked_about(shell: Shell) -> None:
    spec = shell.spec(workload={"command": "true"}, pool={"price": 3.0})
    terminal = Terminal(shell, "run", spec)
    terminal.read_until(lambda seen: "Start it?" in seen)
    terminal.type("n\r")
    assert terminal.end() == 130
    assert "Nothing was started." in terminal.seen
    assert not shell.home.exists()
    terminal = Terminal(shell, "run", spec)
    terminal.read_until(lambda seen: "Start it?" in seen)
    terminal.type("y\r")
    assert terminal.end() == 0


def test_tables_fit_a_narrow_terminal(shell: Shell) -> None:
    names = {f"parameter_{number}": [number, number + 1] for number in range(4)}
    spec = shell.spec(workload={"command": "true"}, parameters=names)
    assert shell("run", spec).returncode == 0
    for words in (("results", "last"), ("status",)):
        terminal = Terminal(shell, *words, columns=50)
        assert terminal.end() == 0
        lines = [plain(line) for line in terminal.seen.splitlines()]
        table = [line for line in lines if "succeeded" in line or line.lstrip().startswith("1")]
        assert table
        assert [line for line in table if len(line) > 50] == []
