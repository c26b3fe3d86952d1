"""From a spec to its search."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from orchestrator.errors import UsageError
from orchestrator.search.base import Search
from orchestrator.spec.model import Spec
from orchestrator.spec.problems import did_you_mean, one_of

# Algorithm -> "module:function"; the function takes the spec.  A new algorithm is one module and one line
# here.
ALGORITHMS: dict[str, str] = {
    "grid": "orchestrator.search.grid:grid",
    "random": "orchestrator.search.random:random",
}


def make_search(spec: Spec) -> Search:
    """The search of this spec.

    Raises UsageError for everything that can be known to be wrong before a trial starts: an unknown
    algorithm, a grid over a distribution, a random search without an end.
    """
    name = spec.algorithm
    if name not in ALGORITHMS:
        hint = did_you_mean(name, ALGORITHMS) or f"The algorithms are {one_of(ALGORITHMS)}"
        raise UsageError(
            f"search.algorithm: there is no algorithm '{name}'.", remedy=f"{hint[0].upper()}{hint[1:]}."
        )
    module, _, function = ALGORITHMS[name].partition(":")
    make: Callable[[Spec], Search] = getattr(import_module(module), function)
    return make(spec)
