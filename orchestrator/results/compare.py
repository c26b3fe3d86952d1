"""Several runs side by side: what each came to, and what was different about them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.results.export import to_record
from orchestrator.results.leaderboard import Trial, best, comparable
from orchestrator.results.read import Overview, best_record


@dataclass(frozen=True, slots=True)
class Side:
    """One of the runs.  ``rows`` are its trials or points, ``pins`` what it was made of: see :func:`pinned`."""

    seen: Overview
    rows: Sequence[Trial]
    pins: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ranking:
    """What all of the runs can be ranked by; ``metric`` is None where there is nothing."""

    metric: str | None
    maximize: bool


def ranking(sides: Sequence[Side]) -> Ranking:
    """The first metric that one of the runs is ranked by and that every run has a value of."""
    for side in sides:
        metric = side.seen.metric
        if metric is not None and all(_reported(other.rows, metric) for other in sides):
            return Ranking(metric, side.seen.maximize)
    return Ranking(None, True)


def _reported(rows: Iterable[Trial], metric: str) -> bool:
    return any(comparable(row, metric) is not None for row in rows)


def pinned(facts: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What decides a run's results, flat: code, git, data, versions and every key of the spec.

    ``manifest`` is the run's manifest in the object store, empty where it cannot be read.
    """
    code = manifest.get("code") or {}
    git = code.get("git") or {}
    job = facts.get("job") or {}
    digest = (job.get("code") or {}).get("digest")
    pins: dict[str, Any] = {
        "code": digest or code.get("digest"),
        "git commit": git.get("commit"),
        "git branch": git.get("branch"),
        "git changed": git.get("dirty"),
        "rerun of": _rerun(facts.get("rerun")),
    }
    for item in manifest.get("inputs") or ():
        pins[f"data {item['from']}"] = item.get("seen")
    for name, version in (manifest.get("versions") or {}).items():
        pins[f"version {name}"] = version
    pins |= _flat("", facts.get("spec") or {})
    return {name: value for name, value in pins.items() if value is not None}


def _rerun(parent: Mapping[str, Any] | None) -> str | None:
    return None if parent is None else f"trial {parent['trial']} of {parent['run']}"


def _flat(prefix: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not value or prefix.startswith("parameters."):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inside in value.items():
        flat |= _flat(f"{prefix}.{key}" if prefix else str(key), inside)
    return flat


def different(values: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The names whose values are not the same in all, with the value in each; None where it has none."""
    names: dict[str, None] = {}
    for one in values:
        names |= dict.fromkeys(one)
    table = {name: [one.get(name) for one in values] for name in names}
    return {name: row for name, row in table.items() if len({json.dumps(value, sort_keys=True) for value in row}) > 1}


def bests(sides: Sequence[Side], by: Ranking) -> list[Trial | None]:
    """The best row of each run by the common metric."""
    return [best(side.rows, by.metric, maximize=by.maximize) for side in sides]


def to_comparison(sides: Sequence[Side], by: Ranking, rows: Sequence[Trial]) -> dict[str, Any]:
    """All of it as one JSON object; ``rows`` are those of all runs, in the order wanted."""
    first = bests(sides, by)
    return {
        "metric": by.metric,
        "goal": None if by.metric is None else "maximize" if by.maximize else "minimize",
        "runs": [
            {
                "run": side.seen.run,
                "name": side.seen.name,
                "status": side.seen.status,
                "trials": side.seen.trial_counts(),
                "best": best_record(found, by.metric, maximize=by.maximize),
                "cost": side.seen.cost,
                "seconds": side.seen.seconds,
            }
            for side, found in zip(sides, first, strict=True)
        ],
        "different": {
            "params": different([found.params if found else {} for found in first]),
            "made_of": different([side.pins for side in sides]),
        },
        "rows": [{"run": row.run, **to_record(row)} for row in rows],
    }
