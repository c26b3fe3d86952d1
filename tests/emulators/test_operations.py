"""Every operation that the SDK has, called once through the SDK, and its answer held against the SDK's models."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.batch import models
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobServiceClient, ContainerSasPermissions, generate_container_sas

from orchestrator.emulators.azurite import Azurite

from .conftest import POLL_SECONDS, Workbench, machine, shell, wait_for
from .recorder import Recorder
from .sdk_contract import operations

pytest_plugins = ["orchestrator.testing.fixtures"]

POLL = {"polling_interval": POLL_SECONDS}
FORMULA = "$TargetDedicatedNodes = 1;"


def test_every_operation_of_the_sdk_is_answered_as_the_sdk_expects(
    own_bench: Any, recorder: Recorder, azurite: Azurite
) -> None:
    bench: Workbench = own_bench(clock=datetime(2026, 3, 1, tzinfo=UTC), allocation_seconds=0.3)
    call_account(bench)
    pool_id = call_pools(bench)
    call_nodes(bench, pool_id, container_url(azurite))
    call_jobs(bench, pool_id)
    call_tasks(bench, pool_id)
    call_schedules(bench, pool_id)
    bench.client.begin_delete_pool(pool_id, **POLL).result()
    # The emulator has no applications, so this one has no success.
    assert recorder.called == {operation.name for operation in operations()} - {"get_application"}


def container_url(azurite: Azurite) -> str:
    name = Workbench.name("logs")
    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        service.create_container(name)
    sas = generate_container_sas(
        azurite.account,
        name,
        account_key=azurite.key,
        permission=ContainerSasPermissions(write=True, create=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    return f"{azurite.account_url}/{name}?{sas}"


def call_account(bench: Workbench) -> None:
    client = bench.client
    assert list(client.list_supported_images())
    assert list(client.list_applications()) == []
    with pytest.raises(ResourceNotFoundError):
        client.get_application("none")


def call_pools(bench: Workbench) -> str:
    client = bench.client
    pool_id = bench.pool(
        2,
        spot=1,
        enable_inter_node_communication=True,
        start_task=models.BatchStartTask(command_line=shell("echo hi"), wait_for_success=True),
        metadata=[models.BatchMetadataItem(name="a", value="b")],
        virtual_machine_configuration=machine(
            extensions=[models.VMExtension(name="one", publisher="p", type="t", settings={"a": "b"})]
        ),
    )
    assert client.pool_exists(pool_id)
    assert client.get_pool(pool_id, expand=["stats"]).id == pool_id
    assert [pool.id for pool in client.list_pools(expand=["stats"])] == [pool_id]
    assert [counts.dedicated.idle for counts in client.list_pool_node_counts()] == [2]
    client.update_pool(pool_id, models.BatchPoolUpdateOptions(display_name="renamed"))
    client.replace_pool_properties(
        pool_id,
        models.BatchPoolReplaceOptions(
            application_package_references=[],
            metadata=[],
            start_task=models.BatchStartTask(command_line="true", wait_for_success=True),
        ),
    )
    client.begin_resize_pool(pool_id, models.BatchPoolResizeOptions(target_dedicated_nodes=3), **POLL).result()
    bench.nodes(pool_id, "idle", 4)
    client.begin_resize_pool(pool_id, models.BatchPoolResizeOptions(target_dedicated_nodes=5), polling_interval=60)
    client.begin_stop_pool_resize(pool_id, **POLL).result()
    client.enable_pool_auto_scale(pool_id, models.BatchPoolEnableAutoScaleOptions(auto_scale_formula=FORMULA))
    bench.steady(pool_id)
    run = client.evaluate_pool_auto_scale(pool_id, models.BatchPoolEvaluateAutoScaleOptions(auto_scale_formula=FORMULA))
    assert "$TargetDedicatedNodes=1" in run.results
    assert client.get_pool(pool_id).auto_scale_run.results == run.results
    client.disable_pool_auto_scale(pool_id)
    client.begin_resize_pool(
        pool_id, models.BatchPoolResizeOptions(target_dedicated_nodes=2, target_low_priority_nodes=1), **POLL
    ).result()
    bench.nodes(pool_id, "idle", 3)
    (spot,) = [node for node in client.list_nodes(pool_id) if not node.is_dedicated]
    client.begin_remove_nodes(pool_id, models.BatchNodeRemoveOptions(node_ids=[spot.id]), **POLL).result()
    assert [usage.pool_id for usage in client.list_pool_usage_metrics()] == [pool_id]
    return pool_id


def call_nodes(bench: Workbench, pool_id: str, logs_url: str) -> None:
    client = bench.client
    node_id = next(iter(client.list_nodes(pool_id))).id
    assert client.get_node(pool_id, node_id).id == node_id
    client.create_node_user(pool_id, node_id, models.BatchNodeUserCreateOptions(name="joe", password="x"))
    client.replace_node_user(pool_id, node_id, "joe", models.BatchNodeUserReplaceOptions(password="y"))
    client.delete_node_user(pool_id, node_id, "joe")
    assert client.get_node_remote_login_settings(pool_id, node_id).remote_login_port
    assert [each.vm_extension.name for each in client.list_node_extensions(pool_id, node_id)] == ["one"]
    assert client.get_node_extension(pool_id, node_id, "one").provisioning_state == "Succeeded"
    options = models.UploadBatchServiceLogsOptions(container_url=logs_url, start_time=datetime(2026, 1, 1, tzinfo=UTC))
    assert client.upload_node_logs(pool_id, node_id, options).number_of_files_uploaded == 1
    assert "startup/stdout.txt" in [file.name for file in client.list_node_files(pool_id, node_id, recursive=True)]
    assert client.get_node_file_properties(pool_id, node_id, "startup/stdout.txt").content_length is not None
    b"".join(client.download_node_file(pool_id, node_id, "startup/stdout.txt"))
    client.delete_node_file(pool_id, node_id, "startup/stdout.txt")
    client.disable_node_scheduling(pool_id, node_id, {"nodeDisableSchedulingOption": "requeue"})
    client.enable_node_scheduling(pool_id, node_id)
    bench.restart(pool_id, node_id)
    bench.nodes(pool_id, "idle", 2)
    bench.restart(pool_id, node_id, reimage=True)
    bench.nodes(pool_id, "idle", 2)
    client.begin_deallocate_node(pool_id, node_id, {"nodeDeallocateOption": "terminate"}, **POLL).result()
    client.begin_start_node(pool_id, node_id, **POLL).result()
    bench.nodes(pool_id, "idle", 2)


def call_jobs(bench: Workbench, pool_id: str) -> None:
    client = bench.client
    job_id = bench.job(
        pool_id,
        job_preparation_task=models.BatchJobPreparationTask(command_line="true"),
        job_release_task=models.BatchJobReleaseTask(command_line="true"),
    )
    bench.run(job_id, "true")
    assert client.get_job(job_id, expand=["stats"]).id == job_id
    assert [job.id for job in client.list_jobs(expand=["stats"])] == [job_id]
    client.update_job(job_id, models.BatchJobUpdateOptions(priority=1))
    client.replace_job(job_id, client.get_job(job_id))
    client.begin_disable_job(job_id, models.BatchJobDisableOptions(disable_tasks="requeue"), **POLL).result()
    client.begin_enable_job(job_id, **POLL).result()
    assert client.get_job_task_counts(job_id).task_counts.succeeded == 1
    bench.terminate(job_id)
    (status,) = client.list_job_preparation_and_release_task_status(job_id)
    assert status.job_release_task_execution_info.exit_code == 0
    client.begin_delete_job(job_id, **POLL).result()


def call_tasks(bench: Workbench, pool_id: str) -> None:
    client = bench.client
    job_id = bench.job(pool_id)
    client.create_tasks(job_id, [models.BatchTaskCreateOptions(id="a", command_line=shell("echo out; exit 1"))])
    bench.until(job_id, "a")
    assert client.get_task(job_id, "a", expand=["stats"]).execution_info.exit_code == 1
    settings = models.MultiInstanceSettings(number_of_instances=2, coordination_command_line=shell("true"))
    several = bench.run(job_id, "true", multi_instance_settings=settings)
    assert [subtask.id for subtask in client.list_subtasks(job_id, several.id)] == [1]
    assert [task.id for task in client.list_tasks(job_id, expand=["stats"])] == ["a", several.id]
    assert "stdout.txt" in [file.name for file in client.list_task_files(job_id, "a")]
    assert client.get_task_file_properties(job_id, "a", "stdout.txt").content_length == 4
    assert b"".join(client.download_task_file(job_id, "a", "stdout.txt")) == b"out\n"
    client.delete_task_file(job_id, "a", "stdout.txt")
    client.reactivate_task(job_id, "a")
    bench.until(job_id, "a")
    bench.until(job_id, bench.task(job_id, "sleep 1000", "b"), "running")
    client.replace_task(job_id, "b", models.BatchTask(constraints=models.BatchTaskConstraints(max_task_retry_count=1)))
    client.terminate_task(job_id, "b")
    client.delete_task(job_id, "b")
    client.begin_delete_job(job_id, **POLL).result()


def call_schedules(bench: Workbench, pool_id: str) -> None:
    client = bench.client
    schedule_id = bench.name("schedule")
    client.create_job_schedule(
        models.BatchJobScheduleCreateOptions(
            id=schedule_id,
            schedule=models.BatchJobScheduleConfiguration(recurrence_interval=timedelta(days=1)),
            job_specification=models.BatchJobSpecification(pool_info=models.BatchPoolInfo(pool_id=pool_id)),
        )
    )
    assert client.job_schedule_exists(schedule_id)
    assert len(wait_for(lambda: list(client.list_jobs_from_schedule(schedule_id)), bool)) == 1
    assert client.get_job_schedule(schedule_id, expand=["stats"]).id == schedule_id
    assert [each.id for each in client.list_job_schedules(expand=["stats"])] == [schedule_id]
    client.update_job_schedule(schedule_id, models.BatchJobScheduleUpdateOptions(metadata=[]))
    client.replace_job_schedule(schedule_id, client.get_job_schedule(schedule_id))
    client.disable_job_schedule(schedule_id)
    client.enable_job_schedule(schedule_id)
    client.begin_terminate_job_schedule(schedule_id, **POLL).result()
    wait_for(lambda: client.get_job_schedule(schedule_id).state, lambda state: state == "completed")
    client.begin_delete_job_schedule(schedule_id, **POLL).result()
