"""``orchestrate logs RUN [TRIAL]``."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, closing

import click

from orchestrator.cli.app import App, Command, pass_app, run_argument
from orchestrator.cli.terminal import coloured, say
from orchestrator.engine.driver import task_name
from orchestrator.engine.machine import TERMINAL
from orchestrator.engine.record import AttemptRow, Record
from orchestrator.engine.runs import alive, find
from orchestrator.errors import ProviderError, UsageError
from orchestrator.providers import connect
from orchestrator.providers.base import Compute
from orchestrator.results.logs import Prefixed, Read, Tail, stored
from orchestrator.storage.base import ObjectStore
from orchestrator.storage.layout import Home
from orchestrator.storage.open import open_store

# Between two looks at files that may have grown, in seconds: well under what a person notices.
PAUSE = 0.08
# Between two looks at what lies in a cloud, and how much longer for each trial that was looked at: requests cost money.
CLOUD_PAUSE = 0.5
CLOUD_TRIAL = 0.05


@click.command("logs", cls=Command)
@run_argument
@click.argument("trial", type=click.IntRange(min=0), required=False, metavar="[TRIAL]")
@click.option("-f", "--follow", is_flag=True, help="Go on as trials write, until they have ended.")
@click.option("--stderr", "errors", is_flag=True, help="What they wrote to stderr instead of stdout.")
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="This attempt of TRIAL; else its last one.")
@pass_app
def command(app: App, run: str, trial: int | None, follow: bool, errors: bool, attempt: int | None) -> int:
    """Print what TRIAL has written, byte for byte, or the lines of all trials, each with its trial's number."""
    if attempt is not None and (trial is None or follow):
        raise click.UsageError("--attempt needs a TRIAL and goes without --follow.")
    run = find(app.home, run)
    with ExitStack() as opened:
        record = opened.enter_context(closing(Record.open(app.home.record(run))))
        facts = record.facts()
        store = open_store(facts["store"], app.home)
        reader = _Reader(app.home, record, store, run, "stderr" if errors else "stdout", trial)
        if trial is not None:
            _check_trial(record, run, trial, follow)
        if follow:
            if trial is not None and facts["provider"] != "local":
                reader.compute = opened.enter_context(closing(connect(facts["provider"], app.home, run)))
            reader.follow()
        else:
            reader.once(attempt)
    return 0


def _check_trial(record: Record, run: str, trial: int, follow: bool) -> None:
    """A trial that is not known (yet) is told from one that is silent."""
    row = record.trial(trial)
    if row is not None and row.state in TERMINAL and row.attempt == 0:
        raise UsageError(f"Trial {trial} of {run} has written nothing: {row.reason}.")
    if row is not None and (follow or next(record.attempts(trial), None) is not None):
        return
    total = record.facts().get("total")
    if total is not None and trial >= total:
        raise UsageError(
            f"{run} has no trial {trial}.",
            remedy=f"Its trials are 0 to {total - 1}." if total > 1 else "It has trial 0.",
        )
    if not follow:
        raise UsageError(f"Trial {trial} of {run} has not started.", remedy="-f waits for it.")


class _Reader:
    """Prints the streams of one trial, or of all, in the order in which they are found."""

    def __init__(self, home: Home, record: Record, store: ObjectStore, run: str, stream: str, trial: int | None):
        self._home = home
        self._record = record
        self._store = store
        self._run = run
        self._stream = stream
        self._trial = trial
        self._tails: dict[tuple[int, int], tuple[Tail, Prefixed | None]] = {}
        self._done: set[tuple[int, int]] = set()
        self._colour = trial is None and coloured(sys.stdout)
        self._near = store.url.startswith("file:")
        self.compute: Compute | None = None

    def once(self, attempt: int | None) -> None:
        """The last attempt of each, or the one asked for."""
        if self._trial is not None:
            wanted = attempt or max((row.attempt for row in self._record.attempts(self._trial)), default=1)
            self._print(self._trial, wanted, last=True)
            return
        last = {row.trial: row.attempt for row in self._record.attempts()}
        for trial, number in last.items():
            self._print(trial, number, last=True)

    def follow(self) -> None:
        """Until the trial, or the run, has ended.

        What has ended is asked before the bytes are read, so that the last of them is never missed.
        """
        last = {row.trial: row.attempt for row in self._record.attempts(self._trial)}
        self._done = {(trial, number) for trial, attempts in last.items() for number in range(1, attempts)}
        first = 0
        while True:
            over, first_open = self._over(), self._record.first_open()
            looked = sum(self._look(row) for row in list(self._record.attempts(self._trial, first=first)))
            sys.stdout.buffer.flush()
            if over:
                return
            first = first if first_open is None else first_open
            time.sleep(PAUSE if self._near else CLOUD_PAUSE + CLOUD_TRIAL * looked)

    def _look(self, row: AttemptRow) -> bool:
        """Whether anything was asked."""
        key = (row.trial, row.attempt)
        if key in self._done or row.state in ("submitting", "submitted"):
            return False
        if self._trial is not None and row.attempt > 1 and key not in self._tails:
            say(f"attempt {row.attempt}")
        self._print(row.trial, row.attempt, last=row.state == "ended")
        if row.state == "ended":
            self._done.add(key)
            del self._tails[key]
        return True

    def _over(self) -> bool:
        if self._trial is not None:
            row = self._record.trial(self._trial)
            if row is not None and row.state in ("succeeded", "failed", "pruned"):
                return True
        if alive(self._home, self._run):
            return False
        if self._record.facts().get("finished") is None:
            say(f"Nobody drives {self._run} any more. Go on:  orchestrate resume {self._run}")
        return True

    def _print(self, trial: int, attempt: int, *, last: bool) -> None:
        tail, prefixed = self._tails.get((trial, attempt)) or self._open(trial, attempt)
        self._tails[trial, attempt] = (tail, prefixed)
        for data in tail.read():
            sys.stdout.buffer.write(prefixed.take(data) if prefixed else data)
        if last and prefixed is not None:
            sys.stdout.buffer.write(prefixed.end())

    def _open(self, trial: int, attempt: int) -> tuple[Tail, Prefixed | None]:
        tail = Tail(self._source(trial, attempt))
        if self._trial is not None:
            return tail, None
        mark = f"[{trial}] "
        return tail, Prefixed((click.style(mark, dim=True) if self._colour else mark).encode())

    def _source(self, trial: int, attempt: int) -> Read:
        """The provider has at once what the store has some seconds later; where it has nothing, the store will do."""
        kept = stored(self._store, self._run, trial, attempt, self._stream)
        compute = self.compute
        if compute is None:
            return kept

        def read(offset: int, size: int) -> bytes | None:
            try:
                data = compute.read_log(self._run, task_name(trial, attempt), self._stream, offset, size)
            except ProviderError:
                data = b""
            return data or kept(offset, size)

        return read
