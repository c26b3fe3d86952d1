"""``orchestrate results RUN1 RUN2 ...``."""

from __future__ import annotations

import json
import string
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from datetime import datetime
from typing import Any

from orchestrator.cli.app import App
from orchestrator.cli.ending import TOP, rows_of, show_lines
from orchestrator.cli.output import Target, write
from orchestrator.cli.selection import Selection
from orchestrator.cli.terminal import bold, dim, say, show, table_width
from orchestrator.engine.record import Record
from orchestrator.errors import ProviderError
from orchestrator.results.compare import Ranking, Side, bests, different, pinned, ranking, to_comparison
from orchestrator.results.export import to_json
from orchestrator.results.fields import fields
from orchestrator.results.leaderboard import Trial, rank
from orchestrator.results.points import Point
from orchestrator.results.read import overview, trials
from orchestrator.results.table import GAP, Column, Table, chosen_table, trials_table
from orchestrator.results.words import count, duration, money, number, shortened, value, width
from orchestrator.storage.layout import Home, RunKeys
from orchestrator.storage.open import open_store

# How much of a long parameter stands beside another, and how wide a table without a terminal is at most.
LONGEST = 26
WIDEST = 160


def compare(app: App, runs: Sequence[str], wish: Selection, into: Target) -> int:
    """Show the runs beside each other: as text, as one JSON object, or their rows as one file."""
    sides = [_side(app.home, run, wish.each) for run in runs]
    common = ranking(sides)
    joined = [row for side in sides for row in side.rows]
    joined = rank(joined, common.metric, maximize=common.maximize)
    rows, shown = wish.rows(joined, common.metric), wish.fields(joined)
    if into.json and shown is None and into.file is None:
        show(to_json(to_comparison(sides, common, rows)))
        return 0
    if into.format != "table":
        write(into, rows, fields(joined) if shown is None else shown)
        return 0
    labels = _labels(runs)
    for run in runs:
        show(f"{bold(labels[run])}  {run}")
    show()
    show_lines(_beside(sides, common, list(labels.values())))
    show()
    unlike = different([side.pins for side in sides])
    if unlike:
        _show_different(unlike, list(labels.values()))
    else:
        show(dim("made of the same: code, git commit, data, versions and spec"))
    show()
    if common.metric is None:
        say("No metric is common to all of these runs, so their trials stand in the order of their numbers.")
    limited = rows if wish.everything or not sys.stdout.isatty() else rows[:TOP]
    if shown is not None:
        show_lines(chosen_table(limited, shown))
    elif limited:
        names = [labels[row.run] for row in limited]
        show_lines(trials_table(limited, common.metric, table_width(), labels=names, labelled="run"))
    if len(limited) < len(rows):
        show(dim(f"and {count(len(rows) - len(limited), 'more row')} (--all)"))
    return 0


def _side(home: Home, run: str, each: bool) -> Side:
    with closing(Record.open(home.record(run))) as record:
        seen = overview(home, run, record)
        facts = record.facts()
        rows = rows_of(seen, list(trials(record, seen)), each=each)
    return Side(seen, rows, pinned(facts, _manifest(home, run, facts)))


def _manifest(home: Home, run: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What the store holds of the run; nothing where the store cannot be reached from here."""
    with suppress(ProviderError):
        manifest: dict[str, Any] = json.loads(open_store(facts["store"], home).get(RunKeys(run).manifest))
        return manifest
    say(dim(f"The manifest of {run} cannot be read; its git commit and versions are not compared."))
    return {}


def _labels(runs: Sequence[str]) -> dict[str, str]:
    """``A``, ``B``, ...: an id is too long to stand above a column."""
    letters = string.ascii_uppercase
    return {run: letters[place] if len(runs) <= len(letters) else str(place + 1) for place, run in enumerate(runs)}


def _beside(sides: Sequence[Side], by: Ranking, labels: Sequence[str]) -> Table:
    found = bests(sides, by)
    rows: dict[str, list[str]] = {
        "status": [side.seen.status for side in sides],
        "made": [datetime.fromtimestamp(side.seen.created).strftime("%Y-%m-%d %H:%M") for side in sides],
        "trials": [_trials(side) for side in sides],
        "time": ["" if side.seen.seconds is None else duration(side.seen.seconds) for side in sides],
    }
    if any(side.seen.cost for side in sides):
        rows["cost"] = [money(side.seen.cost) for side in sides]
    if by.metric is not None:
        rows[f"best {by.metric}"] = [number(one.metrics[by.metric]) if one else "" for one in found]
        rows["of"] = [_place(one) for one in found]
        for name, values in different([one.params if one else {} for one in found]).items():
            rows[f"  {name}"] = [shortened(_text(one), LONGEST) for one in values]
    return _columns("", rows, labels)


def _trials(side: Side) -> str:
    counts = side.seen.trial_counts()
    parts = [f"{counts[state]:,} {state}" for state in ("succeeded", "failed", "pruned", "cancelled") if counts[state]]
    return ", ".join(parts) or "none"


def _place(row: Trial | None) -> str:
    if row is None:
        return ""
    return f"{'point' if isinstance(row, Point) else 'trial'} {row.trial}"


def _show_different(unlike: Mapping[str, Sequence[Any]], labels: Sequence[str]) -> None:
    """A table of what fits into one; each longer value on a line of its own, so that what differs is not cut off."""
    texts = {name: [_text(one) for one in values] for name, values in unlike.items()}
    wide = table_width() or WIDEST
    room = (wide - max(map(width, texts))) // len(labels) - GAP
    short = {name: values for name, values in texts.items() if all(width(text) <= room for text in values)}
    show_lines(_columns("different", short, labels))
    for name in [name for name in texts if name not in short]:
        show(name)
        for label, text in zip(labels, texts[name], strict=True):
            show(f"  {label}  {shortened(text, max(20, wide - 6))}")


def _text(given: Any) -> str:
    """``loguniform [0.0001, 0.1]``: a mapping of one key without its braces, one value by itself."""
    if given is None:
        return "-"
    if isinstance(given, dict) and len(given) == 1:
        ((key, inside),) = given.items()
        only = inside[0] if key == "choice" and len(inside) == 1 else inside
        return value(only) if key == "fixed" or only is not inside else f"{key} {value(inside)}"
    return value(given)


def _columns(title: str, rows: Mapping[str, Sequence[str]], labels: Sequence[str]) -> Table:
    columns = [Column(title, list(rows))]
    columns += [Column(label, [row[place] for row in rows.values()]) for place, label in enumerate(labels)]
    return Table(columns, ())
