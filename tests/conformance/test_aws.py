"""The AWS provider, through the real boto3, against moto's server with a real Docker engine behind it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from orchestrator.emulators import docker_engine
from orchestrator.emulators.aws import emulated_aws
from orchestrator.emulators.childserver import ServerFailed
from orchestrator.emulators.emulated import environment
from orchestrator.errors import MachineError
from orchestrator.providers.aws import connect
from orchestrator.storage.layout import Home
from orchestrator.storage.open import open_store
from orchestrator.testing.conformance import SECRET, Bench, ProviderSuite, Story

# Where an image that was made once is kept for the next time.
IMAGES = Path(tempfile.gettempdir()) / "orchestrate-images"


@pytest.fixture(scope="module")
def docker_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an engine that has the base image: the machine's own, else one that is started."""
    with ExitStack() as started:
        try:
            host = docker_engine.answering()
            if host is None:
                host = started.enter_context(docker_engine.DockerEngine(tmp_path_factory.mktemp("docker"))).host
            IMAGES.mkdir(exist_ok=True)
            docker_engine.base_image(host, IMAGES)
        except MachineError as missing:
            pytest.skip(f"AWS IS NOT TESTED HERE: {missing}")
        yield host


class TestAws(ProviderSuite):
    """Tasks as containers."""

    image = docker_engine.BASE_IMAGE
    patience = 120.0

    @pytest.fixture(scope="class")
    @classmethod
    def bench(cls, docker_host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
        home = Home(tmp_path_factory.mktemp("home"))
        try:
            with emulated_aws(docker_host=docker_host) as variables, environment(variables):
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
name: killed
workload:
  code: src
  command: "python3 train.py {{x}}"
  image: {docker_engine.BASE_IMAGE}
  metrics: {{loss: 'loss=(.+)'}}
parameters: {{x: {{range: [0, 12]}}}}
search: {{metric: loss, goal: minimize}}
limits: {{parallel: 4}}
provider: aws
"""


def test_a_run_whose_client_is_killed_again_and_again_ends_as_if_nothing_had_been(
    docker_host: str, tmp_path: Path
) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "train.py").write_text("import sys, time\ntime.sleep(0.3)\nprint('loss=' + sys.argv[1])\n")
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    home = Home(tmp_path / "home")
    chance = random.Random(3)
    program = [sys.executable, "-m", "orchestrator"]
    with emulated_aws(docker_host=docker_host) as variables:
        env = {**os.environ, **variables, "ORCHESTRATE_HOME": str(home.path)}
        kills, arguments = 0, ["run", "sweep.yaml", "--yes"]
        while True:
            client = subprocess.Popen([*program, *arguments], cwd=tmp_path, env=env, stderr=subprocess.PIPE)
            try:
                _, told = client.communicate(timeout=chance.uniform(2.0, 7.0) if kills < 6 else 120.0)
                break
            except subprocess.TimeoutExpired:
                client.kill()
                client.communicate()
                kills += 1
            runs = list(home.runs.glob("killed-*"))
            arguments = ["resume", runs[0].name] if runs else arguments
        assert client.returncode == 0, told.decode()
        assert kills
        (run,) = (folder.name for folder in home.runs.glob("killed-*"))
        shown = subprocess.run([*program, "results", run, "--json"], cwd=tmp_path, env=env, stdout=subprocess.PIPE)
        rows = {row["trial"]: row for row in map(json.loads, shown.stdout.splitlines())}
        assert sorted(rows) == list(range(12))
        assert all(row["state"] == "succeeded" and row["attempts"] == 1 for row in rows.values())
        assert all(row["metrics"]["loss"] == row["params"]["x"] for row in rows.values())
        with environment(variables), closing(connect(home, "look")) as compute:
            assert list(compute.owned()) == []
    with closing(docker_engine.connect(docker_host)) as engine:
        assert [one.name for one in engine.containers.list(all=True) if run in one.name] == []
