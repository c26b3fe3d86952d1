"""Text tables: aligned, no wider than they may be, with what does not fit named rather than squeezed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.results.fields import Field
from orchestrator.results.leaderboard import Trial
from orchestrator.results.points import Point
from orchestrator.results.words import duration, numbers, shortened, value, width

GAP = 2


@dataclass(frozen=True, slots=True)
class Column:
    """A header and a cell a row.  ``needed`` ones stay however narrow the table is."""

    header: str
    cells: Sequence[str]
    right: bool = False
    needed: bool = True

    @property
    def width(self) -> int:
        return max(map(width, (self.header, *self.cells)))


@dataclass(frozen=True, slots=True)
class Table:
    """What fits, and the headers of what did not."""

    columns: Sequence[Column]
    left_out: Sequence[str]

    def lines(self) -> list[str]:
        """The header and the rows."""
        widths = [column.width for column in self.columns]
        rows = [
            [column.header for column in self.columns],
            *zip(*(column.cells for column in self.columns), strict=True),
        ]
        return [
            "".join(
                _padded(cell, wide, column.right) + " " * GAP
                for cell, wide, column in zip(row, widths, self.columns, strict=True)
            ).rstrip()
            for row in rows
        ]


def fit(columns: Iterable[Column], columns_of_terminal: int | None) -> Table:
    """As many columns as fit, in their order; the needed ones in any case.  None: all fit."""
    listed = list(columns)
    if columns_of_terminal is None:
        return Table(listed, ())
    room = columns_of_terminal - sum(column.width + GAP for column in listed if column.needed) + GAP
    shown: list[Column] = []
    left_out: list[str] = []
    for column in listed:
        if not column.needed:
            if left_out or column.width + GAP > room:
                left_out.append(column.header)
                continue
            room -= column.width + GAP
        shown.append(column)
    return Table(shown, left_out)


def trials_table(
    trials: Sequence[Trial],
    metric: str | None,
    wide: int | None,
    *,
    labels: Sequence[str] | None = None,
    labelled: str = "sweep",
    goals: Iterable[str] = (),
) -> Table:
    """A row a trial, in the order given: its number, how it ended where that differs, the values, what was varied.

    Parameters that are the same for all are left out.  ``labels`` names each row's sweep where there are
    several, under the header ``labelled``; ``goals`` are metrics that count like ``metric``.  A
    point shows its mean, its deviation and how many trials they are of.
    """
    grouped = any(isinstance(trial, Point) for trial in trials)
    columns = [Column("point" if grouped else "trial", [str(trial.trial) for trial in trials], right=True)]
    if labels is not None:
        columns.insert(0, Column(labelled, list(labels)))
    if any(trial.state != "succeeded" for trial in trials):
        columns.append(Column("state", [trial.state for trial in trials]))
    metrics = dict.fromkeys([metric] if metric is not None else [])
    for trial in trials:
        metrics |= dict.fromkeys(trial.metrics)
    wanted = [name for name in metrics if name == metric or name in goals]
    columns += [_metric_column(trials, name, True) for name in wanted]
    if grouped:
        if metric is not None:
            columns.append(Column("±", [_spread(trial, metric) for trial in trials], right=True))
        columns.append(Column("n", [_count(trial) for trial in trials], right=True))
    columns.append(Column("time", ["" if t.seconds is None else duration(t.seconds) for t in trials], right=True))
    columns += [_param_column(trials, name) for name in varied(trials)]
    columns += [_metric_column(trials, name, False) for name in metrics if name not in wanted]
    return fit(columns, wide)


def chosen_table(rows: Sequence[Trial], columns: Sequence[Field]) -> Table:
    """Exactly these columns, however narrow the terminal is."""
    shown = [_chosen_column(field.name, [field.of(row) for row in rows]) for field in columns]
    return Table(shown, ())


def _chosen_column(name: str, values: Sequence[Any]) -> Column:
    if all(one is None or (isinstance(one, int | float) and not isinstance(one, bool)) for one in values):
        return Column(name, numbers(values), right=True)
    return Column(name, ["" if one is None else shortened(value(one)) for one in values])


def _spread(row: Trial, metric: str) -> str:
    """Two digits: more of a deviation of few values mean nothing."""
    deviation = row.deviations.get(metric) if isinstance(row, Point) else None
    return "" if deviation is None else f"{deviation:.2g}"


def _count(row: Trial) -> str:
    """``3``, or ``2 of 3`` where some of the point's trials have nothing that counts."""
    if not isinstance(row, Point):
        return "1"
    return str(row.n) if row.n == len(row.trials) else f"{row.n} of {len(row.trials)}"


def varied(trials: Sequence[Trial]) -> list[str]:
    """The parameters that are not the same for all of these trials; all of them where there is one trial."""
    names: dict[str, None] = {}
    for trial in trials:
        names |= dict.fromkeys(trial.params)
    if len(trials) < 2:
        return list(names)
    first = trials[0].params
    return [
        name
        for name in names
        if any(name not in t.params or name not in first or _differ(t.params[name], first[name]) for t in trials)
    ]


def _differ(one: Any, other: Any) -> bool:
    return type(one) is not type(other) or one != other


def _metric_column(trials: Sequence[Trial], name: str, needed: bool) -> Column:
    return Column(name, numbers([trial.metrics.get(name) for trial in trials]), right=True, needed=needed)


def _param_column(trials: Sequence[Trial], name: str) -> Column:
    given = [trial.params.get(name) for trial in trials]
    if all(one is None or (isinstance(one, int | float) and not isinstance(one, bool)) for one in given):
        return Column(name, numbers(given), right=True, needed=False)
    cells = [shortened(value(trial.params[name])) if name in trial.params else "" for trial in trials]
    return Column(name, cells, needed=False)


def _padded(text: str, wide: int, right: bool) -> str:
    space = " " * (wide - width(text))
    return space + text if right else text + space
