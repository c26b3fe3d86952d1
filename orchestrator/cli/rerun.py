"""``orchestrate rerun RUN TRIAL``."""

from __future__ import annotations

import json

import click

from orchestrator.cli.app import App, Command, pass_app, run_argument
from orchestrator.cli.terminal import bold, dim, green, say, show, warn, yellow
from orchestrator.engine.runs import find
from orchestrator.results.export import to_json
from orchestrator.results.same import Sameness, compare
from orchestrator.results.words import count, number


@click.command("rerun", cls=Command)
@run_argument
@click.argument("trial", type=click.IntRange(min=0))
@click.option("--detach", is_flag=True, help="Drive the new run in the background and print its id.")
@click.option("--yes", is_flag=True, help="Do not ask before something that may cost money.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end, and nothing else on stdout.")
@pass_app
def command(app: App, run: str, trial: int, detach: bool, yes: bool, as_json: bool) -> int:
    """Run TRIAL of RUN once more, as a new run: with the code, parameters, seed and image that it had.

    The working tree may have changed since. At the end it says whether the metrics are the same.
    """
    from orchestrator.cli.driving import EXIT_CODES, drive
    from orchestrator.cli.ending import read, show_end, summary
    from orchestrator.cli.failure import INTERRUPTED
    from orchestrator.cli.run import agreed
    from orchestrator.engine import rerun, session
    from orchestrator.engine.plan import secret_values

    parent = find(app.home, run)
    wanted = rerun.prepare(parent, trial, app.home)
    app.secrets = tuple(secret_values(wanted.plan.spec).values())
    for warning in (*wanted.plan.estimate.warnings, *wanted.warnings):
        warn(warning)
    if not (yes or agreed([wanted.plan])):
        say("Nothing was started.")
        return INTERRUPTED
    made = app.run = rerun.create(wanted, app.home)
    say(f"{bold(made)}  {dim(f'trial {trial} of {parent} once more')}")
    if detach:
        session.detach(made, app.home)
        show(made)
        return 0
    status = drive(app, made, wanted.plan.spec)
    found = compare(app.home, parent, made, trial)
    seen, ranked = read(app.home, made)
    if as_json:
        record = {**json.loads(summary(seen, ranked)), "rerun": {"run": parent, "trial": trial, **_record(found)}}
        show(to_json(record))
    else:
        show_end(seen, ranked)
        say(_verdict(found, parent, trial))
    return EXIT_CODES[status]


def _record(found: Sameness) -> dict[str, object]:
    return {"equal": found.equal, "different": dict(found.different), "missing": list(found.missing)}


def _verdict(found: Sameness, parent: str, trial: int) -> str:
    """``the same: all 3 metrics equal those of trial 4 of RUN, at 30 steps too``."""
    steps = f", at {count(found.steps, 'reported step')} too" if found.steps else ""
    if found.equal:
        several = len(found.compared) > 1
        metrics = f"all {len(found.compared)} metrics equal those" if several else f"{found.compared[0]} equals that"
        return f"{green(bold('the same'))}: {metrics} of trial {trial} of {parent}{steps}"
    if not found.compared and not found.missing:
        return f"{yellow(bold('nothing to compare'))}: neither has reported a metric"
    parts = [f"{name} was {_exact(was)} and is {_exact(now)}" for name, (was, now) in found.different.items()]
    parts += [f"{name} was reported only once" for name in found.missing]
    same = [name for name in found.compared if name not in found.different]
    if same:
        parts.append(f"{', '.join(same)} as before")
    return f"{yellow(bold('different'))}: {'; '.join(parts)}"


def _exact(value: float) -> str:
    """All digits where five would not show a difference."""
    short = number(value)
    return short if float(short) == value else repr(value)
