"""Driving a run under the user's eyes, and the exit code that its end means."""

from __future__ import annotations

import os
import sys

from orchestrator.cli.app import App
from orchestrator.cli.failure import INTERRUPTED, MACHINE_FAILED
from orchestrator.engine import session
from orchestrator.engine.machine import RunStatus

# 1: the run ended, and not well by the user's own limits.
EXIT_CODES = {
    RunStatus.SUCCEEDED: 0,
    RunStatus.FAILED: 1,
    RunStatus.OVER_BUDGET: 1,
    RunStatus.TIMED_OUT: 1,
    RunStatus.BROKEN: MACHINE_FAILED,
    RunStatus.CANCELLED: INTERRUPTED,
    RunStatus.INTERRUPTED: INTERRUPTED,
}


def drive(app: App, run: str, metric: str | None, *, reopen: bool = False) -> RunStatus:
    """Drive the run to its end, showing it on stderr: as a live view on a terminal, as plain lines elsewhere."""
    app.run = run
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        from orchestrator.cli.live import LiveView

        with LiveView(metric) as view:
            return session.drive(run, app.home, view, reopen=reopen)
    from orchestrator.cli.lines import Lines

    with Lines(metric) as lines:
        return session.drive(run, app.home, lines, reopen=reopen)
