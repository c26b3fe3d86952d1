"""What can be set on an emulator."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

ISOLATIONS = ("process", "docker")


@dataclass(frozen=True, slots=True)
class Settings:
    """An emulator's settings; times are in seconds, emulated ones unless said otherwise.

    Args:
        folder: where the nodes' files go; made if it is not there.
        account: the account's name.
        key: the account's key, base64.
        port: 0 for any free one.
        isolation: `process` runs every task as a process; `docker` runs those with container settings in
            containers and the others as processes.
        boot_seconds: from a node's allocation until it is ready for its start task.
        allocation_seconds: from a resize until its nodes appear; None for a quarter of `boot_seconds`.
        operation_seconds: how long deletes, terminations and the like take.
        clock_start: emulated time at the start, microseconds since 1970; None for the machine's.
        autoscale_seconds: evaluate every formula this often instead of at its pool's own interval (at least five
            minutes), so that a local run need not wait; None for the pool's own.
        sample_seconds: period of the samples that formulas read; the service's is 30.
        pool_quota: pools in the account.
        job_quota: active jobs and schedules in the account.
        dedicated_core_quota: cores of dedicated nodes; None for no limit.
        spot_core_quota: cores of spot nodes; None for no limit.
        kill_grace_seconds: real seconds from SIGTERM to SIGKILL where a task is ended; 0 kills at once.
        environment: more variables for every task.
        auto_storage_url: account URL of the auto storage, with a SAS; None where there is none.
        blob_url: URL of a storage account, with `{account}` for its name, whose containers pools mount; None: what is
            mounted stays empty.
        temporary: remove the folder at the end.
    """

    folder: str
    account: str
    key: str
    port: int = 0
    isolation: str = "process"
    boot_seconds: float = 1.0
    allocation_seconds: float | None = None
    operation_seconds: float = 0.0
    clock_start: int | None = None
    autoscale_seconds: float | None = None
    sample_seconds: float = 30.0
    pool_quota: int = 100
    job_quota: int = 300
    dedicated_core_quota: int | None = None
    spot_core_quota: int | None = None
    kill_grace_seconds: float = 0.0
    environment: dict[str, str] = field(default_factory=dict)
    auto_storage_url: str | None = None
    blob_url: str | None = None
    temporary: bool = False

    def __post_init__(self) -> None:
        if self.isolation not in ISOLATIONS:
            raise ValueError(f"isolation must be one of {', '.join(ISOLATIONS)}, not {self.isolation!r}")
        for name in ("boot_seconds", "operation_seconds", "kill_grace_seconds"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")
        if self.sample_seconds <= 0:
            raise ValueError("sample_seconds must be positive")

    @property
    def allocation(self) -> float:
        return self.boot_seconds / 4 if self.allocation_seconds is None else self.allocation_seconds

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Settings:
        return cls(**json.loads(text))
