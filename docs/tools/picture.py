"""Draws ``docs/run.svg``: a real run, in a real terminal, as it looks in the middle and at the end.

``python docs/tools/picture.py SWEEP SECONDS`` runs the sweep in a terminal of 100 columns, and keeps what is on the
screen after so many seconds and when the run has ended.  Needs ``pip install pyte``.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import select
import struct
import sys
import termios
import time
from pathlib import Path

import pyte
from rich.console import Console
from rich.text import Text

COLUMNS, ROWS = 100, 40


def watch(command: list[str], seconds: float) -> tuple[pyte.Screen, pyte.Screen]:
    """What a terminal shows after so many seconds, and at the end."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(command[0], command)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    middle: pyte.Screen | None = None
    start = time.monotonic()
    everything = b""
    while True:
        ready, _, _ = select.select([terminal], [], [], 0.2)
        if ready:
            try:
                data = os.read(terminal, 65536)
            except OSError:
                break
            if not data:
                break
            everything += data
            stream.feed(data)
        if middle is None and time.monotonic() - start > seconds:
            middle = pyte.Screen(COLUMNS, ROWS)
            pyte.ByteStream(middle).feed(everything)
    _, status = os.waitpid(pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(everything.decode(errors="replace"))
    return middle or screen, screen


def as_text(screen: pyte.Screen) -> list[Text]:
    """The lines of a screen with their colours, without the empty ones at its end."""
    lines = []
    for row in range(screen.lines):
        line = Text()
        for column in range(screen.columns):
            cell = screen.buffer[row][column]
            colour = None if cell.fg == "default" else (f"#{cell.fg}" if len(cell.fg) == 6 else cell.fg)
            style = " ".join(word for word in ("bold" if cell.bold else "", colour or "") if word)
            line.append(cell.data, style=style.replace("brown", "yellow") or None)
        line.rstrip()
        lines.append(line)
    while lines and not lines[-1].plain:
        lines.pop()
    return lines


def main() -> None:
    sweep, seconds = sys.argv[1], float(sys.argv[2])
    middle, end = watch(["orchestrate", "run", sweep], seconds)
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ orchestrate run {sweep}", style="bold"))
    for line in as_text(middle):
        console.print(line, overflow="crop", no_wrap=True)
    console.print(Text("\n... and at its end\n", style="dim"))
    for line in as_text(end):
        console.print(line, overflow="crop", no_wrap=True)
    Path("docs/run.svg").write_text(console.export_svg(title="orchestrate"))


if __name__ == "__main__":
    main()
