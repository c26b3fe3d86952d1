"""One look for all pictures: few colours, that people with colour blindness can tell apart, and no clutter."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from orchestrator.results.plots.data import is_log

# Okabe and Ito's palette, https://jfly.uni-koeln.de/color/ (2008).
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#9A9A9A"
STATES = {"succeeded": BLUE, "pruned": ORANGE, "failed": RED}
# Ordered from worst to best; as readable in grey as in colour.
SCALE = mpl.colormaps["viridis"]
_SETTINGS: Any = {
    "font.size": 10,
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
}
LONGEST_LABEL = 24


def figure(width: float = 8.0, height: float = 4.5) -> Figure:
    """An empty figure in inches; drawn without a display."""
    with mpl.rc_context(_SETTINGS):
        return Figure(figsize=(width, height), layout="constrained")


def axes(into: Figure, *args: Any, **kwargs: Any) -> Axes:
    with mpl.rc_context(_SETTINGS):
        made: Axes = into.add_subplot(*args, **kwargs)
        return made


def dots(axes: Axes, points: Iterable[tuple[Any, Any]], colour: str, **more: Any) -> None:
    """Small round marks that show where many lie on one another."""
    xs, ys = zip(*points, strict=True)
    axes.scatter(xs, ys, s=22, color=colour, alpha=0.75, linewidths=0, **more)


def svg(figure: Figure) -> str:
    """The picture as SVG, the same for the same data.  Its letters are drawn, so that it needs no font."""
    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "orchestrate"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def legend(figure: Figure, axes: Axes, title: str | None = None) -> None:
    """Above the picture, where it hides no data."""
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), frameon=False, title=title)


def value_scale(axes: Axes, values: Iterable[float]) -> None:
    """A logarithmic height where the values span orders of magnitude: one that diverged would flatten the others."""
    if is_log(list(values)):
        axes.set_yscale("log")


def label(value: Any) -> str:
    """A value or a name as a tick's label: as a spec would write it, without the middle where it is long."""
    if isinstance(value, str):
        text = value
    else:
        text = f"{value:.4g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
    if len(text) <= LONGEST_LABEL:
        return text
    # Names and paths differ at their ends.
    end = LONGEST_LABEL // 2
    return f"{text[: LONGEST_LABEL - end - 1]}…{text[-end:]}"


def slanted(labels: Iterable[str], room: int) -> dict[str, Any]:
    """How to write these labels below an axis that has room for so many letters: at a slant where they are more."""
    return {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if sum(map(len, labels)) > room else {}
