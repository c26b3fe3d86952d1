"""Tasks in containers. The run options need no engine."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from azure.batch import models

from orchestrator.emulators import docker_engine
from orchestrator.emulators.azure_batch import agent
from orchestrator.emulators.azure_batch.containers import InvalidRunOptions, run_options
from orchestrator.emulators.azure_batch.procscan import MARK

from .conftest import Workbench, wait_for

IMAGE = docker_engine.BASE_IMAGE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("--shm-size 1g --ipc=host --rm", {"shm_size": "1g", "ipc_mode": "host"}),
        ("--network none -w /x -u 1000:1000", {"network_mode": "none", "working_dir": "/x", "user": "1000:1000"}),
        ("--cpus 1.5 --memory 2g", {"nano_cpus": 1_500_000_000, "mem_limit": "2g"}),
        ("-e A=1 --env 'B=two words'", {"environment": {"A": "1", "B": "two words"}}),
        ("-v /a:/b:ro --volume /c:/d", {"binds": ["/c:/d", "/a:/b:ro"]}),
        ("--gpus all", {"gpus": "all"}),
        ("--ulimit memlock=-1 --init", {"ulimits": ["memlock=-1"], "init": True}),
    ],
)
def test_run_options_become_arguments_of_the_engine(text: str, expected: dict[str, Any]) -> None:
    found = run_options(text)
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize("text", ["--frobnicate", "--shm-size", "image"])
def test_a_run_option_that_is_not_known_is_refused(text: str) -> None:
    with pytest.raises(InvalidRunOptions, match="containerRunOptions"):
        run_options(text)


@pytest.fixture
def engine(engine_host: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The tests' Docker engine, which the emulator finds too."""
    monkeypatch.setenv("DOCKER_HOST", engine_host)
    with closing(docker_engine.connect(engine_host)) as client:
        yield client


@pytest.fixture
def bench_with_containers(own_bench: Any, engine: Any) -> Workbench:
    bench: Workbench = own_bench(isolation="docker")
    return bench


def inside(**more: Any) -> models.BatchTaskContainerSettings:
    return models.BatchTaskContainerSettings(image_name=IMAGE, **more)


def ours(engine: Any, bench: Workbench) -> list[Any]:
    """The containers of this test's emulator, whatever others have left."""
    found: list[Any] = engine.api.containers(all=True, filters={"label": f"{MARK}={bench.emulator._name}"})
    return found


def test_a_task_runs_in_its_container_with_the_services_variables_and_directories(
    bench_with_containers: Workbench, engine: Any
) -> None:
    bench = bench_with_containers
    job_id = bench.job(bench.pool(1))
    task = bench.run(
        job_id,
        f"echo $AZ_BATCH_TASK_ID $MINE; pwd; test -e {__file__} || echo no host; echo err >&2; echo x > kept; exit 3",
        container_settings=inside(container_run_options="--env MINE=1 --shm-size 64m --gpus all"),
    )
    info = task.execution_info
    assert (info.exit_code, info.container_info.state) == (3, "exited")
    folder = bench.emulator.folder
    lines = bench.text(job_id, task.id).splitlines()
    assert lines[0] == f"{task.id} 1"
    assert lines[1].startswith(f"{folder}/nodes/")
    assert lines[1].endswith(f"/{task.node_info.task_root_directory}/wd")
    assert lines[2] == "no host"
    assert bench.text(job_id, task.id, "stderr.txt") == "err\n"
    assert bench.text(job_id, task.id, "wd/kept") == "x\n"
    wait_for(lambda: ours(engine, bench), lambda left: left == [])


def test_a_containers_output_can_be_followed_and_its_end_forced(bench_with_containers: Workbench, engine: Any) -> None:
    bench = bench_with_containers
    job_id = bench.job(bench.pool(1))
    task_id = bench.task(job_id, "echo begun; sleep 300", container_settings=inside())
    bench.until(job_id, task_id, "running")
    wait_for(lambda: _text(bench, job_id, task_id), lambda text: text == "begun\n")
    bench.client.terminate_task(job_id, task_id)
    wait_for(lambda: ours(engine, bench), lambda left: left == [])
    bench.run(job_id, "true", container_settings=inside())


def _text(bench: Workbench, job_id: str, task_id: str) -> str:
    from azure.core.exceptions import HttpResponseError

    try:
        return bench.text(job_id, task_id)
    except HttpResponseError:
        return ""


def test_a_container_over_its_time_is_removed(bench_with_containers: Workbench, engine: Any) -> None:
    bench = bench_with_containers
    job_id = bench.job(bench.pool(1))
    constraints = models.BatchTaskConstraints(max_wall_clock_time=timedelta(hours=1))
    task_id = bench.task(job_id, "sleep 300", container_settings=inside(), constraints=constraints)
    wait_for(lambda: ours(engine, bench), bool)
    bench.emulator.control.advance(3700)
    assert bench.until(job_id, task_id).execution_info.failure_info.code == "TaskEnded"
    wait_for(lambda: ours(engine, bench), lambda left: left == [])


def test_a_task_without_container_settings_runs_on_the_node_itself(bench_with_containers: Workbench) -> None:
    bench = bench_with_containers
    job_id = bench.job(bench.pool(1))
    task = bench.run(job_id, "test -e /etc/passwd && echo host")
    assert bench.text(job_id, task.id) == "host\n"


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"image_name": "no-such-registry.invalid/none:1"}, "CommandLaunchFailed"),
        ({"image_name": IMAGE, "container_run_options": "--frobnicate"}, "CommandLaunchFailed"),
    ],
)
def test_a_container_that_cannot_be_had_is_a_failure_before_the_start(
    bench_with_containers: Workbench, settings: dict[str, str], code: str
) -> None:
    bench = bench_with_containers
    job_id = bench.job(bench.pool(1))
    task = bench.run(job_id, "true", container_settings=models.BatchTaskContainerSettings(**settings))
    assert (task.execution_info.exit_code, task.execution_info.failure_info.code) == (None, code)


def test_a_program_that_the_image_lacks_is_not_found(bench_with_containers: Workbench) -> None:
    bench = bench_with_containers
    job_id = bench.job(bench.pool(1))
    bench.client.create_task(
        job_id,
        models.BatchTaskCreateOptions(id="t", command_line="no-such-program", container_settings=inside()),
    )
    assert bench.until(job_id, "t").execution_info.failure_info.code == "CommandProgramNotFound"


def test_an_emulator_that_is_killed_leaves_no_container(bench_with_containers: Workbench, engine: Any) -> None:
    import os
    import signal

    bench = bench_with_containers
    job_id = bench.job(bench.pool(2))
    for _ in range(2):
        bench.task(job_id, "sleep 300", container_settings=inside())
    wait_for(lambda: len(ours(engine, bench)), lambda count: count == 2)
    assert bench.emulator.pid is not None
    os.kill(bench.emulator.pid, signal.SIGKILL)
    wait_for(lambda: ours(engine, bench), lambda left: left == [])


def test_a_container_that_the_engine_is_only_making_when_the_emulator_is_killed_is_removed_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(agent, "_BETWEEN_LOOKS", 0.0)
    looks = iter([["early"], ["early"], [], ["late"], [], [], []])
    removed: list[str] = []

    class Engine(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(200, json.dumps([{"Id": name} for name in next(looks)]).encode())

        def do_DELETE(self) -> None:
            removed.append(self.path.split("?")[0].rpartition("/")[2])
            self.answer(409 if len(removed) == 1 else 204, b"")  # it is being started

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Engine) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        agent._remove_containers(f"tcp://127.0.0.1:{server.server_port}", "mark=x")
        server.shutdown()
    assert removed == ["early", "early", "late"]
    assert list(looks) == []


def test_only_the_mounts_that_are_named_are_seen(bench_with_containers: Workbench) -> None:
    bench = bench_with_containers
    job_id = bench.job(bench.pool(1))
    mounts = [models.ContainerHostBatchBindMountEntry(source="Task", is_read_only=False)]
    task = bench.run(
        job_id,
        "test -d $AZ_BATCH_TASK_DIR && echo task; test -d $AZ_BATCH_NODE_SHARED_DIR || echo not shared",
        container_settings=inside(container_host_batch_bind_mounts=mounts),
    )
    assert bench.text(job_id, task.id) == "task\nnot shared\n"
