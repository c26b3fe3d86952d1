"""The contract of a search: where the parameters of the trials come from.

Static searches know every point beforehand; adaptive ones learn from results.  Both are asked for one trial
at a time, in order, and never hold a list of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

Params = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """The end of a trial: ``state`` is succeeded, failed, pruned or cancelled; ``metrics`` holds its last
    values.

    ``value`` is the value of the search's metric, None when the trial did not report it or it is not finite.
    """

    trial: int
    params: Params
    state: str
    value: float | None
    metrics: Mapping[str, float]


class Search(Protocol):
    """Suggests parameters.

    A point depends on the spec and on the calls before it, in their order, and on nothing else: the same
    calls give the same points in another process.  Those of a static search are the same on any machine and
    need no calls before.
    """

    @property
    def size(self) -> int | None:
        """How many trials there are at most; None when only asking shows it."""

    @property
    def adaptive(self) -> bool:
        """Whether a point depends on the results of earlier trials."""

    def ask(self, trial: int) -> Params | None:
        """The parameters of this trial; None when the space is exhausted.

        Called with ascending trial numbers.  After a resume the trials that the record holds are not asked
        for again: they are announced with ``replay``.
        """

    def replay(self, trial: int, params: Params) -> None:
        """This trial was asked for in an earlier life of the run and got these parameters.

        For an adaptive search replays and tells come interleaved as the record counted the asks and the ends,
        so that it knows what each point was decided from.  A static search may be told nothing at all.
        """

    def tell(self, told: Told) -> None:
        """A trial has ended.  Told once a trial, in the order in which the record counted them."""


@runtime_checkable
class Breeding(Protocol):
    """What a search has beside :class:`Search` whose trials go on from the checkpoints of others."""

    @property
    def population(self) -> int:
        """How many trials may be asked for and not ended at any time, at most."""

    def parent(self, trial: int) -> int | None:
        """The trial from whose checkpoint this one starts; None: from nothing.  Known from its ask or replay on."""
