"""The entry: help, errors, exit codes."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import click
import pytest

from orchestrator.cli.main import COMMANDS
from orchestrator.errors import MachineError
from orchestrator.storage.layout import Home
from orchestrator.version import __version__
from tests.unit.cli.conftest import HandMade, Output

Orchestrate = Callable[..., Output]

HEAVY = ("pydantic", "rich.console", "yaml", "numpy", "sqlite3", "orchestrator.engine", "orchestrator.spec")


def test_help_names_every_command_and_imports_nothing_that_it_does_not_need() -> None:
    program = (
        "import sys; from orchestrator.cli.main import main; code = main(['--help']);"
        f"print([name for name in {HEAVY!r} if name in sys.modules], code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    for name, text in COMMANDS.items():
        assert f"  {name}" in done.stdout
        assert text in done.stdout
    assert done.stdout.splitlines()[-1] == "[] 0"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(orchestrate: Orchestrate, name: str) -> None:
    command = import_module(f"orchestrator.cli.{name}").command
    assert isinstance(command, click.Command)
    shown = orchestrate(name, "--help")
    assert shown.code == 0
    assert f"orchestrate {name}" in shown.out
    assert all(parameter.help for parameter in command.params if isinstance(parameter, click.Option))


def test_version_is_one_line(orchestrate: Orchestrate) -> None:
    assert orchestrate("--version").out == f"orchestrate {__version__}\n"


def test_a_misspelt_command_is_answered_with_the_nearest(orchestrate: Orchestrate) -> None:
    answer = orchestrate("sattus")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: There is no command 'sattus'. Did you mean 'status'?")


def test_a_misspelt_option_is_an_error_of_the_input(orchestrate: Orchestrate) -> None:
    answer = orchestrate("status", "--jsno")
    assert (answer.code, answer.out) == (2, "")
    assert "--json" in answer.err


def test_a_run_that_is_not_there_is_an_error_of_the_input(orchestrate: Orchestrate, home: Home) -> None:
    for command in ("results", "logs", "cancel", "resume", "status"):
        answer = orchestrate(command, "nothing")
        assert (answer.code, answer.out) == (2, "")
        assert "There is no run 'nothing'" in answer.err
    assert not home.path.exists()


class Broken(click.Command):
    """A command that ends in an error of the test's choice."""

    def __init__(self, error: BaseException) -> None:
        super().__init__("broken")
        self._error = error

    def invoke(self, ctx: click.Context) -> None:
        raise self._error


def broken(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    monkeypatch.setattr("orchestrator.cli.main.Commands.get_command", lambda *_: Broken(error))


def test_an_error_of_ours_is_its_sentence_and_its_remedy(
    orchestrate: Orchestrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch, MachineError("The disk is full.", remedy="Free some."))
    answer = orchestrate("gc")
    assert (answer.code, answer.out, answer.err) == (3, "", "error: The disk is full.\n  Free some.\n")


def test_a_bug_is_one_sentence_and_its_traceback_is_kept(
    orchestrate: Orchestrate, monkeypatch: pytest.MonkeyPatch, home: Home
) -> None:
    broken(monkeypatch, KeyError("x"))
    answer = orchestrate("gc")
    assert answer.code == 3
    assert "This is a bug in orchestrate" in answer.err
    assert "Traceback" not in answer.err
    assert str(home.path / "error.log") in answer.err
    assert "Traceback" in (home.path / "error.log").read_text()


def test_debug_shows_the_traceback(orchestrate: Orchestrate, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch, KeyError("x"))
    assert "Traceback" in orchestrate("--debug", "gc").err
    monkeypatch.undo()


def test_debug_may_stand_behind_the_command(orchestrate: Orchestrate) -> None:
    assert "Traceback" in orchestrate("status", "nothing", "--debug").err


def test_what_the_system_refuses_is_no_bug(orchestrate: Orchestrate, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch, PermissionError(13, "Permission denied", "/root/x"))
    answer = orchestrate("gc")
    assert answer.code == 3
    assert "This machine failed us: Permission denied: /root/x" in answer.err
    assert "bug" not in answer.err


def test_ctrl_c_is_130_without_a_traceback(orchestrate: Orchestrate, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch, KeyboardInterrupt())
    answer = orchestrate("gc")
    assert answer.code == 130
    assert "Traceback" not in answer.err


def test_a_reader_that_leaves_early_is_no_error(make_run: Callable[..., HandMade], home: Home) -> None:
    run = make_run(total=3000)
    for trial in range(3000):
        run.trial(trial, acc=0.5)
    run.end()
    command = f"{sys.executable} -m orchestrator results {run.run} --json | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, env=os.environ)
    first, code = done.stdout.splitlines()
    assert first.startswith('{"trial": 0')
    assert (code, done.stderr) == ("0", "")


def test_without_standard_streams_it_works_all_the_same(make_run: Callable[..., HandMade], home: Home) -> None:
    make_run().end()
    command = shlex.join([sys.executable, "-m", "orchestrator", "status"])
    closed = ["sh", "-c", f"{command} <&- >&- 2>&-"]
    assert subprocess.run(closed, env={**os.environ, "ORCHESTRATE_HOME": str(home.path)}, check=False).returncode == 0


def test_completion_scripts_are_what_each_shell_can_read(orchestrate: Orchestrate) -> None:
    for shell in ("bash", "zsh", "fish"):
        script = orchestrate("completion", shell)
        assert script.code == 0
        assert "_ORCHESTRATE_COMPLETE" in script.out
    assert orchestrate("completion", "powershell").code == 2


def completed(words: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator"],
        env={
            **os.environ,
            "_ORCHESTRATE_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_the_shell_completes_commands_providers_and_the_ids_of_runs(make_run: Callable[..., HandMade]) -> None:
    first, second = make_run("demo-260101-000000-aaaa"), make_run("demo-260101-000001-bbbb")
    assert completed("orchestrate sta") == ["status"]
    assert completed("orchestrate logs demo") == [second.run, first.run]
    assert completed(f"orchestrate status {first.run[:-2]}") == [first.run]
    assert completed("orchestrate run --provider a") == ["azure", "aws"]


def test_the_schema_is_json(orchestrate: Orchestrate) -> None:
    import json

    assert json.loads(orchestrate("schema").out)["properties"]["workload"]


def test_init_writes_what_plans_as_it_is_and_overwrites_nothing(orchestrate: Orchestrate, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    assert orchestrate("init", str(folder)).code == 0
    assert orchestrate("plan", str(folder / "sweep.yaml")).code == 0
    before = (folder / "sweep.yaml").read_text()
    again = orchestrate("init", str(folder))
    assert (again.code, again.out) == (2, "")
    assert "exists already" in again.err
    assert (folder / "sweep.yaml").read_text() == before
