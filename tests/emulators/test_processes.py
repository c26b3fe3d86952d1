"""However the emulator ends, nothing that it started outlives it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from azure.batch import models

from orchestrator.emulators.azure_batch import AzureBatchEmulator
from orchestrator.emulators.azure_batch.procscan import MARK, kill_marked, marked, new_name
from orchestrator.emulators.childserver import ServerFailed

from .conftest import WAIT_SECONDS, Workbench, connect, shell, wait_for

# A shell, a child in its group, a daemon in a session of its own, and one that has forgotten its environment's rest.
TREE = (
    "echo $$ > a; sleep 301 & echo $! > b; setsid sh -c 'echo $$ > c; exec sleep 302' & "
    "setsid nohup sh -c 'echo $$ > d; sleep 303; true' > /dev/null & wait"
)


def running_tree(bench: Workbench) -> list[int]:
    """Process ids of a task's processes, of all kinds, on a fresh pool."""
    pool_id = bench.pool(1)
    job_id = bench.job(pool_id)
    bench.until(job_id, bench.task(job_id, TREE), "running")
    working = bench.path(pool_id, f"*/workitems/{job_id}/job-1/*/wd")
    files = [working / name for name in "abcd"]
    wait_for(lambda: [path.exists() and path.read_text().strip() for path in files], all)
    return [int(path.read_text()) for path in files]


def alive(pids: list[int]) -> list[int]:
    found = []
    for pid in pids:
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.fixture
def started() -> Iterator[AzureBatchEmulator]:
    emulator = AzureBatchEmulator(boot_seconds=0.05).start()
    yield emulator
    emulator.stop()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_an_emulator_that_is_killed_leaves_no_process_of_a_task(started: AzureBatchEmulator, number: int) -> None:
    with connect(started) as client:
        pids = running_tree(Workbench(started, client))
    assert alive(pids) == pids
    name = started._name
    assert set(pids) <= set(marked(name))
    assert started.pid is not None
    os.kill(started.pid, number)
    wait_for(lambda: alive(pids), lambda left: left == [])
    wait_for(lambda: marked(name), lambda left: left == [])


def test_an_emulator_that_is_stopped_has_ended_everything_when_stop_returns(started: AzureBatchEmulator) -> None:
    with connect(started) as client:
        pids = running_tree(Workbench(started, client))
    name, folder = started._name, started.folder
    started.stop()
    assert alive(pids) == []
    assert marked(name) == []
    assert not folder.exists()


def test_an_emulator_that_is_stopped_while_tasks_run_has_no_trouble_to_tell_of(tmp_path: Path) -> None:
    with AzureBatchEmulator(tmp_path, boot_seconds=0.05) as emulator, connect(emulator) as client:
        bench = Workbench(emulator, client)
        job_id = bench.job(bench.pool(4, task_slots_per_node=8))
        tasks = [models.BatchTaskCreateOptions(id=f"t{number}", command_line="sleep 600") for number in range(32)]
        client.create_tasks(job_id, tasks)
        wait_for(lambda: len(marked(emulator._name)), lambda count: count == 32)
    assert emulator.log_file.read_text() == ""


def test_an_emulator_ends_with_its_parent_even_where_that_is_killed() -> None:
    script = """
import json, sys, time
from orchestrator.emulators.azure_batch import AzureBatchEmulator
emulator = AzureBatchEmulator(boot_seconds=0.05).start()
print(json.dumps([emulator.endpoint, emulator.key, emulator.pid, emulator._name, str(emulator.folder)]), flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    try:
        assert parent.stdout is not None
        endpoint, key, pid, name, folder = json.loads(parent.stdout.readline())
        emulator = AzureBatchEmulator(folder, key=key)
        emulator.endpoint = endpoint
        with connect(emulator) as client:
            pids = running_tree(Workbench(emulator, client))
        parent.kill()
        parent.wait()
        wait_for(lambda: alive([*pids, pid]), lambda left: left == [])
        wait_for(lambda: marked(name), lambda left: left == [])
        assert not Path(folder).exists()
    finally:
        parent.kill()
        parent.wait()


def test_an_emulator_whose_agent_is_killed_ends_with_its_tasks(started: AzureBatchEmulator) -> None:
    with connect(started) as client:
        pids = running_tree(Workbench(started, client))
    (agent,) = psutil.Process(started.pid).children()
    agent.kill()
    wait_for(lambda: alive([*pids, started.pid or 0]), lambda left: left == [])
    assert "agent" in started.log_file.read_text()


def test_a_scan_finds_what_carries_the_mark_or_one_below_and_nothing_else() -> None:
    name = new_name()

    def start(mark: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["sleep", "300"], env={**os.environ, MARK: mark})

    ours = [start(name), start(f"{name}/node/1"), start(f"{name}/node/12")]
    others = [start(f"{name}x/node/1"), start(new_name())]
    try:
        wait_for(lambda: set(marked(name)), lambda found: found == {each.pid for each in ours})
        wait_for(lambda: marked(f"{name}/node/1"), lambda found: found == [ours[1].pid])
        assert kill_marked(name) == []
        assert [each.wait() for each in ours] == [-signal.SIGKILL] * 3
        assert [each.poll() for each in others] == [None, None]
    finally:
        for each in (*ours, *others):
            each.kill()
            each.wait()


def test_one_scan_finds_what_carries_any_of_several_marks() -> None:
    names = [new_name() for _ in range(3)]
    started = [subprocess.Popen(["sleep", "300"], env={**os.environ, MARK: f"{name}/node/1"}) for name in names]
    try:
        wait_for(lambda: marked(names[0], f"{names[2]}/node"), lambda found: found == [started[0].pid, started[2].pid])
        assert kill_marked(names[0], names[2]) == []
        assert [started[0].wait(), started[2].wait()] == [-signal.SIGKILL] * 2
        assert started[1].poll() is None
    finally:
        for each in started:
            each.kill()
            each.wait()


def test_a_scan_that_takes_longer_than_the_kill_may_still_kills_what_it_found() -> None:
    name = new_name()
    started = subprocess.Popen(["sleep", "300"], env={**os.environ, MARK: name})
    try:
        wait_for(lambda: marked(name), bool)
        kill_marked(name, limit_seconds=0.0)
        assert started.wait(60) == -signal.SIGKILL
    finally:
        started.kill()
        started.wait()


class BareAgent:
    """An agent without an emulator: it is given orders, and its answers are read.

    ``prelude`` is Python that its process runs before; ``kill_marked`` there writes down each call's marks.
    """

    SCRIPT = """
import json, os, socket, sys
from orchestrator.emulators.azure_batch.agent import Agent
def kill_marked(*marks):
    with open(sys.argv[2], "a") as file:
        print(json.dumps(marks), file=file)
{prelude}
Agent(socket.socket(fileno=int(sys.argv[1])), "end", kill_marked, "label").serve()
"""

    def __init__(self, folder: Path, orders: list[dict[str, Any]], prelude: str = "") -> None:
        """``orders`` are there before the agent is, and so come to it together."""
        self._scans = folder / "scans"
        self._link, theirs = socket.socketpair()
        self._link.settimeout(WAIT_SECONDS)
        self.send(*orders)
        script = self.SCRIPT.format(prelude=prelude)
        command = [sys.executable, "-c", script, str(theirs.fileno()), str(self._scans)]
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        theirs.close()
        self._answers = self._link.makefile()

    def send(self, *orders: dict[str, Any]) -> None:
        self._link.sendall(b"".join(json.dumps(order).encode() + b"\n" for order in orders))

    def answers(self, count: int) -> list[dict[str, Any]]:
        return [json.loads(self._answers.readline()) for _ in range(count)]

    def end(self) -> list[list[str]]:
        """The marks of each scan that it made, the last being that of its end."""
        self._answers.close()
        self._link.close()
        assert self._process.wait(60) == 0
        return [json.loads(line) for line in self._scans.read_text().splitlines()]


def kill_order(number: int) -> dict[str, Any]:
    return {"op": "kill", "id": number, "signal": int(signal.SIGKILL), "mark": f"node/{number}"}


def run_order(folder: Path, number: int, *argv: str) -> dict[str, Any]:
    files = {"cwd": str(folder), "stdout": str(folder / "stdout"), "stderr": str(folder / "stderr")}
    return {"op": "run", "id": number, "argv": list(argv), "env": dict(os.environ), "keep": False, **files}


def test_kills_that_are_asked_for_together_take_one_scan_and_are_all_answered(tmp_path: Path) -> None:
    agent = BareAgent(tmp_path, [kill_order(number) for number in range(100)])
    assert agent.answers(100) == [{"event": "killed", "id": number} for number in range(100)]
    agent.send(kill_order(100))
    assert agent.answers(1) == [{"event": "killed", "id": 100}]
    assert agent.end() == [[f"node/{number}" for number in range(100)], ["node/100"], ["end"]]


def test_a_command_for_which_the_machine_has_no_room_fails_and_the_others_run(tmp_path: Path) -> None:
    prelude = """
fork = os.fork
def full():
    os.fork = fork
    raise BlockingIOError(11, "no more processes")
os.fork = full
"""
    agent = BareAgent(tmp_path, [run_order(tmp_path, 1, "true"), run_order(tmp_path, 2, "false")], prelude)
    failed, started, exited = agent.answers(3)
    assert (failed["event"], failed["id"], failed["missing"]) == ("failed", 1, False)
    assert "no more processes" in failed["reason"]
    assert (started["event"], started["id"]) == ("started", 2)
    assert (exited["event"], exited["id"], exited["code"]) == ("exited", 2, 1)
    agent.end()


def test_a_port_that_is_taken_is_said_and_nothing_is_left(started: AzureBatchEmulator) -> None:
    port = int(started.endpoint.rpartition(":")[2])
    second = AzureBatchEmulator(port=port)
    with pytest.raises(ServerFailed) as caught:
        second.start()
    assert "address already in use" in str(caught.value)
    with pytest.raises(RuntimeError):
        second.folder.exists()  # It is gone, and so is its name.


def test_a_setting_that_makes_no_sense_is_refused_before_anything_starts() -> None:
    with pytest.raises(ValueError, match="isolation must be one of process, docker"):
        AzureBatchEmulator(isolation="vm")
    with pytest.raises(TypeError):
        AzureBatchEmulator(colour="red")


def test_the_key_is_in_no_process_list(started: AzureBatchEmulator) -> None:
    for process in [psutil.Process(started.pid), *psutil.Process(started.pid).children(recursive=True)]:
        assert started.key not in " ".join(process.cmdline())


def test_in_the_foreground_it_says_where_it_listens_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "orchestrator.emulators.azure_batch", "--port", "0", "--folder", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        emulator = AzureBatchEmulator(tmp_path, account=told["account"], key=told["key"])
        emulator.endpoint = told["endpoint"]
        with connect(emulator) as client:
            pids = running_tree(Workbench(emulator, client))
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
        assert alive(pids) == []
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.wait()


def test_it_listens_on_loopback_only(started: AzureBatchEmulator) -> None:
    listening = {
        connection.laddr.ip
        for connection in psutil.Process(started.pid).net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_two_hundred_tasks_leave_no_descriptor_and_no_process_behind(own_bench: Any) -> None:
    bench: Workbench = own_bench()
    job_id = bench.job(bench.pool(4, task_slots_per_node=4))
    bench.run(job_id, "true")
    process = psutil.Process(bench.emulator.pid)
    before = process.num_fds()
    tasks = [models.BatchTaskCreateOptions(id=f"t{n}", command_line=shell("echo x")) for n in range(200)]
    bench.client.create_tasks(job_id, tasks)
    wait_for(lambda: bench.client.get_job_task_counts(job_id).task_counts.succeeded, lambda count: count == 201)
    assert process.num_fds() <= before + 5
    assert marked(bench.emulator._name) == []
