"""Parallel coordinates: each trial is a line through its parameters to its value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from orchestrator.results.plots import style
from orchestrator.results.plots.data import NothingToShow, RunData, is_log, is_number

# More axes than this cannot be read.
MOST = 12
# Categories of an axis that get a label.
LABELS = 12


class Scale:
    """From a parameter's values to heights between 0 and 1, and the labels at heights."""

    def __init__(self, values: Sequence[Any]) -> None:
        present = [value for value in values if value is not None]
        self.ticks: list[tuple[float, str]]
        self._numbers = bool(present) and all(map(is_number, present))
        if self._numbers:
            self._log = is_log(present)
            self._low, self._high = self._raw(min(present)), self._raw(max(present))
            self.ticks = [(place, style.label(float(self._value(place)))) for place in (0.0, 0.25, 0.5, 0.75, 1.0)]
        else:
            self._categories = list(dict.fromkeys(style.label(value) for value in present))
            self.ticks = [(self(value), value) for value in self._categories[:LABELS]]

    def _raw(self, value: float) -> float:
        return math.log10(value) if self._log else float(value)

    def _value(self, place: float) -> float:
        raw = self._low + place * (self._high - self._low)
        return 10.0**raw if self._log else raw

    def __call__(self, value: Any) -> float:
        if value is None:
            return math.nan
        if self._numbers:
            span = self._high - self._low
            return (self._raw(value) - self._low) / span if span else 0.5
        last = len(self._categories) - 1
        return self._categories.index(style.label(value)) / last if last else 0.5


def draw(data: RunData) -> Figure:
    valued = data.valued()
    names = data.varied()[:MOST]
    if not names:
        raise NothingToShow("no parameter differs between the trials")
    values = [value for _, value in valued]
    columns: list[list[Any]] = [[trial.params.get(name) for trial, _ in valued] for name in names] + [values]
    scales = [Scale(column) for column in columns]
    figure = style.figure(max(8.0, 1.5 * len(columns)), 4.8)
    axes = style.axes(figure)
    places = range(len(columns))
    norm = mpl.colors.Normalize(min(values), max(values))
    scale = style.SCALE if data.maximize else style.SCALE.reversed()
    for row, (_, value) in sorted(enumerate(valued), key=lambda item: item[1][1], reverse=not data.maximize):
        heights = [scales[place](columns[place][row]) for place in places]
        axes.plot(places, heights, color=scale(norm(value)), linewidth=1.2, alpha=0.8)
    for place, drawn in zip(places, scales, strict=True):
        axes.axvline(place, color="#444444", linewidth=0.8)
        for height, text in drawn.ticks:
            axes.annotate(
                text, (place, height), xytext=(4, 0), textcoords="offset points", fontsize=8, va="center",
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.5},
            )  # fmt: skip
    axes.set_xticks(list(places), [style.label(name) for name in (*names, data.metric)])
    axes.set_yticks([])
    axes.grid(False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set_xlim(-0.1, len(columns) - 1 + 0.35)
    bar = figure.colorbar(mpl.cm.ScalarMappable(norm, scale), ax=axes, pad=0.01)
    bar.set_label(data.metric or "")
    return figure
