"""The runs of this machine, for those who only look: which there are, and whether somebody drives them.

Kept apart from :mod:`orchestrator.engine.session` so that a look costs no import of what only driving needs.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from orchestrator.engine.lock import holder
from orchestrator.errors import RunNotFound
from orchestrator.storage.layout import Home

_LAST = re.compile(r"last(?:~([0-9]{1,6}))?", re.ASCII)
# How long a driver may take to come to a run that has just been made, in seconds.
STARTING = 20.0


def find(home: Home, wanted: str) -> str:
    """The id of a run from an id, an unambiguous beginning of one, ``last``, or ``last~1`` for the one before that.

    Raises RunNotFound.
    """
    known = [run for run, _ in listed(home)]
    if wanted in known:
        return wanted
    counted = _LAST.fullmatch(wanted)
    if counted is not None and int(counted[1] or 0) < len(known):
        return known[int(counted[1] or 0)]
    matching = [run for run in known if run.startswith(wanted)] if wanted else []
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise RunNotFound(f"'{wanted}' is the beginning of {len(matching)} runs: {', '.join(matching[:5])} ...")
    raise RunNotFound(f"There is no run '{wanted}' in {home.path}.", remedy="`orchestrate status` lists the runs.")


def listed(home: Home) -> list[tuple[str, float]]:
    """All runs with the time of their making, newest first."""
    try:
        entries = list(os.scandir(home.runs))
    except FileNotFoundError:
        return []
    made = {entry.name: _made(entry.name, entry) for entry in entries if home.record(entry.name).exists()}
    seconds = Counter(made.values())
    for run, second in made.items():
        if seconds[second] > 1:  # an id tells the second; the record tells which of these came first
            made[run] = _created(home, run, second)
    return sorted(made.items(), key=lambda item: (-item[1], item[0]))


def _made(run: str, entry: os.DirEntry[str]) -> float:
    """From the id; from the folder's time where it was named otherwise."""
    try:
        stamp = "-".join(run.split("-")[-3:-1])
        return datetime.strptime(stamp, "%y%m%d-%H%M%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return entry.stat().st_mtime


def _created(home: Home, run: str, otherwise: float) -> float:
    try:
        with closing(sqlite3.connect(f"{home.record(run).as_uri()}?mode=ro", uri=True)) as db:
            row = db.execute("SELECT value FROM facts WHERE key = 'created'").fetchone()
    except sqlite3.Error:  # a record that cannot be read is still listed
        row = None
    return float(row[0]) if row else otherwise


def alive(home: Home, run: str) -> bool:
    """Whether a driver holds the run now."""
    return holder(home.lock(run)) is not None


def state_of(facts: dict[str, Any], driven: bool) -> str:
    """The status for a reader: a run that is marked as running and has no driver has been ``abandoned``.

    Not so while its first driver is about to take it.
    """
    status = str(facts["status"])
    if facts.get("finished") is not None or driven:
        return status
    made = facts.get("reopened") or facts["created"]
    if facts.get("started") is None and 0 <= time.time() - made < STARTING:
        return status
    return "abandoned"
