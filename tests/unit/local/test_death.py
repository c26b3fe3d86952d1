"""Whatever dies, no process of a run stays behind, and every task is accounted for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import orchestrator
from orchestrator.providers.base import Cause, PoolState
from orchestrator.providers.local import LocalCompute
from orchestrator.runner.runner import children, descendants
from orchestrator.storage.layout import Home
from tests.unit.local.conftest import Pool, alive, name_of, pids_in, until

# A program that stays, and what it starts: a child in its group; a daemon in a session of its own; one that has left
# the session and forgotten its environment; one that ignores every signal that can be ignored; one that is stopped.
FAMILY = """
import os, signal, sys, time

def note():
    with open(sys.argv[1], "a") as file:
        file.write("%d\\n" % os.getpid())

def child(*steps):
    if os.fork():
        return
    for step in steps:
        step()
    note()
    time.sleep(1000)

def leave():
    os.setsid()
    if os.fork():
        os._exit(0)

def forget():
    note()
    os.execve("/bin/sleep", ["sleep", "1000"], {})

def ignore():
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)

def halt():
    note()
    os.kill(os.getpid(), signal.SIGSTOP)

child()
child(os.setsid)
child(leave)
child(leave, ignore)
child(halt)
if "forget" in sys.argv:
    child(leave, forget)
note()
if "stay" in sys.argv:
    time.sleep(1000)
"""
REMEMBERING, ALL = 6, 7


@pytest.fixture
def family(tmp_path: Path) -> str:
    path = tmp_path / "family.py"
    path.write_text(FAMILY)
    return f"{sys.executable} -I -S {path} {tmp_path}/pids"


@pytest.fixture
def pids(tmp_path: Path) -> Path:
    return tmp_path / "pids"


def are_gone(pids: list[int]) -> None:
    until(lambda: not any(map(alive, pids)))


def test_a_trial_has_ended_when_all_that_it_started_has(pool: Pool, family: str, pids: Path) -> None:
    # The program waits until all of them have noted their ids, and leaves.
    wait = f"while [ $(wc -l < {pids}) -lt {ALL} ]; do sleep 0.01; done"
    pool.start(f"{family} forget; {wait}")
    assert pool.one()["cause"] is None
    assert not any(map(alive, pids_in(pids, ALL)))


def test_cancelling_ends_all_that_a_trial_started(pool: Pool, family: str, pids: Path) -> None:
    pool.start(f"{family} forget stay", grace=0.2)
    names = pool.submit(0)
    living = pids_in(pids, ALL)
    pool.compute.cancel("run-1", names)
    pool.until_ended()
    assert not any(map(alive, living))


def test_a_program_that_never_stops_forking_ends_with_its_trial(pool: Pool) -> None:
    # Bounded on purpose: 64 processes, each of which has one child at a time that leaves its session.
    restless = (
        "import os,time\nfor _ in range(6): os.fork()\nwhile True:\n"
        " child = os.fork()\n if child == 0: os.setsid(); time.sleep(0.05); os._exit(0)\n os.waitpid(child, 0)"
    )
    pool.start([sys.executable, "-I", "-S", "-c", restless], timeout=0.5, grace=0.0)
    assert pool.one()["cause"] == Cause.TIMEOUT
    assert [pid for slot in children(pool.supervisor) for pid in descendants(slot)] == []


def test_a_process_that_changes_its_id_all_the_time_ends_with_its_trial(pool: Pool, pids: Path) -> None:
    # Bounded on purpose: one process at a time, for some seconds.
    hop = "for _ in range(5000):\n if os.fork(): os._exit(0)\n os.setsid()"
    pool.start([sys.executable, "-I", "-S", "-c", f"import os\nopen({str(pids)!r}, 'w').write('1\\n')\n{hop}"])
    assert pool.one()["cause"] is None
    assert pids.exists()
    assert [pid for slot in children(pool.supervisor) for pid in descendants(slot)] == []


def test_deleting_the_pool_ends_all_at_once(pool: Pool, family: str, pids: Path) -> None:
    pool.start(f"{family} forget stay", grace=1000.0)
    pool.submit(0, 1)
    living = pids_in(pids, 2 * ALL)
    pool.compute.delete_pool("run-1")
    assert not any(map(alive, living))


def test_the_supervisor_may_be_killed(pool: Pool, family: str, pids: Path) -> None:
    pool.start(f"[ {{x}} = short ] || {family} forget stay", slots=2)
    pool.submit("long", "long", "short", "short")
    living = pids_in(pids, 2 * ALL)
    os.kill(pool.supervisor, signal.SIGKILL)
    pool.until_ended(4)
    assert not any(map(alive, living))
    assert {pool.how(0).cause, pool.how(1).cause} == {Cause.DRIVER_LOST}
    assert "killed by SIGKILL" in pool.how(0).reason
    # What had not started runs under a new one, or is lost and can be made again.
    pool.submit("short", first=4)
    pool.until_ended(5)
    assert pool.how(4).cause is None
    assert pool.compute.pool_status("run-1").state is PoolState.READY


def test_a_slot_may_be_killed(pool: Pool, family: str, pids: Path) -> None:
    pool.start(f"if [ {{x}} = killer ]; then kill -9 $PPID; fi; {family} forget stay", slots=2)
    pool.submit("other")
    living = pids_in(pids, ALL)
    pool.submit("killer", first=1)
    pool.until_ended(2)
    assert not any(map(alive, living))
    # Only the one whose own slot died is charged for it.
    assert (pool.how(0).cause, pool.how(1).cause) == (Cause.DRIVER_LOST, Cause.INFRASTRUCTURE)
    assert "SIGKILL" in pool.how(1).reason


def test_a_pool_whose_supervisor_dies_again_and_again_gives_up(pool: Pool) -> None:
    pool.start("kill -9 $PPID; sleep 1000", slots=1)
    for trial in range(3):
        pool.submit(0, first=trial)
        pool.until_ended(trial + 1)
    status = pool.compute.pool_status("run-1")
    assert status.state is PoolState.FAILED
    assert "3 times in a row" in status.reason
    assert "supervisor.log" in status.reason


def test_a_supervisor_and_its_slots_may_be_killed_at_once(pool: Pool, family: str, pids: Path) -> None:
    pool.start(f"{family} stay", slots=2)
    pool.submit(0, 1)
    living = pids_in(pids, 2 * REMEMBERING)
    kill_at_once([pool.supervisor, *children(pool.supervisor)])
    pool.until_ended(2)
    assert not any(map(alive, living))
    assert {pool.how(0).cause, pool.how(1).cause} == {Cause.DRIVER_LOST}


def kill_at_once(pids: list[int]) -> None:
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            os.kill(pid, number)


@pytest.fixture
def driver(home: Home, family: str) -> Iterator[subprocess.Popen[str]]:
    root = Path(orchestrator.__path__[0]).parent
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.unit.local.driver", str(home.path), f"{family} forget stay", "8"],
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def supervisor_of(driver: subprocess.Popen[str]) -> int:
    assert driver.stdout is not None
    return int(driver.stdout.readline())


def test_the_driver_may_be_killed(driver: subprocess.Popen[str], home: Home, pids: Path) -> None:
    supervisor = supervisor_of(driver)
    family = [*pids_in(pids, 2 * ALL), supervisor, *children(supervisor)]
    driver.kill()
    are_gone(family)
    assert list(LocalCompute(home, "run-1").owned()) == []


def test_the_driver_and_the_supervisor_may_be_killed_at_once(
    driver: subprocess.Popen[str], home: Home, pids: Path
) -> None:
    supervisor = supervisor_of(driver)
    family = [*pids_in(pids, 2 * ALL), *children(supervisor)]
    kill_at_once([driver.pid, supervisor])
    are_gone(family)


def has_forgotten(pid: int) -> bool:
    """Whether it lives and has no environment any more."""
    try:
        return alive(pid) and not Path("/proc", str(pid), "environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def end(pids: list[int]) -> None:
    for pid in filter(alive, pids):
        os.kill(pid, signal.SIGKILL)


def test_when_all_of_ours_are_killed_the_rest_is_found_when_the_run_goes_on(
    driver: subprocess.Popen[str], home: Home, pids: Path
) -> None:
    supervisor = supervisor_of(driver)
    living = pids_in(pids, 2 * ALL)
    slots = children(supervisor)
    kill_at_once([driver.pid, supervisor, *slots])
    strays = list(LocalCompute(home, "run-1").owned())
    assert strays, "the daemons should have survived, or this shows nothing"
    assert {stray.run for stray in strays} == {"run-1"}
    forgetful = [pid for pid in living if has_forgotten(pid)]
    try:
        pool = Pool(home).start("true")
        assert pool.one()["cause"] is None
        pool.compute.close()
        assert list(pool.compute.owned()) == []
        # Those who have forgotten who they are cannot be told from a user's own by then.
        are_gone([pid for pid in living if pid not in forgetful])
    finally:
        end(forgetful)


def test_when_all_of_ours_are_killed_the_rest_can_be_reclaimed(
    driver: subprocess.Popen[str], home: Home, pids: Path
) -> None:
    supervisor = supervisor_of(driver)
    living = pids_in(pids, 2 * ALL)
    slots = children(supervisor)
    kill_at_once([driver.pid, supervisor, *slots])
    driver.wait()
    other = LocalCompute(home, "other-run")
    strays = list(other.owned())
    assert strays
    assert {stray.kind for stray in strays} == {"process"}
    for stray in strays:
        other.reclaim(stray)
        other.reclaim(stray)
    assert list(other.owned()) == []
    left = [pid for pid in living if alive(pid)]
    assert all(map(has_forgotten, left))
    end(left)


def test_whoever_kills_us_by_our_name_leaves_those_alive_who_clean_up(
    driver: subprocess.Popen[str], home: Home, pids: Path
) -> None:
    supervisor = supervisor_of(driver)
    living = pids_in(pids, 2 * ALL)
    ours = [driver.pid, supervisor, *children(supervisor)]
    # This driver is one for tests; what is told by the others' command lines is that they do not bear our name.
    for pid in ours[1:]:
        assert b"orchestrat" not in Path("/proc", str(pid), "cmdline").read_bytes().partition(b"\0")[2]
    driver.kill()
    are_gone([*living, *ours[1:]])


def test_another_home_is_left_alone(pool: Pool, tmp_path: Path) -> None:
    pool.start("sleep 1000")
    pool.submit(0)
    pool.until_running()
    other = Pool(Home(tmp_path / "other"))
    other.start("true")
    assert other.one()["cause"] is None
    assert {owned.run for owned in pool.compute.owned()} == {"run-1"}
    other.compute.close()
    other.compute.delete_pool("run-1")
    assert not pool.look(0.0).events
    pool.compute.cancel("run-1", [name_of(0)])
    pool.until_ended()
