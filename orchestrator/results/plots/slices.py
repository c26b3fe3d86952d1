"""Slices: the metric against each parameter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from orchestrator.results.leaderboard import Trial
from orchestrator.results.plots import style
from orchestrator.results.plots.data import NothingToShow, RunData

MOST = 12
COLUMNS = 3
# How far the dots of one value are spread to either side, so that each is seen; values stand 1 apart.
SPREAD = 0.14
# Labels longer than this together are written at a slant.
STRAIGHT = 34


def draw(data: RunData) -> Figure:
    """A trial in which a parameter has no value, for its condition does not hold, is not in that parameter's slice."""
    valued = data.valued()
    names = data.varied()[:MOST]
    if not names:
        raise NothingToShow("no parameter differs between the trials")
    columns = min(COLUMNS, len(names))
    rows = math.ceil(len(names) / columns)
    figure = style.figure(max(5.0, 4.0 * columns), 3.2 * rows + 0.3)
    first = None
    for place, name in enumerate(names, start=1):
        axes = style.axes(figure, rows, columns, place, sharey=first)
        first = first or axes
        _slice(axes, data, name, [(trial, value) for trial, value in valued if trial.params.get(name) is not None])
        axes.set_xlabel(style.label(name))
        if (place - 1) % columns == 0:
            axes.set_ylabel(data.metric or "")
    assert first is not None
    style.value_scale(first, [value for _, value in valued])
    # A state that one slice lacks may be in another one.
    for state, colour in style.STATES.items():
        if any(trial.state == state for trial, _ in valued):
            first.scatter([], [], s=22, color=colour, label=state)
    style.legend(figure, first)
    return figure


def _slice(axes: Axes, data: RunData, name: str, present: Sequence[tuple[Trial, float]]) -> None:
    few = data.few(name)
    values = [trial.params[name] for trial, _ in present]
    places = values if few is None else _spread([[repr(one) for one in few].index(repr(value)) for value in values])
    for state, colour in style.STATES.items():
        chosen = [(x, y) for x, (trial, y) in zip(places, present, strict=True) if trial.state == state]
        if chosen:
            style.dots(axes, chosen, colour)
    if few is not None:
        labels = [style.label(value) for value in few]
        axes.set_xticks(range(len(few)), labels, **style.slanted(labels, STRAIGHT))
        axes.set_xlim(-0.5, len(few) - 0.5)
        axes.grid(axis="x", visible=False)
    elif data.log(name):
        axes.set_xscale("log")


def _spread(places: Sequence[Any]) -> list[float]:
    """Beside each other in turn, evenly and always the same."""
    seen: dict[Any, int] = {}
    moved = []
    for place in places:
        turn = seen[place] = seen.get(place, 0) + 1
        moved.append(place + SPREAD * (2 * ((turn - 1) * 0.618034 % 1) - 1) * (turn > 1))
    return moved
