"""What a run would send to AWS, before anything is sent: the bodies of :mod:`request`, with nothing looked up."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from orchestrator.providers.aws import request, settings, site
from orchestrator.providers.aws.submit import ARRAY
from orchestrator.providers.base import Call, PoolRequest, Task
from orchestrator.storage.layout import Home

_NO_STORE = "s3://<bucket>"


def calls(
    home: Home, wanted: PoolRequest, tasks: Iterable[Task], now: Callable[[], float] = time.time
) -> Iterator[Call]:
    """Definition, secrets, environments and queue; then for each array its list of parameters and its submission."""
    place = _place(settings.load(home), wanted)
    yield Call("register_job_definition", request.definition(wanted, place, now()))
    for variable, value in wanted.secrets.items():
        yield Call("put_parameter", request.secret(wanted.name, variable, value))
    template = request.launch_template(wanted)
    if template is not None:
        yield Call("create_launch_template", template)
    environments = request.environments(wanted, place)
    for body in environments:
        yield Call("create_compute_environment", body)
    arns = [f"<ARN of {body['computeEnvironmentName']}>" for body in environments]
    yield Call("create_job_queue", request.queue(wanted, arns))
    source, number = iter(tasks), 0
    while chunk := list(islice(source, ARRAY)):
        number += 1
        lines = [json.loads(request.task_line(task)) for task in chunk]
        yield Call("put_object", {"Key": request.batch_key(wanted.name, number), "Body": lines})
        yield Call("submit_job", request.submission(wanted.name, number, len(chunk)))


def _place(known: settings.Settings, wanted: PoolRequest) -> request.Place:
    """As far as it is known without asking anybody."""
    region = wanted.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "<region>"
    return request.Place(
        subnets=known.subnets or ("<subnets of the default network>",),
        security_groups=known.security_groups or ("<its default security group>",),
        instance_role=known.instance_role,
        service_role=known.service_role,
        execution_role=known.execution_role or ("<execution role>" if wanted.secrets else None),
        job_role=known.job_role or "<role of the tasks>",
        region=region,
        account="<account>",
        store=wanted.store or known.storage or _NO_STORE,
        runner=site.runner()[0],
        poll_seconds=known.poll_seconds,
        endpoint=known.task_endpoint,
    )
