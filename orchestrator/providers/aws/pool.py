"""A run's environments, queue and definition: made, watched, and taken down until nothing of them is left.

The service takes its time for each step, and refuses the next one until then.  So a pool is a row of steps, each of
which looks at what there is: whoever goes on, after a crash too, goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orchestrator.errors import InvalidRequest, NotFound, Unavailable
from orchestrator.providers.aws import request, states
from orchestrator.providers.aws.cancel import terminate
from orchestrator.providers.aws.client import Aws
from orchestrator.providers.aws.ledger import Ledger
from orchestrator.providers.aws.prices import SpotPrices
from orchestrator.providers.aws.request import Place
from orchestrator.providers.base import PoolRequest, PoolState, PoolStatus

# Seconds that the making of a pool is waited for at once; whoever asks for its status goes on with it.
PATIENCE = 90.0
DESCRIBED = 100
# Parameters of one DeleteParameters call.
DELETED_AT_ONCE = 10

_GONE = "DELETED"
_BUSY = frozenset({"CREATING", "UPDATING", "DELETING"})
_PAID = ["pending", "running", "stopping", "shutting-down"]


@dataclass(slots=True)
class _Seen:
    """What there is now."""

    queue: dict[str, Any] | None
    environments: list[dict[str, Any]]

    @property
    def nothing(self) -> bool:
        return self.queue is None and not self.environments

    @property
    def things(self) -> list[dict[str, Any]]:
        return [*([self.queue] if self.queue is not None else []), *self.environments]

    @property
    def names(self) -> set[str]:
        queue = {self.queue["jobQueueName"]} if self.queue is not None else set()
        return queue | {environment["computeEnvironmentName"] for environment in self.environments}


class Pool:
    """One run's part of the account.

    ``pause`` is the wait between two steps, in seconds.  ``tidy`` takes out of the store what only a living pool needs.
    """

    def __init__(
        self,
        aws: Aws,
        run: str,
        ledger: Ledger,
        *,
        pause: float,
        tidy: Callable[[], None] = lambda: None,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._aws, self._run = aws, run
        self._pause, self._tidy, self._now, self._sleep = pause, tidy, now, sleep
        self._wanted: PoolRequest | None = None
        self._place: Place | None = None
        self._deleting = False
        self._ledger = ledger
        self._prices = SpotPrices(aws, now)
        self._nodes = 0

    # ----------------------------------------------------------------------------------------------- making

    def create(self, wanted: PoolRequest, place: Place) -> None:
        """Ask for the pool, and wait a while for it.  Raises InvalidRequest where the name is somebody else's."""
        seen = self._look()
        for thing in seen.things:
            if thing.get("tags", {}).get(request.OWNER) is None:
                raise InvalidRequest(
                    f"The account has a queue or environment '{request.name(self._run)}' that this program did not "
                    "make.",
                    remedy="Give the sweep another name, or delete it.",
                )
        if any(thing["status"] == "DELETING" or thing["state"] == "DISABLED" for thing in seen.things):
            # Whoever began with it may be dead.
            self._take_down(seen)
            raise Unavailable(f"The pool {self._run} is still being deleted.")
        self._wanted, self._place, self._deleting = wanted, place, False
        # The definition first: it names the secrets, so that whoever cleans up finds them by it.
        self._aws.call("batch", "register_job_definition", **request.definition(wanted, place, self._now()))
        self._store_secrets(wanted)
        deadline = self._now() + PATIENCE
        while True:
            state, _ = self._advance(seen)
            if state is not PoolState.CREATING or self._now() > deadline:
                return
            seen = self._look(seen)
            if self._advance_waits(seen):
                self._sleep(self._pause)

    @staticmethod
    def _advance_waits(seen: _Seen) -> bool:
        return any(thing["status"] in _BUSY for thing in seen.things)

    def _advance(self, seen: _Seen) -> tuple[PoolState, str]:
        """One step towards a pool that works, and where it is now."""
        for thing in seen.things:
            if thing["status"] == "INVALID":
                return PoolState.FAILED, f"AWS Batch says: {thing.get('statusReason', 'INVALID')}"
        wanted, place = self._wanted, self._place
        if wanted is None or place is None:
            return (PoolState.READY if self._usable(seen) else PoolState.CREATING), ""
        bodies = request.environments(wanted, place)
        there = {thing["computeEnvironmentName"]: thing for thing in seen.environments}
        missing = [body for body in bodies if body["computeEnvironmentName"] not in there]
        if missing:
            self._create_template(wanted)
            for body in missing:
                self._make("create_compute_environment", body, body["computeEnvironmentName"])
            return PoolState.CREATING, "the compute environment is being made"
        if any(thing["status"] != "VALID" for thing in there.values()):
            return PoolState.CREATING, "the compute environment is being made"
        if seen.queue is None:
            arns = [there[body["computeEnvironmentName"]]["computeEnvironmentArn"] for body in bodies]
            self._make("create_job_queue", request.queue(wanted, arns), request.name(self._run))
            return PoolState.CREATING, "the job queue is being made"
        return (PoolState.READY if self._usable(seen) else PoolState.CREATING), ""

    @staticmethod
    def _usable(seen: _Seen) -> bool:
        queue = seen.queue
        return queue is not None and queue["status"] == "VALID" and queue["state"] == "ENABLED"

    def _make(self, operation: str, body: dict[str, Any], name: str) -> None:
        """A thing that another call has made meanwhile, or this one before its answer was lost, is the one wanted."""
        try:
            self._aws.call("batch", operation, **body)
        except InvalidRequest:
            if name not in self._look().names:
                raise

    def _create_template(self, wanted: PoolRequest) -> None:
        body = request.launch_template(wanted)
        if body is not None and not self._templates():
            self._aws.call("ec2", "create_launch_template", **body)

    def _templates(self) -> list[str]:
        filters = [{"Name": "launch-template-name", "Values": [request.name(self._run)]}]
        found = self._aws.pages("ec2", "describe_launch_templates", "LaunchTemplates", Filters=filters)
        return [template["LaunchTemplateName"] for template in found]

    def _store_secrets(self, wanted: PoolRequest) -> None:
        for variable, value in wanted.secrets.items():
            self._aws.call("ssm", "put_parameter", **request.secret(self._run, variable, value))

    # --------------------------------------------------------------------------------------------- watching

    def _look(self, before: _Seen | None = None) -> _Seen:
        """Two calls; while a pool is made, only what is not there yet is asked for again."""
        environments = before.environments if before is not None else []
        if len(environments) < self._expected or any(thing["status"] != "VALID" for thing in environments):
            names = list(request.environment_names(self._run))
            answer = self._aws.call("batch", "describe_compute_environments", computeEnvironments=names)
            environments = [thing for thing in answer["computeEnvironments"] if thing["status"] != _GONE]
            if before is not None and len(before.environments) < self._expected:
                return _Seen(before.queue, environments)
        answer = self._aws.call("batch", "describe_job_queues", jobQueues=[request.name(self._run)])
        queues = [thing for thing in answer["jobQueues"] if thing["status"] != _GONE]
        return _Seen(queues[0] if queues else None, environments)

    @property
    def _expected(self) -> int:
        """How many environments a whole pool has."""
        wanted = self._wanted
        return 2 if wanted is not None and wanted.spot and wanted.on_demand_fallback else 1

    def exists(self) -> bool:
        return self._look().queue is not None

    def status(self, why: Callable[[], str] = str) -> PoolStatus:
        """Where the pool is; ``why`` gives the reason for which tasks wait.  Goes on with what has been begun."""
        seen = self._look()
        if seen.nothing:
            if self._deleting:
                self._clean()
            self._ledger.note(self._now(), 0.0)
            self._nodes = 0
            return self._told(PoolState.GONE)
        self._ledger.note(self._now(), self._rate())
        if self._deleting or any(thing["state"] == "DISABLED" for thing in seen.things):
            if self._deleting:
                self._take_down(seen)
            return self._told(PoolState.DELETING)
        state, reason = self._advance(seen)
        if state is PoolState.READY and self._nodes == 0:
            reason = why()
        return self._told(state, reason)

    def _told(self, state: PoolState, reason: str = "") -> PoolStatus:
        per_node = request.sizing(self._wanted).slots_per_node if self._wanted is not None else 1
        return PoolStatus(state, reason, self._nodes, self._nodes * per_node, self._ledger.cost, self._ledger.rate)

    def _rate(self) -> float:
        """US$ an hour of the run's machines that there are now, by their tags."""
        filters = [
            {"Name": f"tag:{request.RUN}", "Values": [self._run]},
            {"Name": "instance-state-name", "Values": _PAID},
        ]
        found = self._aws.pages("ec2", "describe_instances", "Reservations", Filters=filters)
        machines = [machine for reservation in found for machine in reservation["Instances"]]
        self._nodes = len(machines)
        if self._wanted is not None and self._wanted.price is not None:
            return self._wanted.price * len(machines)
        spot = self._prices.of(machines)
        return sum(request.price_of(machine, spot) for machine in machines)

    # ---------------------------------------------------------------------------------------------- deleting

    def delete(self) -> None:
        """The next step of taking it down; ``status`` does the others."""
        self._deleting = True
        seen = self._look()
        if seen.nothing:
            self._clean()
        else:
            self._take_down(seen)

    def _take_down(self, seen: _Seen) -> None:
        queue = seen.queue
        if queue is not None:
            if queue["state"] == "ENABLED" and queue["status"] not in _BUSY:
                self._aws.call("batch", "update_job_queue", jobQueue=queue["jobQueueName"], state="DISABLED")
                queue["state"] = "DISABLED"
            if self._end_jobs() or queue["status"] in _BUSY or queue["state"] == "ENABLED":
                return
            self._aws.call("batch", "delete_job_queue", jobQueue=queue["jobQueueName"])
            seen = self._look()
            if seen.queue is not None:
                return
        for environment in seen.environments:
            thing: dict[str, Any] | None = environment
            name = environment["computeEnvironmentName"]
            if environment["state"] == "ENABLED" and environment["status"] not in _BUSY:
                self._aws.call("batch", "update_compute_environment", computeEnvironment=name, state="DISABLED")
                thing = self._environment(name)
            if thing is not None and thing["status"] not in _BUSY and thing["state"] == "DISABLED":
                self._aws.call("batch", "delete_compute_environment", computeEnvironment=name)
        if not seen.environments:
            self._clean()

    def _environment(self, name: str) -> dict[str, Any] | None:
        found = self._aws.call("batch", "describe_compute_environments", computeEnvironments=[name])
        return next((dict(thing) for thing in found["computeEnvironments"]), None)

    def _end_jobs(self) -> bool:
        """End the jobs that are alive, arrays by one call each; whether there are any."""
        queue = request.name(self._run)
        filters = [{"name": "JOB_NAME", "values": [f"{queue}-b*"]}]
        found = self._aws.pages("batch", "list_jobs", "jobSummaryList", jobQueue=queue, filters=filters)
        jobs = [job["jobId"] for job in found if ":" not in job["jobId"]]
        alive = [
            job["jobId"]
            for start in range(0, len(jobs), DESCRIBED)
            for job in self._aws.call("batch", "describe_jobs", jobs=jobs[start : start + DESCRIBED])["jobs"]
            if _alive(job)
        ]
        terminate(self._aws, alive)
        return bool(alive)

    def _clean(self) -> None:
        """What costs nothing and would only lie around: definitions, secrets, the launch template."""
        for definition in self._definitions():
            container = definition.get("containerProperties") or {}
            names = [request.secret_name(self._run, secret["name"]) for secret in container.get("secrets") or ()]
            for start in range(0, len(names), DELETED_AT_ONCE):
                self._aws.call("ssm", "delete_parameters", Names=names[start : start + DELETED_AT_ONCE])
            self._aws.call("batch", "deregister_job_definition", jobDefinition=definition["jobDefinitionArn"])
        for template in self._templates():
            try:
                self._aws.call("ec2", "delete_launch_template", LaunchTemplateName=template)
            except NotFound:
                continue
        self._tidy()

    def _definitions(self) -> list[dict[str, Any]]:
        name = request.name(self._run)
        return list(
            self._aws.pages(
                "batch", "describe_job_definitions", "jobDefinitions", jobDefinitionName=name, status="ACTIVE"
            )
        )


def _alive(job: dict[str, Any]) -> bool:
    """Whether a job or one of its children has not ended; an array's own state may lag behind them."""
    counts = job.get("arrayProperties", {}).get("statusSummary")
    if counts and sum(counts.values()):
        return any(counts.get(word) for word in states.LIVE)
    return job["status"] in states.LIVE
