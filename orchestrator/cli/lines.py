"""Progress as plain lines, for logs, pipes and CI: few enough to be read, however many trials there are."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from orchestrator.cli.terminal import say
from orchestrator.engine.driver import Finished, Progress
from orchestrator.engine.machine import RunPhase
from orchestrator.results.words import count, duration, money, number, pairs, printable

# A summary line comes this often, in seconds.
SUMMARY_SECONDS = 15.0
# So many ended trials are named at once, and then so many more a second; the rest shows in the summaries.
BURST = 20
A_SECOND = 1.0


class Lines:
    """Watches a run.  Called in the driver's thread, so it does next to nothing most of the time."""

    def __init__(self, metric: str | None, fixed: frozenset[str] = frozenset()) -> None:
        self._metric = metric
        self._fixed = fixed
        self._began = time.monotonic()
        self._summary = self._began
        self._allowance = float(BURST)
        self._earned = self._began
        self._unnamed = 0
        self._before: int | None = None
        self._stopping = ""
        self._note = ""

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def __call__(self, progress: Progress, finished: list[Finished]) -> None:
        now = time.monotonic()
        if self._before is None:
            self._before = ended(progress) - len(finished)
        for trial in finished:
            self._name(trial, now)
        if progress.stopping and progress.stopping != self._stopping and progress.phase is not RunPhase.FINISHED:
            self._stopping = progress.stopping
            say(stopping_line(progress))
        if now - self._summary >= SUMMARY_SECONDS and progress.phase is not RunPhase.FINISHED:
            self._summary = now
            if progress.phase is RunPhase.WORKING:
                self._unnamed = 0
                say(self._summed(progress, now))
            if progress.note and progress.note != self._note:
                say(printable(progress.note))
            self._note = progress.note

    def _name(self, trial: Finished, now: float) -> None:
        self._allowance = min(BURST, self._allowance + (now - self._earned) * A_SECOND)
        self._earned = now
        if self._allowance < 1:
            self._unnamed += 1
            return
        self._allowance -= 1
        say(ended_line(trial, self._metric, self._fixed))

    def _summed(self, progress: Progress, now: float) -> str:
        elapsed = now - self._began
        total = "" if progress.total is None else f" of {progress.total:,}"
        parts = [f"{ended(progress):,}{total} ended", f"{len(progress.running)} running"]
        if progress.failed:
            parts.insert(1, f"{progress.failed} failed")
        if progress.best is not None:
            parts.append(f"best {number(progress.best.value)} (trial {progress.best.trial})")
        if progress.cost:
            parts.append(money(progress.cost))
        left = time_left(progress, self._before or 0, elapsed)
        if left is not None:
            parts.append(f"about {duration(left)} left")
        return f"[{duration(elapsed)}] {', '.join(parts)}"


def chosen(params: Mapping[str, Any], fixed: frozenset[str]) -> str:
    """The parameters that differ from trial to trial."""
    return pairs({name: value for name, value in params.items() if name not in fixed})


def ended(progress: Progress) -> int:
    return progress.succeeded + progress.failed + progress.pruned


def time_left(progress: Progress, before: int, elapsed: float) -> float | None:
    """By the pace so far of this driver, once every slot has ended a trial; None while there is no telling."""
    here = ended(progress) - before
    if progress.total is None or progress.stopping or here < max(2, len(progress.running)):
        return None
    return (progress.total - ended(progress)) * elapsed / here


def ended_line(trial: Finished, metric: str | None, fixed: frozenset[str] = frozenset()) -> str:
    """``trial 3 succeeded in 12s (lr=0.01): val_accuracy 0.93``."""
    line = f"trial {trial.trial} {trial.state}"
    if trial.seconds is not None:
        line += f" in {duration(trial.seconds)}"
    params = chosen(trial.params, fixed)
    if params:
        line += f" ({params})"
    if trial.state == "failed" or (trial.value is None and trial.reason):
        line += f": {printable(trial.reason)}"
    elif trial.value is not None:
        line += f": {metric} {number(trial.value)}"
    return line


def stopping_line(progress: Progress) -> str:
    """What is waited for once a run is being ended before its time."""
    waiting = len(progress.running) + progress.queued
    tasks = f"; waiting for {count(waiting, 'trial')} to stop" if waiting else ""
    return f"Stopping: {printable(progress.stopping).removesuffix('.')}{tasks} (Ctrl-C again to leave at once)"
