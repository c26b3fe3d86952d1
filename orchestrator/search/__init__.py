"""Search spaces, samplers and early stopping: where the parameters of the trials come from.

:func:`make_search` gives the search that a spec asks for.  Each algorithm is one module, imported only when a
spec names it, so that a grid pays for no numpy and a random search for no Optuna.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.search.base import Params, Search, Told

if TYPE_CHECKING:
    from orchestrator.search.make import ALGORITHMS, make_search

__all__ = ["ALGORITHMS", "Params", "Search", "Told", "make_search"]


def __getattr__(name: str) -> Any:
    """Loaded when asked for: who only reads a record needs the contract and not the specs behind the searches."""
    if name in ("ALGORITHMS", "make_search"):
        from orchestrator.search import make

        return getattr(make, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
