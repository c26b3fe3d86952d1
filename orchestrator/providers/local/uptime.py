"""For how long a run's pool has existed, over all the drivers that the run has had."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path


class Uptime:
    """Kept in ``pool.json`` of the run's folder: what earlier pools add up to, and the start of this one.

    A pool ends with its driver, which may be killed; so the file is touched while the pool lives, and the time of the
    last touch is when it ended.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._earlier = self._read()
        self._start = time.time()
        # Whole or not at all: whoever is killed here must not take what was spent with it.
        part = path.with_suffix(".part")
        part.write_text(json.dumps({"seconds": self._earlier, "start": self._start}))
        part.replace(path)

    def _read(self) -> float:
        try:
            last = self._path.stat().st_mtime
            data = json.loads(self._path.read_text())
            return float(data["seconds"]) + max(0.0, last - float(data["start"]))
        except (FileNotFoundError, ValueError, KeyError):
            return 0.0

    def seconds(self) -> float:
        """Until now; notes that the pool is alive."""
        os.utime(self._path)
        return self._earlier + max(0.0, time.time() - self._start)
