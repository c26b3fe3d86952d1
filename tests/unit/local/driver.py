"""A driver for tests to kill: ``python driver.py HOME COMMAND TRIALS`` runs so many trials of a command.

A fourth word is what else the pool is asked for, as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from orchestrator.storage.layout import Home
from tests.unit.local.conftest import Pool

if __name__ == "__main__":
    pool = Pool(Home(Path(sys.argv[1]))).start(
        sys.argv[2], slots=2, asked=json.loads(sys.argv[4]) if sys.argv[4:] else None
    )
    pool.submit(*range(int(sys.argv[3])))
    print(pool.supervisor, flush=True)
    while True:
        pool.look(10.0)
