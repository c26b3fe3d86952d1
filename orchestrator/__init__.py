"""Sweeps and batch training, on this machine and on clouds, from one file or from Python.

``from orchestrator import Sweep, run, submit, attach, report``.  Each name is loaded when it is first used, so that
``report`` costs a training program next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.version import __version__

if TYPE_CHECKING:
    from orchestrator.api import Results, Run, Sweep, Trial, attach, run, submit
    from orchestrator.errors import OrchestrateError
    from orchestrator.runner.runner import report
    from orchestrator.spec.problems import SpecError

_HOMES = {
    "OrchestrateError": "orchestrator.errors",
    "Results": "orchestrator.api",
    "Run": "orchestrator.api",
    "SpecError": "orchestrator.spec.problems",
    "Sweep": "orchestrator.api",
    "Trial": "orchestrator.api",
    "attach": "orchestrator.api",
    "report": "orchestrator.runner.runner",
    "run": "orchestrator.api",
    "submit": "orchestrator.api",
}

__all__ = [
    "OrchestrateError",
    "Results",
    "Run",
    "SpecError",
    "Sweep",
    "Trial",
    "__version__",
    "attach",
    "report",
    "run",
    "submit",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
