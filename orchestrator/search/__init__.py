"""Search spaces, samplers and early stopping: where the parameters of the trials come from.

:func:`make_search` gives the search that a spec asks for.  Each algorithm is one module, imported only when a
spec names it, so that a grid pays for no numpy and a random search for no Optuna.
"""

from __future__ import annotations

from orchestrator.search.base import Params, Search, Told
from orchestrator.search.make import ALGORITHMS, make_search

__all__ = ["ALGORITHMS", "Params", "Search", "Told", "make_search"]
