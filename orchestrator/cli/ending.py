"""What a run came to: the ranked table, where the best model lies, and what failed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing

from orchestrator.cli.terminal import bold, dim, green, red, say, show, table_width, yellow
from orchestrator.engine.record import Record
from orchestrator.results.export import to_json
from orchestrator.results.fetch import folder_of
from orchestrator.results.front import front_of
from orchestrator.results.leaderboard import Trial, comparable, rank
from orchestrator.results.points import Point, best_of, points
from orchestrator.results.read import Overview, best_record, overview, trials, where
from orchestrator.results.table import Table, trials_table
from orchestrator.results.words import count, duration, money, number, printable
from orchestrator.storage.layout import Home, RunKeys

# How many trials the end of a run shows, how many failures, and how many of a Pareto front.
TOP = 10
FAILURES = 5
FRONT = 12


def read(home: Home, run: str) -> tuple[Overview, list[Trial]]:
    """The run as recorded, its trials ranked."""
    with closing(Record.open(home.record(run))) as record:
        seen = overview(home, run, record)
        return seen, rank(trials(record, seen), seen.metric, maximize=seen.maximize)


def rows_of(seen: Overview, ranked: Sequence[Trial], *, each: bool = False) -> list[Trial]:
    """What a table of the run ranks: its trials, or its points where they were repeated."""
    if each or not seen.repeats:
        return list(ranked)
    return rank(points(ranked, seen.repeats, seen.metric), seen.metric, maximize=seen.maximize)


def summary(seen: Overview, ranked: Sequence[Trial]) -> str:
    """The one JSON object at the end of ``run --json``."""
    rows = rows_of(seen, ranked)
    first = rows[0] if rows and comparable(rows[0], seen.metric) is not None else None
    return to_json(
        {
            "run": seen.run,
            "status": seen.status,
            "trials": seen.trial_counts(),
            "best": best_record(first, seen.metric, maximize=seen.maximize),
            "cost": seen.cost,
            "seconds": seen.seconds,
        }
    )


def show_end(seen: Overview, ranked: Sequence[Trial]) -> None:
    """For a person: results on stdout; the verdict and where to look further on stderr."""
    good = [row for row in rows_of(seen, ranked) if row.state in ("succeeded", "pruned")]
    if good:
        show()
        show_table(good[:TOP], seen.metric, goals=seen.goals)
        if len(good) > TOP:
            noun = "more point" if isinstance(good[0], Point) else "more trial"
            show(dim(f"and {count(len(good) - TOP, noun)}"))
    if good and comparable(good[0], seen.metric) is not None:
        show_best(seen, good[0])
    show_front(seen, ranked)
    show_failures(seen, [trial for trial in ranked if trial.state == "failed"])
    say()
    say(verdict(seen))
    if seen.status in ("cancelled", "interrupted", "abandoned", "over-budget", "timed-out", "broken"):
        say(dim(f"Go on:  orchestrate resume {seen.run}"))
    if len(good) > TOP:
        say(dim(f"All trials:  orchestrate results {seen.run}"))


def show_table(
    ranked: Sequence[Trial], metric: str | None, labels: Sequence[str] | None = None, *, goals: Iterable[str] = ()
) -> None:
    show_lines(trials_table(ranked, metric, table_width(), labels=labels, goals=goals))


def show_lines(table: Table) -> None:
    header, *rows = table.lines()
    show(bold(header))
    for row in rows:
        show(row)
    if table.left_out:
        show(dim(f"not shown here: {', '.join(table.left_out)}"))


def best_trial(seen: Overview, rows: Sequence[Trial]) -> Trial | None:
    """The best of the ranked rows; of a point, its best trial.  None where no row has a value."""
    if not rows or seen.metric is None or comparable(rows[0], seen.metric) is None:
        return None
    first = rows[0]
    return best_of(first, seen.metric, maximize=seen.maximize) if isinstance(first, Point) else first


def show_best(seen: Overview, best: Trial) -> None:
    """Where everything of the best trial lies; of the best point, that of its best trial."""
    keys = RunKeys(seen.run)
    first = best_trial(seen, [best])
    assert seen.metric is not None
    assert first is not None
    show()
    value = number(best.metrics[seen.metric])
    if isinstance(best, Point):
        spread = f" ± {best.deviations[seen.metric]:.2g}" if seen.metric in best.deviations else ""
        show(f"{bold('best')}  point {best.trial}, {seen.metric} {value}{spread} over {count(best.n, 'trial')}")
        show(f"  trial {first.trial} is its best, {seen.metric} {number(first.metrics[seen.metric])}")
    else:
        show(f"{bold('best')}  trial {first.trial}, {seen.metric} {value}")
    if first.outputs:
        show(f"  files    {where(seen.store, keys.outputs(first.trial, first.attempts))}/")
    show(f"  metrics  {where(seen.store, keys.metrics(first.trial, first.attempts))}")
    show(f"  logs     {where(seen.store, keys.log(first.trial, first.attempts, 'stdout'))}")
    here = folder_of(seen.fetched, seen.run, first.trial)
    if here.is_dir():
        show(f"  here     {here}/")
    elif not seen.store.startswith("file:"):
        show(dim(f"  orchestrate fetch {seen.run}"))


def show_front(seen: Overview, rows: Sequence[Trial]) -> None:
    """With several goals there is no best trial, but a front of them."""
    if len(seen.goals) < 2:
        return
    found = front_of(rows, seen.goals)
    if not found:
        return
    shown = " ".join(str(row.trial) for row in found[:FRONT])
    more = f" and {len(found) - FRONT:,} more" if len(found) > FRONT else ""
    show()
    show(f"{bold('front')}  no trial beats these in {' and '.join(seen.goals)}: {shown}{more}")
    show(dim(f"  orchestrate results {seen.run} --front"))


def show_failures(seen: Overview, failed: Sequence[Trial]) -> None:
    if not failed:
        return
    keys = RunKeys(seen.run)
    show()
    show(bold("failed"))
    for trial in failed[:FAILURES]:
        tries = f" ({count(trial.attempts, 'attempt')})" if trial.attempts > 1 else ""
        show(f"  trial {trial.trial}: {printable(trial.reason)}{tries}")
        if trial.attempts:
            show(dim(f"    {where(seen.store, keys.log(trial.trial, trial.attempts, 'stderr'))}"))
    if len(failed) > FAILURES:
        show(dim(f"  and {len(failed) - FAILURES:,} more"))


def verdict(seen: Overview) -> str:
    """``failed: 9 trials succeeded, 3 failed in 1m 42s``; ``succeeded: 12 trials in 3m 01s``."""
    colour = {"succeeded": green, "failed": red, "broken": red}.get(seen.status, yellow)
    counts = seen.trial_counts()
    all_well = seen.status == "succeeded" and counts["succeeded"] == counts["total"]
    parts = [f"{count(counts['succeeded'], 'trial')}{'' if all_well else ' succeeded'}"]
    parts += [f"{counts[state]:,} {state}" for state in ("failed", "pruned") if counts[state]]
    if counts["cancelled"]:
        parts.append(f"{counts['cancelled']:,} not run to their end")
    elif not seen.ended and counts["total"] > seen.done:
        parts.append(f"{counts['total'] - seen.done:,} to come")
    text = ", ".join(parts)
    if seen.seconds is not None:
        text += f" in {duration(seen.seconds)}"
    if seen.cost:
        text += f", {money(seen.cost)}"
    # How it was interrupted or cancelled, the user knows.
    told = seen.reason and seen.status not in ("interrupted", "cancelled")
    reason = f"\n  {printable(seen.reason)}" if told else ""
    return f"{colour(bold(seen.status))}: {text}{reason}"
