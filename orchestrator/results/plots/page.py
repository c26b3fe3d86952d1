"""All pictures of a run: one HTML page that needs nothing beside it, and a PNG of each."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from orchestrator.results.leaderboard import Trial, rank
from orchestrator.results.plots import coordinates, curves, importance, pareto, progress, slices, style
from orchestrator.results.plots.data import NothingToShow, RunData
from orchestrator.results.points import Point
from orchestrator.results.words import count as count_of

ROWS = 10
DPI = 120


@dataclass(frozen=True, slots=True)
class Picture:
    name: str
    title: str
    explained: str
    draw: Callable[[RunData], Figure]
    most: int | None = None
    """So many parameters it shows at most."""

    def words(self, data: RunData) -> str:
        varied = len(data.varied())
        left_out = self.most is not None and varied > self.most
        return f"{self.explained} The first {self.most} of {varied} parameters." if left_out else self.explained


PICTURES = (
    Picture("progress", "Trials over time", "The value of each trial, in the order of their ends.", progress.draw),
    Picture("curves", "Learning curves", "The metric at each reported step; the best trials are named.", curves.draw),
    Picture(
        "importance", "Parameter importance", "How much of what sets the best trials apart each parameter decides "
        "(PED-ANOVA). With few trials, take it as a hint.", importance.draw,
    ),
    Picture(
        "slices", "Slices", "The metric against each parameter that was varied; dots of one choice stand side by side.",
        slices.draw, slices.MOST,
    ),
    Picture(
        "coordinates", "Parallel coordinates", "A line is a trial; the better, the brighter, and the best one red.",
        coordinates.draw, coordinates.MOST,
    ),
    Picture("pareto", "Pareto front", "Trials that no other trial beats in every goal.", pareto.draw),
)  # fmt: skip

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; }
p { color: #555; margin: .3rem 0 .8rem; } figure { margin: 0; } svg { max-width: 100%; height: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; display: block; overflow-x: auto; }
td, th { padding: .25rem .8rem; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap; }
"""


@dataclass(frozen=True, slots=True)
class Written:
    """``left_out``: the pictures for which the run has nothing, with the reason."""

    page: Path
    images: tuple[Path, ...]
    left_out: dict[str, str]


def write(data: RunData, folder: Path) -> Written:
    """``index.html`` and the PNGs into ``folder``, which is made.  Raises OSError where it cannot be written."""
    folder.mkdir(parents=True, exist_ok=True)
    sections: list[str] = []
    images: list[Path] = []
    left_out: dict[str, str] = {}
    for picture in PICTURES:
        title = f"<h2>{html.escape(picture.title)}</h2>"
        try:
            figure = picture.draw(data)
        except NothingToShow as reason:
            left_out[picture.name] = str(reason)
            continue
        path = folder / f"{picture.name}.png"
        figure.savefig(path, dpi=DPI)
        images.append(path)
        sections.append(f"{title}<p>{html.escape(picture.words(data))}</p>{_svg(figure, picture)}")
    page = folder / "index.html"
    page.write_text(_page(data, sections, left_out), encoding="utf-8")
    return Written(page, tuple(images), left_out)


def _svg(figure: Figure, picture: Picture) -> str:
    svg = style.svg(figure)
    # Names inside a picture must not meet those of another one on the same page.
    svg = re.sub(r'(id="|url\(#|href="#)', rf"\1{picture.name}-", svg[svg.index("<svg") :])
    return f'<figure role="img" aria-label="{html.escape(picture.title)}">{svg}</figure>'


def _page(data: RunData, sections: list[str], left_out: dict[str, str]) -> str:
    titles = {picture.name: picture.title for picture in PICTURES}
    missing = "".join(f"<li>{html.escape(titles[name])}: {html.escape(why)}</li>" for name, why in left_out.items())
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width, initial-scale=1">',
        f"<title>{html.escape(data.run)}</title><style>{_STYLE}</style>",
        f"<h1>{html.escape(data.run)}</h1>",
        f"<p>{html.escape(_summary(data))}</p>",
        _table(data),
        *sections,
        f"<h2>Left out</h2><ul>{missing}</ul>" if missing else "",
        "</html>",
    ]
    return "\n".join(part for part in parts if part)


def _summary(data: RunData) -> str:
    """``40 trials: 5 succeeded, 35 pruned; ranked by loss, less is better``."""
    states = Counter(trial.state for trial in data.trials)
    counted = ", ".join(f"{count:,} {state}" for state, count in states.items())
    text = f"{count_of(len(data.trials), 'trial')}{': ' if counted else ''}{counted}"
    if data.metric is not None:
        text += f"; ranked by {data.metric}, {'more' if data.maximize else 'less'} is better"
    return text


def _table(data: RunData) -> str:
    rows = data.rows()
    ranked = rank(rows, data.metric, maximize=data.maximize)
    several = any(isinstance(row, Point) for row in ranked)
    names = data.varied()
    measured = list(dict.fromkeys([*data.goals, *(name for row in ranked for name in row.metrics)]))[:6]
    spread = ["±", "n"] if several else []
    columns = ("point" if several else "trial", "state", *measured[:1], *spread, *measured[1:], *names)
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    body = "".join(f"<tr>{_row(row, measured, names, several)}</tr>" for row in ranked[:ROWS])
    more = f"<p>The first {ROWS} of {len(ranked)} {columns[0]}s.</p>" if len(ranked) > ROWS else ""
    return f"<table><tr>{head}</tr>{body}</table>{more}"


def _row(row: Trial, measured: list[str], names: list[str], several: bool) -> str:
    metrics = [style.label(row.metrics[name]) if name in row.metrics else "" for name in measured]
    spread = []
    if several and isinstance(row, Point):
        deviation = row.deviations.get(measured[0]) if measured else None
        spread = ["" if deviation is None else f"{deviation:.2g}", str(row.n)]
    params = [style.label(row.params[name]) if name in row.params else "" for name in names]
    values = [str(row.trial), row.state, *metrics[:1], *spread, *metrics[1:], *params]
    return "".join(f"<td>{html.escape(value)}</td>" for value in values)
