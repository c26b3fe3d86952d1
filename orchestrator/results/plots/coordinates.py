"""Parallel coordinates: each trial is a line through its parameters to its value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from orchestrator.results.plots import style
from orchestrator.results.plots.data import NothingToShow, RunData, is_log, is_number

# More axes than this cannot be read.
MOST = 12
# Categories of an axis that get a label.
LABELS = 12
# Letters of a name that stand below an axis without touching the next one's.
LETTERS = 14
# Where a line passes an axis that it has no value on.
NONE = -0.12


class Scale:
    """From a parameter's values to heights between 0 and 1, and the labels at heights.

    ``few`` are the values where there are only a few: they stand at equal distances, in this order.  ``log`` says
    whether the heights are those of logarithms; None: as the values suggest.
    """

    def __init__(self, values: Sequence[Any], few: Sequence[Any] | None = None, *, log: bool | None = None) -> None:
        present = [value for value in values if value is not None]
        self.ticks: list[tuple[float, str]]
        if few is None and not (present and all(map(is_number, present))):
            few = list({repr(value): value for value in present}.values())
        self._few = None if few is None else [repr(value) for value in few]
        if few is not None:
            self.ticks = [(self(value), style.label(value)) for value in few[:LABELS]]
        else:
            self._log = is_log(present) if log is None else log
            self._low, self._high = self._raw(min(present)), self._raw(max(present))
            self.ticks = [(self(value), style.label(value)) for value in self._round(min(present), max(present))]
        if len(present) < len(values):
            self.ticks.append((NONE, "none"))

    def _raw(self, value: float) -> float:
        return math.log10(value) if self._log else float(value)

    def _round(self, low: float, high: float) -> list[float]:
        """Round values within the axis; its ends where there are too few of them."""
        locator = LogLocator(subs=(1.0, 3.0) if high / low < 1000 else (1.0,)) if self._log else MaxNLocator(5)
        inside = [float(f"{value:.6g}") for value in locator.tick_values(low, high) if low <= value <= high]
        return inside if len(inside) > 1 else list(dict.fromkeys((low, high)))

    def __call__(self, value: Any) -> float:
        if value is None:
            return NONE
        if self._few is not None:
            last = len(self._few) - 1
            return self._few.index(repr(value)) / last if last else 0.5
        span = self._high - self._low
        return (self._raw(value) - self._low) / span if span else 0.5


def draw(data: RunData) -> Figure:
    valued = data.valued()
    names = data.varied()[:MOST]
    if not names:
        raise NothingToShow("no parameter differs between the trials")
    values = [value for _, value in valued]
    others = [name for name in data.goals if name != data.metric]
    columns: list[list[Any]] = [[trial.params.get(name) for trial, _ in valued] for name in names]
    columns += [[_finite(trial.metrics.get(name)) for trial, _ in valued] for name in others] + [values]
    scales = [Scale(column, data.few(name), log=data.log(name)) for name, column in zip(names, columns, strict=False)]
    scales += [Scale(column) for column in columns[len(names) :]]
    figure = style.figure(max(8.0, 1.5 * len(columns)), 4.8)
    axes = style.axes(figure)
    places = range(len(columns))
    norm = mpl.colors.LogNorm if is_log(values) else mpl.colors.Normalize
    colours = norm(min(values), max(values))
    scale = style.SCALE if data.maximize else style.SCALE.reversed()
    order = sorted(enumerate(valued), key=lambda item: item[1][1], reverse=not data.maximize)
    for row, (_, value) in order:
        heights = [scales[place](columns[place][row]) for place in places]
        best = row == order[-1][0]
        axes.plot(
            places, heights, color=style.RED if best else scale(colours(value)), linewidth=2.4 if best else 1.2,
            alpha=1.0 if best else 0.8, label=f"best: trial {valued[row][0].trial}" if best else None,
        )  # fmt: skip
    for place, drawn in zip(places, scales, strict=True):
        axes.axvline(place, color="#444444", linewidth=0.8)
        for height, text in drawn.ticks:
            axes.annotate(
                text, (place, height), xytext=(4, 0), textcoords="offset points", fontsize=8, va="center",
                color="#777777" if height == NONE else "black",
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.5},
            )  # fmt: skip
    shown = [style.label(name) for name in (*names, *others, data.metric)]
    axes.set_xticks(list(places), shown, **style.slanted(shown, LETTERS * len(columns)))
    axes.set_yticks([])
    axes.grid(False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set_xlim(-0.1, len(columns) - 1 + 0.35)
    bar = figure.colorbar(mpl.cm.ScalarMappable(colours, scale), ax=axes, pad=0.01)
    bar.set_label(data.metric or "")
    style.legend(figure, axes)
    return figure


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
