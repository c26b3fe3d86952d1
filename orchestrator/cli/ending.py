"""What a run came to: the ranked table, where the best model lies, and what failed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from orchestrator.cli.terminal import bold, dim, green, red, say, show, table_width, yellow
from orchestrator.engine.record import Record
from orchestrator.results.export import to_json
from orchestrator.results.leaderboard import Trial, comparable, rank
from orchestrator.results.read import Overview, best_record, overview, trials, where
from orchestrator.results.table import trials_table
from orchestrator.results.words import count, duration, money, number, printable
from orchestrator.storage.layout import Home, RunKeys

# How many trials the end of a run shows, and how many failures.
TOP = 10
FAILURES = 5


def read(home: Home, run: str) -> tuple[Overview, list[Trial]]:
    """The run as recorded, its trials ranked."""
    with closing(Record.open(home.record(run))) as record:
        seen = overview(home, run, record)
        return seen, rank(trials(record, seen), seen.metric, maximize=seen.maximize)


def summary(seen: Overview, ranked: Sequence[Trial]) -> str:
    """The one JSON object at the end of ``run --json``."""
    first = ranked[0] if ranked and comparable(ranked[0], seen.metric) is not None else None
    return to_json(
        {
            "run": seen.run,
            "status": seen.status,
            "trials": seen.trial_counts(),
            "best": best_record(first, seen.metric),
            "cost": seen.cost,
            "seconds": seen.seconds,
        }
    )


def show_end(seen: Overview, ranked: Sequence[Trial]) -> None:
    """For a person: results on stdout; the verdict and where to look further on stderr."""
    good = [trial for trial in ranked if trial.state in ("succeeded", "pruned")]
    if good:
        show()
        show_table(good[:TOP], seen.metric)
        if len(good) > TOP:
            show(dim(f"and {count(len(good) - TOP, 'more trial', 'more trials')}"))
    if good and comparable(good[0], seen.metric) is not None:
        show_best(seen, good[0])
    show_failures(seen, [trial for trial in ranked if trial.state == "failed"])
    say()
    say(verdict(seen))
    if seen.status in ("cancelled", "interrupted", "abandoned", "over-budget", "timed-out", "broken"):
        say(dim(f"Go on:  orchestrate resume {seen.run}"))
    if len(good) > TOP:
        say(dim(f"All trials:  orchestrate results {seen.run}"))


def show_table(ranked: Sequence[Trial], metric: str | None, labels: Sequence[str] | None = None) -> None:
    table = trials_table(ranked, metric, table_width(), labels=labels)
    header, *rows = table.lines()
    show(bold(header))
    for row in rows:
        show(row)
    if table.left_out:
        show(dim(f"not shown here: {', '.join(table.left_out)}"))


def show_best(seen: Overview, first: Trial) -> None:
    """Where everything of the best trial lies."""
    keys = RunKeys(seen.run)
    assert seen.metric is not None
    show()
    show(f"{bold('best')}  trial {first.trial}, {seen.metric} {number(first.metrics[seen.metric])}")
    if first.outputs:
        show(f"  files    {where(seen.store, keys.outputs(first.trial, first.attempts))}/")
    show(f"  metrics  {where(seen.store, keys.metrics(first.trial, first.attempts))}")
    show(f"  logs     {where(seen.store, keys.log(first.trial, first.attempts, 'stdout'))}")


def show_failures(seen: Overview, failed: Sequence[Trial]) -> None:
    if not failed:
        return
    keys = RunKeys(seen.run)
    show()
    show(bold("failed"))
    for trial in failed[:FAILURES]:
        tries = f" ({count(trial.attempts, 'attempt')})" if trial.attempts > 1 else ""
        show(f"  trial {trial.trial}: {printable(trial.reason)}{tries}")
        key = keys.log(trial.trial, trial.attempts, "stderr")
        show(dim(f"    {where(seen.store, key)}"))
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
