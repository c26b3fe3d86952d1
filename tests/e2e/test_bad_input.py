"""A mistake is one clear error with its place; nothing is started and nothing is written."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Shell

BAD = """\
name: demo
workload:
  comand: echo {lr}
parameters:
  lr: {lognormal_uniform: [1, 2]}
limits: {parallel: many}
"""


@pytest.mark.parametrize("command", ["run", "plan"])
def test_every_mistake_of_a_spec_is_told_with_its_place(shell: Shell, command: str) -> None:
    (shell.folder / "bad.yaml").write_text(BAD)
    done = shell(command, "bad.yaml", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    for place in ("bad.yaml:3:3: error: ", "bad.yaml:5:", "bad.yaml:6:"):
        assert place in done.stderr
    assert "did you mean 'loguniform'?" in done.stderr
    assert "'comand'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not shell.home.exists()


def test_a_file_that_is_not_there_is_answered_with_the_nearest(shell: Shell) -> None:
    shell.sweep(2)
    done = shell("run", "swep.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert "sweep.yaml" in done.stderr
    assert not shell.home.exists()


def test_an_override_that_is_wrong_is_named(shell: Shell) -> None:
    done = shell("run", shell.sweep(2), "--set", "limits.paralel=2")
    assert done.returncode == 2
    assert "--set limits.paralel=2" in done.stderr
    assert "parallel" in done.stderr
    assert not shell.home.exists()


def test_a_provider_that_is_not_there_is_refused(shell: Shell) -> None:
    done = shell("run", shell.sweep(2), "--provider", "locl")
    assert done.returncode == 2
    assert "Did you mean 'local'?" in done.stderr
    assert not shell.home.exists()


def test_a_missing_secret_is_refused_before_anything_is_kept(shell: Shell) -> None:
    spec = shell.spec(workload={"command": "true", "secrets": ["NO_SUCH_TOKEN"]})
    done = shell("run", spec)
    assert done.returncode == 2
    assert "NO_SUCH_TOKEN" in done.stderr
    assert not shell.home.exists()


def test_what_may_cost_money_is_not_started_where_nobody_can_be_asked(shell: Shell) -> None:
    spec = shell.spec(workload={"command": "true"}, pool={"price": 3.0})
    done = shell("run", spec)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--yes" in done.stderr
    assert not shell.home.exists()
    assert shell("run", spec, "--yes").returncode == 0


def test_a_home_that_is_a_file_is_one_sentence(shell: Shell) -> None:
    shell.home.write_text("no folder")
    done = shell("run", shell.sweep(2))
    assert done.returncode == 3
    assert done.stderr.splitlines()[-2 if done.stderr.splitlines()[-1].startswith("  ") else -1].startswith("error: ")
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr


def test_a_command_that_cannot_start_ends_the_run(shell: Shell) -> None:
    spec = shell.spec(workload={"command": ["no-such-program"]}, parameters={"x": {"range": [0, 50]}})
    done = shell("run", spec)
    assert done.returncode == 1
    assert "no-such-program" in done.stdout
    assert len(list(shell.home.rglob("result.json"))) < 25
