"""Several goals at once: which trials no other trial beats in all of them."""

from __future__ import annotations

from matplotlib.figure import Figure

from orchestrator.results.front import front, with_all_goals
from orchestrator.results.plots import style
from orchestrator.results.plots.data import NothingToShow, RunData


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
    wide = max(point[0] for point in points) - min(point[0] for point in points)
    high = max(point[1] for point in points) - min(point[1] for point in points)
    before, above = None, True
    for x, y, number in chosen[:20]:
        near = before is not None and abs(x - before[0]) < wide / 25 and abs(y - before[1]) < high / 15
        above = not above if near else True
        axes.annotate(
            str(number), (x, y), xytext=(5, 5) if above else (-5, -5), textcoords="offset points", fontsize=8,
            ha="left" if above else "right", va="bottom" if above else "top",
        )  # fmt: skip
        before = (x, y)
    axes.set_xlabel(f"{names[0]} ({'more' if goals[names[0]] else 'less'} is better)")
    axes.set_ylabel(f"{names[1]} ({'more' if goals[names[1]] else 'less'} is better)")
    style.legend(figure, axes)
    return figure
