"""What a search may need beside its spec."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.search.base import Told

# From the URL of a folder in an object store to the paths of everything below it, in order.
Listing = Callable[[str], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Setting:
    """``base`` is the folder from which the spec's paths start.  ``listing`` lists a folder of an object store.

    ``earlier`` are the trials of the runs that ``search.warm_start`` names, in the order in which they ended.
    """

    base: Path = field(default_factory=Path.cwd)
    listing: Listing | None = None
    earlier: Sequence[Told] = ()
