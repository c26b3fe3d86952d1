"""Search spaces, samplers and early stopping: where the parameters of the trials come from.

:func:`make_search` gives the search that a spec asks for.  Each algorithm is one module, imported only when a
spec names it, so that a grid pays for no numpy and a random search for no Optuna.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from orchestrator.search.base import Params, Search, Told

if TYPE_CHECKING:
    from orchestrator.search.budget import make_budget
    from orchestrator.search.make import ALGORITHMS, make_search
    from orchestrator.search.stopping import Stopper, make_stopper

__all__ = ["ALGORITHMS", "Params", "Search", "Stopper", "Told", "make_budget", "make_search", "make_stopper"]

_PLACES = {
    "ALGORITHMS": "orchestrator.search.make",
    "Stopper": "orchestrator.search.stopping",
    "make_budget": "orchestrator.search.budget",
    "make_search": "orchestrator.search.make",
    "make_stopper": "orchestrator.search.stopping",
}


def __getattr__(name: str) -> Any:
    """Loaded when asked for: who only reads a record needs the contract and not the specs behind the searches."""
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
