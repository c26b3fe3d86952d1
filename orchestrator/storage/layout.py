"""Every key of the object store and every path of ``$ORCHESTRATE_HOME`` is made here, and nowhere else."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


def bundle_key(digest: str) -> str:
    """The code bundle with this content digest (hexadecimal SHA-256)."""
    return f"bundles/{digest}.tar"


BLOBS = "blobs"
"""What the keys of all input files lie below."""


def blob_key(digest: str) -> str:
    """One input file with this content digest."""
    return f"{BLOBS}/{digest[:2]}/{digest}"


@dataclass(frozen=True, slots=True)
class RunKeys:
    """Keys of one run, below ``runs/ID``."""

    run: str

    @property
    def root(self) -> str:
        return f"runs/{self.run}"

    @property
    def manifest(self) -> str:
        return f"{self.root}/manifest.json"

    @property
    def job(self) -> str:
        return f"{self.root}/job.json"

    @property
    def record(self) -> str:
        """The run's record as it was a short while ago, for a machine that has none."""
        return f"{self.root}/record.db"

    @property
    def region(self) -> str:
        """Where the run's pool was made, for a machine that does not know it."""
        return f"{self.root}/region"

    @property
    def asked(self) -> str:
        """Folder of what a learning search was asked for since the record was stored."""
        return f"{self.root}/asked"

    @property
    def grants(self) -> str:
        """What the run's tasks may read, where they reach the store by signed URLs."""
        return f"{self.root}/grants.json"

    @property
    def stop(self) -> str:
        """The names of the tasks that were asked to stop, where a task can only be told through the store."""
        return f"{self.root}/stop.json"

    @property
    def ledger(self) -> str:
        """What the pool had cost when it was last looked at."""
        return f"{self.root}/ledger.json"

    def feed(self, part: int) -> str:
        """Metrics of all running tasks in one growing object, where reading one for each would take too many calls."""
        return f"{self.root}/feed/{part:02d}.jsonl"

    def trial(self, trial: int) -> str:
        return f"{self.root}/trials/{trial:06d}"

    def checkpoint(self, trial: int) -> str:
        return f"{self.trial(trial)}/checkpoint"

    def attempt(self, trial: int, attempt: int) -> str:
        return f"{self.trial(trial)}/{attempt}"

    def result(self, trial: int, attempt: int) -> str:
        return f"{self.attempt(trial, attempt)}/result.json"

    def metrics(self, trial: int, attempt: int) -> str:
        return f"{self.attempt(trial, attempt)}/metrics.jsonl"

    def log(self, trial: int, attempt: int, stream: str) -> str:
        return f"{self.attempt(trial, attempt)}/{stream}.txt"

    def outputs(self, trial: int, attempt: int) -> str:
        return f"{self.attempt(trial, attempt)}/outputs"


@dataclass(frozen=True, slots=True)
class Home:
    """The folder that holds all local state: ``$ORCHESTRATE_HOME``, else ``~/.orchestrate``."""

    path: Path

    @classmethod
    def default(cls) -> Home:
        configured = os.environ.get("ORCHESTRATE_HOME")
        return cls(Path(configured).expanduser().absolute() if configured else Path.home() / ".orchestrate")

    @property
    def store(self) -> Path:
        """Root of the local object store."""
        return self.path / "store"

    @property
    def runs(self) -> Path:
        return self.path / "runs"

    def run(self, run: str) -> Path:
        return self.runs / run

    def record(self, run: str) -> Path:
        return self.run(run) / "record.db"

    def lock(self, run: str) -> Path:
        return self.run(run) / "lock"

    def inputs(self, run: str) -> Path:
        """What trials of this machine are given of the objects of other stores."""
        return self.run(run) / "inputs"

    def region(self, run: str) -> Path:
        """Where a provider that has regions made the run's pool."""
        return self.run(run) / "region"

    def driver_log(self, run: str) -> Path:
        """What a detached driver prints, and the tracebacks of errors that a user was shown in one line."""
        return self.run(run) / "driver.log"

    @property
    def fetched(self) -> Path:
        """What is kept of runs whose object store ends with them: that of an emulated cloud."""
        return self.path / "fetched"

    @property
    def code(self) -> Path:
        """Unpacked code bundles, one folder a digest, shared by all trials through links."""
        return self.path / "cache" / "code"

    @property
    def hashes(self) -> Path:
        """What is known of the content of files outside, so that unchanged inputs are not read again."""
        return self.path / "cache" / "hashes.db"

    @property
    def objects(self) -> Path:
        """Objects of other stores that trials of this machine have read."""
        return self.path / "cache" / "objects"

    @property
    def environments(self) -> Path:
        """Virtual environments made from requirements, one folder a content hash."""
        return self.path / "cache" / "environments"
