"""Trials over time, with the best value so far."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from orchestrator.results.leaderboard import RANKED
from orchestrator.results.plots import style
from orchestrator.results.plots.data import NothingToShow, RunData


def draw(data: RunData) -> Figure:
    """The value of each ended trial, in the order in which they ended."""
    data.valued()
    points = [(place, told) for place, told in enumerate(data.told, start=1) if told.value is not None]
    if not points:
        raise NothingToShow(f"no ended trial has a value of {data.metric}")
    figure = style.figure()
    axes = style.axes(figure)
    for state, colour in style.STATES.items():
        chosen = [(place, told.value) for place, told in points if told.state == state]
        if chosen:
            style.dots(axes, chosen, colour, label=state)
    best: list[tuple[int, float]] = []
    for place, told in points:
        assert told.value is not None
        if told.state in RANKED and (not best or data.better(told.value, best[-1][1])):
            best.append((place, told.value))
    if best:
        best.append((len(data.told), best[-1][1]))
        axes.step(*zip(*best, strict=True), where="post", color=style.GREEN, linewidth=2, label="best so far")
    axes.set_xlabel("trials ended")
    axes.set_ylabel(data.metric or "")
    style.value_scale(axes, [told.value for _, told in points if told.value is not None])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ended = len(data.told)
    axes.set_xlim(1 - 0.02 * ended - 0.3, ended + 0.02 * ended + 0.3)
    style.legend(figure, axes)
    return figure
