"""``orchestrate results RUN``."""

from __future__ import annotations

import sys

import click

from orchestrator.cli.app import App, Command, pass_app, run_argument
from orchestrator.cli.ending import read, show_best, show_table, verdict
from orchestrator.cli.terminal import dim, say, show
from orchestrator.engine.runs import find
from orchestrator.errors import UsageError
from orchestrator.results.export import to_csv, to_json, to_record
from orchestrator.results.leaderboard import Trial, comparable, sort, sortable
from orchestrator.results.words import count

# How many trials a terminal is shown unless asked for more.
SHOWN = 50


@click.command("results", cls=Command)
@run_argument
@click.option(
    "--sort",
    "by",
    metavar="M",
    help="Order by a metric, a parameter, trial or seconds, smallest first; M:max for largest first.",
)
@click.option("--csv", "as_csv", is_flag=True, help="Print all trials as CSV.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a trial.")
@click.option("--all", "everything", is_flag=True, help=f"Show more than {SHOWN} trials on a terminal.")
@pass_app
def command(app: App, run: str, by: str | None, as_csv: bool, as_json: bool, everything: bool) -> int:
    """Print the trials of RUN, the best first and the failed ones last, while it runs too."""
    if as_csv and as_json:
        raise click.UsageError("--csv and --json cannot both be had.")
    run = find(app.home, run)
    seen, ranked = read(app.home, run)
    if by is not None and by != seen.metric:
        ranked = _sorted(ranked, by)
    if as_csv:
        to_csv(ranked, sys.stdout)
        return 0
    if as_json:
        for trial in ranked:
            show(to_json(to_record(trial)))
        return 0
    if not ranked:
        say(f"{run} has no trials yet.")
        return 0
    shown = ranked if everything or not sys.stdout.isatty() else ranked[:SHOWN]
    show_table(shown, seen.metric)
    if len(shown) < len(ranked):
        show(dim(f"and {count(len(ranked) - len(shown), 'more trial', 'more trials')} (--all)"))
    first = next((trial for trial in ranked if comparable(trial, seen.metric) is not None), None)
    if by is None and first is not None:
        show_best(seen, first)
    say()
    say(verdict(seen))
    return 0


def _sorted(trials: list[Trial], by: str) -> list[Trial]:
    name, _, direction = by.rpartition(":") if by.endswith((":min", ":max")) else (by, "", "min")
    try:
        return sort(trials, name, descending=direction == "max")
    except KeyError:
        from orchestrator.spec.problems import did_you_mean

        names = sortable(trials)
        hint = did_you_mean(name, names) or f"there are: {', '.join(names)}"
        raise UsageError(
            f"--sort: no trial has a metric or parameter '{name}'.", remedy=f"{hint[0].upper()}{hint[1:]}"
        ) from None
