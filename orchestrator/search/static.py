"""What all searches share whose points do not depend on results."""

from __future__ import annotations

from orchestrator.search.base import Params, Told


class Static:
    """Takes no notice of results.  A subclass says what the point of a trial is."""

    @property
    def adaptive(self) -> bool:
        return False

    def replay(self, trial: int, params: Params) -> None:
        """Nothing to remember: each point follows from its number."""

    def tell(self, told: Told) -> None:
        """Nothing to learn."""
