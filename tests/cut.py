"""A place in a run at which it can be cut that is the same each time: one trial stops there for ever."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

# In the Python of the trial's first attempt: stops it where it is about to save its second checkpoint, or to write the
# file that STOP_AT names.
_HOOK = """
import os, sys, time
here = os.environ.get
def stop(event, arguments, saved=[]):
    if event == "os.rename":
        folder = os.path.realpath(os.path.dirname(os.fsdecode(arguments[1])))
        if folder != os.path.realpath(here("ORCHESTRATE_CHECKPOINT", "/dev/null")):
            return
        saved.append(folder)
        due = len(saved) == 2
    else:
        due = event == "open" and here("STOP_AT") and arguments[1] and "w" in arguments[1]
        due = due and str(arguments[0]).endswith(here("STOP_AT"))
    if due:
        os.mkdir(here("STOPPED"))
        time.sleep(600)
if here("ORCHESTRATE_ATTEMPT") == "1" and here("ORCHESTRATE_TRIAL") == here("STOP_TRIAL"):
    sys.addaudithook(stop)
"""

# Before a command of the shell: stops the trial's first attempt at its beginning.
AT_ONCE = (
    'if [ "$ORCHESTRATE_TRIAL $ORCHESTRATE_ATTEMPT" = "$STOP_TRIAL 1" ]; then mkdir "$STOPPED"; exec sleep 600; fi; '
)


def stopping(folder: Path, environ: Mapping[str, str], *, trial: int = 0, at: str = "") -> dict[str, str]:
    """What to add to ``environ`` for a driver one of whose trials stops; there is a folder STOPPED when it has."""
    hooks = folder / "hooks"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(_HOOK)
    path = os.pathsep.join(filter(None, [str(hooks), environ.get("PYTHONPATH")]))
    return {"PYTHONPATH": path, "STOP_TRIAL": str(trial), "STOP_AT": at, "STOPPED": str(folder / "stopped")}
