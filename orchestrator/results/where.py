"""``lr < 0.1 and state == succeeded``: which rows of the results are wanted.

The language is that of the constraints (:mod:`orchestrator.spec.formula`): parsed and checked, never evaluated as code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.errors import UsageError
from orchestrator.results.fields import Field, fields, named, unknown
from orchestrator.results.leaderboard import Trial
from orchestrator.spec.formula import Formula, FormulaError

STATES = ("succeeded", "failed", "pruned", "cancelled", "running", "submitted", "pending")


class Missing:
    """The value of a row that has none: equal to null alone, and neither more nor less than anything."""

    def __eq__(self, other: object) -> bool:
        return other is None or isinstance(other, Missing)

    def __hash__(self) -> int:
        return hash(None)

    def __bool__(self) -> bool:
        return False

    def _never(self, other: object) -> bool:
        return False

    def _nothing(self, other: object = None) -> Missing:
        return self

    __lt__ = __le__ = __gt__ = __ge__ = _never
    __add__ = __radd__ = __sub__ = __rsub__ = __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = _nothing
    __mod__ = __rmod__ = __pow__ = __rpow__ = __neg__ = __pos__ = _nothing


MISSING = Missing()


def where(rows: Sequence[Trial], text: str) -> list[Trial]:
    """The rows for which the formula holds, in their order.

    Names are those of the columns; one that no word can spell is written ``params['a-b']`` or ``metrics['a/b']``.
    The states, and the words that a parameter of text takes, stand for themselves.  A comparison with what a row
    lacks does not hold.  Raises UsageError for a text that is no formula, an unknown name, and where a row gives the
    formula no value (a text times a number).
    """
    try:
        formula = Formula(text)
    except FormulaError as error:
        raise UsageError(f"--where: {error}.") from None
    if not rows:
        return []
    known = fields(rows)
    columns, words = _names(formula, rows, known)
    kept = []
    for row in rows:
        values: dict[str, Any] = {
            **words,
            **{name: _known(field.of(row)) for name, field in columns.items()},
            "params": _Lookup(row.params),
            "metrics": _Lookup(row.metrics),
        }
        try:
            if formula(values):
                kept.append(row)
        except FormulaError as error:
            if any(value is MISSING for value in values.values()):
                continue
            raise UsageError(f"--where: {error}, in trial {row.trial}.") from None
    return kept


class _Lookup(dict[str, Any]):
    """A mapping in which what is not there is missing."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__({name: _known(value) for name, value in values.items()})

    def __missing__(self, name: str) -> Missing:
        return MISSING


def _known(value: Any) -> Any:
    return MISSING if value is None else value


def _names(formula: Formula, rows: Sequence[Trial], known: Sequence[Field]) -> tuple[dict[str, Field], dict[str, str]]:
    """What each name of the formula stands for: a column or a word."""
    columns: dict[str, Field] = {}
    words: dict[str, str] = {}
    texts: set[str] | None = None
    for name in formula.names - {"params", "metrics"}:
        field = named(known, name)
        if field is not None:
            columns[name] = field
            continue
        if texts is None:
            texts = {value for row in rows for value in row.params.values() if isinstance(value, str)}
        if name not in texts and name not in STATES:
            raise unknown("--where", name, known, (*STATES, *sorted(texts)))
        words[name] = name
    return columns, words
