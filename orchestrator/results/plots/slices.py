"""Slices: the metric against each parameter."""

from __future__ import annotations

import math

from matplotlib.figure import Figure

from orchestrator.results.plots import style
from orchestrator.results.plots.data import NothingToShow, RunData, is_log, is_number

MOST = 12
COLUMNS = 3


def draw(data: RunData) -> Figure:
    valued = data.valued()
    names = data.varied()[:MOST]
    if not names:
        raise NothingToShow("no parameter differs between the trials")
    columns = min(COLUMNS, len(names))
    rows = math.ceil(len(names) / columns)
    figure = style.figure(4.0 * columns, 3.2 * rows)
    first = None
    for place, name in enumerate(names, start=1):
        axes = style.axes(figure, rows, columns, place, sharey=first)
        first = first or axes
        present = [(trial, value) for trial, value in valued if trial.params.get(name) is not None]
        values = [trial.params[name] for trial, _ in present]
        numbers = bool(values) and all(map(is_number, values))
        if not numbers:
            values = [style.label(value) for value in values]
        for state, colour in style.STATES.items():
            chosen = [(x, y) for x, (trial, y) in zip(values, present, strict=True) if trial.state == state]
            if chosen:
                style.dots(axes, chosen, colour)
        if numbers and is_log(values):
            axes.set_xscale("log")
        elif not numbers and sum(len(text) for text in set(values)) > 30:
            axes.tick_params(axis="x", rotation=30)
        axes.set_xlabel(style.label(name))
        if (place - 1) % columns == 0:
            axes.set_ylabel(data.metric or "")
    return figure
