"""The points of a list: written in the spec, or in a CSV or JSON Lines file."""

from __future__ import annotations

from orchestrator.errors import UsageError
from orchestrator.search.rows import rows_search
from orchestrator.search.setting import Setting
from orchestrator.search.static import StaticSearch
from orchestrator.spec.model import Spec
from orchestrator.spec.paths import resolved
from orchestrator.spec.problems import all_of
from orchestrator.spec.table import TableError, columns, rows


def listed(spec: Spec, setting: Setting) -> StaticSearch:
    search = spec.search
    if search.file is None:
        names = tuple(search.points[0])
        return rows_search(spec, names, lambda: iter(search.points), len(search.points))
    path = resolved(setting.base, search.file)
    try:
        names = tuple(columns(path))
        # One pass finds every mistake before the first trial, and the number of rows.
        count = sum(1 for _ in rows(path))
    except TableError as error:
        raise UsageError(f"search.file: {error}.") from None
    except OSError as error:
        raise UsageError(f"search.file: {search.file} cannot be read: {error.strerror}.") from None
    if count == 0:
        raise UsageError(f"search.file: {search.file} has no rows.", remedy="Add one below the header.")
    twice = [name for name in names if name in spec.parameters]
    if twice:
        raise UsageError(
            f"search.file: {search.file} has a column for {all_of(twice)}, and so have the parameters.",
            remedy="Remove one of the two.",
        )
    return rows_search(spec, names, lambda: rows(path), count)
