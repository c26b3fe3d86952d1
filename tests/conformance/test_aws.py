"""The AWS provider, through the real boto3, against moto's server with a real Docker engine behind it."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import boto3
import docker.errors
import pytest

from orchestrator.emulators import docker_engine
from orchestrator.emulators.aws import emulated_aws
from orchestrator.emulators.childserver import ServerFailed
from orchestrator.emulators.emulated import environment
from orchestrator.providers.aws import connect
from orchestrator.providers.aws.settings import PREFIX
from orchestrator.storage.layout import Home, RunKeys
from orchestrator.storage.open import open_store
from orchestrator.storage.s3 import S3Store
from orchestrator.testing.conformance import SECRET, Bench, ProviderSuite, Story
from tests.conformance.faulty_proxy import FaultyProxy


class TestAws(ProviderSuite):
    """Tasks as containers."""

    image = docker_engine.BASE_IMAGE

    @pytest.fixture(scope="class")
    @classmethod
    def bench(cls, engine_host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
        home = Home(tmp_path_factory.mktemp("home"))
        try:
            with emulated_aws(docker_host=engine_host) as variables, environment(variables):
                store = open_store(variables["ORCHESTRATE_AWS_STORAGE"], home)
                yield Bench(lambda run: connect(home, run), store)
        except ServerFailed as missing:
            pytest.skip(f"AWS IS NOT TESTED HERE: {missing}")

    def test_a_secret_is_written_nowhere(self, story: Story) -> None:
        """As everywhere; but a run's parameters, of which one is this value here, are kept in lists of many tasks."""
        own = story.session.keys.trial(story.trial("secret"))
        lists = f"{story.session.keys.root}/batches/"
        seen = 0
        for item in story.session.store.list(story.session.keys.root):
            data = story.session.store.get(item.key)
            if item.key.startswith(lists):
                told = [json.loads(line) for line in data.splitlines() if SECRET.encode() in line]
                assert all(task["trial"] == story.trial("secret") for task in told)
                seen += len(told)
            elif not item.key.startswith(f"{own}/"):
                assert SECRET.encode() not in data, item.key
        assert seen == 1
        assert SECRET not in repr(story.request)


SWEEP = f"""
name: survival
workload:
  code: src
  command: "python3 train.py {{x}}"
  image: {docker_engine.BASE_IMAGE}
  metrics: {{loss: 'loss=(.+)'}}
  outputs: [model.txt]
parameters: {{x: {{uniform: [0, 1]}}}}
search: {{algorithm: random, trials: TRIALS, seed: 7, metric: loss, goal: minimize}}
limits: {{parallel: 8, retries: {{infrastructure: 20}}}}
provider: aws
"""
TRAIN = """
import sys, time
time.sleep(0.5)
open("model.txt", "w").write(sys.argv[1])
print("loss=%r" % (float(sys.argv[1]) ** 2))
"""
TRIALS = 100
# How often the client is killed, after at most so many calls of its own, and from when on its machine is lost too.
KILLS, LONGEST, LOST = 10, 40, 4
# What stays of a run in its bucket: what it was and is, its tasks' parameters, and what its trials left.
KEPT = re.compile(r"runs/[^/]+/(manifest\.json|record\.db|region|job\.json|ledger\.json|batches/\d+\.jsonl|trials/.*)")


class Reaper(threading.Thread):
    """Kills one in three of a run's containers, a moment after each has begun."""

    def __init__(self, engine_host: str, seed: int) -> None:
        super().__init__(daemon=True)
        self._engine, self._chance = docker_engine.connect(engine_host), random.Random(seed)
        self._over = threading.Event()
        self._seen: set[str] = set()
        self.killed = 0

    @property
    def seen(self) -> int:
        return len(self._seen)

    def run(self) -> None:
        doomed: dict[str, float] = {}
        while not self._over.wait(0.1):
            # Not `list`: it asks for each container by itself, and fails for one that has just gone.
            for found in self._engine.api.containers(filters={"name": "orchestrate-survival-"}):
                if found["Id"] not in self._seen:
                    self._seen.add(found["Id"])
                    if self._chance.random() < 1 / 3:
                        doomed[found["Id"]] = time.monotonic() + self._chance.uniform(0.0, 1.0)
            for name in [name for name, at in doomed.items() if time.monotonic() > at]:
                del doomed[name]
                with suppress(docker.errors.APIError):  # it has ended by itself
                    self._engine.api.kill(name)
                    self.killed += 1

    def stop(self) -> None:
        self._over.set()
        self.join()
        self._engine.close()


def table(program: list[str], folder: Path, env: dict[str, str], run: str) -> list[dict[str, Any]]:
    shown = subprocess.run(
        [*program, "results", run, "--json"], cwd=folder, env=env, stdout=subprocess.PIPE, check=True
    )
    rows = [json.loads(line) for line in shown.stdout.splitlines()]
    left = [{**row, "outputs": [Path(output).name for output in row["outputs"]]} for row in rows]
    return [{name: row[name] for name in ("trial", "state", "params", "metrics", "outputs")} for row in left]


@pytest.mark.timeout(1800)
def test_a_sweep_survives_failing_calls_killed_containers_and_the_death_of_its_client(
    engine_host: str, tmp_path: Path
) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "train.py").write_text(TRAIN)
    (tmp_path / "sweep.yaml").write_text(SWEEP.replace("TRIALS", str(TRIALS)))
    home = Home(tmp_path / "home")
    program = [sys.executable, "-m", "orchestrator"]
    plain = {**os.environ, "ORCHESTRATE_HOME": str(tmp_path / "undisturbed")}
    words = ["run", "sweep.yaml", "--yes", "--provider", "local"]
    subprocess.run([*program, *words], cwd=tmp_path, env=plain, check=True, capture_output=True)
    undisturbed = table(program, tmp_path, plain, "last")
    assert len(undisturbed) == TRIALS

    chance = random.Random(3)
    with ExitStack() as started:
        try:
            variables = dict(started.enter_context(emulated_aws(docker_host=engine_host)))
        except ServerFailed as missing:
            pytest.skip(f"AWS IS NOT TESTED HERE: {missing}")
        proxy = started.enter_context(FaultyProxy(variables["AWS_ENDPOINT_URL"], 0.2, seed=5))
        env = {**os.environ, **variables, "AWS_ENDPOINT_URL": proxy.endpoint, "ORCHESTRATE_HOME": str(home.path)}
        # The roles, and the queue of events by which killed containers are heard of.
        fixed = subprocess.run(
            [*program, "doctor", "--provider", "aws", "--fix", "--json"],
            cwd=tmp_path,
            env={**env, "AWS_ENDPOINT_URL": variables["AWS_ENDPOINT_URL"]},
            stdout=subprocess.PIPE,
        )
        made = next(check for line in fixed.stdout.splitlines() if (check := json.loads(line))["check"] == "profile")
        env.update(word.split("=", 1) for word in shlex.split(made["detail"]) if word.startswith(PREFIX))
        assert env[f"{PREFIX}EVENTS"]
        reaper = Reaper(engine_host, seed=11)
        reaper.start()
        started.callback(reaper.stop)
        kills, lost, arguments = 0, False, ["run", "sweep.yaml", "--yes"]
        told = (tmp_path / "told.txt").open("wb")
        started.enter_context(told)
        store = open_store(variables["ORCHESTRATE_AWS_STORAGE"], home)
        while True:
            client = subprocess.Popen([*program, *arguments], cwd=tmp_path, env=env, stdout=told, stderr=told)
            if kills == KILLS:
                client.wait(1500.0)
                break
            at = proxy.client_calls + chance.randint(1, LONGEST)
            while proxy.client_calls < at and client.poll() is None:
                time.sleep(0.01)
            if client.poll() is not None:
                break
            client.kill()
            client.wait()
            kills += 1
            runs = list(home.runs.glob("survival-*/record.db"))
            arguments = ["resume", runs[0].parent.name] if runs else arguments
            if kills >= LOST and not lost and runs:  # with all that its machine knew of the run
                keys = RunKeys(runs[0].parent.name)
                with environment(variables):
                    lost = store.exists(keys.record)
                if lost:
                    shutil.rmtree(runs[0].parent)
                    place = f"{store.url}/{keys.root}"
                    subprocess.run([*program, "attach", place], cwd=tmp_path, env=env, check=True, capture_output=True)
        assert client.returncode == 0, (tmp_path / "told.txt").read_text()[-3000:]
        assert (kills, lost) == (KILLS, True)
        (run,) = (record.parent.name for record in home.runs.glob("survival-*/record.db"))
        assert sum(proxy.faults[name] for name in ("throttled", "failed", "lost")) > proxy.calls * 0.15
        assert reaper.killed > reaper.seen * 0.2
        assert table(program, tmp_path, env, run) == undisturbed

        with environment(variables), closing(connect(home, "look")) as compute:
            assert list(compute.owned()) == []
            assert [item.key for item in store.list("runs") if not KEPT.fullmatch(item.key)] == []
            assert isinstance(store, S3Store)
            assert list(store.unfinished(older_than=-60.0)) == []
            jobs = boto3.client("batch").describe_jobs(jobs=[])["jobs"]
            assert {job["status"] for job in jobs if ":" in job["jobId"]} <= {"SUCCEEDED", "FAILED"}
    with closing(docker_engine.connect(engine_host)) as engine:
        assert engine.api.containers(all=True, filters={"name": f"orchestrate-{run}"}) == []
