"""Parameters reach the program as they are; no value becomes shell syntax."""

from __future__ import annotations

import json
import sys

from tests.e2e.conftest import Shell

NASTY = [
    "plain",
    "two words",
    "it's",
    'say "hi"',
    "$(touch CANARY)",
    "`touch CANARY`",
    "; touch CANARY #",
    "a\nb",
    "\\",
    "--help",
    "*",
    "~",
    "ünïcödé 字 🙂",
    "{x}",
    "${HOME}",
    "!!",
    "",
    " leading and trailing ",
    "&& touch CANARY",
    "\t",
]
TELL = "import json, os, sys; print(json.dumps([sys.argv[1:], json.load(open(os.environ['ORCHESTRATE_PARAMS']))]))"


def test_every_value_arrives_as_it_is_by_argument_and_by_file(shell: Shell) -> None:
    (shell.folder / "tell.py").write_text(TELL)
    (shell.folder / "code").mkdir()
    for name, command in (
        ("shell", f"{sys.executable} {shell.folder}/tell.py {{text}} pre{{text}}post"),
        ("words", [sys.executable, f"{shell.folder}/tell.py", "{text}", "pre{text}post"]),
    ):
        spec = shell.spec(f"{name}.yaml", workload={"command": command}, parameters={"text": {"choice": NASTY}})
        done = shell("run", spec, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        said = dict(line.split(" ", 1) for line in shell("logs", "last").stdout.splitlines())
        for trial, text in enumerate(NASTY):
            assert json.loads(said[f"[{trial}]"]) == [[text, f"pre{text}post"], {"text": text}]
    assert not list(shell.folder.rglob("CANARY"))
    shown = shell("results", "last")
    assert shown.returncode == 0
    assert len(shown.stdout.splitlines()) == len(NASTY) + 1
