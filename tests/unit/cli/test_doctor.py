"""``orchestrate doctor``."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.cli import doctor
from orchestrator.storage.layout import Home
from tests.unit.cli.conftest import Output

Orchestrate = Callable[..., Output]
CHECKS = ["python", "home", "disk", "cores", "memory", "gpus", "clock", "sqlite", "files", "git", "docker"]


def test_every_check_has_a_status_and_what_is_not_well_says_what_to_do(orchestrate: Orchestrate) -> None:
    answer = orchestrate("doctor", "--json")
    checks = [json.loads(line) for line in answer.out.splitlines()]
    assert [check["check"] for check in checks] == CHECKS
    for check in checks:
        assert check["status"] in ("ok", "warn", "fail")
        assert check["detail"]
        assert bool(check["remedy"]) == (check["status"] != "ok")


def test_looking_makes_nothing(orchestrate: Orchestrate, home: Home) -> None:
    assert "python" in orchestrate("doctor").out
    assert not home.path.exists()


def test_a_home_that_cannot_be_written_fails(orchestrate: Orchestrate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATE_HOME", "/proc/orchestrate")
    answer = orchestrate("doctor", "--json")
    (found,) = [check for check in map(json.loads, answer.out.splitlines()) if check["check"] == "home"]
    assert (answer.code, found["status"]) == (3, "fail")
    assert "ORCHESTRATE_HOME" in found["remedy"]


def test_the_kind_of_a_file_system_is_that_of_the_nearest_mount() -> None:
    assert doctor.file_system(Path("/proc/self")) == "proc"
    assert doctor.nearest(Path("/proc/no/such/folder")) == Path("/proc")


def test_a_clock_before_the_program_was_made_fails(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = {look(home).name: look for look in doctor.CHECKS}
    assert checks["clock"](home).status == "ok"
    monkeypatch.setattr(doctor.time, "time", lambda: 0.0)
    assert checks["clock"](home).status == "fail"


def test_docker_that_does_not_answer_is_a_warning(home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "docker"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    checks = {look(home).name: look for look in doctor.CHECKS}
    assert checks["docker"](home).status == "warn"
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert checks["docker"](home).status == "ok"
