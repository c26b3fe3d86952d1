"""What pools, jobs, schedules and tasks have in common: a version, and states with the times they were entered."""

from __future__ import annotations

import itertools
from typing import Any

from .clock import Clock
from .protocol import Json
from .timefmt import Micros, http_date, iso

_FIRST_ETAG = 0x8DD5A0000000000


class Versions:
    """Hands out ETags: unlike the service's, in order, and never the same one twice."""

    def __init__(self) -> None:
        self._numbers = itertools.count(_FIRST_ETAG)

    def next(self) -> str:
        return f"0x{next(self._numbers):X}"


class Tracked:
    """A resource with an ETag, a time of last change, and a state."""

    __slots__ = (
        "clock",
        "created",
        "etag",
        "modified",
        "previous_state",
        "previous_state_time",
        "state",
        "state_time",
        "versions",
    )

    def __init__(self, clock: Clock, versions: Versions, state: str) -> None:
        self.clock = clock
        self.versions = versions
        now = clock.now()
        self.created: Micros = now
        self.modified: Micros = now
        self.state = state
        self.state_time: Micros = now
        self.previous_state: str | None = None
        self.previous_state_time: Micros | None = None
        self.etag = versions.next()

    def touch(self) -> None:
        """Note a change of the resource's own data."""
        self.modified = self.clock.now()
        self.etag = self.versions.next()

    def enter(self, state: str) -> None:
        """Move to `state`."""
        self.previous_state = self.state
        self.previous_state_time = self.state_time
        self.state = state
        self.touch()
        self.state_time = self.modified

    def tracked_json(self, with_previous: bool = True) -> Json:
        found: dict[str, Any] = {
            "eTag": self.etag,
            "lastModified": iso(self.modified),
            "creationTime": iso(self.created),
            "state": self.state,
            "stateTransitionTime": iso(self.state_time),
        }
        if with_previous and self.previous_state is not None and self.previous_state_time is not None:
            found["previousState"] = self.previous_state
            found["previousStateTransitionTime"] = iso(self.previous_state_time)
        return found

    @property
    def last_modified_header(self) -> str:
        return http_date(self.modified)
