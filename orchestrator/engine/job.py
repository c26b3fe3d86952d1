"""From the spec to the runner's job document (see :mod:`orchestrator.runner`).  Pure: nothing is read or written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator.spec import template
from orchestrator.spec.model import Spec


def job_document(spec: Spec, run: str, base: Path, digest: str | None) -> dict[str, Any]:
    """What all trials of the run share.  ``base`` is the folder that the spec's relative paths start from."""
    work = spec.workload
    if isinstance(work.command, list):
        command = {"argv": [template.compile(word).to_json() for word in work.command]}
    else:
        command = {"shell": template.compile(work.command or "").to_json()}
    return {
        "version": 1,
        "run": run,
        "command": command,
        "env": {name: template.compile(text).to_json() for name, text in work.env.items()},
        "secrets": list(work.secrets),
        "inputs": [
            {"from": template.compile(place(item.from_, base)).to_json(), "to": template.compile(item.to).to_json()}
            for item in work.inputs
        ],
        "outputs": [template.compile(pattern).to_json() for pattern in work.outputs],
        "metrics": dict(work.metrics),
        "metric": spec.search.metric,
        "checkpoint": work.checkpoint,
        "timeout": spec.limits.timeout,
        "grace": spec.limits.grace,
        "memory": spec.resources.memory,
        "code": {"digest": digest} if digest else None,
    }


def place(text: str, base: Path) -> str:
    """A path of the spec as an absolute one; a URL stays as it is."""
    return text if "://" in text else str(base / text)
