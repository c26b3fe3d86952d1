from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from azure.batch import models
from azure.core.exceptions import HttpResponseError

from .conftest import Workbench, error_code, wait_for


@pytest.fixture
def finished(bench: Workbench) -> tuple[str, str]:
    """A task that has left some files: its job's id and its own."""
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id)
    task = bench.run(
        job_id, "printf 0123456789; echo oops >&2; mkdir -p out/deep; echo a > out/a.txt; echo b > 'out/deep/b c.bin'"
    )
    return job_id, task.id


def read(bench: Workbench, job_id: str, task_id: str, path: str, **more: Any) -> bytes:
    return b"".join(bench.client.download_task_file(job_id, task_id, path, **more))


def test_files_are_listed_flat_and_deep(bench: Workbench, finished: tuple[str, str]) -> None:
    flat = {file.name: file for file in bench.client.list_task_files(*finished)}
    assert set(flat) == {"stdout.txt", "stderr.txt", "wd"}
    assert (flat["stdout.txt"].is_directory, flat["wd"].is_directory) == (False, True)
    assert flat["stdout.txt"].properties.content_length == 10
    assert flat["wd"].properties is None
    deep = [file.name for file in bench.client.list_task_files(*finished, recursive=True, max_results=3)]
    assert deep == ["stderr.txt", "stdout.txt", "wd", "wd/out", "wd/out/a.txt", "wd/out/deep", "wd/out/deep/b c.bin"]
    below = bench.client.list_task_files(*finished, recursive=True, filter="startswith(name,'wd/out/deep/')")
    assert [file.name for file in below] == ["wd/out/deep/b c.bin"]


def test_a_file_is_downloaded_whole_and_by_ranges(bench: Workbench, finished: tuple[str, str]) -> None:
    assert read(bench, *finished, "stdout.txt") == b"0123456789"
    for asked, got in (
        ("bytes=0-3", b"0123"),
        ("bytes=4-4", b"4"),
        ("bytes=7-", b"789"),
        ("bytes=8-100", b"89"),
        ("bytes=-2", b"89"),
    ):
        assert read(bench, *finished, "stdout.txt", ocp_range=asked) == got
    assert read(bench, *finished, "wd/out/deep/b c.bin") == b"b\n"


def test_a_range_beyond_the_end_is_refused(bench: Workbench, finished: tuple[str, str]) -> None:
    for asked in ("bytes=10-", "bytes=10-20", "bytes=5-2"):
        with pytest.raises(HttpResponseError) as caught:
            read(bench, *finished, "stdout.txt", ocp_range=asked)
        assert caught.value.status_code == 416
    with pytest.raises(HttpResponseError) as caught:
        read(bench, *finished, "stdout.txt", ocp_range="lines=1-2")
    assert caught.value.status_code == 400


def test_a_files_properties_come_without_its_content(bench: Workbench, finished: tuple[str, str]) -> None:
    properties = bench.client.get_task_file_properties(*finished, "stdout.txt")
    assert (properties.content_length, properties.is_directory) == (10, False)
    assert properties.url.endswith(f"/jobs/{finished[0]}/tasks/{finished[1]}/files/stdout.txt")
    assert int(properties.file_mode, 8) & 0o444
    assert bench.client.get_task_file_properties(*finished, "wd/out").is_directory


def test_a_file_grows_while_its_task_runs_and_can_be_followed(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id)
    task_id = bench.task(job_id, "for i in 1 2 3; do echo line $i; while ! test -e go$i; do sleep 0.02; done; done")
    bench.until(job_id, task_id, "running")
    working = bench.path(pool_id, f"*/workitems/{job_id}/job-1/{task_id}/wd")
    offset = 0
    for number in (1, 2, 3):
        size = wait_for(
            lambda: bench.client.get_task_file_properties(job_id, task_id, "stdout.txt").content_length,
            lambda size, least=offset: size > least,
        )
        assert (
            read(bench, job_id, task_id, "stdout.txt", ocp_range=f"bytes={offset}-{size - 1}") == b"line %d\n" % number
        )
        offset = size
        (working / f"go{number}").touch()
    assert bench.until(job_id, task_id).execution_info.exit_code == 0


def test_a_read_is_conditional_on_the_files_change(bench: Workbench, finished: tuple[str, str]) -> None:
    changed = bench.client.get_task_file_properties(*finished, "stdout.txt").last_modified
    later = changed + timedelta(minutes=1)
    with pytest.raises(HttpResponseError) as caught:
        read(bench, *finished, "stdout.txt", if_modified_since=later)
    assert caught.value.status_code == 304
    assert read(bench, *finished, "stdout.txt", if_modified_since=changed - timedelta(minutes=1))
    with pytest.raises(HttpResponseError) as caught:
        bench.client.get_task_file_properties(
            *finished, "stdout.txt", if_unmodified_since=changed - timedelta(minutes=1)
        )
    assert caught.value.status_code == 412


@pytest.mark.parametrize("path", ["nothing.txt", "wd/../../../../../../etc/passwd", "/etc/passwd"])
def test_a_file_that_is_not_there_or_outside_is_not_found(
    bench: Workbench, finished: tuple[str, str], path: str
) -> None:
    with pytest.raises(HttpResponseError) as caught:
        read(bench, *finished, path)
    assert (caught.value.status_code, error_code(caught.value)) == (404, "FileNotFound")


def test_files_and_folders_are_deleted(bench: Workbench, finished: tuple[str, str]) -> None:
    bench.client.delete_task_file(*finished, "wd/out/a.txt")
    with pytest.raises(HttpResponseError) as caught:
        bench.client.delete_task_file(*finished, "wd/out")
    assert caught.value.status_code == 400
    bench.client.delete_task_file(*finished, "wd/out", recursive=True)
    names = [file.name for file in bench.client.list_task_files(*finished, recursive=True)]
    assert names == ["stderr.txt", "stdout.txt", "wd"]


def test_a_nodes_files_are_seen_from_its_root(bench: Workbench, finished: tuple[str, str]) -> None:
    info = bench.client.get_task(*finished).node_info
    top = {file.name for file in bench.client.list_node_files(info.pool_id, info.node_id)}
    assert {"shared", "startup", "workitems", "applications", "fsmounts", "volatile"} <= top
    path = f"{info.task_root_directory}/stdout.txt"
    assert b"".join(bench.client.download_node_file(info.pool_id, info.node_id, path, ocp_range="bytes=0-0")) == b"0"
    assert bench.client.get_node_file_properties(info.pool_id, info.node_id, path).content_length == 10
    bench.client.delete_node_file(info.pool_id, info.node_id, path)
    with pytest.raises(HttpResponseError) as caught:
        read(bench, *finished, "stdout.txt")
    assert error_code(caught.value) == "FileNotFound"


def test_the_files_of_a_task_that_never_ran_are_unavailable(bench: Workbench) -> None:
    job_id = bench.job("p")
    task_id = bench.task(job_id, "true")
    with pytest.raises(HttpResponseError) as caught:
        read(bench, job_id, task_id, "stdout.txt")
    assert (caught.value.status_code, error_code(caught.value)) == (409, "TaskFilesUnavailable")


def test_the_files_of_a_task_are_gone_with_its_node(bench: Workbench, finished: tuple[str, str]) -> None:
    info = bench.client.get_task(*finished).node_info
    bench.client.begin_remove_nodes(
        info.pool_id, models.BatchNodeRemoveOptions(node_ids=[info.node_id]), polling_interval=0.02
    ).result()
    with pytest.raises(HttpResponseError) as caught:
        read(bench, *finished, "stdout.txt")
    assert (caught.value.status_code, error_code(caught.value)) == (404, "NodeNotFound")


def test_a_tasks_files_are_cleaned_up_when_its_retention_time_is_over(own_bench: Any) -> None:
    bench: Workbench = own_bench()
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id)
    task = bench.run(job_id, "echo kept", constraints=models.BatchTaskConstraints(retention_time=timedelta(hours=1)))
    bench.emulator.control.advance(3500)
    assert bench.text(job_id, task.id) == "kept\n"
    bench.emulator.control.advance(200)
    with pytest.raises(HttpResponseError) as caught:
        bench.text(job_id, task.id)
    assert (caught.value.status_code, error_code(caught.value)) == (409, "TaskFilesCleanedup")


def test_a_large_file_comes_whole(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id)
    task = bench.run(job_id, "head -c 5000000 /dev/zero | tr '\\0' x > large")
    content = read(bench, job_id, task.id, "wd/large")
    assert len(content) == 5_000_000
    assert set(content) == {ord("x")}
