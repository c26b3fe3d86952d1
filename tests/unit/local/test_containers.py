"""Trials in containers of a real Docker engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import orchestrator
from orchestrator.emulators import docker_engine
from orchestrator.errors import InvalidRequest, MachineError
from orchestrator.providers.base import Cause, Machine, PoolState, Task
from orchestrator.providers.local import LocalCompute
from orchestrator.providers.local.container import LABEL_RUN
from orchestrator.storage.layout import Home, RunKeys
from tests.unit.local.conftest import Pool, name_of, until

MIB = 2**20
DOCKED = {"isolation": "docker", "image": docker_engine.BASE_IMAGE, "lease_until": 4e9}

# What a program finds, as JSON.
LOOK = """
import json, os
from orchestrator import report
report(seen=1)
def first(*paths):
    return next((int(open(p).read().split()[0]) for p in paths if os.path.exists(p)), None)
space = os.statvfs("/dev/shm")
print(json.dumps({
    "uid": os.getuid(),
    "trials": sorted(n for n in os.listdir("/orchestrate/slot") if n.isdigit()),
    "top": sorted(os.listdir("/orchestrate")),
    "interfaces": os.listdir("/sys/class/net"),
    "memory": first("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"),
    "quota": first("/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
    "shm": space.f_blocks * space.f_frsize,
    "home": os.access(os.environ["HOME"], os.W_OK),
    "ours": os.environ.get("OF_THE_DRIVER"),
}))
"""


@pytest.fixture(autouse=True)
def _engine(engine_host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine_host)
    monkeypatch.setenv("OF_THE_DRIVER", "1")


def docked(pool: Pool, command: str | list[str], *, asked: dict[str, Any] | None = None, **more: Any) -> Pool:
    return pool.start(command, **{"slots": 1, **more, "asked": {**DOCKED, **(asked or {})}})


def containers(run: str = "run-1") -> list[Any]:
    with closing(docker_engine.connect(_host())) as client:
        found: list[Any] = client.containers.list(
            all=True, filters={"label": f"{LABEL_RUN}={run}"}, ignore_removed=True
        )
        return found


def _host() -> str:
    return os.environ["DOCKER_HOST"]


def test_a_container_is_as_the_spec_says_and_has_nothing_else(pool: Pool) -> None:
    machine = Machine(cpus=0.5, memory=256 * MIB, shm=32 * MIB)
    docked(pool, ["python3", "-c", LOOK], machine=machine)
    result = pool.one()
    assert (result["cause"], result["metrics"]["seen"]["last"]) == (None, 1), pool.text("stderr.txt")
    found = json.loads(pool.text("stdout.txt"))
    assert found.pop("uid") != 0
    assert found == {
        "trials": ["000000"],
        "top": ["inside.py", "runner.py", "slot"],
        "interfaces": ["lo"],
        "memory": 256 * MIB,
        "quota": 50_000,
        "shm": 32 * MIB,
        "home": True,
        "ours": None,
    }
    assert not pool.folder().parent.is_symlink()


def test_a_network_and_root_are_had_by_asking(pool: Pool) -> None:
    docked(pool, "id -u; ls /sys/class/net", asked={"network": True, "user": "root"})
    assert pool.one()["cause"] is None
    first, *interfaces = pool.text("stdout.txt").split()
    assert first == "0"
    assert len(interfaces) > 1


def test_a_user_is_looked_up_in_the_image(pool: Pool) -> None:
    docked(pool, "id -u; id -g", asked={"user": "games:mail"})
    pool.one()
    assert pool.text("stdout.txt").split() == ["5", "8"]


@pytest.mark.parametrize("memory", [64 * MIB, 8 * MIB], ids=["the program's", "the container's own"])
def test_an_end_for_want_of_memory_is_told_as_such(pool: Pool, memory: int) -> None:
    docked(pool, ["python3", "-c", "x = bytearray(10**9)"], machine=Machine(memory=memory))
    pool.submit(0)
    pool.until_ended()
    assert pool.how(0).cause is Cause.EXIT_CODE
    assert "out of memory" in pool.how(0).reason
    assert "?" not in pool.how(0).reason


def test_trials_share_a_container_until_one_fails_or_it_is_full(pool: Pool) -> None:
    mark = '[ -e /tmp/mark ] || echo "$ORCHESTRATE_TRIAL" > /tmp/mark; cat /tmp/mark'
    docked(pool, f"{mark}; ls /orchestrate/slot | grep -c 0; exit {{x}}", asked={"pack": 3})
    pool.submit(0, 0, 0, 0, 7, 0)
    pool.until_ended(6)
    lines = [pool.text("stdout.txt", trial).split() for trial in range(6)]
    assert [line[0] for line in lines] == ["0", "0", "0", "3", "3", "5"]
    assert {line[1] for line in lines} == {"1"}, "a trial sees the folders of others"


def test_a_container_that_is_killed_is_no_end_of_the_run(pool: Pool) -> None:
    docked(pool, "test {x} = go || exec sleep 100", asked={"pack": 5})
    pool.submit("stay")
    pool.until_running()
    containers()[0].kill()
    pool.until_ended()
    assert pool.how(0).cause is Cause.INFRASTRUCTURE
    assert "137" in pool.how(0).reason
    pool.submit("go", attempt=2)
    assert pool.until_ended(2)[name_of(0, 2)].ended.cause is None  # type: ignore[union-attr]


def test_a_checkpoint_of_another_trial_is_there(pool: Pool) -> None:
    docked(pool, "cat kept/* 2>/dev/null; echo {x} > kept/{x}", asked={"pack": 2}, checkpoint="kept")
    pool.one("first")
    list(pool.compute.submit("run-1", [Task(name_of(1), 1, 1, {"x": "second"}, parent=0)]))
    pool.until_ended(2)
    assert pool.text("stdout.txt", 1) == "first\n"


def test_a_long_task_reaches_the_container(pool: Pool) -> None:
    docked(pool, "printf %s {x} | wc -c")
    assert pool.one("x" * 100_000)["cause"] is None
    assert pool.text("stdout.txt").strip() == "100000"


@pytest.fixture
def driver(home: Home) -> Iterator[subprocess.Popen[str]]:
    root = Path(orchestrator.__path__[0]).parent
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.unit.local.driver",
            str(home.path),
            "echo up; exec sleep 1000",
            "4",
            json.dumps(DOCKED),
        ],
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_no_container_outlives_its_driver_and_its_trial_s_folder_is_put_back(
    driver: subprocess.Popen[str], home: Home
) -> None:
    trials = home.store / RunKeys("run-1").root / "trials"
    until(lambda: len(list(trials.glob("*/1/stdout.txt"))) == 2)
    assert len(containers()) == 2
    kept = trials / "000000"
    assert kept.is_symlink()
    driver.kill()
    until(lambda: containers() == [])
    # A container that was made and not started ends by nobody's death.
    with closing(docker_engine.connect(_host())) as client:
        first = Pool(home, "run-2")
        docked(first, "true")
        body = first.compute._berths.config(({},), "x", Path(__file__))["bodies"][0]  # type: ignore[union-attr]
        first.compute.close()
        body["HostConfig"]["Mounts"] = []
        for run in ("run-1", "run-2"):
            body["Labels"][LABEL_RUN] = run
            client.api.create_container_from_config(body)
    look = LocalCompute(home, "gc")
    (one,) = [thing for thing in look.owned() if thing.run == "run-2"]
    assert (one.kind, one.lease_until) == ("container", 4e9)
    look.reclaim(one)
    left = list(look.owned())
    assert {(thing.kind, thing.run) for thing in left} == {("container", "run-1"), ("working folder", "run-1")}
    look.reclaim(left[-1])
    assert not kept.is_symlink()
    look.close()
    pool = docked(Pool(home), "echo again")
    assert containers() == []
    assert not kept.is_symlink()
    assert (kept / "1" / "stdout.txt").read_text() == "up\n"
    pool.submit(0)
    assert pool.until_ended()[name_of(0)].ended.cause is None  # type: ignore[union-attr]
    pool.compute.close()


def test_inputs_of_an_object_store_are_there_to_be_read_and_no_other_run_s(s3: dict[str, str], pool: Pool) -> None:
    other = pool.home.objects / "of another run"
    other.parent.mkdir(parents=True)
    other.write_text("")
    source = ["s3://speech/", {"name": "x"}]
    docked(
        pool,
        "cat in/one.txt; touch in/new; ls /orchestrate/inputs/0 | grep -vc lock",
        inputs=[{"from": source, "to": ["in"]}],
    )
    assert pool.one("german")["cause"] is None
    assert pool.text("stdout.txt").split() == ["german/one.txt", "1"]
    assert "Read-only" in pool.text("stderr.txt")


def test_an_image_is_pinned_by_its_digest(pool: Pool) -> None:
    with closing(docker_engine.connect(_host())) as client:
        own = client.images.get(docker_engine.BASE_IMAGE).id
    docked(pool, "true")
    request = pool.compute._request
    assert request is not None
    assert pool.compute.estimate(request).image == own
    assert containers() == []
    pool.one()


def test_an_image_that_cannot_be_had_breaks_the_pool_with_the_reason(pool: Pool) -> None:
    docked(pool, "true", asked={"image": "127.0.0.1:9/no/such:1"})
    status = until(lambda: (s := pool.compute.pool_status("run-1")).state is not PoolState.CREATING and s)
    assert status.state is PoolState.FAILED
    assert "127.0.0.1:9/no/such:1" in status.reason


def test_an_image_without_python_is_no_matter_for_a_retry(pool: Pool) -> None:
    with closing(docker_engine.connect(_host())) as client:
        client.api.import_image_from_data(b"\0" * 10240, repository="orchestrator-test/empty", tag="1")
        docked(pool, "true", asked={"image": "orchestrator-test/empty:1"})
        pool.submit(0)
        pool.until_ended()
        client.images.remove("orchestrator-test/empty:1")
    assert pool.how(0).cause is Cause.COMMAND
    assert "python3" in pool.how(0).reason


def test_without_an_engine_it_is_said_how_to_get_one(
    home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(MachineError, match=r"none\.sock.*apt-get install docker\.io"):
        docked(Pool(home), "true")
    monkeypatch.setenv("DOCKER_HOST", "tcp://elsewhere:2375")
    with pytest.raises(InvalidRequest, match="another machine"):
        docked(Pool(home), "true")
