"""Population-based training (M. Jaderberg and others, arXiv:1711.09846, 2017), as trials that go on from trials.

A member of the population is a chain of trials.  Each trial trains for a while, from the checkpoint that its parent
left.  When one has ended its member goes on: with its own checkpoint and parameters, or, where its last result is among
the worst, with those of one of the best, the parameters changed a little.  Nobody waits for a whole generation.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from orchestrator.errors import UsageError
from orchestrator.search.base import Params, Told
from orchestrator.search.dimensions import NoSuchValue, locate
from orchestrator.search.draw import draw
from orchestrator.search.perturb import perturbed
from orchestrator.search.random import Draws
from orchestrator.search.space import Space
from orchestrator.search.stream import generator
from orchestrator.spec.kind import Kind
from orchestrator.spec.model import Spec
from orchestrator.spec.problems import did_you_mean, one_of

# How often changed parameters are made before those of the parent are taken as they are: the constraints allow them.
ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Options:
    """``search.options`` of ``pbt``.

    ``quantile`` is the share of the population that is replaced, and that replaces.  ``resample`` is the probability
    that a parameter is drawn anew instead of being multiplied by one of ``factors``.  ``perturb`` names the parameters
    that may change from parent to child; None: all.
    """

    population: int = 8
    quantile: float = 0.25
    resample: float = 0.25
    factors: tuple[float, ...] = (0.8, 1.25)
    perturb: tuple[str, ...] | None = None


class Population:
    """The trials of a population, one after the other.

    The member whose last trial ended first goes on first, so a point depends on the order of the ends and on the seed
    alone.  A failed trial's member goes on from one of the best; where there is none yet, from nothing.
    """

    def __init__(self, spec: Spec) -> None:
        search = spec.search
        assert search.trials is not None
        self._space = Space(spec.parameters, search.constraints)
        self._options = _options(search.options, search.trials, self._space)
        self._trials, self._seed = search.trials, search.seed
        self._sign = 1.0 if search.goal == "maximize" else -1.0
        self._chance = Draws(self._space, search.seed)
        self._members: dict[int, int] = {}  # trial -> its member, while it is its member's last one
        self._parents: dict[int, int | None] = {}  # of trials that have not ended
        self._places: dict[int, dict[str, Any]] = {}  # trial -> its coordinates, while they may be wanted
        self._waiting: deque[int] = deque()  # ended trials whose members have not gone on, in the order of their ends
        self._results: dict[int, tuple[float, int]] = {}  # member -> score and number of its last trial that ended well

    @property
    def size(self) -> int | None:
        return self._trials

    @property
    def adaptive(self) -> bool:
        return True

    @property
    def population(self) -> int:
        return self._options.population

    def ask(self, trial: int) -> dict[str, Any] | None:
        if trial >= self._trials:
            return None
        parent, places = self._next(trial)
        point = self._space.point(places)
        # Only what shows in the point, and as it shows it: after a resume no more is known.
        self._begin(trial, parent, locate(self._space, point))
        return point

    def replay(self, trial: int, params: Params) -> None:
        try:
            places = locate(self._space, params)
        except NoSuchValue as error:
            raise UsageError(
                f"Trial {trial} of the record has the value {error}, which the search space has not.",
                remedy="The spec must be the one that the run was started with.",
            ) from None
        self._begin(trial, self._next(trial)[0], places)

    def tell(self, told: Told) -> None:
        member = self._members[told.trial]
        before = self._results.pop(member, None)
        if before is not None:
            self._places.pop(before[1], None)
        if told.state == "succeeded" and told.value is not None:
            self._results[member] = (self._sign * told.value, told.trial)
        else:
            del self._places[told.trial]
        del self._parents[told.trial]
        self._waiting.append(told.trial)

    def parent(self, trial: int) -> int | None:
        return self._parents[trial]

    # ------------------------------------------------------------------------------------------------------ deciding

    def _next(self, trial: int) -> tuple[int | None, dict[str, Any]]:
        """From which trial this one goes on, and its coordinates."""
        if trial < self.population:
            return None, self._chance.coordinates(trial)
        assert self._waiting, "more trials were asked for at once than the population has members"
        last = self._waiting[0]
        parent = self._chosen(trial, last)
        if parent is None:
            return None, self._chance.coordinates(trial)
        return parent, self._places[parent] if parent == last else self._explored(trial, self._places[parent])

    def _chosen(self, trial: int, last: int) -> int | None:
        """Which trial's checkpoint the member of ``last`` goes on from: truncation selection."""
        ranked = [number for _, number in sorted(self._results.values(), key=lambda one: (-one[0], one[1]))]
        if not ranked:
            return None
        count = max(1, int(self._options.quantile * len(ranked)))
        if last in ranked and ranked.index(last) < max(1, len(ranked) - count):
            return last
        return ranked[int(generator(self._seed, trial, "/parent").integers(count))]

    def _explored(self, trial: int, inherited: Mapping[str, Any]) -> dict[str, Any]:
        """The parent's coordinates, changed a little."""
        options = self._options

        def changed(attempt: int, name: str, kind: Kind) -> Any:
            place, random = inherited.get(name), generator(self._seed, trial, f"/{name}", attempt)
            if place is None:  # a condition that did not hold there
                return draw(kind, random)
            if options.perturb is not None and name not in options.perturb:
                return place
            if random.random() < options.resample:
                return draw(kind, random)
            return perturbed(kind, place, options.factors[int(random.integers(len(options.factors)))])

        for attempt in range(ATTEMPTS):
            places, values = self._space.choose(partial(changed, attempt))
            if self._space.allows(values):
                return places
        return dict(inherited)

    def _begin(self, trial: int, parent: int | None, places: dict[str, Any]) -> None:
        if trial < self.population:
            self._members[trial] = trial
        else:
            self._members[trial] = self._members.pop(self._waiting.popleft())
        self._parents[trial], self._places[trial] = parent, places


def _options(given: Mapping[str, Any], trials: int, space: Space) -> Options:
    known = Options.__slots__
    for name in given:
        if name not in known:
            hint = did_you_mean(name, known).capitalize() or f"It knows {one_of(known)}."
            raise UsageError(f"search.options: pbt knows no '{name}'.", remedy=hint)
    free = [name for name, kind in space.axes.items() if kind.size != 1]
    tuples: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    options = Options(**tuples)
    _check("population", _whole(options.population) and 2 <= options.population <= trials, f"2 to {trials}, the trials")
    _check("quantile", _number(options.quantile) and 0 < options.quantile <= 0.5, "a number above 0, 0.5 at most")
    _check("resample", _number(options.resample) and 0 <= options.resample <= 1, "a probability, from 0 to 1")
    factors = options.factors
    fits = isinstance(factors, tuple) and factors and all(_number(one) and one > 0 for one in factors)
    _check("factors", bool(fits), "a list of numbers above 0, such as [0.8, 1.25]")
    named = options.perturb
    fits = named is None or (isinstance(named, tuple) and bool(named) and all(name in free for name in named))
    _check("perturb", fits, f"a list of the names {one_of(free)}")
    return options


def _check(name: str, fits: bool, wanted: str) -> None:
    if not fits:
        raise UsageError(f"search.options: {name} must be {wanted}.")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def population(spec: Spec) -> Population:
    return Population(spec)
