"""Pools that scale themselves, driven by moving the emulator's clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.batch import models
from azure.core.exceptions import HttpResponseError

from .conftest import Workbench

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
BY_PENDING = (
    "$TargetDedicatedNodes = min(4, max($PendingTasks.GetSample(1)) / $TaskSlotsPerNode);"
    "$NodeDeallocationOption = taskcompletion;"
)


def scaling(bench: Workbench, formula: str, **more: Any) -> str:
    options = {"enable_auto_scale": True, "auto_scale_formula": formula}
    return bench.pool(0, wait=False, **{**options, "auto_scale_evaluation_interval": timedelta(minutes=5), **more})


def test_a_pool_grows_with_its_queue_at_its_interval_and_shrinks_to_nothing(own_bench: Any) -> None:
    bench: Workbench = own_bench()
    pool_id = scaling(bench, BY_PENDING, task_slots_per_node=2)
    job_id = bench.job(pool_id)
    for number in range(6):
        bench.task(job_id, "while ! test -e $AZ_BATCH_NODE_SHARED_DIR/../../go; do sleep 0.02; done", f"t{number}")
    bench.emulator.control.advance(240)
    assert bench.client.get_pool(pool_id).target_dedicated_nodes == 0
    bench.emulator.control.advance(70)
    bench.nodes(pool_id, "running", 3)
    (bench.path(pool_id, f"*/workitems/{job_id}/job-1/t0").parents[4] / "go").touch()
    for number in range(6):
        bench.until(job_id, f"t{number}")
    bench.emulator.control.advance(400)
    bench.nodes(pool_id, "idle", 0)
    pool = bench.steady(pool_id)
    assert (pool.current_dedicated_nodes, pool.target_dedicated_nodes) == (0, 0)


def test_a_pool_with_a_deadline_has_no_node_after_it_for_ever(own_bench: Any) -> None:
    bench: Workbench = own_bench(clock=START)
    formula = (
        f'$open = time() < time("{(START + timedelta(hours=2)).isoformat()}");'
        "$TargetLowPriorityNodes = $open ? 2 : 0; $NodeDeallocationOption = requeue;"
    )
    pool_id = scaling(bench, formula)
    bench.nodes(pool_id, "idle", 2)
    job_id = bench.job(pool_id)
    task_id = bench.task(job_id, "sleep 300")
    bench.until(job_id, task_id, "running")
    bench.emulator.control.advance(3600)
    assert len(list(bench.client.list_nodes(pool_id))) == 2
    bench.emulator.control.advance(3600 + 600)
    assert bench.steady(pool_id).current_low_priority_nodes == 0
    assert bench.until(job_id, task_id, "active").execution_info.requeue_count == 1
    bench.emulator.control.advance(30 * 24 * 3600)
    assert bench.client.get_pool(pool_id).current_low_priority_nodes == 0


def active_tasks(bench: Workbench, pool_id: str) -> str:
    """What a formula sees of `$ActiveTasks` half a minute ago and now; as nothing runs, `$PendingTasks` is the same."""
    bench.emulator.control.advance(30)
    formula = "$active = $ActiveTasks.GetSample(2); $pending = $PendingTasks.GetSample(2); $TargetDedicatedNodes = 0;"
    wanted = models.BatchPoolEvaluateAutoScaleOptions(auto_scale_formula=formula)
    results = bench.client.evaluate_pool_auto_scale(pool_id, wanted).results
    values = dict(result.split("=") for result in results.split(";"))
    assert values["$active"] == values["$pending"]
    return values["$active"]


def test_a_formula_sees_only_tasks_that_a_node_would_start(own_bench: Any) -> None:
    bench: Workbench = own_bench(clock=START)
    pool_id = scaling(bench, "$TargetDedicatedNodes = 0;")
    job_id = bench.job(pool_id, uses_task_dependencies=True)
    satisfying = models.ExitConditions(default=models.ExitOptions(dependency_action="satisfy"))
    bench.task(job_id, "true", "first", exit_conditions=satisfying)
    for task_id, depends_on in (("second", ["first"]), ("third", ["first"]), ("fourth", ["first", "second"])):
        bench.task(job_id, "true", task_id, depends_on=models.BatchTaskDependencies(task_ids=depends_on))
    assert active_tasks(bench, pool_id) == "[0,1]"
    bench.client.terminate_task(job_id, "first")
    assert active_tasks(bench, pool_id) == "[1,2]"
    bench.client.begin_disable_job(job_id, models.BatchJobDisableOptions(disable_tasks="requeue"), polling_interval=60)
    assert active_tasks(bench, pool_id) == "[2,0]"
    bench.client.begin_enable_job(job_id, polling_interval=60)
    assert active_tasks(bench, pool_id) == "[0,2]"
    bench.terminate(job_id)
    assert active_tasks(bench, pool_id) == "[2,0]"
    assert bench.client.get_job_task_counts(job_id).task_counts.active == 3


def test_a_running_task_is_waited_for_where_the_formula_says_so(own_bench: Any) -> None:
    bench: Workbench = own_bench(clock=START)
    formula = (
        f'$TargetDedicatedNodes = time() < time("{(START + timedelta(minutes=8)).isoformat()}") ? 1 : 0;'
        "$NodeDeallocationOption = taskcompletion;"
    )
    pool_id = scaling(bench, formula)
    bench.nodes(pool_id, "idle", 1)
    job_id = bench.job(pool_id)
    task_id = bench.task(job_id, "while ! test -e $AZ_BATCH_NODE_SHARED_DIR/go; do sleep 0.02; done")
    bench.until(job_id, task_id, "running")
    bench.emulator.control.advance(700)
    pool = bench.client.get_pool(pool_id)
    assert (pool.allocation_state, pool.target_dedicated_nodes, pool.current_dedicated_nodes) == ("resizing", 0, 1)
    waiting = bench.task(job_id, "true")
    shared = bench.path(pool_id, "*/shared")
    (shared / "go").touch()
    assert bench.until(job_id, task_id).execution_info.exit_code == 0
    assert bench.steady(pool_id).current_dedicated_nodes == 0
    assert bench.client.get_task(job_id, waiting).state == "active"


def test_preempted_nodes_can_be_counted_and_made_up_for(own_bench: Any) -> None:
    bench: Workbench = own_bench()
    formula = "$TargetLowPriorityNodes = 3; $TargetDedicatedNodes = max($PreemptedNodeCount.GetSample(1));"
    pool_id = scaling(bench, formula)
    nodes = bench.nodes(pool_id, "idle", 3)
    for node in nodes[:2]:
        bench.emulator.control.preempt(node.id)
    bench.emulator.control.advance(300)
    pool = bench.steady(pool_id)
    assert (pool.target_dedicated_nodes, pool.current_low_priority_nodes) == (2, 3)


def test_the_last_run_is_shown_with_its_variables_or_its_error(own_bench: Any) -> None:
    bench: Workbench = own_bench()
    good = scaling(bench, "$x = 3; $TargetDedicatedNodes = $x - 3;")
    run = bench.client.get_pool(good).auto_scale_run
    assert (run.error, run.results) == (
        None,
        "$TargetDedicatedNodes=0;$TargetLowPriorityNodes=0;$NodeDeallocationOption=requeue;$x=3",
    )
    bad = scaling(bench, "$TargetDedicatedNodes = 1 / $CurrentDedicatedNodes;")
    run = bench.client.get_pool(bad).auto_scale_run
    assert (run.results, run.error.code) == (None, "AutoScalingFormulaEvaluationError")
    assert "division by zero" in run.error.message
    short = scaling(bench, "$TargetDedicatedNodes = max($PendingTasks.GetSample(TimeInterval_Hour, 90));")
    assert bench.client.get_pool(short).auto_scale_run.error.code == "InsufficientSampleData"
    assert bench.client.get_pool(short).current_dedicated_nodes == 0


def test_a_formula_is_evaluated_without_being_applied(own_bench: Any) -> None:
    bench: Workbench = own_bench()
    pool_id = scaling(bench, "$TargetDedicatedNodes = 0;")
    wanted = models.BatchPoolEvaluateAutoScaleOptions(auto_scale_formula="$TargetDedicatedNodes = 9;")
    assert "$TargetDedicatedNodes=9" in bench.client.evaluate_pool_auto_scale(pool_id, wanted).results
    assert bench.client.get_pool(pool_id).target_dedicated_nodes == 0
    broken = models.BatchPoolEvaluateAutoScaleOptions(auto_scale_formula="$TargetDedicatedNodes = ;")
    with pytest.raises(HttpResponseError) as caught:
        bench.client.evaluate_pool_auto_scale(pool_id, broken)
    assert caught.value.model.code == "AutoScalingFormulaSyntaxError"
    fixed = bench.pool(0)
    with pytest.raises(HttpResponseError) as caught:
        bench.client.evaluate_pool_auto_scale(fixed, wanted)
    assert caught.value.status_code == 409


def test_autoscaling_is_enabled_changed_and_disabled_but_not_too_often(own_bench: Any) -> None:
    bench: Workbench = own_bench()
    pool_id = bench.pool(1)

    def enable(formula: str | None = None, **more: Any) -> None:
        bench.client.enable_pool_auto_scale(
            pool_id, models.BatchPoolEnableAutoScaleOptions(auto_scale_formula=formula, **more)
        )

    with pytest.raises(HttpResponseError) as caught:
        enable()
    assert caught.value.model.code == "MissingRequiredProperty"
    enable("$TargetDedicatedNodes = 2;")
    assert bench.client.get_pool(pool_id).auto_scale_evaluation_interval == timedelta(minutes=15)
    with pytest.raises(HttpResponseError) as caught:
        bench.client.begin_resize_pool(pool_id, models.BatchPoolResizeOptions(target_dedicated_nodes=5))
    assert caught.value.status_code == 409
    bench.nodes(pool_id, "idle", 2)
    with pytest.raises(HttpResponseError) as caught:
        enable("$TargetDedicatedNodes = 3;")
    assert (caught.value.status_code, caught.value.model.code) == (503, "TooManyEnableAutoScaleRequests")
    assert caught.value.response.headers["Retry-After"] == "30"
    bench.emulator.control.advance(31)
    enable(auto_scale_evaluation_interval=timedelta(hours=1))
    pool = bench.client.get_pool(pool_id)
    assert (pool.auto_scale_formula, pool.auto_scale_evaluation_interval) == (
        "$TargetDedicatedNodes = 2;",
        timedelta(hours=1),
    )
    bench.client.disable_pool_auto_scale(pool_id)
    pool = bench.client.get_pool(pool_id)
    assert (pool.enable_auto_scale, pool.auto_scale_formula, pool.target_dedicated_nodes) == (False, None, 2)


def test_a_failed_allocation_is_not_tried_again_while_the_target_stays_the_same(own_bench: Any) -> None:
    bench: Workbench = own_bench()
    bench.emulator.control.fail_allocation("AccountCoreQuotaReached", times=1)
    pool_id = scaling(bench, "$TargetDedicatedNodes = max($PendingTasks.GetSample(1)) > 0 ? 2 : 1;")
    pool = bench.steady(pool_id)
    assert [error.code for error in pool.resize_errors] == ["AccountCoreQuotaReached"]
    bench.emulator.control.advance(3600)
    assert bench.client.get_pool(pool_id).current_dedicated_nodes == 0
    bench.task(bench.job(pool_id), "sleep 1000")
    bench.emulator.control.advance(331)
    assert bench.steady(pool_id).current_dedicated_nodes == 2


def test_an_emulator_may_evaluate_more_often_than_its_pools_ask(own_bench: Any) -> None:
    bench: Workbench = own_bench(autoscale_seconds=0.1, sample_seconds=0.1)
    pool_id = scaling(bench, BY_PENDING)
    job_id = bench.job(pool_id)
    bench.until(job_id, bench.task(job_id, "true"))
    bench.nodes(pool_id, "idle", 0)
