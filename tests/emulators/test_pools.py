from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from azure.batch import models
from azure.core.exceptions import HttpResponseError

from .conftest import Workbench, machine, wait_for


def test_a_pool_gets_its_nodes_and_each_goes_through_its_states(own_bench: Any) -> None:
    bench: Workbench = own_bench(boot_seconds=1000)
    pool_id = bench.pool(1, spot=2, wait=False)
    pool = bench.client.get_pool(pool_id)
    assert (pool.state, pool.allocation_state) == ("active", "resizing")
    assert (pool.target_dedicated_nodes, pool.target_low_priority_nodes) == (1, 2)
    for seconds, state in ((250, "creating"), (500, "starting"), (500, "idle")):
        bench.emulator.control.advance(seconds)
        nodes = list(bench.client.list_nodes(pool_id))
        assert [node.state for node in nodes] == [state] * 3
    assert sorted(node.is_dedicated for node in nodes) == [False, False, True]
    assert len({node.ip_address for node in nodes}) == 3
    pool = bench.client.get_pool(pool_id)
    assert pool.allocation_state == "steady"
    assert (pool.current_dedicated_nodes, pool.current_low_priority_nodes) == (1, 2)


def test_a_pool_is_given_back_as_it_was_asked_for_without_its_secrets(bench: Workbench) -> None:
    asked = models.BatchPoolCreateOptions(
        id=bench.name("pool"),
        display_name="A pool",
        vm_size="Standard_NC6s_v3",
        virtual_machine_configuration=machine(
            container_configuration=models.BatchContainerConfiguration(
                type="dockerCompatible",
                container_image_names=["busybox"],
                container_registries=[
                    models.ContainerRegistryReference(registry_server="r", username="u", password="hush")
                ],
            )
        ),
        target_dedicated_nodes=0,
        resize_timeout=timedelta(minutes=10),
        enable_inter_node_communication=True,
        task_slots_per_node=4,
        task_scheduling_policy=models.BatchTaskSchedulingPolicy(node_fill_type="pack"),
        start_task=models.BatchStartTask(command_line="true", wait_for_success=True),
        metadata=[models.BatchMetadataItem(name="owner", value="tests")],
        user_accounts=[models.UserAccount(name="joe", password="hush")],
        mount_configuration=[
            models.MountConfiguration(
                azure_blob_file_system_configuration=models.AzureBlobFileSystemConfiguration(
                    account_name="a", container_name="c", relative_mount_path="m", sas_key="hush"
                )
            )
        ],
    )
    bench.client.create_pool(asked)
    pool = bench.client.get_pool(asked.id)
    assert pool.display_name == "A pool"
    assert pool.vm_size == "standard_nc6s_v3"
    assert pool.resize_timeout == timedelta(minutes=10)
    assert pool.task_slots_per_node == 4
    assert pool.task_scheduling_policy.node_fill_type == "pack"
    assert [(item.name, item.value) for item in pool.metadata] == [("owner", "tests")]
    assert pool.virtual_machine_configuration.container_configuration.container_image_names == ["busybox"]
    assert "hush" not in str(pool.as_dict())


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"vm_size": "enormous"}, "InvalidPropertyValue"),
        ({"target_dedicated_nodes": -1}, "InvalidPropertyValue"),
        ({"task_slots_per_node": 9}, "InvalidPropertyValue"),
        ({"resize_timeout": timedelta(minutes=1)}, "InvalidPropertyValue"),
        ({"virtual_machine_configuration": None}, "MissingRequiredProperty"),
        ({"metadata": [{"name": "", "value": "x"}]}, "InvalidPropertyValue"),
        ({"enable_auto_scale": True}, "MissingRequiredProperty"),
        ({"auto_scale_formula": "$TargetDedicatedNodes=1"}, "InvalidPropertyValue"),
        ({"enable_auto_scale": True, "auto_scale_formula": "1 +"}, "AutoScalingFormulaSyntaxError"),
        (
            {
                "enable_auto_scale": True,
                "auto_scale_formula": "$TargetDedicatedNodes=1",
                "auto_scale_evaluation_interval": timedelta(minutes=4),
            },
            "InvalidPropertyValue",
        ),
        ({"application_package_references": [{"applicationId": "blender"}]}, "InvalidApplicationPackageReferences"),
    ],
)
def test_a_pool_that_the_service_would_refuse_is_refused(bench: Workbench, changes: dict[str, Any], code: str) -> None:
    options = {
        "id": bench.name("pool"),
        "vm_size": "Standard_D2s_v3",
        "virtual_machine_configuration": machine(),
    }
    with pytest.raises(HttpResponseError) as caught:
        bench.client.create_pool(models.BatchPoolCreateOptions(**{**options, **changes}))
    assert caught.value.model.code == code
    assert not bench.exists(options["id"])


def test_an_unknown_node_agent_is_refused_with_those_there_are(bench: Workbench) -> None:
    wrong = machine()
    wrong.node_agent_sku_id = "batch.node.ubuntu 12.04"
    with pytest.raises(HttpResponseError) as caught:
        bench.pool(0, virtual_machine_configuration=wrong)
    reasons = {each.key: each.value for each in caught.value.model.error_values}
    assert "batch.node.ubuntu 22.04" in reasons["Reason"]


def test_pools_are_listed_filtered_and_selected(bench: Workbench) -> None:
    prefix = bench.name("listed")
    for suffix in "abc":
        bench.client.create_pool(
            models.BatchPoolCreateOptions(
                id=f"{prefix}-{suffix}", vm_size="Standard_D2s_v3", virtual_machine_configuration=machine()
            )
        )
    found = list(bench.client.list_pools(filter=f"startswith(id,'{prefix}')", max_results=2))
    assert [pool.id for pool in found] == [f"{prefix}-a", f"{prefix}-b", f"{prefix}-c"]
    only = list(bench.client.list_pools(filter=f"id eq '{prefix}-b' and state eq 'active'", select=["id", "state"]))
    assert [pool.as_dict() for pool in only] == [{"id": f"{prefix}-b", "state": "active"}]
    assert list(bench.client.list_pools(filter=f"startswith(id,'{prefix}') and enableAutoScale eq true")) == []


def test_stats_come_only_where_they_are_asked_for(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    assert bench.client.get_pool(pool_id).pool_statistics is None
    assert bench.client.get_pool(pool_id, expand=["stats"]).pool_statistics.usage_statistics is not None
    listed = next(iter(bench.client.list_pools(filter=f"id eq '{pool_id}'", expand=["stats"])))
    assert listed.pool_statistics.resource_statistics is not None
    with pytest.raises(HttpResponseError):
        bench.client.get_pool(pool_id, expand=["everything"])


def test_a_pool_is_patched_and_its_properties_are_replaced(bench: Workbench) -> None:
    pool_id = bench.pool(0)
    bench.client.update_pool(
        pool_id,
        models.BatchPoolUpdateOptions(
            metadata=[models.BatchMetadataItem(name="a", value="1")],
            start_task=models.BatchStartTask(command_line="true"),
            vm_size="Standard_D4s_v3",
        ),
    )
    pool = bench.client.get_pool(pool_id)
    assert (pool.vm_size, pool.start_task.command_line) == ("standard_d4s_v3", "true")
    bench.client.replace_pool_properties(
        pool_id,
        models.BatchPoolReplaceOptions(
            application_package_references=[], metadata=[models.BatchMetadataItem(name="b", value="2")]
        ),
    )
    pool = bench.client.get_pool(pool_id)
    assert pool.start_task is None
    assert [item.name for item in pool.metadata] == ["b"]


def test_the_size_of_machines_cannot_be_changed_under_their_feet(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    with pytest.raises(HttpResponseError) as caught:
        bench.client.update_pool(pool_id, models.BatchPoolUpdateOptions(vm_size="Standard_D4s_v3"))
    assert caught.value.model.code == "InvalidPropertyValue"


def test_a_pool_is_resized_up_and_down(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    bench.client.begin_resize_pool(
        pool_id,
        models.BatchPoolResizeOptions(target_dedicated_nodes=3, target_low_priority_nodes=1),
        polling_interval=0.02,
    ).result()
    bench.nodes(pool_id, "idle", 4)
    bench.client.begin_resize_pool(
        pool_id,
        models.BatchPoolResizeOptions(target_dedicated_nodes=0, node_deallocation_option="terminate"),
        polling_interval=0.02,
    ).result()
    pool = bench.client.get_pool(pool_id)
    assert (pool.current_dedicated_nodes, pool.current_low_priority_nodes) == (0, 1)


def test_a_second_resize_is_refused_while_the_first_goes_on(own_bench: Any) -> None:
    bench: Workbench = own_bench(boot_seconds=20)
    pool_id = bench.pool(2, wait=False)
    with pytest.raises(HttpResponseError) as caught:
        bench.client.begin_resize_pool(pool_id, models.BatchPoolResizeOptions(target_dedicated_nodes=3))
    assert (caught.value.status_code, caught.value.model.code) == (409, "PoolBeingResized")


def test_a_resize_that_is_stopped_keeps_what_is_there_and_says_so(own_bench: Any) -> None:
    bench: Workbench = own_bench(boot_seconds=20)
    pool_id = bench.pool(2, wait=False)
    bench.client.begin_stop_pool_resize(pool_id, polling_interval=0.02).result()
    pool = bench.client.get_pool(pool_id)
    assert (pool.allocation_state, pool.current_dedicated_nodes, pool.target_dedicated_nodes) == ("steady", 0, 0)
    assert [error.code for error in pool.resize_errors] == ["ResizeStopped"]
    with pytest.raises(HttpResponseError):
        bench.client.begin_stop_pool_resize(pool_id)


def test_named_nodes_are_removed_and_the_target_goes_down_with_them(bench: Workbench) -> None:
    pool_id = bench.pool(3)
    victims = [node.id for node in bench.client.list_nodes(pool_id)][:2]
    bench.client.begin_remove_nodes(
        pool_id, models.BatchNodeRemoveOptions(node_ids=victims), polling_interval=0.02
    ).result()
    pool = bench.steady(pool_id)
    assert (pool.current_dedicated_nodes, pool.target_dedicated_nodes) == (1, 1)
    assert not set(victims) & {node.id for node in bench.client.list_nodes(pool_id)}


def test_a_removal_of_none_or_of_unknown_nodes_is_refused(bench: Workbench) -> None:
    pool_id = bench.pool(0)
    for nodes, code in (
        ([], "InvalidPropertyValue"),
        (["x"] * 1, "NodeNotFound"),
        (["x"] * 101, "InvalidPropertyValue"),
    ):
        with pytest.raises(HttpResponseError) as caught:
            bench.client.begin_remove_nodes(pool_id, models.BatchNodeRemoveOptions(node_ids=nodes))
        assert caught.value.model.code == code


def test_a_deleted_pool_goes_with_its_nodes_and_its_tasks_are_queued_again(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id)
    task_id = bench.task(job_id, "sleep 1000")
    bench.until(job_id, task_id, "running")
    bench.client.begin_delete_pool(pool_id, polling_interval=0.02).result()
    assert not bench.exists(pool_id)
    task = bench.until(job_id, task_id, "active")
    assert task.execution_info.requeue_count == 1
    with pytest.raises(HttpResponseError) as caught:
        bench.client.begin_delete_pool(pool_id)
    assert caught.value.model.code == "PoolNotFound"


def test_a_pool_that_is_being_deleted_takes_no_more_orders(own_bench: Any) -> None:
    bench: Workbench = own_bench(operation_seconds=60)
    pool_id = bench.pool(1)
    bench.client.begin_delete_pool(pool_id, polling_interval=60)
    assert bench.client.get_pool(pool_id).state == "deleting"
    for order in (
        lambda: bench.client.begin_delete_pool(pool_id),
        lambda: bench.client.begin_resize_pool(pool_id, models.BatchPoolResizeOptions(target_dedicated_nodes=1)),
        lambda: bench.client.update_pool(pool_id, models.BatchPoolUpdateOptions(display_name="x")),
    ):
        with pytest.raises(HttpResponseError) as caught:
            order()
        assert caught.value.model.code == "PoolBeingDeleted"
    bench.emulator.control.advance(200)
    wait_for(lambda: bench.exists(pool_id), lambda there: not there)


def test_the_pool_quota_holds(own_bench: Any) -> None:
    bench: Workbench = own_bench(pool_quota=1)
    bench.pool(0)
    with pytest.raises(HttpResponseError) as caught:
        bench.pool(0)
    assert (caught.value.status_code, caught.value.model.code) == (409, "PoolQuotaReached")


def test_core_quotas_leave_what_can_be_had_and_name_what_is_missing(own_bench: Any) -> None:
    bench: Workbench = own_bench(dedicated_core_quota=4, spot_core_quota=0)
    pool_id = bench.pool(3, spot=1, wait=False)
    pool = bench.steady(pool_id)
    assert (pool.current_dedicated_nodes, pool.current_low_priority_nodes) == (2, 0)
    assert {error.code for error in pool.resize_errors} == {
        "AccountCoreQuotaReached",
        "AccountLowPriorityCoreQuotaReached",
    }


def test_node_counts_add_up_by_kind_and_state(bench: Workbench) -> None:
    pool_id = bench.pool(2, spot=1)
    (counts,) = bench.client.list_pool_node_counts(filter=f"poolId eq '{pool_id}'")
    assert (counts.dedicated.idle, counts.dedicated.total) == (2, 2)
    assert (counts.low_priority.idle, counts.low_priority.total) == (1, 1)


def test_images_are_listed_with_what_they_can_do(bench: Workbench) -> None:
    images = list(bench.client.list_supported_images(filter="osType eq 'linux' and verificationType eq 'verified'"))
    assert images
    assert all(image.os_type == "linux" for image in images)
    with_containers = [image for image in images if "DockerCompatible" in (image.capabilities or [])]
    assert any(image.image_reference.publisher == "microsoft-dsvm" for image in with_containers)


def test_there_are_no_applications(bench: Workbench) -> None:
    assert list(bench.client.list_applications()) == []
    with pytest.raises(HttpResponseError) as caught:
        bench.client.get_application("blender")
    assert caught.value.model.code == "ApplicationNotFound"


def test_usage_grows_with_the_cores_and_the_time(own_bench: Any) -> None:
    bench: Workbench = own_bench()
    pool_id = bench.pool(2)
    bench.emulator.control.advance(3600)
    (usage,) = bench.client.list_pool_usage_metrics(filter=f"poolId eq '{pool_id}'")
    assert usage.total_core_hours == pytest.approx(4.0, rel=0.05)
    assert usage.vm_size == "standard_d2s_v3"


def test_nodes_that_do_not_come_within_the_resize_timeout_are_given_up(own_bench: Any) -> None:
    bench: Workbench = own_bench(allocation_seconds=1000)
    pool_id = bench.pool(2, wait=False, resize_timeout=timedelta(minutes=5))
    bench.emulator.control.advance(299)
    assert bench.client.get_pool(pool_id).allocation_state == "resizing"
    bench.emulator.control.advance(2)
    pool = bench.client.get_pool(pool_id)
    assert (pool.allocation_state, pool.current_dedicated_nodes, pool.target_dedicated_nodes) == ("steady", 0, 2)
    assert [error.code for error in pool.resize_errors] == ["AllocationTimedOut"]
