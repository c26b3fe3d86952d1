"""``python -m orchestrator.emulators.moto_batch ARGUMENT...``: moto_server, with what its AWS Batch lacks.

A queue runs as many jobs at once as its environments have vCPUs for, the end of an array is the end of its children,
and children know their index.  Everything else is moto's.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from moto.batch import models
from moto.server import main

_changed = threading.Condition()
_busy: dict[str, float] = {}
# Seconds after which a job that waits looks whether it was ended.
LOOK = 0.1

_run, _terminate, _property = models.Job.run, models.Job.terminate, models.Job._get_container_property


def _room(job: Any) -> float:
    return float(sum(int(each.compute_resources["maxvCpus"]) for each in job.job_queue.environments))


def run(job: Any) -> None:
    queue = job.job_queue.arn
    need = float(_property(job, "vcpus", 1))
    with _changed:
        while _busy.get(queue, 0.0) + need > _room(job) and not job.stop:
            _changed.wait(LOOK)
        if job.stop:
            job._mark_stopped(success=False)
            return
        _busy[queue] = _busy.get(queue, 0.0) + need
    try:
        _run(job)
    finally:
        with _changed:
            _busy[queue] -= need
            _changed.notify_all()


def terminate(job: Any, reason: str) -> None:
    for each in (job, *(job._child_jobs or ())):
        _terminate(each, reason)


def container_property(job: Any, name: str, default: Any) -> Any:
    found = _property(job, name, default)
    if name == "environment" and "index" in job.array_properties:
        # moto adds to the list of the whole array, so that each child would see the others' words.
        return [*found, {"name": "AWS_BATCH_JOB_ARRAY_INDEX", "value": str(job.array_properties["index"])}]
    return found


if __name__ == "__main__":
    models.Job.run = run  # type: ignore[method-assign,assignment]
    models.Job.terminate = terminate  # type: ignore[method-assign,assignment]
    models.Job._get_container_property = container_property  # type: ignore[method-assign,assignment]
    main(sys.argv[1:])
