"""Driving a run under the user's eyes, and the exit code that its end means."""

from __future__ import annotations

import os
import sys

from orchestrator.cli.app import App
from orchestrator.cli.failure import INTERRUPTED, MACHINE_FAILED
from orchestrator.engine import session
from orchestrator.engine.machine import RunStatus
from orchestrator.spec.model import Spec

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


def in_foreground() -> bool:
    """Whether stderr is a terminal that is ours to draw on; in the background of a shell it is not."""
    if not sys.stderr.isatty():
        return False
    try:
        return os.tcgetpgrp(sys.stderr.fileno()) == os.getpgrp()
    except OSError:  # a terminal, though not the one that controls this process
        return True


def drive(app: App, run: str, spec: Spec, *, reopen: bool = False) -> RunStatus:
    """Drive the run to its end, showing it on stderr: as a live view on a terminal, as plain lines elsewhere."""
    app.run = run
    metric = spec.search.metric
    fixed = frozenset(name for name, parameter in spec.parameters.items() if parameter.size == 1)
    if in_foreground() and os.environ.get("TERM") != "dumb":
        from orchestrator.cli.live import LiveView

        with LiveView(metric, fixed) as view:
            return session.drive(run, app.home, view, reopen=reopen)
    from orchestrator.cli.lines import Lines

    with Lines(metric, fixed) as lines:
        return session.drive(run, app.home, lines, reopen=reopen)
