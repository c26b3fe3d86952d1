"""The runner as a program of its own, as containers run it: ``python3 runner.py`` with a store that is a folder."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.runner import runner
from orchestrator.storage import bundle
from orchestrator.storage.layout import RunKeys
from orchestrator.storage.local import LocalStore
from tests.unit.local.conftest import job, until

# Alone: copied to where nothing else of ours is.
PYTHONS = ["python3.6", "python3.8", "python3.13", sys.executable]
KEYS = RunKeys("run-1")


class Store:
    def __init__(self, root: Path) -> None:
        self.root = root / "store"
        self.runner = root / "alone" / "runner.py"
        self.runner.parent.mkdir()
        shutil.copy(runner.__file__, self.runner)
        self.scratch = root / "scratch"
        self.scratch.mkdir()

    def put(self, key: str, value: Any) -> None:
        LocalStore(self.root).put(key, json.dumps(value).encode())

    def start(
        self, document: dict[str, Any], *arguments: str, attempt: int = 1, python: str = sys.executable
    ) -> subprocess.Popen[str]:
        self.put(KEYS.job, document)
        task = self.scratch.parent / "task.json"
        task.write_text(json.dumps({"name": "t", "trial": 3, "attempt": attempt, "params": {"x": "a b"}}))
        chosen = arguments or ("--task", str(task))
        place = ["--store", str(self.root), "--scratch", str(self.scratch), "--heartbeat", "0.1"]
        return subprocess.Popen(
            [python, "-S", str(self.runner), *place, "--job", KEYS.job, *chosen],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": ""},
        )

    def run(self, document: dict[str, Any], *arguments: str, attempt: int = 1, python: str = sys.executable) -> int:
        process = self.start(document, *arguments, attempt=attempt, python=python)
        self.stderr = process.communicate(timeout=60)[1]
        assert "Traceback" not in self.stderr
        assert list(self.scratch.iterdir()) == []
        return process.returncode

    def path(self, name: str, trial: int = 3, attempt: int = 1) -> Path:
        return self.root / KEYS.attempt(trial, attempt) / name

    def result(self, trial: int = 3, attempt: int = 1) -> dict[str, Any]:
        return dict(json.loads(self.path("result.json", trial, attempt).read_text()))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def installed(name: str) -> str | None:
    """An interpreter of this version that really starts (a version manager's stand-in may not)."""
    path = shutil.which(name)
    versions = Path(os.environ.get("PYENV_ROOT", "/nowhere"), "versions")
    wanted = name.removeprefix("python")
    for candidate in [*versions.glob(f"{wanted}*/bin/python3"), *([Path(path)] if path else [])]:
        if subprocess.run([str(candidate), "-c", ""], capture_output=True).returncode == 0:
            return str(candidate)
    return None


@pytest.mark.parametrize("name", PYTHONS)
def test_it_runs_a_task_alone_on_each_python(store: Store, tmp_path: Path, name: str) -> None:
    python = installed(name) if "/" not in name else name
    if python is None:
        pytest.skip(f"there is no {name} here")
    source = tmp_path / "source"
    source.mkdir()
    (source / "train.py").write_text(
        "import json, os, sys\nfrom orchestrator import report\n"
        "report(step=1, loss=0.5)\nprint('acc=0.25', sys.argv[1], open('data/a').read())\n"
        "os.mkdir('model')\nopen('model/w', 'w').write('w')\n"
        "assert json.load(open(os.environ['ORCHESTRATE_PARAMS'])) == {'x': 'a b'}\n"
    )
    scanned = bundle.scan(source)
    bundle.upload(LocalStore(store.root), scanned)
    data = tmp_path / "data"
    data.mkdir()
    (data / "a").write_text("A\u00e4")
    document = job(
        "run-1",
        f"{python} -S train.py {{x}}",
        code={"digest": scanned.digest},
        inputs=[{"from": [str(data)], "to": ["data"]}],
        outputs=[["model/"]],
        metrics={"acc": r"acc=(\S+)"},
        env={"PYTHONIOENCODING": ["utf-8"], "PYTHONUTF8": ["1"]},
    )
    assert store.run(document, python=python) == 0, store.stderr
    result = store.result()
    assert result["cause"] is None
    assert result["outputs"] == ["model/w"]
    assert {name: summary["last"] for name, summary in result["metrics"].items()} == {"acc": 0.25, "loss": 0.5}
    assert store.path("outputs/model/w").read_text() == "w"
    assert store.path("stdout.txt").read_text() == "acc=0.25 a b A\u00e4\n"
    assert store.path("stderr.txt").read_text() == ""
    assert store.path("params.json").exists()
    assert len(store.path("metrics.jsonl").read_text().splitlines()) == 2


def test_the_exit_code_is_the_programs_own(store: Store) -> None:
    assert store.run(job("run-1", "echo no >&2; exit 7")) == 7
    assert store.result()["exit_code"] == 7
    assert "exit code 7" in store.stderr
    assert store.run(job("run-1", "kill -9 $$")) == 128 + 9


def test_a_task_is_found_by_its_index(store: Store) -> None:
    tasks = [{"name": f"t{n}", "trial": n, "attempt": 1, "params": {"x": n}} for n in range(3)]
    LocalStore(store.root).put("runs/run-1/tasks.jsonl", "\n".join(map(json.dumps, tasks)).encode())
    assert store.run(job("run-1", "echo {x}"), "--tasks", "runs/run-1/tasks.jsonl", "--index", "2") == 0
    assert store.path("stdout.txt", trial=2).read_text() == "2\n"
    assert store.run(job("run-1", "echo {x}"), "--tasks", "runs/run-1/tasks.jsonl", "--index", "3") == runner.NOT_STORED
    assert "there is no task 3" in store.stderr


def test_logs_and_heartbeats_are_stored_while_the_program_runs(store: Store, tmp_path: Path) -> None:
    wait = tmp_path / "wait"
    wait.touch()
    process = store.start(job("run-1", f"echo first; while [ -e {wait} ]; do sleep 0.01; done; echo second"))
    log = store.path("stdout.txt")
    until(lambda: log.exists() and log.read_text() == "first\n")
    beat = store.path("heartbeat.json")
    until(beat.exists)
    first = json.loads(beat.read_text())["at"]
    until(lambda: json.loads(beat.read_text())["at"] > first)
    assert not store.path("result.json").exists()
    wait.unlink()
    assert process.wait(60) == 0
    assert process.stderr is not None
    process.stderr.close()
    assert log.read_text() == "first\nsecond\n"


def test_sigterm_is_passed_on_and_everything_is_stored(store: Store) -> None:
    command = "trap 'echo saved > model; exit 0' TERM; echo ready; while :; do sleep 0.01; done"
    process = store.start(job("run-1", command, outputs=[["model"]]))
    until(lambda: store.path("stdout.txt").exists() and store.path("stdout.txt").read_text() == "ready\n")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    result = store.result()
    assert (result["cause"], result["outputs"]) == ("preempted", ["model"])
    assert store.path("outputs/model").read_text() == "saved\n"


def test_a_checkpoint_lasts_from_attempt_to_attempt(store: Store) -> None:
    document = job("run-1", "cat ckpt/n; echo $ORCHESTRATE_ATTEMPT >> ckpt/n", checkpoint="ckpt")
    store.run(document)
    store.run(document, attempt=2)
    assert store.path("stdout.txt", attempt=2).read_text() == "1\n"


def test_what_the_code_has_in_its_checkpoint_folder_is_where_the_first_attempt_starts(
    store: Store, tmp_path: Path
) -> None:
    (tmp_path / "source" / "ckpt").mkdir(parents=True)
    (tmp_path / "source" / "ckpt" / "n").write_text("pretrained\n")
    scanned = bundle.scan(tmp_path / "source")
    bundle.upload(LocalStore(store.root), scanned)
    command = "cat ckpt/n; echo $ORCHESTRATE_ATTEMPT > ckpt/n"
    document = job("run-1", command, checkpoint="ckpt", code={"digest": scanned.digest})
    store.run(document)
    store.run(document, attempt=2)
    assert store.path("stdout.txt", attempt=1).read_text() == "pretrained\n"
    assert store.path("stdout.txt", attempt=2).read_text() == "1\n"


def test_nothing_that_the_program_started_outlives_the_runner(store: Store, tmp_path: Path) -> None:
    daemon = "import os,sys,time\nif os.fork(): time.sleep(0.2); sys.exit()\nos.setsid()\nif os.fork(): os._exit(0)\n"
    daemon += f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
    daemon += "os.execve('/bin/sleep', ['sleep', '1000'], {})"
    assert store.run(job("run-1", [sys.executable, "-I", "-S", "-c", daemon])) == 0
    assert not Path("/proc", (tmp_path / "pid").read_text()).exists()


@pytest.mark.parametrize("missing", ["job", "bundle", "task"])
def test_what_is_missing_in_the_store_is_said_in_one_line(store: Store, missing: str) -> None:
    document = job("run-1", "true", code={"digest": "0" * 64} if missing == "bundle" else None)
    if missing == "bundle":
        assert store.run(document) == runner.OTHERWISE
        assert store.result()["cause"] == "infrastructure"
    elif missing == "task":
        assert store.run(document, "--task", "/no/such/task.json") == runner.NOT_STORED
    else:
        assert store.run(document, "--task", "/dev/null") == runner.NOT_STORED
    assert len(store.stderr.splitlines()) == 1
