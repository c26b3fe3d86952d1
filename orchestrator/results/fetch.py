"""Everything that an ended trial left in the object store, brought to this machine."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from orchestrator.errors import NotFound
from orchestrator.results.leaderboard import Trial
from orchestrator.storage import keys
from orchestrator.storage.base import ObjectInfo, ObjectStore
from orchestrator.storage.files import explain
from orchestrator.storage.layout import RunKeys
from orchestrator.storage.transfer import Parallel


def folder_of(folder: Path, run: str, trial: int) -> Path:
    """Where below ``folder`` the files of a trial are put."""
    return folder / run / f"trial-{trial:06d}"


def fetch(store: ObjectStore, trial: Trial, folder: Path) -> list[Path]:
    """Outputs, logs, metrics and ``result.json`` of the trial's last attempt, in :func:`folder_of`.

    What an ended attempt left changes no more, so a file that is there in its full size is not fetched again.  Raises
    NotFound where the store has nothing of the trial, and the store's own errors.
    """
    prefix = RunKeys(trial.run).attempt(trial.trial, trial.attempts)
    found = list(store.list(prefix))
    if not found:
        raise NotFound(f"Trial {trial.trial} of {trial.run} has left nothing in {store.url}.")
    target = folder_of(folder, trial.run, trial.trial)

    def one(info: ObjectInfo) -> Path:
        # A key is the store's word: it may not lead out of the folder.
        path = target / keys.check(info.key).removeprefix(f"{prefix}/")
        if not (path.is_file() and path.stat().st_size == info.size):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise explain(error, "make", path.parent) from error
            store.fetch(info.key, path)
        return path

    with closing(Parallel()) as parallel:
        return parallel.map(one, found)
