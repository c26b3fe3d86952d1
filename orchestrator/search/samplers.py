"""Optuna's samplers, made afresh for every point.

A sampler that is asked once and thrown away has no state of its own: what it suggests depends on the study and on its
seed alone.  The seed follows from the run's seed and the number of the point, so a resumed run asks what the first one
would have asked.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler

from orchestrator.errors import UsageError
from orchestrator.spec.problems import did_you_mean, one_of

_CLASSES: dict[str, tuple[Callable[..., BaseSampler], str]] = {
    "tpe": (optuna.samplers.TPESampler, ""),
    "gp": (optuna.samplers.GPSampler, "torch"),
    "cmaes": (optuna.samplers.CmaEsSampler, "cmaes"),
    "nsga2": (optuna.samplers.NSGAIISampler, ""),
}
# These write into the study what they know of a trial when it is asked for, and read it when it has ended.
TAKES_NOTES = ("cmaes", "nsga2")
_OURS = ("seed", "constraints_func")


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps Optuna's announcements and doubts off the terminal: the user can do nothing about them."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)


class Samplers:
    """Makes the samplers of one search.  ``options`` are the constructor's arguments, as Optuna names them."""

    def __init__(self, algorithm: str, options: dict[str, Any], *, conditional: bool) -> None:
        self._class, needs = _CLASSES[algorithm]
        self.takes_notes = algorithm in TAKES_NOTES
        if needs and find_spec(needs) is None:
            raise UsageError(
                f"search.algorithm: {algorithm} needs the Python package {needs}, which is not installed.",
                remedy=f"Install it (pip install {needs}), or use tpe.",
            )
        known = [name for name in inspect.signature(self._class).parameters if name not in _OURS]
        for name in options:
            if name not in known:
                hint = did_you_mean(name, known).capitalize() or f"It knows {one_of(known)}."
                raise UsageError(f"search.options: {algorithm} knows no '{name}'.", remedy=hint)
        self._options: dict[str, Any] = {}
        if algorithm == "tpe":
            # Trials in flight count as bad ones, so that the next one goes elsewhere.
            self._options = {"constant_liar": True, "multivariate": True, "group": conditional}
        elif algorithm in ("gp", "cmaes"):
            self._options = {"warn_independent_sampling": False}
        self._options |= options
        self.groups = bool(self._options.get("group"))
        self._numbers_only = algorithm == "cmaes"
        try:
            self.make(0)
        except (TypeError, ValueError) as error:
            raise UsageError(f"search.options: {algorithm} refuses them: {error}.") from None

    def joint(self, steady: dict[str, BaseDistribution]) -> dict[str, BaseDistribution]:
        """Those of the parameters that all trials have which the sampler models together, in Optuna's order."""
        if self._options.get("multivariate") is False:
            return {}
        known = {name: own for name, own in steady.items() if not own.single()}
        if self._numbers_only:
            return {name: own for name, own in known.items() if not isinstance(own, CategoricalDistribution)}
        return known

    def make(self, seed: int) -> BaseSampler:
        with quiet():
            return self._class(seed=seed, **self._options)
