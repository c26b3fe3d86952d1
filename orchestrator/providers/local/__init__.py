"""Trials as processes of this machine, on slots of its processors and GPUs.

Three kinds of processes, each of which cleans up when another is killed:

* the **driver**, which holds a :class:`~orchestrator.providers.local.compute.LocalCompute`;
* its **supervisor**, which ends every trial when the driver is gone;
* a **slot** for each trial that can run at a time, a fork of the supervisor, which ends its trial when the supervisor
  is gone.  Supervisor and slots adopt orphans, so nothing that a trial starts gets out of their sight.

Where all three are killed at once, what is left of the trials is found by a variable in its environment: when the run
is resumed, and by ``owned``.

The supervisor and the slots import this package with an interpreter that sees the standard library alone, so nothing
is imported here until it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.providers.local.compute import LocalCompute as LocalCompute
    from orchestrator.storage.layout import Home

__all__ = ["LocalCompute", "connect"]


def connect(home: Home, run: str) -> LocalCompute:
    """The local provider, for this run."""
    from orchestrator.providers.local.compute import LocalCompute

    return LocalCompute(home, run)


def __getattr__(name: str) -> Any:
    if name == "LocalCompute":
        from orchestrator.providers.local.compute import LocalCompute

        return LocalCompute
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
