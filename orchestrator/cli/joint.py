"""One table over the runs of a matrix."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.cli.ending import TOP, read, rows_of, show_table
from orchestrator.cli.terminal import bold, dim, say, show
from orchestrator.results.leaderboard import Trial, comparable
from orchestrator.results.read import Overview
from orchestrator.results.words import printable
from orchestrator.storage.layout import Home


def show_joint(home: Home, runs: Sequence[str]) -> None:
    """The best trials of all runs together, for each metric that they are ranked by; and why a run has none there."""
    found = [read(home, run) for run in runs]
    goals = dict.fromkeys((seen.metric, seen.maximize) for seen, _ in found)
    for metric, maximize in goals:
        entries: list[tuple[float, str, Trial]] = []
        for seen, ranked in found:
            if (seen.metric, seen.maximize) != (metric, maximize):
                continue
            for trial in rows_of(seen, ranked):
                value = comparable(trial, metric)
                if value is not None:
                    entries.append((-value if maximize else value, seen.name, trial))
        if not entries:
            continue
        entries.sort(key=lambda entry: (entry[0], entry[1], entry[2].trial))
        top = entries[:TOP]
        show()
        show(bold(f"all {len(runs)} sweeps by {metric}"))
        show_table([trial for _, _, trial in top], metric, [name for _, name, _ in top])
    empty = [(seen, ranked) for seen, ranked in found if seen.metric and not _ranks(seen, ranked)]
    if empty:
        show()
        show(bold("without a result"))
        for seen, ranked in empty:
            show(f"  {seen.name}: {printable(_reason(seen, ranked))}")
    say()
    for seen, _ in found:
        say(dim(f"{seen.name}:  orchestrate results {seen.run}"))


def _ranks(seen: Overview, ranked: Sequence[Trial]) -> bool:
    return any(comparable(trial, seen.metric) is not None for trial in ranked)


def _reason(seen: Overview, ranked: Sequence[Trial]) -> str:
    told = seen.reason or next((trial.reason for trial in ranked if trial.reason), "")
    return told or f"{seen.status}, and no trial reported {seen.metric}"
