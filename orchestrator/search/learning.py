"""Searches that learn from results, by Optuna's samplers.

The study lives in memory and holds nothing that the run's record does not: it is built again from the asks and the ends
of the trials, in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState

from orchestrator.errors import UsageError
from orchestrator.search.base import Params, Told
from orchestrator.search.dimensions import NoSuchValue, distribution, inner, locate, outer
from orchestrator.search.random import Draws
from orchestrator.search.samplers import Samplers, quiet
from orchestrator.search.setting import Setting
from orchestrator.search.space import Space
from orchestrator.search.stream import derived_seed
from orchestrator.spec.kind import Kind
from orchestrator.spec.model import Spec

# How often a sampler is asked again for a point that the constraints allow before chance takes over.
ATTEMPTS = 20
STUDY = "search"

_STATES = {
    "succeeded": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
    "cancelled": TrialState.FAIL,
}
_DIRECTIONS = {"maximize": StudyDirection.MAXIMIZE, "minimize": StudyDirection.MINIMIZE}


class Learning:
    """Asks Optuna for coordinates and tells it how they did.

    A point that is tried several times counts by the mean of its trials, when all of them have ended.
    """

    def __init__(self, spec: Spec, earlier: Sequence[Told] = ()) -> None:
        search = spec.search
        self._space = Space(spec.parameters, search.constraints)
        self._goals = dict(search.goals) or {search.metric or "": search.goal}
        self._seed, self._algorithm, self._trials = search.seed, spec.algorithm, search.trials
        self._options = search.options
        conditional = bool(self._space.conditional)
        self._samplers = Samplers(spec.algorithm, search.options, conditional=conditional)
        # Constraints that nothing satisfies are found here; and where a sampler finds no point, chance does.
        self._chance = Draws(self._space, search.seed)
        self._distributions = {n: distribution(kind) for n, kind in self._space.axes.items() if kind.size != 1}
        steady = sorted(name for name in self._distributions if name not in self._space.conditional)
        self._joint = self._samplers.joint({name: self._distributions[name] for name in steady})
        self._storage = InMemoryStorage()
        directions = [_DIRECTIONS[goal] for goal in self._goals.values()]
        with quiet():
            self._study_id = self._storage.create_new_study(directions, STUDY)
        self._ids: dict[int, int] = {}  # point -> Optuna's trial
        self._open: dict[int, dict[str, Any]] = {}  # point -> coordinates, while it has trials to come
        self._ended: dict[int, list[Told]] = {}  # point -> its ended trials, while some have not
        if earlier:
            self._learn_from(earlier)

    @property
    def size(self) -> int | None:
        return self._trials

    @property
    def adaptive(self) -> bool:
        return True

    def ask(self, trial: int) -> dict[str, Any] | None:
        if self._trials is not None and trial >= self._trials:
            return None
        point, repetition = divmod(trial, self._space.repetitions)
        if point not in self._ids:
            # Only what shows in the parameters, and as they show it: after a resume no more is known.
            suggested = self._space.point(self._suggest(point))
            self._begin(point, locate(self._space, suggested))
        coordinates = self._open[point]
        if repetition == self._space.repetitions - 1:
            del self._open[point]
        return self._space.point(coordinates, repetition)

    def replay(self, trial: int, params: Params) -> None:
        point, repetition = divmod(trial, self._space.repetitions)
        if point not in self._ids:
            if self._samplers.takes_notes:
                self._suggest(point)
            try:
                self._begin(point, locate(self._space, params))
            except NoSuchValue as error:
                raise UsageError(
                    f"Trial {trial} of the record has the value {error}, which the search space has not.",
                    remedy="The spec must be the one that the run was started with.",
                ) from None
        if repetition == self._space.repetitions - 1:
            del self._open[point]

    def tell(self, told: Told) -> None:
        point = told.trial // self._space.repetitions
        ended = self._ended.setdefault(point, [])
        ended.append(told)
        if len(ended) == self._space.repetitions:
            self._end(self._ids[point], self._ended.pop(point))

    # ------------------------------------------------------------------------------------------------------ asking

    def _suggest(self, point: int) -> dict[str, Any]:
        """The coordinates of a new point; Optuna's trial of this point is made."""
        number = self._ids[point] = self._storage.create_new_trial(self._study_id)
        refused: list[int] = []
        for attempt in range(ATTEMPTS):
            sampler = self._samplers.make(derived_seed(self._seed, point, self._algorithm, attempt))
            coordinates, values = self._chosen(sampler, number)
            if self._space.allows(values):
                break
            if not self._samplers.takes_notes:
                # As if in flight, so that the next one goes elsewhere: without it a model asks for points beyond the
                # constraints again and again, just because nothing is known there.
                refused.append(self._storage.create_new_trial(self._study_id))
                self._set(refused[-1], coordinates)
        else:
            coordinates = self._chance.coordinates(point)
        for other in refused:  # a failed one is as good as none, and a resume makes none
            self._storage.set_trial_state_values(other, TrialState.FAIL)
        return coordinates

    def _chosen(self, sampler: BaseSampler, number: int) -> tuple[dict[str, Any], Params]:
        try:
            with quiet():
                return self._space.choose(self._asked(sampler, number))
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            if not self._options:
                raise
            # Some of a sampler's arguments show only at work that they are none.
            raise UsageError(
                f"search.options: {self._algorithm} fails with them: {type(error).__name__}: {error}."
            ) from error

    def _asked(self, sampler: BaseSampler, number: int) -> Callable[[str, Kind], Any]:
        """What gives the sampler's coordinate of each axis."""
        # A study of its own: Optuna keeps the trials that it has read in it.
        study = optuna.load_study(study_name=STUDY, storage=self._storage, sampler=sampler)
        trial = self._storage.get_trial(number)
        # What all trials have in common we know, and Optuna would look through all of them to find it; where TPE forms
        # groups of parameters it must.
        joint = sampler.infer_relative_search_space(study, trial) if self._samplers.groups else self._joint
        together = sampler.sample_relative(study, trial, joint)

        def choice(name: str, kind: Kind) -> Any:
            if name in together:
                return outer(kind, together[name])
            return outer(kind, sampler.sample_independent(study, trial, name, self._distributions[name]))

        return choice

    def _begin(self, point: int, coordinates: Mapping[str, Any]) -> None:
        """Tell Optuna which coordinates the trial of this point has."""
        if point not in self._ids:
            self._ids[point] = self._storage.create_new_trial(self._study_id)
        self._open[point] = dict(coordinates)
        self._set(self._ids[point], coordinates)

    def _set(self, number: int, coordinates: Mapping[str, Any]) -> None:
        for name, place in coordinates.items():
            known = self._distributions[name]
            value = known.to_internal_repr(inner(self._space.axes[name], place))
            self._storage.set_trial_param(number, name, value, known)

    # ----------------------------------------------------------------------------------------------------- telling

    def _end(self, number: int, ended: Sequence[Told]) -> None:
        for state in ("succeeded", "pruned"):
            values = [self._values(told) for told in ended if told.state == state]
            known = [value for value in values if value is not None]
            if known:
                means = [fmean(column) for column in zip(*known, strict=True)]
                if state == "pruned":
                    # Optuna ranks pruned trials by their last value; the step is the same for all, so only that counts.
                    self._storage.set_trial_intermediate_value(number, 1, means[0])
                    self._storage.set_trial_state_values(number, TrialState.PRUNED)
                else:
                    self._storage.set_trial_state_values(number, TrialState.COMPLETE, means)
                return
        self._storage.set_trial_state_values(number, TrialState.FAIL)

    def _values(self, told: Told) -> list[float] | None:
        """The values of the goals; None unless the trial has reported them all."""
        if len(self._goals) == 1:
            return None if told.value is None else [told.value]
        values = [told.metrics.get(name) for name in self._goals]
        found = [value for value in values if value is not None and abs(value) < float("inf")]
        return found if len(found) == len(values) else None

    def _learn_from(self, earlier: Sequence[Told]) -> None:
        used = 0
        for told in earlier:
            if told.state != "succeeded" or self._values(told) is None:
                continue
            try:
                coordinates = locate(self._space, told.params)
            except NoSuchValue:
                continue
            number = self._storage.create_new_trial(self._study_id)
            self._set(number, coordinates)
            self._end(number, [told])
            used += 1
        if used == 0:
            raise UsageError(
                f"search.warm_start: none of {len(earlier)} earlier trials has a result and a point of this space.",
                remedy="Name a run over the same parameters that reported the same metric, or leave it out.",
            )


def learning(spec: Spec, setting: Setting) -> Learning:
    return Learning(spec, setting.earlier)
