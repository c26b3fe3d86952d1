"""``orchestrate resume RUN``."""

from __future__ import annotations

import os
from contextlib import closing

import click

from orchestrator.cli.app import App, Command, pass_app, run_argument
from orchestrator.cli.terminal import bold, dim, say, show
from orchestrator.engine.machine import RunStatus
from orchestrator.engine.record import Record
from orchestrator.engine.runs import find
from orchestrator.results.read import overview
from orchestrator.results.words import count


@click.command("resume", cls=Command)
@run_argument
@click.option("--trials", metavar="[+]N", help="Go on to N trials in all, or with so many more.")
@click.option(
    "--set",
    "overrides",
    metavar="A.B=VALUE",
    multiple=True,
    help="Give it another search.target or .patience, limits.* or pool.*; may be repeated.",
)
@click.option("--yes", is_flag=True, help="Do not ask before something that may cost money.")
@click.option("--detach", is_flag=True, help="Drive the run in the background and print its id.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end, and nothing else on stdout.")
@pass_app
def command(
    app: App, run: str, trials: str | None, overrides: tuple[str, ...], yes: bool, detach: bool, as_json: bool
) -> int:
    """Go on with RUN: one that was interrupted, cancelled or killed, or that ran out of money or time.

    Trials that have ended stay as they are; the others are run with the parameters that they have. A run that has
    ended goes on with --trials +20: its search knows all that it has found.
    """
    from orchestrator.cli.driving import EXIT_CODES, drive
    from orchestrator.cli.failure import INTERRUPTED
    from orchestrator.cli.run import agreed, finish
    from orchestrator.engine import session
    from orchestrator.spec.model import Spec

    run = app.run = find(app.home, run)
    if trials is not None or overrides:
        from orchestrator.engine.continuing import extended, go_on

        plan = extended(run, app.home, trials, overrides)
        if not (yes or agreed([plan])):
            say("Nothing was started.")
            return INTERRUPTED
        go_on(run, app.home, plan)
    with closing(Record.open(app.home.record(run))) as record:
        seen = overview(app.home, run, record)
        spec = Spec.model_validate(record.facts()["spec"])
    app.secrets = tuple(os.environ[name] for name in spec.workload.secrets if name in os.environ)
    if seen.ended and seen.cancelled == 0 and seen.status in EXIT_CODES:
        say(f"{bold(run)}  {dim('all trials have ended; nothing is left to do')}")
        finish(app, run, as_json)
        return EXIT_CODES[RunStatus(seen.status)]
    total = "its trials" if seen.total is None else count(seen.total, "trial")
    say(f"{bold(run)}  {dim(f'going on: {seen.done:,} of {total} have ended')}")
    if detach:
        session.detach(run, app.home)
        show(run)
        return 0
    status = drive(app, run, spec, reopen=True)
    finish(app, run, as_json, status)
    return EXIT_CODES[status]
