"""Whether a trial that was run again has found the same."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass

from orchestrator.engine.record import Record
from orchestrator.storage.layout import Home

# Metric and step (None: the last value) to the value.
_Values = dict[tuple[str, float | None], float]


@dataclass(frozen=True, slots=True)
class Sameness:
    """``compared`` metrics were reported both times; ``different`` holds the last values of those that are not equal,
    to the bit and at every step that both have, as they were and as they are; ``missing`` were reported only once.

    ``steps`` is how many values at steps were compared.
    """

    compared: tuple[str, ...]
    different: Mapping[str, tuple[float, float]]
    missing: tuple[str, ...]
    steps: int

    @property
    def equal(self) -> bool:
        return bool(self.compared) and not self.different and not self.missing


def compare(home: Home, first: str, second: str, trial: int) -> Sameness:
    """The same trial of two runs.  Raises RunNotFound and MachineError."""
    was, now = _values(home, first, trial), _values(home, second, trial)
    names = list(dict.fromkeys(name for name, step in (*was, *now) if step is None))
    both = [name for name in names if (name, None) in was and (name, None) in now]
    shared = [key for key in was if key in now and key[0] in both]
    unlike = {name for name, step in shared if repr(was[name, step]) != repr(now[name, step])}
    return Sameness(
        compared=tuple(both),
        different={name: (was[name, None], now[name, None]) for name in both if name in unlike},
        missing=tuple(name for name in names if name not in both),
        steps=sum(step is not None for _, step in shared),
    )


def _values(home: Home, run: str, trial: int) -> _Values:
    with closing(Record.open(home.record(run))) as record:
        row = record.trial(trial)
        values: _Values = {(name, None): value for name, value in (row.metrics if row else {}).items()}
        values |= {(one.metric, one.step): one.value for one in record.metrics(trial) if one.step is not None}
    return values
