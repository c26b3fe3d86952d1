"""From a spec to its search."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from orchestrator.search.base import Search
from orchestrator.spec.model import Spec

# Algorithm -> "module:function"; the function takes the spec.  A new algorithm is one module and one line here (and its
# name in the spec's ALGORITHMS).
ALGORITHMS: dict[str, str] = {
    "grid": "orchestrator.search.grid:grid",
    "random": "orchestrator.search.random:random",
    "zip": "orchestrator.search.zip:zip_",
}


def make_search(spec: Spec) -> Search:
    """The search of this spec.

    Raises UsageError for everything that can be known to be wrong before a trial starts: a grid over a distribution, a
    random search without an end, constraints that nothing satisfies.
    """
    module, _, function = ALGORITHMS[spec.algorithm].partition(":")
    make: Callable[[Spec], Search] = getattr(import_module(module), function)
    return make(spec)
