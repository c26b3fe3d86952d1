"""Trials as CSV and as JSON.  Nothing is rounded or cut."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from orchestrator.results.leaderboard import Trial

_FIRST = ("trial", "state")
_LAST = ("attempts", "seconds", "reason")


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
    """What ``results --json`` shows of a trial, numbers as they are."""
    return {
        "trial": trial.trial,
        "state": trial.state,
        "params": dict(trial.params),
        "metrics": dict(trial.metrics),
        "attempts": trial.attempts,
        "seconds": trial.seconds,
        "outputs": list(trial.outputs),
    }


def to_json(value: Any) -> str:
    """One line of strict JSON."""
    return json.dumps(strict(value), allow_nan=False)


def to_csv(trials: Sequence[Trial], file: TextIO) -> None:
    """A header and one line a trial: number, state, parameters, metrics, then the rest.

    A parameter is called ``param.NAME`` and a metric ``metric.NAME`` where another column has the name already.
    Texts stand as they are, other parameters as JSON; a number that is not finite is ``nan``, ``inf`` or ``-inf``.
    """
    params = _names(trial.params for trial in trials)
    metrics = _names(trial.metrics for trial in trials)
    taken = {*_FIRST, *_LAST}
    param_columns = [f"param.{name}" if name in taken else name for name in params]
    taken |= set(param_columns)
    metric_columns = [f"metric.{name}" if name in taken else name for name in metrics]
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*_FIRST, *param_columns, *metric_columns, *_LAST])
    for trial in trials:
        writer.writerow(
            [
                trial.trial,
                trial.state,
                *(_field(trial.params[name]) if name in trial.params else "" for name in params),
                *(trial.metrics.get(name, "") for name in metrics),
                trial.attempts,
                "" if trial.seconds is None else trial.seconds,
                trial.reason,
            ]
        )


def _names(mappings: Iterable[Any]) -> list[str]:
    names: dict[str, None] = {}
    for mapping in mappings:
        names |= dict.fromkeys(mapping)
    return list(names)


def _field(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
