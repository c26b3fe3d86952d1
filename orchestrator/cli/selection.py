"""Which rows and columns of the results a user has asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.results.fields import Field, chosen, fields, named, unknown
from orchestrator.results.leaderboard import Trial, sort


@dataclass(frozen=True, slots=True)
class Selection:
    """The options of ``orchestrate results``.  ``each``: trials, not points; ``everything``: however many."""

    columns: str | None = None
    where: str | None = None
    sort: str | None = None
    each: bool = False
    everything: bool = False

    def rows(self, ranked: Sequence[Trial], metric: str | None) -> list[Trial]:
        """What ``--where`` and ``--sort`` leave of ranked rows.  Raises UsageError."""
        kept = list(ranked)
        if self.where is not None:
            from orchestrator.results.where import where

            kept = where(kept, self.where)
        if self.sort is None or self.sort == metric or not ranked:
            return kept
        by = self.sort
        name, _, direction = by.rpartition(":") if by.endswith((":min", ":max")) else (by, "", "min")
        known = fields(ranked)
        field = named(known, name)
        if field is None:
            raise unknown("--sort", name, known)
        return sort(kept, field.of, descending=direction == "max")

    def fields(self, rows: Sequence[Trial]) -> list[Field] | None:
        """The columns of ``--columns``; None where all are wanted.  Raises UsageError."""
        if self.columns is None:
            return None
        return chosen(fields(rows), self.columns) if rows else []
