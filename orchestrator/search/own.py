"""A user's own search: a function named ``module:function`` in the spec.

The function is called with ``search.options`` by name, and with ``spec`` and ``seed`` where it has parameters of these
names.  What it returns decides: an iterable of mappings is a list of points; an object with ``ask`` and ``tell`` is a
sampler that learns.  The module is looked for beside the spec first.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

from pydantic_core import PydanticCustomError

from orchestrator.errors import UsageError
from orchestrator.search.base import Params, Search, Told
from orchestrator.search.rows import Row, rows_search
from orchestrator.search.setting import Setting
from orchestrator.search.space import Space
from orchestrator.spec.kind import parameter_value
from orchestrator.spec.model import Spec
from orchestrator.spec.problems import all_of, describe


def own(spec: Spec, setting: Setting) -> Search:
    name = spec.algorithm
    function = _function(name, setting)
    arguments = _arguments(name, function, spec)

    def call() -> Any:
        return _guarded(name, lambda: function(**arguments))

    made = call()
    if callable(getattr(made, "ask", None)):
        return OwnSampler(spec, name, made)
    if not hasattr(made, "__iter__") or isinstance(made, str | bytes | Mapping):
        raise UsageError(
            f"search.algorithm: {name} returned {describe(made)}.",
            remedy="Return an iterable of mappings, or an object with ask and tell.",
        )

    def begin() -> Iterator[Row]:
        rows = _guarded(name, lambda: iter(call()))
        names = None
        while True:
            found = _guarded(name, lambda: next(rows, None))
            if found is None:
                return
            row = _row(name, found)
            if names is not None and set(row) != names:
                raise UsageError(f"search.algorithm: {name} gave a point without the names of the first.")
            names = set(row)
            yield row

    first = next(begin(), None)
    if first is None:
        raise UsageError(f"search.algorithm: {name} gave no points.")
    twice = [key for key in first if key in spec.parameters]
    if twice:
        raise UsageError(
            f"search.algorithm: {name} gives {all_of(twice)}, and so do the parameters.",
            remedy="Remove one of the two.",
        )
    return rows_search(spec, tuple(first), begin, None)


class OwnSampler:
    """A user's sampler: ``ask(trial)`` returns a mapping or None, ``tell(told)`` learns.

    After a resume its ``replay(trial, params)`` is called where it has one; else it is asked again and its answer is
    left unused, so that its own state goes on as it was.
    """

    def __init__(self, spec: Spec, name: str, sampler: Any) -> None:
        self._parameters = spec.parameters
        self._constraints = spec.search.constraints
        self._trials = spec.search.trials
        self._name = name
        self._sampler = sampler
        self._repetitions = Space(spec.parameters).repetitions
        if self._repetitions > 1:
            raise UsageError(f"search.algorithm: {name} is a sampler of your own, and repeats its points itself.")

    @property
    def size(self) -> int | None:
        return self._trials

    @property
    def adaptive(self) -> bool:
        return True

    def ask(self, trial: int) -> dict[str, Any] | None:
        if self._trials is not None and trial >= self._trials:
            return None
        found = _guarded(self._name, lambda: self._sampler.ask(trial))
        if found is None:
            return None
        row = _row(self._name, found)
        space = Space(self._parameters, self._constraints, given=tuple(row))
        missing = [name for name, kind in space.axes.items() if kind.size != 1]
        if missing:
            raise UsageError(f"search.algorithm: {self._name} gave no value for {all_of(missing)}.")
        point = space.point({}, given=row)
        if not space.allows(point):
            raise UsageError(f"search.algorithm: {self._name} gave a point that search.constraints forbids.")
        return point

    def replay(self, trial: int, params: Params) -> None:
        if callable(getattr(self._sampler, "replay", None)):
            _guarded(self._name, lambda: self._sampler.replay(trial, params))
        else:
            _guarded(self._name, lambda: self._sampler.ask(trial))

    def tell(self, told: Told) -> None:
        _guarded(self._name, lambda: self._sampler.tell(told))


def _function(name: str, setting: Setting) -> Callable[..., Any]:
    module_name, _, attribute = name.partition(":")
    try:
        module = _imported(module_name, str(setting.base))
    except ModuleNotFoundError as error:
        if error.name != module_name.partition(".")[0] and error.name != module_name:
            raise UsageError(f"search.algorithm: {module_name} cannot be imported: {error}.") from error
        raise UsageError(
            f"search.algorithm: there is no module '{module_name}'.", remedy="Put its file beside the spec."
        ) from None
    except Exception as error:
        raise UsageError(
            f"search.algorithm: {module_name} cannot be imported: {type(error).__name__}: {error}."
        ) from error
    function = getattr(module, attribute, None)
    if not callable(function):
        raise UsageError(f"search.algorithm: module {module_name} has no function '{attribute}'.")
    found: Callable[..., Any] = function
    return found


def _imported(name: str, folder: str) -> ModuleType:
    """The module, from this folder if it is there, whatever else was imported under its name before."""
    top = name.partition(".")[0]
    beside = PathFinder.find_spec(top, [folder])
    known = sys.modules.get(top)
    others: dict[str, ModuleType] = {}
    if beside is not None and known is not None and getattr(known, "__file__", None) != beside.origin:
        others = {key: one for key, one in sys.modules.items() if key == top or key.startswith(f"{top}.")}
        for key in others:
            del sys.modules[key]
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)
        sys.modules.update(others)


def _arguments(name: str, function: Callable[..., Any], spec: Spec) -> dict[str, Any]:
    signature = inspect.signature(function)
    offered = {"spec": spec, "seed": spec.search.seed}
    arguments = {key: value for key, value in offered.items() if key in signature.parameters}
    arguments |= spec.search.options
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise UsageError(f"search.options: {name} cannot be called with them: {error}.") from None
    return arguments


def _guarded(name: str, call: Callable[[], Any]) -> Any:
    """The result of a user's code; what it raises becomes one clear error that keeps the cause."""
    try:
        return call()
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"search.algorithm: {name} failed: {type(error).__name__}: {error}.") from error


def _row(name: str, found: Any) -> Row:
    if not isinstance(found, Mapping):
        raise UsageError(f"search.algorithm: {name} gave {describe(found)} for a point, not a mapping.")
    try:
        return {str(key): parameter_value(value) for key, value in found.items()}
    except PydanticCustomError as error:
        raise UsageError(f"search.algorithm: {name} gave a value that {error}.") from None
