"""From the spec to the runner's job document (see :mod:`orchestrator.runner`).

Pure: nothing of the user's is read or written.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from orchestrator.spec import template
from orchestrator.spec.model import Spec, Workload


def job_document(
    spec: Spec, run: str, base: Path, digest: str | None, requirements: dict[str, str] | None = None
) -> dict[str, Any]:
    """What all trials of the run share.

    ``base`` is the folder that the spec's relative paths start from, ``digest`` that of the code bundle, and
    ``requirements`` the texts of the files for pip (see :mod:`orchestrator.engine.requirements`).
    """
    work = spec.workload
    return {
        "version": 1,
        "run": run,
        "command": _command(work),
        "env": {name: template.compile(text).to_json() for name, text in work.env.items()},
        "secrets": list(work.secrets),
        "inputs": [
            {"from": _source(item.from_, base).to_json(), "to": template.compile(item.to).to_json()}
            for item in work.inputs
        ],
        "outputs": [template.compile(pattern).to_json() for pattern in [*work.outputs, *_executed(work)]],
        "metrics": dict(work.metrics),
        "metric": spec.search.metric,
        "checkpoint": work.checkpoint,
        "timeout": spec.limits.timeout,
        "grace": spec.limits.grace,
        "memory": spec.resources.memory,
        "code": {"digest": digest} if digest else None,
        "requirements": requirements,
    }


def _command(work: Workload) -> dict[str, Any]:
    if work.notebook is not None:
        from importlib.resources import files  # takes longer to import than most commands run

        # The program goes along as text: an image has nothing of ours.
        program = files("orchestrator.runner").joinpath("notebook.py").read_text()
        return {"argv": [["python"], ["-c"], [program], [work.notebook], [executed(work.notebook)]]}
    if isinstance(work.command, list):
        return {"argv": [template.compile(word).to_json() for word in work.command]}
    return {"shell": template.compile_shell(work.command or "").to_json()}


def executed(notebook: str) -> str:
    """Where a trial leaves the notebook with its cells' results: beside the notebook itself."""
    return notebook.removesuffix(".ipynb") + ".executed.ipynb"


def _executed(work: Workload) -> list[str]:
    return [] if work.notebook is None else [executed(work.notebook)]


def _source(text: str, base: Path) -> template.Template:
    """A path of the spec as an absolute one, whatever is in the folder's name; a URL stays as it is."""
    if "://" in text:
        return template.compile(text)
    if text.startswith("~"):
        return template.compile(os.path.expanduser(text))
    return template.compile(text) if text.startswith("/") else template.compile(text).after(f"{base}/")
