"""Inputs that lie in object stores: brought to this machine, with the user's own credentials, before their tasks start.

That goes on in threads of the driver, while other tasks run; a task is handed over when what it needs is here.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from orchestrator.errors import InvalidRequest, OrchestrateError, QuotaExceeded, Throttled, Unavailable
from orchestrator.providers.base import JSON, Cause, Ended, Task
from orchestrator.runner import runner
from orchestrator.storage import sources
from orchestrator.storage.base import ObjectStore
from orchestrator.storage.brought import Brought
from orchestrator.storage.layout import Home
from orchestrator.storage.open import open_store

SCHEMES = ("s3", "az")
THREADS = 4
_PASSING = (Unavailable, Throttled, QuotaExceeded)


def of(job: JSON) -> list[sources.Source]:
    """The job's inputs that lie in object stores."""
    return [item["from"] for item in job.get("inputs", ()) if sources.scheme(item["from"]) in SCHEMES]


def check(job: JSON, home: Home) -> None:
    """Raises for an input that names no store, or one whose package or account is missing.  Contacts nothing."""
    for item in job.get("inputs", ()):
        scheme = sources.scheme(item["from"])
        if scheme in SCHEMES:
            open_store(sources.in_store(item["from"])[0], home)
        elif scheme:
            raise InvalidRequest(
                f"The local provider cannot fetch the input {sources.shown(item['from'])}.",
                remedy="Give a path on this machine, s3://BUCKET/KEY, or az://ACCOUNT/CONTAINER/PATH.",
            )


class Objects:
    """Poll :meth:`brought` for each task that :meth:`start` was told of."""

    def __init__(self, home: Home, run: str, job: JSON) -> None:
        self._home, self._run, self._sources = home, run, of(job)
        self._brought = Brought(home.objects, home.inputs(run))
        self._stores: dict[str, ObjectStore] = {}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="inputs")
        self._under_way: dict[str, Future[dict[str, str]]] = {}

    @property
    def busy(self) -> bool:
        return any(not future.done() for future in self._under_way.values())

    def start(self, tasks: Iterable[Task]) -> None:
        for task in tasks:
            if task.name not in self._under_way:
                self._under_way[task.name] = self._threads.submit(self._bring, task)

    def brought(self, task: Task) -> dict[str, str] | Ended | None:
        """Where the task's inputs are, by their URLs, or how it ended for lack of them; None: they are on their way."""
        future = self._under_way[task.name]
        if not future.done():
            return None
        try:
            return future.result()
        except KeyError as error:
            return Ended(Cause.COMMAND, f"There is no parameter called {error}.")
        except OrchestrateError as error:
            return Ended(Cause.INFRASTRUCTURE if isinstance(error, _PASSING) else Cause.COMMAND, str(error))

    def forget(self, names: Iterable[str]) -> None:
        for name in names:
            future = self._under_way.pop(name, None)
            if future is not None:
                future.cancel()

    def close(self) -> None:
        self._brought.stop()
        self._threads.shutdown(cancel_futures=True)
        self._brought.close()

    def _bring(self, task: Task) -> dict[str, str]:
        values = {**task.params, "run": self._run, "trial": task.trial, "attempt": task.attempt}
        found = {}
        for source in self._sources:
            place, rest = sources.in_store(source)
            key = runner.render(rest, values)
            found[runner.render(source, values)] = str(self._brought.bring(self._store(place), key))
        return found

    def _store(self, url: str) -> ObjectStore:
        if url not in self._stores:
            self._stores[url] = open_store(url, self._home)
        return self._stores[url]
