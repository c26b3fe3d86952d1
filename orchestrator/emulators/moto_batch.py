"""``python -m orchestrator.emulators.moto_batch ARGUMENT...``: moto_server, with what its AWS Batch lacks.

A queue runs as many jobs at once as its environments have vCPUs for, the end of an array is the end of its children,
children know their index, many jobs can be ended by one call, a job whose image cannot be had says so, and EventBridge
is told when one ends.  Its containers go with it when it is told to end.  Everything else is moto's.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from moto import server
from moto.batch import models, responses, urls
from moto.events.models import events_backends

# Of every container, with a value that is this server's alone.
LABEL, OURS = "orchestrate.emulator", uuid.uuid4().hex

_changed = threading.Condition()
_ending = threading.Event()
_busy: dict[str, float] = {}
_images: set[str] = set()
# Seconds after which a job that waits looks whether it was ended.
LOOK = 0.1

_run, _terminate, _property = models.Job.run, models.Job.terminate, models.Job._get_container_property
_mark = models.Job._mark_stopped


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
        problem = _no_image(job)
        if problem:
            job.job_stopped_reason = problem
            job._mark_stopped(success=False)
        else:
            _run(job)
    finally:
        with _changed:
            _busy[queue] -= need
            _changed.notify_all()


def _no_image(job: Any) -> str:
    """In the words that ECS begins with; empty where the engine has the image, or gets it."""
    from docker.errors import DockerException, ImageNotFound

    image = (job.job_definition.container_properties or {}).get("image", "")
    with _changed:  # one asks, so that it is pulled once
        if image in _images:
            return ""
        try:
            try:
                job.docker_client.images.get(image)
            except ImageNotFound:
                job.docker_client.images.pull(image)
        except DockerException as error:
            return f"CannotPullContainerError: {error}"
        _images.add(image)
        return ""


def terminate_jobs(response: Any) -> str:
    """TerminateJobs, which moto does not know."""
    body = json.loads(response.body)
    for job in body["jobs"]:
        response.batch_backend.terminate_job(job, body["reason"])
    return json.dumps({"successful": body["jobs"], "errors": []})


def terminate(job: Any, reason: str) -> None:
    for each in (job, *(job._child_jobs or ())):
        _terminate(each, reason)


def mark_stopped(job: Any, success: bool = True) -> None:
    """As in moto; and the end is told as AWS tells it."""
    if job.job_stopped:
        return
    _mark(job, success)
    detail = {**job.describe_short(), "jobQueue": job.job_queue.arn}
    event = {"Source": "aws.batch", "DetailType": "Batch Job State Change", "Detail": json.dumps(detail)}
    events_backends[job.backend.account_id][job.backend.region_name].put_events([event])


def container_property(job: Any, name: str, default: Any) -> Any:
    found = _property(job, name, default)
    if name == "environment" and "index" in job.array_properties:
        # moto adds to the list of the whole array, so that each child would see the others' words.
        return [*found, {"name": "AWS_BATCH_JOB_ARRAY_INDEX", "value": str(job.array_properties["index"])}]
    return found


def started(collection: Any, *arguments: Any, **options: Any) -> Any:
    """A container that carries our label."""
    if _ending.is_set():
        raise RuntimeError("this emulator ends")
    return _start(collection, *arguments, labels={LABEL: OURS}, **options)


def end(*_: Any) -> None:
    """All containers are removed, also those that a thread was just about to start."""
    import docker
    import requests
    from docker.errors import APIError, DockerException

    _ending.set()
    with contextlib.suppress(DockerException, requests.RequestException):  # there is no engine (any more)
        engine = docker.from_env().api

        def remove(found: Any) -> None:
            with contextlib.suppress(APIError):  # it is gone, or its own thread removes it
                engine.remove_container(found["Id"], force=True)

        with ThreadPoolExecutor(8) as threads:
            while found := engine.containers(all=True, filters={"label": f"{LABEL}={OURS}"}):
                list(threads.map(remove, found))
    os._exit(0)


def add_calls() -> None:
    """Teach moto, in this process, the calls that it lacks."""
    responses.BatchResponse.terminatejobs = terminate_jobs  # type: ignore[attr-defined]
    urls.url_paths["{0}/v1/terminatejobs$"] = responses.BatchResponse.dispatch


if __name__ == "__main__":
    from docker.models.containers import ContainerCollection

    server.signal_handler = end  # type: ignore[assignment]
    add_calls()
    _start = ContainerCollection.run
    ContainerCollection.run = started
    models.Job.run = run  # type: ignore[method-assign,assignment]
    models.Job._mark_stopped = mark_stopped  # type: ignore[method-assign,assignment]
    models.Job.terminate = terminate  # type: ignore[method-assign,assignment]
    models.Job._get_container_property = container_property  # type: ignore[method-assign,assignment]
    server.main(sys.argv[1:])
