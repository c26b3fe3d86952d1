"""Learning curves: the metric over the steps that trials reported."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from orchestrator.results.plots import style
from orchestrator.results.plots.data import NothingToShow, RunData

# So many of the best are drawn in colour with a name; the others are grey.
NAMED = 5


def draw(data: RunData) -> Figure:
    curves = {trial: points for trial, points in data.curves.items() if len(points) > 1}
    if not curves:
        raise NothingToShow("no trial reported its metric at several steps: report(step=..., metric=...)")
    order = sorted(curves, key=lambda trial: curves[trial][-1][1], reverse=data.maximize)
    colours = [style.BLUE, style.ORANGE, style.GREEN, style.RED, "#CC79A7"]
    figure = style.figure()
    axes = style.axes(figure)
    # Thousands of lines are a cloud, in which many are darker than few.
    faint = max(0.03, min(0.5, 50 / len(order)))
    for trial in reversed(order[NAMED:]):
        axes.plot(*zip(*curves[trial], strict=True), color=style.GREY, linewidth=0.8, alpha=faint)
    for trial, colour in zip(order[:NAMED], colours, strict=False):
        axes.plot(*zip(*curves[trial], strict=True), color=colour, linewidth=1.8, label=f"trial {trial}")
    axes.set_xlabel("step")
    axes.set_ylabel(data.metric or "")
    steps = [step for points in curves.values() for step, _ in points]
    style.value_scale(axes, [value for points in curves.values() for _, value in points])
    if all(step == int(step) for step in steps):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    style.legend(figure, axes, "best at their last step" if len(order) > NAMED else None)
    return figure
