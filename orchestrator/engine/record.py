"""The durable record of a run: one SQLite file, from which a run can be resumed and everything about it can be read.

One driver writes (see :mod:`orchestrator.engine.lock`); any number of readers look on (write-ahead log).  The writer
works in transactions that the driver opens and commits, so that what belongs together is seen together.  Metric
values are IEEE numbers; SQLite would turn NaN into NULL, so values that are not finite are stored as text.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.engine.machine import TERMINAL, Live, RunStatus, State, TrialState
from orchestrator.errors import MachineError, RunNotFound
from orchestrator.providers.base import Cause, Ended, MetricSeen
from orchestrator.search.base import Told

VERSION = 1

_SCHEMA = """
CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE trials (
    trial INTEGER PRIMARY KEY, params TEXT NOT NULL, state TEXT NOT NULL, attempt INTEGER NOT NULL,
    reason TEXT NOT NULL DEFAULT '', ended_as INTEGER, metrics TEXT, outputs TEXT, seconds REAL);
CREATE INDEX trials_by_state ON trials (state);
CREATE INDEX trials_by_end ON trials (ended_as) WHERE ended_as IS NOT NULL;
CREATE TABLE attempts (
    trial INTEGER NOT NULL, attempt INTEGER NOT NULL, state TEXT NOT NULL, cause TEXT, reason TEXT NOT NULL DEFAULT '',
    exit_code INTEGER, signal INTEGER, started REAL, finished REAL, PRIMARY KEY (trial, attempt)) WITHOUT ROWID;
CREATE TABLE metrics (
    trial INTEGER NOT NULL, attempt INTEGER NOT NULL, metric TEXT NOT NULL, at REAL NOT NULL, step REAL,
    value NOT NULL);
CREATE UNIQUE INDEX metrics_once ON metrics (trial, attempt, metric, at, ifnull(step, ''), value);
CREATE TABLE intents (
    kind TEXT NOT NULL, name TEXT NOT NULL, confirmed INTEGER NOT NULL, at REAL NOT NULL, PRIMARY KEY (kind, name)
) WITHOUT ROWID;
"""
# Only of searches that learn: how many trials had ended when this one was asked for, and the one it goes on from.
_ASKED = "CREATE TABLE IF NOT EXISTS asked (trial INTEGER PRIMARY KEY, after INTEGER NOT NULL, parent INTEGER)"


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One trial as recorded.  ``metrics`` holds the last value of each; ``seconds`` the last attempt's run time.

    ``parent`` is the trial whose checkpoint this one started from, in population-based training.
    """

    trial: int
    params: Mapping[str, Any]
    state: str
    attempt: int
    reason: str
    metrics: Mapping[str, float]
    outputs: tuple[str, ...]
    seconds: float | None
    parent: int | None = None


@dataclass(frozen=True, slots=True)
class AttemptRow:
    trial: int
    attempt: int
    state: str
    cause: str | None
    reason: str
    exit_code: int | None
    signal: int | None
    started: float | None
    finished: float | None


@dataclass(frozen=True, slots=True)
class MetricRow:
    trial: int
    attempt: int
    metric: str
    at: float
    step: float | None
    value: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the runner's result says beyond how the attempt ended."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    seconds: float | None = None


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else repr(value)


def _dump_metrics(metrics: Mapping[str, float]) -> str:
    return json.dumps({name: _number(value) for name, value in metrics.items()})


def _load_metrics(text: str | None) -> dict[str, float]:
    return {name: float(value) for name, value in json.loads(text).items()} if text else {}


class Record:
    """Reads and, when opened by the driver, writes the record of one run."""

    def __init__(self, connection: sqlite3.Connection, where: str) -> None:
        self._db = connection
        self._where = where

    @classmethod
    def create(cls, path: Path | None, facts: Mapping[str, Any]) -> Record:
        """A new record at ``path`` (None: in memory).  Raises MachineError where it cannot be written."""
        if path is None:
            record = cls._connect(None)
            with record._translated():
                record._fill(facts)
            return record
        # Whole or not at all: who dies meanwhile must not leave a record without facts.
        part = path.with_suffix(".part")
        try:
            part.unlink(missing_ok=True)
            record = cls._connect(part)
            with record._translated():
                record._fill(facts)
            record.close()
            part.replace(path)
        except OSError as error:
            raise MachineError(f"The record {path} cannot be made: {error}.") from error
        return cls._connect(path)

    @classmethod
    def adopt(cls, connection: sqlite3.Connection, facts: Mapping[str, Any]) -> Record:
        """A new record in a database that the caller has opened (in autocommit mode)."""
        record = cls(connection, "memory")
        record._fill(facts)
        return record

    def _fill(self, facts: Mapping[str, Any]) -> None:
        self._db.executescript(f"{_SCHEMA}{_ASKED};")
        with self.transaction():
            self.set_facts({"version": VERSION, **facts})

    @classmethod
    def open(cls, path: Path) -> Record:
        """An existing record for reading or for writing.  Raises RunNotFound."""
        if not path.exists():
            raise RunNotFound(f"There is no record at {path}.", remedy="`orchestrate status` lists the runs.")
        record = cls._connect(path)
        version = record.facts().get("version")
        if version != VERSION:
            record.close()
            raise MachineError(
                f"{path} was written by another version of orchestrator (record version {version}, not {VERSION}).",
                remedy="Use that version to read it.",
            )
        with record._translated():
            record._db.execute(_ASKED)  # no write where it is there
        return record

    @classmethod
    def _connect(cls, path: Path | None) -> Record:
        try:
            db = sqlite3.connect(str(path) if path else ":memory:", isolation_level=None, timeout=30.0)
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
        except sqlite3.Error as error:
            raise MachineError(f"The record {path} cannot be opened: {error}.") from error
        return cls(db, str(path or "memory"))

    def make_durable(self) -> None:
        """Force every commit to the disk from now on: for providers where a forgotten intent would cost money.

        Without it a commit survives the end of any process, though not a power failure.  Not kept in the file: each
        who opens the record asks for it.
        """
        self._db.execute("PRAGMA synchronous=FULL")

    def close(self) -> None:
        self._db.close()

    # ----------------------------------------------------------------------------------------------- writing

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise MachineError(
                f"The record {self._where} cannot be written: {error}.",
                remedy="Nothing that was recorded is lost: free space or mend the disk, then `orchestrate resume`.",
            ) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes inside are seen together or not at all."""
        with self._translated():
            self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            with self._translated():
                self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def set_facts(self, facts: Mapping[str, Any]) -> None:
        with self._translated():
            self._db.executemany(
                "INSERT INTO facts VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                [(key, json.dumps(value)) for key, value in facts.items()],
            )

    def reopen(self, now: float) -> None:
        """A run that has ended goes on: its time and its lease begin anew, what it took so far stays counted."""
        with self.transaction():
            self.set_facts(
                {
                    "status": RunStatus.RUNNING,
                    "reason": "",
                    "started": None,
                    "finished": None,
                    "reopened": now,
                    "seconds_before": self.facts().get("seconds") or 0.0,
                }
            )

    def add_trial(self, trial: int, params: Mapping[str, Any]) -> None:
        with self._translated():
            self._db.execute(
                "INSERT INTO trials (trial, params, state, attempt) VALUES (?, ?, ?, 1)",
                (trial, json.dumps(params), TrialState.PENDING),
            )

    def add_ask(self, trial: int, parent: int | None) -> None:
        """What a learning search knew when it was asked for this trial: all that has ended until now."""
        with self._translated():
            self._db.execute("INSERT INTO asked SELECT ?, coalesce(max(ended_as), 0), ? FROM trials", (trial, parent))

    def asked_for(self, first: int) -> list[tuple[int, dict[str, Any], int, int | None]]:
        """Trials from ``first`` on that a learning search was asked for: parameters, how many had ended, parent."""
        query = (
            "SELECT trial, params, after, parent FROM asked JOIN trials USING (trial) WHERE trial >= ? ORDER BY trial"
        )
        return [(trial, json.loads(params), *rest) for trial, params, *rest in self._db.execute(query, (first,))]

    def take_ask(self, trial: int, params: Mapping[str, Any], after: int, parent: int | None) -> None:
        """What another machine's driver asked for and was about to submit; nothing where it is known."""
        if self.params(trial) is None:
            self.add_trial(trial, params)
            with self._translated():
                self._db.execute("INSERT INTO asked VALUES (?, ?, ?)", (trial, after, parent))
            self.save_attempt(trial, 1, "submitting", None)

    def copy(self, path: Path) -> None:
        """The record as it is now, in one file.  Raises MachineError where that cannot be written."""
        with self._translated():
            path.unlink(missing_ok=True)
            self._db.execute("VACUUM INTO ?", (str(path),))

    def save_trial(self, trial: int, state: TrialState, attempt: int, reason: str, outcome: Outcome | None) -> bool:
        """Write a trial's state; False, and nothing written, where it has ended already (each is counted once)."""
        out = outcome or Outcome()
        terminal = state in TERMINAL
        with self._translated():
            cursor = self._db.execute(
                "UPDATE trials SET state = ?, attempt = ?, reason = ?, metrics = coalesce(?, metrics),"
                " outputs = coalesce(?, outputs), seconds = coalesce(?, seconds),"
                " ended_as = CASE WHEN ? THEN (SELECT coalesce(max(ended_as), 0) + 1 FROM trials) END"
                " WHERE trial = ? AND ended_as IS NULL",
                (
                    state,
                    attempt,
                    reason,
                    _dump_metrics(out.metrics) if out.metrics else None,
                    json.dumps(out.outputs) if out.outputs else None,
                    out.seconds,
                    terminal,
                    trial,
                ),
            )
        return cursor.rowcount == 1

    def save_attempt(self, trial: int, attempt: int, state: str, ended: Ended | None) -> None:
        e = ended or Ended(None)
        with self._translated():
            self._db.execute(
                "INSERT INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (trial, attempt) DO UPDATE SET"
                " state = excluded.state, cause = excluded.cause, reason = excluded.reason,"
                " exit_code = excluded.exit_code, signal = excluded.signal,"
                " started = coalesce(excluded.started, started), finished = excluded.finished",
                (trial, attempt, state, e.cause, e.reason, e.exit_code, e.signal, e.started, e.finished),
            )
            if state in ("submitted", "running"):
                self._db.execute(
                    "UPDATE trials SET state = ? WHERE trial = ? AND ended_as IS NULL AND attempt = ?",
                    (state, trial, attempt),
                )

    def add_metrics(self, rows: Iterable[tuple[int, int, MetricSeen]]) -> None:
        """Values that were delivered twice are kept once."""
        with self._translated():
            self._db.executemany(
                "INSERT OR IGNORE INTO metrics VALUES (?, ?, ?, ?, ?, ?)",
                [(trial, attempt, m.metric, m.at, m.step, _number(m.value)) for trial, attempt, m in rows],
            )

    def intend(self, kind: str, name: str, now: float) -> None:
        """Something outside is about to be made or deleted; committed at once where no transaction is open."""
        if kind == "create-pool":  # an earlier one of this name has been seen to be gone, and this one has not
            with self._translated():
                self._db.execute("DELETE FROM intents WHERE kind = 'delete-pool' AND name = ?", (name,))
        self._set_intent(kind, name, confirmed=False, now=now)

    def confirm(self, kind: str, name: str, now: float) -> None:
        """It has been seen to be made or to be gone."""
        self._set_intent(kind, name, confirmed=True, now=now)

    def _set_intent(self, kind: str, name: str, *, confirmed: bool, now: float) -> None:
        with self._translated():
            self._db.execute(
                "INSERT INTO intents VALUES (?, ?, ?, ?) ON CONFLICT (kind, name)"
                " DO UPDATE SET confirmed = excluded.confirmed, at = excluded.at",
                (kind, name, confirmed, now),
            )

    # ----------------------------------------------------------------------------------------------- reading

    def facts(self) -> dict[str, Any]:
        return {key: json.loads(value) for key, value in self._db.execute("SELECT key, value FROM facts")}

    def unconfirmed(self) -> list[tuple[str, str]]:
        return list(self._db.execute("SELECT kind, name FROM intents WHERE NOT confirmed"))

    def pool_may_exist(self, name: str) -> bool:
        """A pool was asked for and has not been seen to be gone since."""
        kinds = {
            kind: bool(confirmed)
            for kind, confirmed in self._db.execute("SELECT kind, confirmed FROM intents WHERE name = ?", (name,))
        }
        return "create-pool" in kinds and not kinds.get("delete-pool", False)

    def params(self, trial: int) -> dict[str, Any] | None:
        row = self._db.execute("SELECT params FROM trials WHERE trial = ?", (trial,)).fetchone()
        return json.loads(row[0]) if row else None

    def parent(self, trial: int) -> int | None:
        """The trial whose checkpoint this one starts from."""
        row = self._db.execute("SELECT parent FROM asked WHERE trial = ?", (trial,)).fetchone()
        return row[0] if row else None

    def asks(self) -> Iterator[tuple[int, dict[str, Any], int]]:
        """Trials in order with their parameters and how many had ended when each was asked for.

        For a search that learns nothing that number is not kept, and 0.
        """
        query = "SELECT trial, params, coalesce(after, 0) FROM trials LEFT JOIN asked USING (trial) ORDER BY trial"
        for trial, params, after in self._db.execute(query):
            yield trial, json.loads(params), after

    def last(self) -> tuple[int, dict[str, Any]] | None:
        """The trial of the highest number, and its parameters."""
        row = self._db.execute("SELECT trial, params FROM trials ORDER BY trial DESC LIMIT 1").fetchone()
        return (row[0], json.loads(row[1])) if row else None

    def counts(self) -> dict[str, int]:
        """Recorded trials by state."""
        return dict(self._db.execute("SELECT state, count(*) FROM trials GROUP BY state"))

    def trials(self, only: int | None = None) -> Iterator[TrialRow]:
        """Recorded trials in order of their number."""
        where, args = ("", ()) if only is None else ("WHERE trial = ?", (only,))
        columns = "trial, params, state, attempt, reason, metrics, outputs, seconds, parent"
        query = f"SELECT {columns} FROM trials LEFT JOIN asked USING (trial) {where} ORDER BY trial"
        for trial, params, state, attempt, reason, metrics, outputs, seconds, parent in self._db.execute(query, args):
            yield TrialRow(
                trial,
                json.loads(params),
                state,
                attempt,
                reason,
                _load_metrics(metrics),
                tuple(json.loads(outputs)) if outputs else (),
                seconds,
                parent,
            )

    def trial(self, trial: int) -> TrialRow | None:
        return next(self.trials(trial), None)

    def first_open(self) -> int | None:
        """The lowest recorded trial that has not ended."""
        row = self._db.execute("SELECT trial FROM trials WHERE ended_as IS NULL ORDER BY trial LIMIT 1").fetchone()
        return row[0] if row else None

    def ended(self, after: int = 0) -> Iterator[tuple[int, TrialRow]]:
        """Ended trials with the number of their end, from the one after ``after`` on, in that order."""
        query = "SELECT ended_as, trial FROM trials WHERE ended_as > ? ORDER BY ended_as"
        for number, trial in self._db.execute(query, (after,)).fetchall():
            row = self.trial(trial)
            if row is not None:
                yield number, row

    def best(self, metric: str, *, maximize: bool) -> TrialRow | None:
        """The trial that is ahead by this metric, found without reading the others; the first of equals."""
        value = "json_extract(metrics, ?)"
        row = self._db.execute(
            f"SELECT trial FROM trials WHERE state IN (?, ?) AND typeof({value}) IN ('real', 'integer')"
            f" ORDER BY {value} {'DESC' if maximize else 'ASC'}, trial LIMIT 1",
            (TrialState.SUCCEEDED, TrialState.PRUNED, f'$."{metric}"', f'$."{metric}"'),
        ).fetchone()
        return self.trial(row[0]) if row else None

    def attempts(self, trial: int | None = None, *, first: int = 0) -> Iterator[AttemptRow]:
        """Attempts of one trial, or of all from the trial ``first`` on, in order."""
        where, argument = ("trial >= ?", first) if trial is None else ("trial = ?", trial)
        for row in self._db.execute(f"SELECT * FROM attempts WHERE {where} ORDER BY trial, attempt", (argument,)):
            yield AttemptRow(*row)

    def metrics(self, trial: int | None = None, metric: str | None = None) -> Iterator[MetricRow]:
        """Reported values, in order of trial, attempt and time."""
        conditions, args = [], []
        for column, wanted in (("trial", trial), ("metric", metric)):
            if wanted is not None:
                conditions.append(f"{column} = ?")
                args.append(wanted)
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        query = (
            f"SELECT trial, attempt, metric, at, step, value FROM metrics {where} ORDER BY trial, attempt, at, rowid"
        )
        for trial_, attempt, name, at, step, value in self._db.execute(query, args):
            yield MetricRow(trial_, attempt, name, at, step, float(value))

    def reported(self, metric: str) -> Iterator[MetricRow]:
        """The values of one metric in the order in which they arrived."""
        query = "SELECT trial, attempt, metric, at, step, value FROM metrics WHERE metric = ? ORDER BY rowid"
        for trial, attempt, name, at, step, value in self._db.execute(query, (metric,)):
            yield MetricRow(trial, attempt, name, at, step, float(value))

    def reports(self, trial: int, attempt: int, metric: str) -> int:
        """How many values an attempt has reported."""
        query = "SELECT count(*) FROM metrics WHERE trial = ? AND attempt = ? AND metric = ?"
        count: int = self._db.execute(query, (trial, attempt, metric)).fetchone()[0]
        return count

    def last_metrics(self, trial: int) -> dict[str, float]:
        """What a trial reported last, for one that left no result."""
        return {row.metric: row.value for row in self.metrics(trial)}

    def told(self, metric: str | None) -> Iterator[Told]:
        """The ended trials in the order in which they were counted, as the search is told of them."""
        query = "SELECT trial, params, state, metrics FROM trials WHERE ended_as IS NOT NULL ORDER BY ended_as"
        for trial, params, state, text in self._db.execute(query):
            metrics = _load_metrics(text)
            yield Told(trial, json.loads(params), state, finite(metrics.get(metric or "")), metrics)

    def state(self) -> State:
        """What a machine needs to go on from here."""
        counts = self.counts()
        (last,) = self._db.execute("SELECT max(trial) FROM trials").fetchone()
        facts = self.facts()
        state = State(
            next_trial=0 if last is None else last + 1,
            total=facts.get("total"),
            succeeded=counts.get(TrialState.SUCCEEDED, 0),
            failed=counts.get(TrialState.FAILED, 0),
            pruned=counts.get(TrialState.PRUNED, 0),
            cost=facts.get("cost", 0.0),
        )
        for trial, attempt in self._db.execute("SELECT trial, attempt FROM trials WHERE ended_as IS NULL"):
            state.live[trial] = Live(attempt)
        query = (
            "SELECT a.trial, a.attempt, a.state, a.cause FROM attempts a"
            " JOIN trials t ON t.trial = a.trial WHERE t.ended_as IS NULL"
        )
        for trial, attempt, phase, cause in self._db.execute(query):
            live = state.live[trial]
            if attempt == live.attempt and phase != "ended":
                live.in_flight = True
                live.acknowledged = phase != "submitting"
            if cause not in (None, Cause.DRIVER_LOST, Cause.CANCELLED):
                live.failures[Cause(cause)] = live.failures.get(Cause(cause), 0) + 1
        return state


def finite(value: float | None) -> float | None:
    """The value where it can be compared, else None."""
    return value if value is not None and math.isfinite(value) else None
