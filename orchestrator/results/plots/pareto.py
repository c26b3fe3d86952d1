"""Several goals at once: which trials no other trial beats in all of them."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from orchestrator.results.front import front, with_all_goals
from orchestrator.results.plots import style
from orchestrator.results.plots.data import NothingToShow, RunData, is_log


def draw(data: RunData) -> Figure:
    """The first two goals as axes; the front is that of all goals."""
    goals = data.goals
    if len(goals) < 2:
        raise NothingToShow("the sweep has one goal; search.goals names several")
    names = list(goals)
    trials = with_all_goals(data.trials, names)
    if not trials:
        raise NothingToShow("no trial has values for all goals")
    points = [[trial.metrics[name] for name in names] for trial in trials]
    best = front(points, list(goals.values()))
    figure = style.figure()
    axes = style.axes(figure)
    style.dots(axes, [(point[0], point[1]) for point in points], style.GREY, label="trials")
    chosen = sorted((points[place][0], points[place][1], trials[place].trial) for place in best)
    xs, ys = [x for x, _, _ in chosen], [y for _, y, _ in chosen]
    # The line is the edge of what the front beats.
    edge = "steps-pre" if goals[names[0]] else "steps-post"
    if len(names) == 2:
        axes.plot(xs, ys, color=style.BLUE, linewidth=1, drawstyle=edge)
    axes.plot(xs, ys, color=style.BLUE, marker="o", markersize=6, linewidth=0, label="Pareto front")
    style.value_scale(axes, [point[1] for point in points])
    if is_log([point[0] for point in points]):
        axes.set_xscale("log")
    _numbers(axes, chosen, more=list(goals.values()))
    axes.set_xlabel(f"{names[0]} ({'more' if goals[names[0]] else 'less'} is better)")
    axes.set_ylabel(f"{names[1]} ({'more' if goals[names[1]] else 'less'} is better)")
    style.legend(figure, axes)
    return figure


def _numbers(axes: Axes, chosen: Sequence[tuple[float, float, int]], more: Sequence[bool]) -> None:
    """The numbers of the front's trials on its better side, where nothing is; of points that touch, the first's."""
    right, above = more[:2]
    before: tuple[float, float] | None = None
    for x, y, number in chosen:
        place = axes.transAxes.inverted().transform(axes.transData.transform((x, y)))
        if before is not None and abs(place[0] - before[0]) < 0.04 and abs(place[1] - before[1]) < 0.05:
            continue
        before = (place[0], place[1])
        axes.annotate(
            str(number), (x, y), xytext=(6 if right else -6, 5 if above else -5), textcoords="offset points",
            fontsize=8, ha="left" if right else "right", va="bottom" if above else "top",
        )  # fmt: skip
