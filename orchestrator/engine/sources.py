"""What a search reads beside its spec: a table of points, listings of stores, earlier runs.

A run that is taken up again must find there what it found at first, or say clearly that it does not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

from orchestrator.engine.record import Record
from orchestrator.engine.runs import find
from orchestrator.errors import UsageError
from orchestrator.search.base import Search, Told
from orchestrator.search.setting import Listing
from orchestrator.spec.model import Spec
from orchestrator.spec.paths import resolved
from orchestrator.storage.layout import Home
from orchestrator.storage.open import open_store


def listing(home: Home) -> Listing:
    """Lists folders of object stores, with the credentials of this machine."""

    def paths(url: str) -> Iterator[str]:
        return (found.key for found in open_store(url, home).list(""))

    return paths


def named(spec: Spec, home: Home) -> Spec:
    """The spec with ids for the runs that ``search.warm_start`` names: ``last`` is another one tomorrow."""
    if not spec.search.warm_start:
        return spec
    found = [find(home, wanted) for wanted in spec.search.warm_start]
    return spec.model_copy(update={"search": spec.search.model_copy(update={"warm_start": found})})


def earlier(spec: Spec, home: Home, counts: Sequence[int] | None = None) -> list[Told]:
    """What the runs that ``search.warm_start`` names have found: of each the first ``counts`` ended trials, or all."""
    told: list[Told] = []
    for number, wanted in enumerate(spec.search.warm_start):
        with closing(Record.open(home.record(find(home, wanted)))) as record:
            told += islice(record.told(spec.search.metric), None if counts is None else counts[number])
    return told


def pins(spec: Spec, base: Path, home: Home) -> dict[str, Any]:
    """What tells, later, whether the sources are the same: facts of the run."""
    found: dict[str, Any] = {}
    if spec.search.file is not None:
        found["points"] = _digest(resolved(base, spec.search.file))
    if spec.search.warm_start:
        found["earlier"] = [len(earlier(_only(spec, run), home)) for run in spec.search.warm_start]
    return found


def check_table(spec: Spec, base: Path, facts: Mapping[str, Any]) -> None:
    """Raises UsageError where the table of points has changed since the run was made."""
    wanted = facts.get("points")
    if wanted is None or spec.search.file is None or _digest(resolved(base, spec.search.file)) == wanted:
        return
    raise UsageError(
        f"search.file: {spec.search.file} has changed since {facts['run']} was started from it.",
        remedy="Put it back as it was, or start a new run.",
    )


def check_points(search: Search, record: Record, run: str) -> None:
    """Raises UsageError where the search would not give the last recorded trial the parameters that it got.

    A point more or less in the middle moves all that come after it, so the last one tells of them all.
    """
    last = None if search.adaptive else record.last()
    if last is None:
        return
    trial, params = last
    asked = search.ask(trial)
    if asked is None or json.loads(json.dumps(dict(asked))) != params:
        raise UsageError(
            f"The search gives trial {trial} other parameters than it got when {run} was started.",
            remedy="Put back what the search reads (files, a folder, a module of your own), or start a new run.",
        )


def _only(spec: Spec, run: str) -> Spec:
    return spec.model_copy(update={"search": spec.search.model_copy(update={"warm_start": [run]})})


def _digest(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None  # the search itself says what is wrong with it
