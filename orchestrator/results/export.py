"""Trials as CSV and as JSON.  Nothing is rounded or cut."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from typing import Any, TextIO

from orchestrator.results.fields import Field, fields
from orchestrator.results.leaderboard import Trial
from orchestrator.results.points import Point


def strict(value: Any) -> Any:
    """The value with None for each number that JSON does not know (NaN and the infinities)."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    return value


def to_record(trial: Trial) -> dict[str, Any]:
    """What ``results --json`` shows of a trial or of a point, numbers as they are."""
    if isinstance(trial, Point):
        return {
            "point": trial.trial,
            "trials": [one.trial for one in trial.trials],
            "state": trial.state,
            "params": dict(trial.params),
            "metrics": dict(trial.metrics),
            "deviations": dict(trial.deviations),
            "n": trial.n,
            "seconds": trial.seconds,
        }
    return {
        "trial": trial.trial,
        "state": trial.state,
        "params": dict(trial.params),
        "metrics": dict(trial.metrics),
        "attempts": trial.attempts,
        "seconds": trial.seconds,
        "outputs": list(trial.outputs),
        **({} if trial.parent is None else {"parent": trial.parent}),
    }


def to_json(value: Any) -> str:
    """One line of strict JSON."""
    return json.dumps(strict(value), allow_nan=False)


def to_csv(trials: Sequence[Trial], file: TextIO, columns: Sequence[Field] | None = None) -> None:
    """A header and one line a trial, with these columns, by default all.

    Texts stand as they are, lists, booleans and null as JSON; a number that is not finite is ``nan``, ``inf`` or
    ``-inf``; what a trial lacks is empty.
    """
    shown = fields(trials) if columns is None else columns
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([column.name for column in shown])
    for trial in trials:
        writer.writerow([_cell(trial, column) for column in shown])


def _cell(trial: Trial, column: Field) -> Any:
    value = column.of(trial)
    if value is None:
        # A parameter may have been given as null; everything else is not there.
        return "null" if column.source == "param" and column.key in trial.params else ""
    return value if isinstance(value, str | float) else json.dumps(value, ensure_ascii=False)
