"""``orchestrate status [RUN]``."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

import click

from orchestrator.cli.app import App, Command, complete_run, pass_app
from orchestrator.cli.terminal import bold, dim, green, red, say, show, table_width, yellow
from orchestrator.engine.record import Record
from orchestrator.engine.runs import find, listed
from orchestrator.errors import MachineError
from orchestrator.results.export import to_json
from orchestrator.results.leaderboard import Trial
from orchestrator.results.read import Overview, best_record, overview, to_trial
from orchestrator.results.table import Column, fit
from orchestrator.results.words import count, duration, money, number, pairs, printable, shortened

# How many runs are listed unless asked for more, and how many running trials are named.
SHOWN = 20
RUNNING = 10

_COLOURS = {"succeeded": green, "failed": red, "broken": red, "unreadable": red, "running": bold}


@click.command("status", cls=Command)
@click.argument("run", metavar="[RUN]", required=False, shell_complete=complete_run)
@click.option("--all", "everything", is_flag=True, help=f"List more than the newest {SHOWN} runs.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a run.")
@pass_app
def command(app: App, run: str | None, everything: bool, as_json: bool) -> int:
    """List the runs, newest first, or show how RUN stands.

    A run that is marked as running and that nobody drives any more is shown as abandoned.
    """
    if run is not None:
        run = find(app.home, run)
        with closing(Record.open(app.home.record(run))) as record:
            seen = overview(app.home, run, record, now=time.time())
            best = best_of(record, seen)
            if as_json:
                show(to_json(to_record(seen, best)))
            else:
                _show_run(record, seen, best)
        return 0
    known = listed(app.home)
    chosen = known if everything or as_json else known[:SHOWN]
    rows = [_look(app, name, created) for name, created in chosen]
    if as_json:
        for seen, best in rows:
            show(to_json(to_record(seen, best)))
        return 0
    if not rows:
        say(f"There are no runs in {app.home.path}. `orchestrate init` writes a sweep to start from.")
        return 0
    _show_list(rows)
    if len(chosen) < len(known):
        show(dim(f"and {count(len(known) - len(chosen), 'older run')} (--all)"))
    abandoned = [seen for seen, _ in rows if seen.status == "abandoned"]
    if abandoned:
        say()
        say(dim(f"Abandoned by their driver; go on:  orchestrate resume {abandoned[0].run}"))
    return 0


def best_of(record: Record, seen: Overview) -> Trial | None:
    row = record.best(seen.metric, maximize=seen.maximize) if seen.metric is not None else None
    return to_trial(row, seen) if row is not None else None


def to_record(seen: Overview, best: Trial | None) -> dict[str, Any]:
    """What ``status --json`` shows of a run."""
    live = seen.status == "running"
    return {
        "run": seen.run,
        "name": seen.name,
        "status": seen.status,
        "reason": seen.reason,
        "provider": seen.provider,
        "created": seen.created,
        "trials": {**seen.trial_counts(), "running": seen.count("running") if live else 0},
        "best": best_record(best, seen.metric),
        "cost": seen.cost,
        "seconds": seen.seconds,
    }


def _look(app: App, run: str, created: float) -> tuple[Overview, Trial | None]:
    """A record that cannot be read is no reason to hide the others."""
    try:
        with closing(Record.open(app.home.record(run))) as record:
            seen = overview(app.home, run, record, now=time.time())
            return seen, best_of(record, seen)
    except MachineError as error:
        unreadable = Overview(
            run,
            run,
            "",
            "unreadable",
            error.message,
            created,
            None,
            created,
            None,
            0,
            {},
            None,
            True,
            0.0,
            "",
            app.home.fetched,
        )
        return unreadable, None


def _show_list(rows: list[tuple[Overview, Trial | None]]) -> None:
    seen = [one for one, _ in rows]
    now = time.time()
    columns = [
        Column("run", [one.run for one in seen]),
        Column("status", [one.status for one in seen]),
        Column("trials", [_progress(one) for one in seen], right=True),
        Column("best", [_best_value(one, best) for one, best in rows], right=True, needed=False),
        Column("time", ["" if one.seconds is None else duration(one.seconds) for one in seen], True, needed=False),
        Column("started", [f"{duration(max(0.0, now - one.created))} ago" for one in seen], True, needed=False),
        Column("on", [one.provider for one in seen], needed=False),
    ]
    header, *lines = fit(columns, table_width()).lines()
    show(bold(header))
    start = columns[0].width + 2
    for one, line in zip(seen, lines, strict=True):
        end = start + len(one.status)
        colour = _COLOURS.get(one.status, yellow)
        show(f"{line[:start]}{colour(line[start:end])}{line[end:]}")


def _progress(seen: Overview) -> str:
    total = "?" if seen.total is None else f"{seen.total:,}"
    failed = f" ({seen.count('failed'):,} failed)" if seen.count("failed") else ""
    return f"{seen.done:,}/{total}{failed}"


def _best_value(seen: Overview, best: Trial | None) -> str:
    return number(best.metrics[seen.metric]) if best is not None and seen.metric is not None else ""


def _show_run(record: Record, seen: Overview, best: Trial | None) -> None:
    colour = _COLOURS.get(seen.status, yellow)
    show(f"{bold(seen.run)}  {colour(seen.status)}{f': {printable(seen.reason)}' if seen.reason else ''}")
    show()
    counts = [f"{seen.done:,} of {'?' if seen.total is None else f'{seen.total:,}'} ended"]
    counts += [f"{seen.count(state):,} {state}" for state in ("succeeded", "failed", "pruned") if seen.count(state)]
    live = seen.status == "running"
    if live and seen.count("running"):
        counts.append(f"{seen.count('running'):,} running")
    if seen.cancelled:
        counts.append(f"{seen.cancelled:,} not run to their end")
    show(f"  trials   {', '.join(counts)}")
    if best is not None and seen.metric is not None:
        value = f"{seen.metric} {number(best.metrics[seen.metric])}"
        show(f"  best     {value}, trial {best.trial}  {dim(pairs(best.params))}")
    if seen.seconds is not None:
        show(f"  time     {duration(seen.seconds)}")
    if seen.cost:
        show(f"  cost     {money(seen.cost)}")
    show(f"  on       {seen.provider}")
    rerun = record.facts().get("rerun")
    if rerun is not None:
        show(f"  rerun    of trial {rerun['trial']} of {rerun['run']}")
    if live:
        _show_running(record)
    if seen.status in ("abandoned", "cancelled", "interrupted", "timed-out", "over-budget", "broken"):
        say()
        say(dim(f"Go on:  orchestrate resume {seen.run}"))


def _show_running(record: Record) -> None:
    running = [attempt for attempt in record.attempts() if attempt.state == "running"]
    now = time.time()
    for place, attempt in enumerate(running[:RUNNING]):
        values = "  ".join(f"{name} {number(value)}" for name, value in record.last_metrics(attempt.trial).items())
        row = record.trial(attempt.trial)
        params = shortened(pairs(row.params), 60) if row is not None else ""
        since = "" if attempt.started is None else f"  {duration(max(0.0, now - attempt.started))}"
        label = "" if place else "running"
        show(f"  {label:<8} trial {attempt.trial}{since}  {values or ''}  {dim(params)}".rstrip())
    if len(running) > RUNNING:
        show(dim(f"           and {len(running) - RUNNING:,} more"))
