"""``orchestrate results RUN``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from orchestrator.cli.app import App, Command, complete_run, pass_app
from orchestrator.cli.ending import read, rows_of, show_best, show_front, show_lines, show_table, verdict
from orchestrator.cli.output import FORMATS, target, write
from orchestrator.cli.selection import Selection
from orchestrator.cli.terminal import dim, say, show
from orchestrator.engine.runs import find
from orchestrator.errors import UsageError
from orchestrator.results.fields import Field
from orchestrator.results.front import front_of
from orchestrator.results.leaderboard import Trial, comparable
from orchestrator.results.points import Point
from orchestrator.results.read import Overview
from orchestrator.results.words import count

# How many trials a terminal is shown unless asked for more.
SHOWN = 50


@click.command("results", cls=Command)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, shell_complete=complete_run)
@click.option("--columns", metavar="A,B", help="Show these columns only, such as trial,lr,'val_*'.")
@click.option(
    "--where", "condition", metavar="EXPR", help="Keep those it holds for: 'lr < 0.1 and state == succeeded'."
)
@click.option(
    "--sort",
    "by",
    metavar="M",
    help="Order by a metric, a parameter, trial or seconds, smallest first; M:max for largest first.",
)
@click.option("--format", "wanted", type=click.Choice(FORMATS), help="How to print them; default: table.")
@click.option("--csv", "as_csv", is_flag=True, help="The same as --format csv.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a trial; of several runs one of all.")
@click.option(
    "--to", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write to this .csv, .jsonl or .parquet file."
)
@click.option("--each", is_flag=True, help="Show every trial by itself where points were repeated.")
@click.option("--front", is_flag=True, help="Keep the trials that no other one beats in all goals of the search.")
@click.option("--all", "everything", is_flag=True, help=f"Show more than {SHOWN} trials on a terminal.")
@click.option("--optuna", "study", metavar="FILE", help="Write an Optuna study: an SQLite file, or a storage's URL.")
@pass_app
def command(
    app: App,
    runs: tuple[str, ...],
    columns: str | None,
    condition: str | None,
    by: str | None,
    wanted: str | None,
    as_csv: bool,
    as_json: bool,
    file: Path | None,
    each: bool,
    front: bool,
    everything: bool,
    study: str | None,
) -> int:
    """Print the trials of RUN, the best first and the failed ones last, while it runs too.

    Where the sweep repeats its points, each point is shown once, with mean and deviation. Several RUNs are compared:
    their best trials, what was different, and their trials in one table.
    """
    found = list(dict.fromkeys(find(app.home, run) for run in runs))
    into = target(wanted, as_csv, as_json, file)
    wish = Selection(columns, condition, by, each, everything)
    if study is not None:
        if into.format != "table" or front or wish != Selection():
            raise click.UsageError("--optuna writes whole runs and goes with no other option.")
        from orchestrator.cli.optuna_study import export

        return export(app, found, study)
    if len(found) > 1:
        from orchestrator.cli.comparison import compare

        if front:
            raise click.UsageError("--front is of one run.")

        return compare(app, found, wish, into)
    seen, ranked = read(app.home, found[0])
    rows = rows_of(seen, ranked, each=each)
    if front:
        rows = _front(seen, rows)
    listed, shown = wish.rows(rows, seen.metric), wish.fields(rows)
    if into.format != "table":
        write(into, listed, shown)
        return 0
    if not rows:
        say(f"{seen.run} has no trials yet.")
        return 0
    _show(seen, listed, shown, len(rows), everything)
    plain = wish == Selection(each=each, everything=everything)
    plain = plain and not front
    if plain and comparable(rows[0], seen.metric) is not None:
        show_best(seen, rows[0])
    if plain:
        show_front(seen, rows)
    say()
    say(verdict(seen))
    return 0


def _front(seen: Overview, rows: Sequence[Trial]) -> list[Trial]:
    if len(seen.goals) < 2:
        raise UsageError(f"--front is for several goals, and {seen.run} has one.", remedy="search.goals names several.")
    return front_of(rows, seen.goals)


def _show(seen: Overview, listed: Sequence[Trial], columns: Sequence[Field] | None, of: int, everything: bool) -> None:
    if not listed:
        say(f"None of the {count(of, 'row')} of {seen.run} matches.")
        return
    shown = listed if everything or not sys.stdout.isatty() else listed[:SHOWN]
    if columns is None:
        show_table(shown, seen.metric, goals=seen.goals)
    else:
        from orchestrator.results.table import chosen_table

        show_lines(chosen_table(shown, columns))
    if len(shown) < len(listed):
        more = len(listed) - len(shown)
        noun = "more point" if isinstance(listed[0], Point) else "more trial"
        show(dim(f"and {count(more, noun)} (--all)"))
