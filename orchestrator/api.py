"""Sweeps from Python: the same names, the same runs and the same guarantees as on the command line.

>>> from orchestrator import Sweep, run
>>> sweep = Sweep(
...     "tuning",
...     command="python train.py --lr {lr}",
...     code="src",
...     parameters={"lr": {"loguniform": [1e-4, 1e-1]}},
...     search={"trials": 20, "metric": "loss", "goal": "minimize"},
... )
>>> results = run(sweep)  # doctest: +SKIP
>>> results.best.params  # doctest: +SKIP

Every error is an :class:`~orchestrator.errors.OrchestrateError`, or a :class:`~orchestrator.spec.problems.SpecError`
for a sweep that cannot be right.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.engine import continuing, rerun, session
from orchestrator.engine.driver import Finished, Observer, Progress
from orchestrator.engine.machine import RunStatus
from orchestrator.engine.plan import Plan
from orchestrator.engine.record import Record
from orchestrator.engine.runs import alive, find
from orchestrator.errors import MachineError, OrchestrateError, UsageError
from orchestrator.results.export import to_csv, to_json, to_record
from orchestrator.results.fetch import fetch, folder_of
from orchestrator.results.fields import fields
from orchestrator.results.leaderboard import Trial, comparable, rank
from orchestrator.results.logs import STREAMS, Tail, stored
from orchestrator.results.points import Point, points
from orchestrator.results.read import TERMINAL, Overview, overview, to_trial, trials
from orchestrator.results.same import Sameness, compare
from orchestrator.results.where import where
from orchestrator.spec.load import Loaded, from_dict, load
from orchestrator.spec.model import Spec
from orchestrator.storage.layout import Home
from orchestrator.storage.open import open_store

StrPath = str | os.PathLike[str]

# Between two looks at a run that another process drives, in seconds.
PAUSE = 0.1


class StillRunning(OrchestrateError, TimeoutError):
    """A run had not ended when the time to wait for it was over."""


class Sweep:
    """What ``sweep.yaml`` says, from Python.  The arguments are its keys; each takes what the file could hold.

    ``command`` and ``code`` may be given by themselves in place of a ``workload``.  Relative paths start from ``base``,
    by default the current folder.  Raises SpecError, which holds every mistake.
    """

    def __init__(
        self,
        name: str,
        *,
        command: str | Sequence[str] | None = None,
        code: StrPath | None = None,
        workload: Mapping[str, Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
        search: Mapping[str, Any] | None = None,
        resources: Mapping[str, Any] | None = None,
        pool: Mapping[str, Any] | None = None,
        limits: Mapping[str, Any] | None = None,
        provider: str | None = None,
        storage: str | None = None,
        matrix: Sequence[Mapping[str, Any]] | None = None,
        base: StrPath | None = None,
    ) -> None:
        work = dict(workload or {})
        short = {"command": command, "code": None if code is None else os.fspath(code)}
        for key, value in short.items():
            if value is not None and work.get(key) is not None:
                raise UsageError(f"Sweep: {key} is given twice, by itself and in workload.", remedy="Remove one.")
            if value is not None:
                work[key] = value
        given = {
            "name": name,
            "workload": work,
            "parameters": parameters,
            "search": search,
            "resources": resources,
            "pool": pool,
            "limits": limits,
            "provider": provider,
            "storage": storage,
            "matrix": matrix,
        }
        data = {key: value for key, value in given.items() if value is not None}
        self._loaded = from_dict(data, base=base, label="Sweep")
        self.spec: Spec = self._loaded.spec

    @classmethod
    def from_file(cls, path: StrPath, overrides: Sequence[str] = ()) -> Sweep:
        """The sweep of a YAML file; ``overrides`` are texts such as ``limits.parallel=4``.  Raises SpecError."""
        return cls._of(load(path, overrides))

    @classmethod
    def _of(cls, loaded: Loaded, spec: Spec | None = None) -> Sweep:
        sweep = cls.__new__(cls)
        sweep._loaded = loaded
        sweep.spec = spec or loaded.spec
        return sweep

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is doubtful about it and no mistake."""
        return tuple(str(problem) for problem in self._loaded.warnings)

    def variants(self) -> list[Sweep]:
        """The sweeps that it stands for: one for each entry of ``matrix``, else itself alone."""
        return [self] if self.spec.matrix is None else [self._of(self._loaded, spec) for spec in self._loaded.specs]

    def plan(self, *, home: StrPath | None = None) -> Plan:
        """What running it would take.  Nothing is started or written."""
        return session.plan(self._single(), self._loaded.base, _home(home))

    def _single(self) -> Spec:
        if self.spec.matrix is not None:
            raise UsageError(
                f"The sweep {self.spec.name} has a matrix and stands for {len(self._loaded.specs)} runs.",
                remedy="Run each of its variants().",
            )
        return self.spec

    def _create(self, home: Home) -> str:
        plan = session.plan(self._single(), self._loaded.base, home)
        return session.create(plan, home, source=self._loaded.source or None).run

    def __repr__(self) -> str:
        return f"Sweep({self.spec.name!r})"


class Results(Sequence[Trial]):
    """The trials of a run, the best first and the failed ones last, as they stood when this was made.

    ``cost`` in US$, ``seconds`` from start to end (None: not ended).
    """

    def __init__(self, seen: Overview, ranked: Sequence[Trial]) -> None:
        self.run = seen.run
        self.status = seen.status
        self.reason = seen.reason
        self.metric = seen.metric
        self.cost = seen.cost
        self.seconds = seen.seconds
        self.counts: Mapping[str, int] = seen.trial_counts()
        self._trials = tuple(ranked)
        self._repeats = seen.repeats
        self._maximize = seen.maximize

    @property
    def best(self) -> Trial | None:
        """The best trial by the sweep's metric; None where none has a value."""
        first = self._trials[0] if self._trials else None
        return first if first is not None and comparable(first, self.metric) is not None else None

    @property
    def failed(self) -> list[Trial]:
        return [trial for trial in self._trials if trial.state == "failed"]

    @property
    def points(self) -> list[Point]:
        """Where the sweep repeats its points: each once with mean, deviation and number of trials, the best first."""
        found = points(self._trials, self._repeats, self.metric) if self._repeats else []
        return [row for row in rank(found, self.metric, maximize=self._maximize) if isinstance(row, Point)]

    def where(self, condition: str) -> list[Trial]:
        """The trials for which ``lr < 0.1 and state == succeeded`` holds, the best first.  Raises UsageError."""
        return where(self._trials, condition)

    def __getitem__(self, index: Any) -> Any:
        return self._trials[index]

    def __iter__(self) -> Iterator[Trial]:
        return iter(self._trials)

    def __len__(self) -> int:
        return len(self._trials)

    def to_records(self) -> list[dict[str, Any]]:
        """One mapping a trial, with the keys of ``orchestrate results --json``; numbers as they are."""
        return [to_record(trial) for trial in self._trials]

    def to_json(self, path: StrPath | None = None) -> str:
        """A JSON list of :meth:`to_records`, NaN and infinities as null; written to ``path`` where one is given."""
        return _kept(to_json(self.to_records()), path)

    def to_csv(self, path: StrPath | None = None) -> str:
        """CSV with a column a parameter and metric; written to ``path`` where one is given."""
        text = io.StringIO()
        to_csv(self._trials, text)
        return _kept(text.getvalue(), path)

    def to_parquet(self, path: StrPath) -> None:
        """Parquet with a typed column a parameter and metric.  Raises UsageError without pyarrow."""
        try:
            from orchestrator.results.parquet import to_parquet
        except ImportError as error:
            if error.name is None or not error.name.startswith("pyarrow"):
                raise
            raise UsageError("Parquet needs pyarrow.", remedy="pip install 'orchestrator[parquet]'") from None
        with Path(path).open("wb") as file:
            to_parquet(self._trials, fields(self._trials), file)

    def __repr__(self) -> str:
        return f"<Results of {self.run}: {self.status}, {len(self)} trials>"


@dataclass(frozen=True, slots=True)
class Rerun:
    """A trial that was run once more.  ``same`` compares its metrics with those of the first time; ``warnings`` say
    what was not as it had been."""

    results: Results
    same: Sameness
    warnings: tuple[str, ...]


class Run:
    """A run of this machine, whoever drives it.  Iterating over it gives each trial once, as it ends."""

    def __init__(self, run: str, home: StrPath | None = None) -> None:
        self._home = _home(home)
        self.id = find(self._home, run)

    @property
    def status(self) -> str:
        """``running``, how it ended, or ``abandoned`` where it has not ended and nobody drives it."""
        return overview(self._home, self.id).status

    @property
    def results(self) -> Results:
        """The trials as they stand now."""
        with closing(self._record()) as record:
            seen = overview(self._home, self.id, record)
            return Results(seen, rank(trials(record, seen), seen.metric, maximize=seen.maximize))

    def __iter__(self) -> Iterator[Trial]:
        after = 0
        with closing(self._record()) as record:
            while True:
                driven = self._driven()  # asked first, so that what ended last is not missed
                seen = overview(self._home, self.id, record)
                for number, row in record.ended(after):
                    after = number
                    yield to_trial(row, seen)
                if not driven:
                    return
                time.sleep(PAUSE)

    def wait(self, timeout: float | None = None) -> Results:
        """The results, once nobody drives the run any more.  Raises StillRunning after ``timeout`` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._driven():
            if deadline is not None and time.monotonic() >= deadline:
                raise StillRunning(f"{self.id} has not ended after {timeout:g} s.")
            time.sleep(PAUSE)
        return self.results

    def cancel(self) -> None:
        """End it in order; trials that have ended keep their results.  Fine if it has ended."""
        if not overview(self._home, self.id).ended:
            session.cancel(self.id, self._home)

    def resume(self, *, trials: int | str | None = None, overrides: Sequence[str] = ()) -> Run:
        """Go on with it in the background, where it was interrupted, cancelled or abandoned.

        One that has ended goes on with ``trials``, a number of all or ``"+20"``, or with ``overrides`` such as
        ``limits.max_cost=50``.  Raises UsageError where it cannot.
        """
        if trials is not None or overrides:
            wanted = None if trials is None else str(trials)
            continuing.go_on(self.id, self._home, continuing.extended(self.id, self._home, wanted, overrides))
        session.detach(self.id, self._home)
        with closing(self._record()) as record:
            # Its new driver has the run and is about to say so.
            while self._driven() and record.facts().get("finished") is not None:
                time.sleep(PAUSE / 5)
        return self

    def rerun(self, trial: int, *, progress: Observer | None = None) -> Rerun:
        """Run a trial once more in this process, with the code, parameters, seed and image that it had."""
        wanted = rerun.prepare(self.id, trial, self._home)
        made = rerun.create(wanted, self._home)
        session.drive(made, self._home, progress)
        same = compare(self._home, self.id, made, trial)
        return Rerun(Run(made, self._home.path).results, same, wanted.warnings)

    def logs(self, trial: int, stream: str = "stdout", *, attempt: int | None = None) -> bytes:
        """What a trial has written so far to ``stdout`` or ``stderr``, in its last attempt or the one asked for."""
        if stream not in STREAMS:
            raise UsageError(f"There is no stream '{stream}'.", remedy=f"There are: {', '.join(STREAMS)}.")
        with closing(self._record()) as record:
            row = record.trial(trial)
            if row is None:
                raise UsageError(f"{self.id} has no trial {trial} (yet).")
            store = open_store(record.facts()["store"], self._home)
        return b"".join(Tail(stored(store, self.id, trial, attempt or row.attempt, stream)).read())

    def fetch(self, trial: int, to: StrPath = ".") -> Path:
        """Copy what an ended trial has left (outputs, logs, metrics) from the object store; the folder, below ``to``.

        What is there already is not copied again.  Raises UsageError for a trial that has not ended.
        """
        with closing(self._record()) as record:
            row = record.trial(trial)
            seen = overview(self._home, self.id, record)
        if row is None or row.state not in TERMINAL:
            raise UsageError(f"Trial {trial} of {self.id} has not ended (yet).")
        found = to_trial(row, seen)
        fetch(open_store(seen.store, self._home), found, Path(to))
        return folder_of(Path(to), self.id, trial)

    def _record(self) -> Record:
        return Record.open(self._home.record(self.id))

    def _driven(self) -> bool:
        return alive(self._home, self.id)

    def __repr__(self) -> str:
        return f"Run({self.id!r})"


def run(sweep: Sweep, *, home: StrPath | None = None, progress: Observer | None = None) -> Results:
    """Run the sweep to its end in this process.

    ``progress`` is called at each change with a :class:`~orchestrator.engine.driver.Progress` and the trials that
    have ended since; it should be quick.  A Ctrl-C stops the trials in order and then raises KeyboardInterrupt.
    Raises MachineError where the provider or this machine failed; a trial that failed is in the results.
    """
    where = _home(home)
    created = sweep._create(where)
    status = session.drive(created, where, progress)
    if status is RunStatus.INTERRUPTED:
        raise KeyboardInterrupt
    results = Run(created, where.path).results
    if status is RunStatus.BROKEN:
        raise MachineError(results.reason, remedy=f"Run({created!r}).resume() goes on.")
    return results


def submit(sweep: Sweep, *, home: StrPath | None = None) -> Run:
    """Start the sweep in a process of its own, which outlives this one."""
    where = _home(home)
    created = sweep._create(where)
    session.detach(created, where)
    return Run(created, where.path)


def attach(run_id: str, *, home: StrPath | None = None) -> Run:
    """A run by its id, an unambiguous beginning of one, or ``last``; or by its place in an object store.

    ``STORE/runs/ID`` is for a run that another machine began and drives no more.  Raises RunNotFound.
    """
    if "://" in run_id:
        from orchestrator.engine import sharing

        run_id = sharing.attach(run_id, _home(home))
    return Run(run_id, home)


def _home(path: StrPath | None) -> Home:
    return Home.default() if path is None else Home(Path(path).expanduser().absolute())


def _kept(text: str, path: StrPath | None) -> str:
    if path is not None:
        Path(path).write_text(text, encoding="utf-8")
    return text


__all__ = [
    "Finished",
    "OrchestrateError",
    "Point",
    "Progress",
    "Rerun",
    "Results",
    "Run",
    "StillRunning",
    "Sweep",
    "Trial",
    "attach",
    "run",
    "submit",
]
