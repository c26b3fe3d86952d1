from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.batch import models
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from .conftest import Workbench, machine, wait_for

NIGHT = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)


def specification(pool_id: str | None = None, **more: Any) -> models.BatchJobSpecification:
    return models.BatchJobSpecification(pool_info=models.BatchPoolInfo(pool_id=pool_id or "p"), **more)


def create(bench: Workbench, schedule: models.BatchJobScheduleConfiguration, **more: Any) -> str:
    schedule_id = bench.name("schedule")
    options = {"job_specification": specification(), **more}
    bench.client.create_job_schedule(models.BatchJobScheduleCreateOptions(id=schedule_id, schedule=schedule, **options))
    return schedule_id


def seconds_until(bench: Workbench, moment: datetime) -> float:
    now = datetime.fromisoformat(bench.emulator.control.state()["time"])
    return (moment - now).total_seconds()


def test_a_schedule_without_a_time_makes_its_one_job_at_once_and_is_complete_with_it(bench: Workbench) -> None:
    schedule_id = create(bench, models.BatchJobScheduleConfiguration())
    schedule = wait_for(
        lambda: bench.client.get_job_schedule(schedule_id), lambda found: found.execution_info.recent_job is not None
    )
    job_id = schedule.execution_info.recent_job.id
    assert job_id == f"{schedule_id}:job-1"
    assert [job.id for job in bench.client.list_jobs_from_schedule(schedule_id)] == [job_id]
    bench.terminate(job_id)
    wait_for(lambda: bench.client.get_job_schedule(schedule_id).state, lambda state: state == "completed")


def test_nightly_jobs_are_made_each_night_and_not_before(own_bench: Any) -> None:
    bench: Workbench = own_bench(clock=NIGHT - timedelta(hours=4))
    schedule_id = create(
        bench,
        models.BatchJobScheduleConfiguration(do_not_run_until=NIGHT, recurrence_interval=timedelta(days=1)),
        job_specification=specification(all_tasks_complete_mode="terminatejob"),
    )
    assert bench.client.get_job_schedule(schedule_id).execution_info.next_run_time == NIGHT
    for night in range(3):
        bench.emulator.control.advance(seconds_until(bench, NIGHT + timedelta(days=night, minutes=-1)))
        assert len(list(bench.client.list_jobs_from_schedule(schedule_id))) == night
        bench.emulator.control.advance(120)
        jobs = list(bench.client.list_jobs_from_schedule(schedule_id))
        assert len(jobs) == night + 1
        bench.job_until(jobs[-1].id, "completed")
    schedule = bench.client.get_job_schedule(schedule_id)
    assert schedule.execution_info.next_run_time == NIGHT + timedelta(days=3)
    created = [job.creation_time - NIGHT for job in bench.client.list_jobs_from_schedule(schedule_id)]
    assert created == [timedelta(days=night) for night in range(3)]


def test_a_job_that_still_runs_holds_up_the_next_within_the_window(own_bench: Any) -> None:
    bench: Workbench = own_bench(clock=NIGHT - timedelta(hours=1))
    patient, hasty = (
        create(
            bench,
            models.BatchJobScheduleConfiguration(
                do_not_run_until=NIGHT, recurrence_interval=timedelta(days=1), start_window=window
            ),
        )
        for window in (timedelta(hours=6), timedelta(minutes=30))
    )
    bench.emulator.control.advance(2 * 3600)
    bench.emulator.control.advance(24 * 3600)
    for schedule_id in (patient, hasty):
        assert len(list(bench.client.list_jobs_from_schedule(schedule_id))) == 1
        bench.terminate(f"{schedule_id}:job-1")
    wait_for(lambda: len(list(bench.client.list_jobs_from_schedule(patient))), lambda count: count == 2)
    assert len(list(bench.client.list_jobs_from_schedule(hasty))) == 1


def test_a_schedule_ends_when_its_last_time_is_over(own_bench: Any) -> None:
    bench: Workbench = own_bench(clock=NIGHT - timedelta(hours=1))
    schedule_id = create(
        bench,
        models.BatchJobScheduleConfiguration(
            do_not_run_until=NIGHT,
            do_not_run_after=NIGHT + timedelta(days=1, hours=1),
            recurrence_interval=timedelta(days=1),
        ),
        job_specification=specification(all_tasks_complete_mode="terminatejob"),
    )
    for _ in range(4):
        bench.emulator.control.advance(24 * 3600)
        for job in bench.client.list_jobs_from_schedule(schedule_id):
            bench.job_until(job.id, "completed")
    assert len(list(bench.client.list_jobs_from_schedule(schedule_id))) == 2
    assert bench.client.get_job_schedule(schedule_id).state == "completed"


def test_a_disabled_schedule_makes_no_job_until_it_is_enabled(own_bench: Any) -> None:
    bench: Workbench = own_bench(clock=NIGHT - timedelta(hours=1))
    schedule_id = create(bench, models.BatchJobScheduleConfiguration(do_not_run_until=NIGHT))
    bench.client.disable_job_schedule(schedule_id)
    bench.emulator.control.advance(7200)
    assert bench.client.get_job_schedule(schedule_id).state == "disabled"
    assert list(bench.client.list_jobs_from_schedule(schedule_id)) == []
    bench.client.enable_job_schedule(schedule_id)
    assert len(list(bench.client.list_jobs_from_schedule(schedule_id))) == 1


def test_a_terminated_schedule_ends_its_job(bench: Workbench) -> None:
    schedule_id = create(bench, models.BatchJobScheduleConfiguration())
    wait_for(lambda: list(bench.client.list_jobs_from_schedule(schedule_id)), bool)
    bench.client.begin_terminate_job_schedule(schedule_id, polling_interval=0.02).result()
    wait_for(lambda: bench.client.get_job_schedule(schedule_id).state, lambda state: state == "completed")
    (job,) = bench.client.list_jobs_from_schedule(schedule_id)
    assert job.execution_info.termination_reason == "TerminateJobSchedule"
    with pytest.raises(HttpResponseError) as caught:
        bench.client.disable_job_schedule(schedule_id)
    assert caught.value.model.code == "JobScheduleCompleted"


def test_a_deleted_schedule_goes_with_its_jobs(bench: Workbench) -> None:
    schedule_id = create(bench, models.BatchJobScheduleConfiguration())
    (job,) = wait_for(lambda: list(bench.client.list_jobs_from_schedule(schedule_id)), bool)
    bench.client.begin_delete_job_schedule(schedule_id, polling_interval=0.02).result()
    for ask in (
        lambda: bench.client.get_job_schedule(schedule_id),
        lambda: bench.client.job_schedule_exists(schedule_id),
        lambda: bench.client.get_job(job.id),
    ):
        with pytest.raises(ResourceNotFoundError):
            ask()


def test_schedules_are_listed_updated_and_replaced(bench: Workbench) -> None:
    later = datetime(2100, 1, 1, tzinfo=UTC)
    schedule_id = create(
        bench,
        models.BatchJobScheduleConfiguration(do_not_run_until=later),
        metadata=[models.BatchMetadataItem(name="a", value="1")],
    )
    assert bench.client.job_schedule_exists(schedule_id)
    (listed,) = bench.client.list_job_schedules(filter=f"id eq '{schedule_id}' and state eq 'active'", expand=["stats"])
    assert listed.job_schedule_statistics.succeeded_tasks_count == 0
    bench.client.update_job_schedule(
        schedule_id, models.BatchJobScheduleUpdateOptions(metadata=[models.BatchMetadataItem(name="b", value="2")])
    )
    schedule = bench.client.get_job_schedule(schedule_id)
    assert [item.name for item in schedule.metadata] == ["b"]
    assert schedule.schedule.do_not_run_until == later
    schedule.schedule.do_not_run_until = later + timedelta(days=1)
    schedule.metadata = None
    bench.client.replace_job_schedule(schedule_id, schedule)
    schedule = bench.client.get_job_schedule(schedule_id)
    assert schedule.metadata == []
    assert schedule.execution_info.next_run_time == later + timedelta(days=1)


@pytest.mark.parametrize(
    "schedule",
    [
        models.BatchJobScheduleConfiguration(recurrence_interval=timedelta(seconds=30)),
        models.BatchJobScheduleConfiguration(start_window=timedelta(seconds=30)),
        models.BatchJobScheduleConfiguration(do_not_run_until=NIGHT, do_not_run_after=NIGHT - timedelta(hours=1)),
    ],
)
def test_a_schedule_that_the_service_would_refuse_is_refused(
    bench: Workbench, schedule: models.BatchJobScheduleConfiguration
) -> None:
    with pytest.raises(HttpResponseError) as caught:
        create(bench, schedule)
    assert caught.value.status_code == 400


def test_a_job_and_a_schedule_cannot_have_the_same_id(bench: Workbench) -> None:
    later = models.BatchJobScheduleConfiguration(do_not_run_until=datetime(2100, 1, 1, tzinfo=UTC))
    schedule_id, job_id = create(bench, later), bench.job("p")
    with pytest.raises(HttpResponseError) as caught:
        bench.client.create_job(
            models.BatchJobCreateOptions(id=schedule_id, pool_info=models.BatchPoolInfo(pool_id="p"))
        )
    assert caught.value.model.code == "JobScheduleWithSameIdExists"
    with pytest.raises(HttpResponseError) as caught:
        bench.client.create_job_schedule(
            models.BatchJobScheduleCreateOptions(id=job_id, schedule=later, job_specification=specification())
        )
    assert caught.value.model.code == "JobWithSameIdExists"


def test_an_auto_pool_of_a_schedule_is_shared_by_its_jobs_and_goes_with_it(own_bench: Any) -> None:
    bench: Workbench = own_bench(clock=NIGHT - timedelta(hours=1))
    auto = models.BatchAutoPoolSpecification(
        pool_lifetime_option="jobschedule",
        pool=models.BatchPoolSpecification(
            vm_size="Standard_D2s_v3", virtual_machine_configuration=machine(), target_dedicated_nodes=1
        ),
    )
    schedule_id = create(
        bench,
        models.BatchJobScheduleConfiguration(do_not_run_until=NIGHT, recurrence_interval=timedelta(days=1)),
        job_specification=models.BatchJobSpecification(pool_info=models.BatchPoolInfo(auto_pool_specification=auto)),
    )
    used = set()
    for number in (1, 2):
        bench.emulator.control.advance(24 * 3600)
        job_id = f"{schedule_id}:job-{number}"
        bench.run(job_id, "true")
        used.add(bench.client.get_job(job_id).execution_info.pool_id)
        bench.terminate(job_id)
    (pool_id,) = used
    assert bench.exists(pool_id)
    bench.client.begin_delete_job_schedule(schedule_id, polling_interval=0.02).result()
    wait_for(lambda: bench.exists(pool_id), lambda there: not there)


def test_a_scheduled_jobs_tasks_live_in_the_schedules_folder(bench: Workbench) -> None:
    pool_id = bench.pool(1)
    schedule_id = create(bench, models.BatchJobScheduleConfiguration(), job_specification=specification(pool_id))
    wait_for(lambda: list(bench.client.list_jobs_from_schedule(schedule_id)), bool)
    task = bench.run(f"{schedule_id}:job-1", "echo $AZ_BATCH_JOB_ID")
    assert task.node_info.task_root_directory == f"workitems/{schedule_id}/job-1/{task.id}"
    assert bench.text(f"{schedule_id}:job-1", task.id) == f"{schedule_id}:job-1\n"
