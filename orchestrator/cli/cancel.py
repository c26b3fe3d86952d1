"""``orchestrate cancel RUN``."""

from __future__ import annotations

from contextlib import closing

import click

from orchestrator.cli.app import App, Command, pass_app, run_argument
from orchestrator.cli.terminal import say
from orchestrator.engine.record import Record
from orchestrator.engine.runs import alive, find
from orchestrator.errors import MachineError
from orchestrator.results.read import overview

# How long a run may take to stop beyond its trials' grace, in seconds.
PATIENCE = 90.0


@click.command("cancel", cls=Command)
@run_argument
@pass_app
def command(app: App, run: str) -> int:
    """End RUN in order, whoever drives it: its trials are stopped and its machines given back.

    Trials that have ended keep their results; `orchestrate resume` goes on with the others.
    """
    from orchestrator.engine import session

    run = app.run = find(app.home, run)
    with closing(Record.open(app.home.record(run))) as record:
        before = overview(app.home, run, record)
        grace = record.facts()["job"].get("grace", 0.0)
    if before.ended:
        say(f"{run} has ended already: {before.status}.")
        return 0
    say(f"Stopping {run}.")
    status = session.cancel(run, app.home, wait=grace + PATIENCE)
    if alive(app.home, run):
        raise MachineError(
            f"{run} has been told to stop and still has not.", remedy="Ask again, or look at `orchestrate status`."
        )
    say(f"{run}: {status}")
    return 0
