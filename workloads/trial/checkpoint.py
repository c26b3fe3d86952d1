"""A folder that holds the last finished epoch of one training, whatever moment the process dies at."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from .errors import BadInput


def default_folder() -> str | None:
    """The folder that orchestrator carries from attempt to attempt; None in a run by hand."""
    return os.environ.get("ORCHESTRATE_CHECKPOINT")


class Checkpoint:
    """The state after each epoch, saved so that a training which is cut short goes on exactly there.

    `settings` is everything that shapes the training. A folder that holds a training with other settings is
    refused (`BadInput`), because going on from it would mix two experiments, and so is one that is beyond `epochs`.
    Without a folder (None) each training has one of its own below `checkpoint/`.
    """

    def __init__(self, folder: str | Path | None, settings: Mapping[str, object], epochs: int | None = None) -> None:
        written = json.dumps(dict(settings), sort_keys=True)
        self.folder = Path(folder or f"checkpoint/{hashlib.sha256(written.encode()).hexdigest()[:12]}")
        self._settings = json.loads(written)
        self._most = epochs

    def latest(self) -> tuple[int, Path] | None:
        """The number of finished epochs and the folder with the state after them; None before the first."""
        saved = self._saved()
        if not saved:
            return None
        epochs = max(saved)
        found = json.loads((saved[epochs] / "settings.json").read_text())
        if found != self._settings:
            raise BadInput(
                f"{self.folder}/ holds another training ({_difference(found, self._settings)}): "
                "remove the folder, or name another with --checkpoint"
            )
        if self._most is not None and epochs > self._most:
            raise BadInput(
                f"{self.folder}/ holds this training after epoch {epochs}, which is beyond --epochs {self._most}: "
                "remove the folder, or name another with --checkpoint"
            )
        return epochs, saved[epochs]

    def resume(self, restore: Callable[[Path], None]) -> int:
        """Let `restore` read the latest state, if there is one; the number of epochs that it has behind it."""
        found = self.latest()
        if found is None:
            return 0
        epochs, folder = found
        restore(folder)
        print(f"going on after epoch {epochs}", flush=True)
        return epochs

    def save(self, epochs: int, write: Callable[[Path], None]) -> None:
        """Let `write` put the state after `epochs` epochs into a folder that replaces the one before."""
        unfinished = self.folder / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        write(unfinished)
        (unfinished / "settings.json").write_text(json.dumps(self._settings))
        before = self._saved()
        unfinished.rename(self.folder / f"epoch-{epochs}")
        for folder in before.values():
            shutil.rmtree(folder)

    def _saved(self) -> dict[int, Path]:
        return {int(folder.name.removeprefix("epoch-")): folder for folder in self.folder.glob("epoch-*")}


def _difference(found: Mapping[str, object], wanted: Mapping[str, object]) -> str:
    names = [name for name in {**found, **wanted} if found.get(name) != wanted.get(name)]
    return ", ".join(f"{name} {found.get(name)!r}, not {wanted.get(name)!r}" for name in names)
