"""A run as an Optuna study, so that Optuna's own tools (``optuna-dashboard``) open it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from orchestrator.errors import UsageError
from orchestrator.search.base import Told
from orchestrator.search.samplers import quiet
from orchestrator.search.space import Space
from orchestrator.spec.distributions import LogUniform
from orchestrator.spec.finite import Integer, LogInteger
from orchestrator.spec.kind import Kind
from orchestrator.spec.model import Spec

# From the number of a trial to its reports of the metric: steps and values.
Reports = Callable[[int], Iterable[tuple[float, float]]]


def export_study(
    spec: Spec,
    name: str,
    ended: Iterable[Told],
    storage: str | optuna.storages.BaseStorage,
    reports: Reports | None = None,
) -> int:
    """Write the ended trials of a run into an Optuna storage; returns how many.

    ``storage`` is a URL of Optuna's, such as ``sqlite:///study.db``.  A study of this name must not be there yet.
    Trials keep their order, and their numbers as the attribute ``trial``.  Raises UsageError.
    """
    goals = dict(spec.search.goals) or ({spec.search.metric: spec.search.goal} if spec.search.metric else {})
    if not goals:
        raise UsageError("A study needs a value for each trial.", remedy="Name it: search.metric.")
    trials = list(ended)
    try:
        with quiet():
            study = optuna.create_study(study_name=name, storage=storage, directions=list(goals.values()))
            study.set_metric_names(list(goals))
    except optuna.exceptions.DuplicatedStudyError:
        raise UsageError(f"The storage holds a study '{name}' already.", remedy="Give another file or URL.") from None
    except (ImportError, ValueError) as error:
        raise UsageError(f"Optuna cannot open this storage: {str(error).rstrip('.')}.") from error
    space = Space(spec.parameters)
    known = _distributions(spec, space, trials)
    study.add_trials([_trial(told, space, known, list(goals), reports) for told in trials])
    return len(trials)


def _trial(
    told: Told, space: Space, known: Mapping[str, BaseDistribution], goals: list[str], reports: Reports | None
) -> FrozenTrial:
    values = [told.metrics.get(goal) for goal in goals]
    finite = [value for value in values if value is not None and math.isfinite(value)]
    state = TrialState.FAIL
    if told.state == "succeeded" and len(finite) == len(goals):
        state = TrialState.COMPLETE
    elif told.state == "pruned":
        state = TrialState.PRUNED
    own = {
        key: told.params[key]
        for key in known
        if told.params.get(key) is not None and (key not in space.axes or space.active(key, told.params))
    }
    others = {key: value for key, value in told.params.items() if key not in own}
    single = len(goals) == 1
    return create_trial(
        state=state,
        params={key: _shown(value) if _categorical(known[key]) else value for key, value in own.items()},
        distributions={key: known[key] for key in own},
        values=finite if state is TrialState.COMPLETE else None,
        user_attrs={"trial": told.trial, "state": told.state, **others, **told.metrics},
        # Optuna's steps are whole numbers.
        intermediate_values={round(step): value for step, value in reports(told.trial)} if reports and single else {},
    )


def _distributions(spec: Spec, space: Space, trials: Iterable[Told]) -> dict[str, BaseDistribution]:
    """Of everything that was searched: the free parameters, those of sub-grids, and what came with the points."""
    found: dict[str, list[Any]] = {name: [] for name in space.axes}
    for told in trials:
        for name, value in told.params.items():
            if value is not None:
                found.setdefault(name, []).append(value)
    replaced = {name for grid in spec.search.grids for name in grid}
    known: dict[str, BaseDistribution] = {}
    for name, values in found.items():
        if name in replaced or name not in spec.parameters:
            if len({repr(value) for value in values}) > 1:
                known[name] = _distribution(None, values)
        elif name in space.axes and space.axes[name].size != 1:
            known[name] = _distribution(space.axes[name], values)
    return known


def _categorical(distribution: BaseDistribution) -> bool:
    return isinstance(distribution, CategoricalDistribution)


def _distribution(kind: Kind | None, found: list[Any]) -> BaseDistribution:
    """A distribution of the values themselves, as a person reads them; without a kind, of those that were found."""
    if isinstance(kind, Integer):
        return IntDistribution(kind.low, kind.low + kind.step * (kind.size - 1), step=kind.step)
    if isinstance(kind, LogInteger):
        return IntDistribution(kind.low, kind.high, log=True)
    numbers = bool(found) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in found)
    if not numbers if kind is None else kind.size is not None and (not numbers or kind.key == "choice"):
        values = found
        if kind is not None and kind.size is not None and kind.size <= 10_000:
            values = [kind.value_at(index) for index in range(kind.size)]
        return CategoricalDistribution(list(dict.fromkeys(_shown(value) for value in values)))
    low, high = min(found, default=0.0), max(found, default=1.0)
    bounds = getattr(kind, "low", -math.inf), getattr(kind, "high", math.inf)
    low, high = (bound if math.isfinite(bound) else seen for bound, seen in zip(bounds, (low, high), strict=True))
    return FloatDistribution(low, high, log=isinstance(kind, LogUniform))


def _shown(value: Any) -> Any:
    """What Optuna takes for a category."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
