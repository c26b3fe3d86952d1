"""Early stopping: which trials are given up because of the values that they report.

A stopper decides from the sequence of reports that it has seen and from nothing else, so whoever shows it the same
sequence again, after a crash, hears the same decisions.
"""

from __future__ import annotations

from orchestrator.search.stopping.base import Stopper
from orchestrator.search.stopping.make import make_stopper

__all__ = ["Stopper", "make_stopper"]
