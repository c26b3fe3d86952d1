"""Progress as a live view on a terminal.

The driver's thread takes a small snapshot at each event; a thread of rich's draws the newest one a few times a
second.  So drawing never waits for the run nor the run for the terminal.
"""

from __future__ import annotations

import os
import sys
import termios
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestrator.cli.lines import chosen, ended, stopping_line, time_left
from orchestrator.engine.driver import Finished, Progress
from orchestrator.engine.machine import RunPhase
from orchestrator.results.words import duration, money, number, numbers, printable

REDRAWS_A_SECOND = 8
# The most rows of running and of ended trials, on a terminal that is high enough.
RUNNING_ROWS = 8
ENDED_ROWS = 4
# Rows that the view takes beside those, and what is left of the terminal's own text.
OTHER_ROWS = 9

_MARKS = {"succeeded": "green", "failed": "red", "pruned": "yellow"}


@dataclass(frozen=True, slots=True)
class Running:
    trial: int
    since: float
    values: dict[str, float]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is drawn; taken in the driver's thread, never changed afterwards."""

    succeeded: int
    failed: int
    pruned: int
    total: int | None
    running: int
    first: tuple[Running, ...]
    queued: int
    cost: float
    best: Text | None
    note: str
    stopping: str
    phase: RunPhase
    left: float | None
    recent: tuple[Finished, ...]

    @property
    def ended(self) -> int:
        return self.succeeded + self.failed + self.pruned

    @property
    def waiting(self) -> int:
        """Trials to come; where nobody knows how many, those that are submitted."""
        return self.queued if self.total is None else self.total - self.ended - self.running


class LiveView:
    """Watches a run from the driver's thread and shows it on stderr while inside its ``with`` block."""

    def __init__(self, metric: str | None, fixed: frozenset[str] = frozenset(), console: Console | None = None) -> None:
        self._metric = metric
        self._fixed = fixed
        self._console = console or Console(stderr=True, highlight=False)
        self._began = time.monotonic()
        self._before: int | None = None
        self._recent: deque[Finished] = deque(maxlen=ENDED_ROWS)
        self._progress: Progress | None = None
        self._snapshot: Snapshot | None = None
        self._live = Live(
            console=self._console,
            get_renderable=self.render,
            refresh_per_second=REDRAWS_A_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> LiveView:
        self._echo_control(False)
        self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._live.stop()
        self._echo_control(True)

    def _echo_control(self, wanted: bool) -> None:
        """Whether the terminal writes ``^C`` for a Ctrl-C, which would shift the view by a line."""
        try:
            stderr = sys.stderr.fileno()
            if os.tcgetpgrp(stderr) != os.getpgrp():
                return  # in the background this call would stop us
            settings = termios.tcgetattr(stderr)
            flags = settings[3]
            settings[3] = flags | termios.ECHOCTL if wanted else flags & ~termios.ECHOCTL
            termios.tcsetattr(stderr, termios.TCSANOW, settings)
        except (OSError, ValueError, termios.error):
            return  # no terminal of ours: nothing is echoed

    def __call__(self, progress: Progress, finished: list[Finished]) -> None:
        self._progress = progress
        if self._before is None:
            self._before = ended(progress) - len(finished)
        self._recent.extend(finished)
        now = time.monotonic()
        self._snapshot = Snapshot(
            succeeded=progress.succeeded,
            failed=progress.failed,
            pruned=progress.pruned,
            total=progress.total,
            running=len(progress.running),
            first=tuple(
                Running(trial, since, dict(progress.latest.get(trial, ())))
                for trial, since in islice(progress.running.items(), RUNNING_ROWS)
            ),
            queued=progress.queued,
            cost=progress.cost,
            best=self._best(progress),
            note=progress.note,
            stopping=stopping_line(progress) if progress.stopping else "",
            phase=progress.phase,
            left=time_left(progress, self._before, now - self._began),
            recent=tuple(reversed(self._recent)),
        )

    def _best(self, progress: Progress) -> Text | None:
        best = progress.best
        if best is None:
            return None
        return Text.assemble(
            f"{best.trial:>4}  ",
            (f"{self._metric} {number(best.value)}", "bold"),
            f"  {chosen(best.params, self._fixed)}",
        )

    # ----------------------------------------------------------------------------------------------- drawing

    def render(self) -> RenderableType:
        """The view as of the newest snapshot, and of the clock."""
        seen = self._snapshot
        if seen is None:
            return Text("starting", style="dim")
        rows = max(1, min(RUNNING_ROWS, self._console.height - OTHER_ROWS - ENDED_ROWS))
        recent = seen.recent[: max(0, min(ENDED_ROWS, self._console.height - OTHER_ROWS - rows))]
        parts: list[RenderableType] = [self._bar(seen), self._counts(seen), Text()]
        if seen.best is not None:
            parts += _rows("best", [seen.best])
        parts += _rows("running", [self._running(one) for one in seen.first[:rows]], seen.running - rows)
        parts += _rows("ended", self._ended_rows(recent))
        if seen.note and (not seen.stopping or (seen.phase is RunPhase.DELETING and seen.note not in seen.stopping)):
            parts.append(Text(printable(seen.note), style="yellow", no_wrap=True, overflow="ellipsis"))
        stopping = seen.stopping or self._asked_to_stop()
        if stopping:
            parts.append(Text(stopping, style="yellow"))
        return Group(*parts)

    def _asked_to_stop(self) -> str:
        """A Ctrl-C is answered before the driver comes to its next look."""
        return f"Stopping: {self._progress.stopping}" if self._progress and self._progress.stopping else ""

    def _bar(self, seen: Snapshot) -> RenderableType:
        elapsed = duration(time.monotonic() - self._began)
        total = seen.total
        figures = f"{seen.ended:,}" + (f"/{total:,}" if total is not None else "")
        after = Text.assemble((figures, "bold"), f"  {elapsed}")
        if seen.left is not None and seen.ended != total:
            after.append(f"  about {duration(seen.left)} left", style="dim")
        grid = Table.grid(padding=(0, 2))
        wide = max(10, min(40, self._console.width - 40))
        bar = ProgressBar(total=total, completed=seen.ended, width=wide, complete_style="green", finished_style="green")
        grid.add_row(bar, after)
        return grid

    def _counts(self, seen: Snapshot) -> Text:
        parts = [
            (seen.succeeded, "succeeded", "green"),
            (seen.failed, "failed", "red"),
            (seen.pruned, "pruned", "yellow"),
            (seen.running, "running", ""),
            (seen.waiting, "waiting", "dim"),
        ]
        text = Text("  ").join(Text(f"{amount:,} {word}", style=style) for amount, word, style in parts if amount)
        if seen.cost:
            text.append(f"  {money(seen.cost)}")
        if not text and seen.phase is RunPhase.WORKING:
            text = Text("starting", style="dim")
        if seen.phase is RunPhase.DELETING:
            text.append("  giving back the machines", style="dim")
        return text

    def _running(self, one: Running) -> Text:
        elapsed = duration(max(0.0, time.time() - one.since))
        return Text(f"{one.trial:>4}  {elapsed:>7}  {self._values(one.values)}")

    def _values(self, values: dict[str, float]) -> str:
        ordered = sorted(values, key=lambda name: name != self._metric)
        return "  ".join(f"{name} {number(values[name])}" for name in ordered)

    def _ended_rows(self, recent: Sequence[Finished]) -> list[Text]:
        values = numbers([one.value for one in recent])
        return [self._ended(one, value) for one, value in zip(recent, values, strict=True)]

    def _ended(self, one: Finished, value: str) -> Text:
        took = "" if one.seconds is None else duration(one.seconds)
        text = Text(f"{one.trial:>4}  {took:>7}  ")
        if one.state != "succeeded" or one.value is None:
            text.append(one.state, style=_MARKS.get(one.state, ""))
            text.append("  ")
        if one.value is not None:
            text.append(f"{value}  ")
        text.append(printable(one.reason) if one.state == "failed" else chosen(one.params, self._fixed), style="dim")
        return text


def _rows(label: str, rows: Sequence[Text], more: int = 0) -> list[Text]:
    """Rows under one label, each on one line of the terminal whatever it holds."""
    if more > 0:
        rows = [*rows, Text(f"      and {more:,} more", style="dim")]
    lines = []
    for place, row in enumerate(rows):
        line = Text(f"{'' if place else label:<9}", style="dim", no_wrap=True, overflow="ellipsis", end="\n")
        line.append_text(Text.assemble(row, style="not dim"))
        lines.append(line)
    return lines
