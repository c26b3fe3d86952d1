"""What a task finds on its node, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.batch import models
from azure.storage.blob import (
    BlobSasPermissions,
    BlobServiceClient,
    ContainerClient,
    ContainerSasPermissions,
    generate_blob_sas,
    generate_container_sas,
)

from orchestrator.emulators.azure_batch.blobs import matches
from orchestrator.emulators.azurite import Azurite

from .conftest import Workbench, shell, wait_for

pytest_plugins = ["orchestrator.testing.fixtures"]


@pytest.fixture
def work(bench: Workbench) -> tuple[str, str]:
    """A pool of one node, and a job on it."""
    pool_id = bench.pool(1, task_slots_per_node=2)
    return pool_id, bench.job(pool_id)


# -- environment and directories


def test_a_task_sees_the_services_variables(bench: Workbench, work: tuple[str, str]) -> None:
    pool_id, job_id = work
    task = bench.run(job_id, "env")
    seen = dict(line.split("=", 1) for line in bench.text(job_id, task.id).splitlines())
    root = seen["AZ_BATCH_NODE_ROOT_DIR"]
    folder = f"{root}/workitems/{job_id}/job-1/{task.id}"
    assert {name: seen[name] for name in seen if name.startswith("AZ_BATCH")} == {
        "AZ_BATCH_ACCOUNT_NAME": bench.emulator.account,
        "AZ_BATCH_ACCOUNT_URL": bench.emulator.endpoint,
        "AZ_BATCH_CERTIFICATES_DIR": f"{folder}/wd/certs",
        "AZ_BATCH_JOB_ID": job_id,
        "AZ_BATCH_NODE_ID": task.node_info.node_id,
        "AZ_BATCH_NODE_IS_DEDICATED": "true",
        "AZ_BATCH_NODE_MOUNTS_DIR": f"{root}/fsmounts",
        "AZ_BATCH_NODE_ROOT_DIR": root,
        "AZ_BATCH_NODE_SHARED_DIR": f"{root}/shared",
        "AZ_BATCH_NODE_STARTUP_DIR": f"{root}/startup",
        "AZ_BATCH_POOL_ID": pool_id,
        "AZ_BATCH_TASK_DIR": folder,
        "AZ_BATCH_TASK_ID": task.id,
        "AZ_BATCH_TASK_RESERVED_EPHEMERAL_DISK_SPACE_BYTES": "1000000000",
        "AZ_BATCH_TASK_WORKING_DIR": f"{folder}/wd",
    }


def test_a_task_starts_in_its_working_directory_and_can_write_where_it_is_told_to(
    bench: Workbench, work: tuple[str, str]
) -> None:
    _, job_id = work
    task = bench.run(
        job_id,
        'test "$PWD" = "$AZ_BATCH_TASK_WORKING_DIR" || exit 1; '
        "for d in $PWD $HOME $AZ_BATCH_TASK_DIR $AZ_BATCH_NODE_SHARED_DIR; do touch $d/x || exit 1; done",
    )
    assert task.execution_info.exit_code == 0


def test_the_emulators_own_environment_does_not_leak_into_a_task(own_bench: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("SECRET_OF_THE_HOST", "hush")
    bench: Workbench = own_bench(environment={"GIVEN": "to all"})
    job_id = bench.job(bench.pool(1))
    task = bench.run(job_id, "env")
    text = bench.text(job_id, task.id)
    assert "GIVEN=to all\n" in text
    assert "hush" not in text
    assert bench.emulator.key not in text


def test_a_tasks_own_variables_win_over_the_jobs(bench: Workbench) -> None:
    job_id = bench.job(
        bench.pool(1),
        common_environment_settings=[
            models.EnvironmentSetting(name="A", value="job"),
            models.EnvironmentSetting(name="B", value="job"),
        ],
    )
    task = bench.run(
        job_id, "echo $A $B", environment_settings=[models.EnvironmentSetting(name="B", value="task's own")]
    )
    assert bench.text(job_id, task.id) == "job task's own\n"


def test_a_command_line_is_split_into_words_but_not_given_to_a_shell(bench: Workbench, work: tuple[str, str]) -> None:
    _, job_id = work
    bench.client.create_task(
        job_id,
        models.BatchTaskCreateOptions(id="plain", command_line="printf '%s|' \"two words\" $HOME ; echo"),
    )
    bench.until(job_id, "plain")
    assert bench.text(job_id, "plain") == "two words|$HOME|;|echo|"


def test_python_can_be_called_by_its_name(bench: Workbench, work: tuple[str, str]) -> None:
    _, job_id = work
    task = bench.run(job_id, "python3 -c 'print(6*7)'")
    assert bench.text(job_id, task.id) == "42\n"


def test_binary_output_is_kept_byte_for_byte(bench: Workbench, work: tuple[str, str]) -> None:
    _, job_id = work
    task = bench.run(job_id, r"printf '\377\000\n'")
    assert b"".join(bench.client.download_task_file(job_id, task.id, "stdout.txt")) == b"\xff\x00\n"


# -- ends


def test_a_success_and_a_failure_are_told_by_the_exit_code(bench: Workbench, work: tuple[str, str]) -> None:
    _, job_id = work
    good, bad = bench.run(job_id, "true").execution_info, bench.run(job_id, "exit 42").execution_info
    assert (good.exit_code, good.result, good.failure_info) == (0, "success", None)
    assert (bad.exit_code, bad.result, bad.failure_info.code) == (42, "failure", "FailureExitCode")
    assert {each.name: each.value for each in bad.failure_info.details}["AdditionalErrorCode"] == "FailureExitCode"
    assert bad.start_time <= bad.end_time


def test_death_by_a_signal_is_told_as_a_shell_does(bench: Workbench, work: tuple[str, str]) -> None:
    _, job_id = work
    assert bench.run(job_id, "kill -TERM $$").execution_info.exit_code == 128 + 15


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("no-such-program --at all", "CommandProgramNotFound"),
        ("/etc", "CommandLaunchFailed"),
        ("sh 'open", "CommandLaunchFailed"),
    ],
)
def test_a_program_that_cannot_be_started_is_a_failure_before_the_start(
    bench: Workbench, work: tuple[str, str], line: str, code: str
) -> None:
    _, job_id = work
    bench.client.create_task(
        job_id,
        models.BatchTaskCreateOptions(
            id="t", command_line=line, constraints=models.BatchTaskConstraints(max_task_retry_count=3)
        ),
    )
    info = bench.until(job_id, "t").execution_info
    assert (info.exit_code, info.failure_info.code, info.retry_count) == (None, code, 0)


def test_a_failing_task_is_tried_again_as_often_as_allowed(bench: Workbench, work: tuple[str, str]) -> None:
    _, job_id = work
    constraints = models.BatchTaskConstraints(max_task_retry_count=3)
    task = bench.run(job_id, "echo x >> tries; test $(wc -l < tries) = 3", constraints=constraints)
    info = task.execution_info
    assert (info.exit_code, info.retry_count, info.result) == (0, 2, "success")
    assert info.last_retry_time == info.start_time
    task = bench.run(job_id, "exit 5", constraints=constraints)
    assert (task.execution_info.exit_code, task.execution_info.retry_count) == (5, 3)


def test_the_jobs_limit_of_retries_holds_for_tasks_without_their_own(bench: Workbench) -> None:
    job_id = bench.job(bench.pool(1), constraints=models.BatchJobConstraints(max_task_retry_count=1))
    assert bench.run(job_id, "false").execution_info.retry_count == 1
    own = models.BatchTaskConstraints(max_task_retry_count=0)
    assert bench.run(job_id, "false", constraints=own).execution_info.retry_count == 0


def test_a_task_over_its_time_is_killed_and_not_tried_again(own_bench: Any) -> None:
    bench: Workbench = own_bench()
    job_id = bench.job(bench.pool(1))
    constraints = models.BatchTaskConstraints(max_wall_clock_time=timedelta(hours=1), max_task_retry_count=2)
    task_id = bench.task(job_id, "sleep 300", constraints=constraints)
    bench.until(job_id, task_id, "running")
    bench.emulator.control.advance(3500)
    assert bench.client.get_task(job_id, task_id).state == "running"
    bench.emulator.control.advance(200)
    info = bench.until(job_id, task_id).execution_info
    assert (info.exit_code, info.failure_info.code, info.retry_count) == (137, "TaskEnded", 0)
    assert timedelta(minutes=60) <= info.end_time - info.start_time < timedelta(hours=2)


def test_a_terminated_task_takes_all_its_children_with_it(bench: Workbench, work: tuple[str, str]) -> None:
    import psutil

    _, job_id = work
    task_id = bench.task(job_id, "setsid sleep 300 & echo $! > daemon; sleep 300 & echo $! > child; wait")
    bench.until(job_id, task_id, "running")
    pids = [
        int(wait_for(lambda name=name: _try_text(bench, job_id, task_id, name), bool))
        for name in ("wd/daemon", "wd/child")
    ]
    bench.client.terminate_task(job_id, task_id)
    wait_for(lambda: [psutil.pid_exists(pid) for pid in pids], lambda alive: alive == [False, False])


def _try_text(bench: Workbench, job_id: str, task_id: str, path: str) -> str:
    from azure.core.exceptions import HttpResponseError

    try:
        return bench.text(job_id, task_id, path)
    except HttpResponseError:
        return ""


def test_what_a_task_leaves_in_the_background_ends_with_it(bench: Workbench, work: tuple[str, str]) -> None:
    import psutil

    _, job_id = work
    task = bench.run(job_id, "sleep 300 & echo $!")
    pid = int(bench.text(job_id, task.id))
    wait_for(lambda: psutil.pid_exists(pid), lambda alive: not alive)


def test_a_graceful_emulator_lets_a_task_clean_up(own_bench: Any) -> None:
    bench: Workbench = own_bench(kill_grace_seconds=10)
    job_id = bench.job(bench.pool(1))
    task_id = bench.task(job_id, 'trap "echo cleaned; exit" TERM; echo ready; while true; do sleep 0.02; done')
    wait_for(lambda: _try_text(bench, job_id, task_id, "stdout.txt"), lambda text: text == "ready\n")
    bench.client.terminate_task(job_id, task_id)
    wait_for(lambda: bench.text(job_id, task_id), lambda text: text == "ready\ncleaned\n")


def test_a_task_in_a_pool_of_processes_ignores_its_container(bench: Workbench, work: tuple[str, str]) -> None:
    _, job_id = work
    task = bench.run(job_id, "echo here", container_settings=models.BatchTaskContainerSettings(image_name="any:thing"))
    assert bench.text(job_id, task.id) == "here\n"


# -- files from and to Blob


@pytest.fixture
def container(azurite: Azurite) -> Iterator[ContainerClient]:
    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        client = service.create_container(Workbench.name("container"))
        yield client


def blob_url(azurite: Azurite, container: ContainerClient, name: str) -> str:
    sas = generate_blob_sas(
        azurite.account,
        container.container_name,
        name,
        account_key=azurite.key,
        permission=BlobSasPermissions(read=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    return f"{container.get_blob_client(name).url}?{sas}"


def container_url(azurite: Azurite, container: ContainerClient, **permissions: bool) -> str:
    sas = generate_container_sas(
        azurite.account,
        container.container_name,
        account_key=azurite.key,
        permission=ContainerSasPermissions(**permissions),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    return f"{container.url}?{sas}"


def test_resource_files_are_fetched_with_their_grant_and_mode(
    bench: Workbench, work: tuple[str, str], azurite: Azurite, container: ContainerClient
) -> None:
    _, job_id = work
    container.upload_blob("code/run me.sh", b"#!/bin/sh\necho ran $(cat deep/data)\n")
    container.upload_blob("data", b"the data")
    task = bench.run(
        job_id,
        "'./run me.sh'; stat -c %a deep/data",
        resource_files=[
            models.ResourceFile(
                http_url=blob_url(azurite, container, "code/run me.sh"), file_path="run me.sh", file_mode="0755"
            ),
            models.ResourceFile(http_url=blob_url(azurite, container, "data"), file_path="deep/data"),
        ],
    )
    assert bench.text(job_id, task.id) == "ran the data\n770\n"


def test_a_whole_container_or_a_part_of_it_is_fetched(
    bench: Workbench, work: tuple[str, str], azurite: Azurite, container: ContainerClient
) -> None:
    _, job_id = work
    for name in ("a/1", "a/2", "b/3"):
        container.upload_blob(name, name.encode())
    url = container_url(azurite, container, read=True, list=True)
    task = bench.run(
        job_id,
        "find . -type f | sort",
        resource_files=[
            models.ResourceFile(storage_container_url=url),
            models.ResourceFile(storage_container_url=url, blob_prefix="a/", file_path="only"),
        ],
    )
    assert bench.text(job_id, task.id).split() == ["./a/1", "./a/2", "./b/3", "./only/a/1", "./only/a/2"]


def test_the_auto_storage_is_found_where_it_is_set(
    own_bench: Any, azurite: Azurite, container: ContainerClient
) -> None:
    from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

    sas = generate_account_sas(
        azurite.account,
        azurite.key,
        ResourceTypes(container=True, object=True),
        AccountSasPermissions(read=True, list=True),
        datetime.now(UTC) + timedelta(hours=1),
    )
    container.upload_blob("x", b"from auto storage")
    bench: Workbench = own_bench(auto_storage_url=f"{azurite.account_url}?{sas}")
    job_id = bench.job(bench.pool(1))
    files = [models.ResourceFile(auto_storage_container_name=container.container_name)]
    task = bench.run(job_id, "cat x", resource_files=files)
    assert bench.text(job_id, task.id) == "from auto storage"


def test_a_resource_file_that_cannot_be_had_fails_the_task_with_the_services_code(
    bench: Workbench, work: tuple[str, str], azurite: Azurite, container: ContainerClient
) -> None:
    _, job_id = work
    container.upload_blob("there", b"x")
    granted = blob_url(azurite, container, "there")
    for url, code in (
        (blob_url(azurite, container, "missing"), "BlobNotFound"),
        (granted.replace("sig=", "sig=A"), "BlobAccessDenied"),
        ("http://127.0.0.1:1/x?sig=secret", "BlobDownloadMiscError"),
        ("nonsense", "BlobDownloadMiscError"),
    ):
        info = bench.run(
            job_id, "true", resource_files=[models.ResourceFile(http_url=url, file_path="x")]
        ).execution_info
        assert (info.exit_code, info.failure_info.code) == (None, code)
        assert "sig=" not in str(info.as_dict())


def test_a_resource_file_cannot_leave_the_working_directory(
    bench: Workbench, work: tuple[str, str], azurite: Azurite, container: ContainerClient
) -> None:
    _, job_id = work
    container.upload_blob("x", b"x")
    files = [models.ResourceFile(http_url=blob_url(azurite, container, "x"), file_path="../../escaped")]
    info = bench.run(job_id, "true", resource_files=files).execution_info
    assert info.failure_info.code == "ResourceFileCreateFailed"


def output(pattern: str, url: str, condition: str, path: str | None = None) -> models.OutputFile:
    return models.OutputFile(
        file_pattern=pattern,
        destination=models.OutputFileDestination(
            container=models.OutputFileBlobContainerDestination(container_url=url, path=path)
        ),
        upload_options=models.OutputFileUploadConfiguration(upload_condition=condition),
    )


def names(container: ContainerClient, prefix: str) -> list[str]:
    return [blob.name for blob in container.list_blobs(name_starts_with=prefix)]


def test_output_files_are_uploaded_where_their_condition_is_met(
    bench: Workbench, work: tuple[str, str], azurite: Azurite, container: ContainerClient
) -> None:
    _, job_id = work
    url = container_url(azurite, container, write=True, create=True)

    def outputs(prefix: str) -> list[models.OutputFile]:
        return [
            output("../std*.txt", url, "taskcompletion", f"{prefix}/logs"),
            output("model/**/*.bin", url, "tasksuccess", f"{prefix}/model"),
            output("model/one.bin", url, "tasksuccess", f"{prefix}/renamed"),
            output("$AZ_BATCH_TASK_WORKING_DIR/core", url, "taskfailure", f"{prefix}/core"),
        ]

    make = "mkdir -p model/deep; echo 1 > model/one.bin; echo 2 > model/deep/two.bin; touch model/no.txt core;"
    good = bench.run(job_id, f"{make} echo said", output_files=outputs("good"))
    assert good.execution_info.result == "success"
    assert names(container, "good/") == [
        "good/logs/stderr.txt",
        "good/logs/stdout.txt",
        "good/model/deep/two.bin",
        "good/model/one.bin",
        "good/renamed",
    ]
    assert container.download_blob("good/logs/stdout.txt").readall() == b"said\n"
    assert "good/renamed" in bench.text(job_id, good.id, "fileuploadout.txt")
    bench.run(job_id, f"{make} exit 1", output_files=outputs("bad"))
    assert names(container, "bad/") == ["bad/core", "bad/logs/stderr.txt", "bad/logs/stdout.txt"]


def test_a_large_output_is_uploaded_in_blocks(
    bench: Workbench, work: tuple[str, str], azurite: Azurite, container: ContainerClient
) -> None:
    _, job_id = work
    url = container_url(azurite, container, write=True, create=True)
    size = 20 * 1024 * 1024 + 5
    task = bench.run(job_id, f"head -c {size} /dev/zero > big", output_files=[output("big", url, "tasksuccess")])
    assert task.execution_info.result == "success"
    properties = container.get_blob_client("big").get_blob_properties()
    assert properties.size == size


def test_an_upload_that_fails_fails_the_task_and_satisfies_whom_it_is_told_to(
    bench: Workbench, azurite: Azurite, container: ContainerClient
) -> None:
    job_id = bench.job(bench.pool(1), uses_task_dependencies=True)
    readable = container_url(azurite, container, read=True)
    missing = container_url(azurite, container, write=True).replace(container.container_name, "no-such-container")
    waiting = bench.task(job_id, "true", depends_on=models.BatchTaskDependencies(task_ids=["denied"]))
    conditions = models.ExitConditions(file_upload_error=models.ExitOptions(dependency_action="satisfy"))
    bench.task(
        job_id, "echo x > x", "denied", output_files=[output("x", readable, "tasksuccess")], exit_conditions=conditions
    )
    info = bench.until(job_id, "denied").execution_info
    assert (info.exit_code, info.result, info.failure_info.code) == (0, "failure", "FileUploadAccessDenied")
    assert "FileUploadAccessDenied" in bench.text(job_id, "denied", "fileuploaderr.txt")
    bench.until(job_id, waiting)
    info = bench.run(job_id, "echo x > x", output_files=[output("x", missing, "tasksuccess")]).execution_info
    assert info.failure_info.code in ("FileUploadContainerNotFound", "FileUploadAccessDenied")


def test_a_nodes_log_is_uploaded(bench: Workbench, azurite: Azurite, container: ContainerClient) -> None:
    pool_id = bench.pool(1)
    (node,) = bench.client.list_nodes(pool_id)
    result = bench.client.upload_node_logs(
        pool_id,
        node.id,
        models.UploadBatchServiceLogsOptions(
            container_url=container_url(azurite, container, write=True, create=True),
            start_time=datetime.now(UTC) - timedelta(hours=1),
        ),
    )
    assert result.number_of_files_uploaded == 1
    (name,) = names(container, result.virtual_directory_name)
    assert b"idle" in container.download_blob(name).readall()


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("a.txt", None, ["a.txt"]),
        ("a.txt", "else/b.txt", ["else/b.txt"]),
        ("*.txt", "out", ["out/a.txt"]),
        ("**/*.txt", "out/", ["out/a.txt", "out/d/b.txt", "out/d/e/c.txt"]),
        ("**/*", None, ["a.txt", "d/b.txt", "d/e/c.txt"]),
        ("d/**/*.txt", None, ["b.txt", "e/c.txt"]),
        ("d/[ab].txt", None, ["b.txt"]),
        ("d/[!a].txt", None, ["b.txt"]),
        ("?.txt", None, ["a.txt"]),
        (".*", None, [".hidden"]),
        ("missing*", None, []),
        ("missing", None, []),
        ("${WHERE}/b.txt", None, ["b.txt"]),
    ],
)
def test_patterns_of_output_files_mean_what_the_service_means(
    tmp_path: Any, pattern: str, path: str | None, expected: list[str]
) -> None:
    for name in ("a.txt", ".hidden", "d/b.txt", "d/e/c.txt", "d/.secret/x.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = matches(pattern, path, tmp_path, {"WHERE": "d"})
    assert sorted(name for _, name in found) == expected


def test_the_shell_helper_quotes_quotes() -> None:
    import shlex

    assert shlex.split(shell("echo 'a b'")) == ["/bin/sh", "-c", "echo 'a b'"]
