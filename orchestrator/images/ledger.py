"""Which images were built and pushed from this machine, by their digests: ``$ORCHESTRATE_HOME/images.json``."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from orchestrator.errors import MachineError


class Ledger:
    """``{IMAGE: {"id": ..., "base": ..., "built": UNIX, "pushed": {TARGET: DIGEST}}}``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise MachineError(f"{self._path} is damaged: {error}.", remedy="Delete it: it is a list only.") from error
        return found

    def built(self, image: str, identity: str, base: str) -> None:
        known = self.read()
        known[image] = {"id": identity, "base": base, "built": time.time(), "pushed": {}}
        self._write(known)

    def pushed(self, image: str, identity: str, target: str, digest: str) -> None:
        """An image that was built elsewhere is taken in."""
        known = self.read()
        entry = known.setdefault(image, {"id": identity, "base": None, "built": None, "pushed": {}})
        entry["pushed"][target] = digest
        self._write(known)

    def _write(self, known: dict[str, Any]) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part = self._path.with_name(f"{self._path.name}.{os.getpid()}.part")
            part.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")
            part.replace(self._path)
        except OSError as error:
            raise MachineError(f"{self._path} cannot be written: {error.strerror}.") from error
