"""What a trial finds, what it leaves, and what is said of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.providers.base import Cause, Machine, PoolRequest
from orchestrator.providers.local import LocalCompute
from orchestrator.storage.layout import Home
from tests.unit.local.conftest import Pool, job, name_of, until

PYTHON = [sys.executable, "-I", "-S", "-c"]

HOSTILE = [
    "a b",
    "",
    "it's",
    'say "hi"',
    "$(touch /tmp/orchestrate-injected)",
    "`id`",
    "a;b|c&d>e<f",
    "line\nbreak\ttab",
    "ünï-漢字-🚀",
    "*",
    "~",
    "-n",
    "\\",
    "${HOME}",
    "!x",
    "#x",
    "{x}",
    "%s",
    "a\\nb",
]


def test_a_trial_that_succeeds_leaves_its_files_and_says_so(pool: Pool) -> None:
    result = pool.start("echo out; echo err >&2").one({"a": [1, None]})
    assert (result["cause"], result["reason"], result["exit_code"], result["signal"]) == (None, "", 0, None)
    assert (result["run"], result["trial"], result["attempt"], result["name"]) == ("run-1", 0, 1, name_of(0))
    assert result["started"] <= result["finished"]
    assert result["seconds"] >= 0
    assert result["peak_memory"] > 0
    assert json.loads(pool.text("result.json")) == result
    assert json.loads(pool.text("params.json")) == {"x": {"a": [1, None]}}
    assert (pool.text("stdout.txt"), pool.text("stderr.txt")) == ("out\n", "err\n")
    assert sorted(os.listdir(pool.folder())) == ["params.json", "result.json", "stderr.txt", "stdout.txt"]


def test_the_program_finds_its_variables_and_an_empty_working_directory(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_THE_CALLER", "kept")
    monkeypatch.setenv("PYTHONPATH", "/some/where")
    pool.start([*PYTHON, "import os,json; print(json.dumps([dict(os.environ), os.getcwd(), os.listdir('.')]))"],
               env={"GREETING": ["hello ", {"name": "x"}, "/", {"name": "trial"}]})  # fmt: skip
    pool.one("w o")
    env, folder, files = json.loads(pool.text("stdout.txt"))
    assert env["OF_THE_CALLER"] == "kept"
    assert env["GREETING"] == "hello w o/0"
    assert env["PARAM_x"] == "w o"
    assert (env["ORCHESTRATE_RUN"], env["ORCHESTRATE_TRIAL"], env["ORCHESTRATE_ATTEMPT"]) == ("run-1", "0", "1")
    assert env["ORCHESTRATE_PARAMS"] == str(pool.folder() / "params.json")
    assert env["PYTHONPATH"].startswith("/some/where:")
    assert "ORCHESTRATE_CHECKPOINT" not in env
    assert Path(folder).parent == pool.folder()
    assert files == []


@pytest.mark.parametrize("command", ["printf %s {x} | cat", [*PYTHON, "import sys; print(sys.argv[1], end='')", "{x}"]])
def test_a_value_is_one_word_of_the_command_whatever_it_holds(pool: Pool, command: str | list[str]) -> None:
    pool.start(command).submit(*HOSTILE)
    pool.until_ended(len(HOSTILE))
    assert [pool.text("stdout.txt", trial) for trial in range(len(HOSTILE))] == HOSTILE
    assert not Path("/tmp/orchestrate-injected").exists()


def test_a_command_without_shell_syntax_gets_the_same_words_as_from_a_shell(pool: Pool) -> None:
    script = Path(shutil.which("env") or "")
    pool.start(f"{script} printf %s: --a={{x}} {{x}} b=c").submit(*HOSTILE)
    pool.until_ended(len(HOSTILE))
    for trial, value in enumerate(HOSTILE):
        assert pool.text("stdout.txt", trial) == f"--a={value}:{value}:b=c:"


def test_a_value_that_no_program_can_be_given_fails_the_trial_and_not_the_pool(pool: Pool) -> None:
    pool.start("echo {x}").submit("a\0b", "fine")
    pool.until_ended(2)
    assert pool.how(0).cause is Cause.COMMAND
    assert "NUL" in pool.how(0).reason
    assert pool.how(1).cause is None


@pytest.mark.parametrize(
    ("command", "cause", "code", "number", "words"),
    [
        ("exit 3", Cause.EXIT_CODE, 3, None, "exit code 3"),
        ("kill -SEGV $$", Cause.EXIT_CODE, None, 11, "SIGSEGV"),
        ("kill -KILL $$", Cause.EXIT_CODE, None, 9, "killed by SIGKILL: out of memory?"),
        ("sh -c 'kill -9 $$'; exit $?", Cause.EXIT_CODE, 137, None, "killed by SIGKILL: out of memory?"),
        ("no-such-program --x", Cause.COMMAND, None, None, "'no-such-program' was not found"),
        ("no-such-program | cat; no-such-program", Cause.COMMAND, 127, None, "was not found"),
        ("./missing.sh", Cause.COMMAND, None, None, "./missing.sh"),
        (["/etc/passwd"], Cause.COMMAND, None, None, "Permission denied"),
        ("/etc/passwd || exit $?", Cause.COMMAND, 126, None, "cannot be executed"),
    ],
)
def test_how_a_command_failed_is_told_apart(
    pool: Pool, command: str | list[str], cause: Cause, code: int | None, number: int | None, words: str
) -> None:
    result = pool.start(command).one()
    assert (result["cause"], result["exit_code"], result["signal"]) == (cause, code, number)
    assert words in result["reason"]
    assert result["reason"].endswith(".")


def test_the_last_words_of_a_failed_program_are_in_its_result(pool: Pool) -> None:
    result = pool.start("seq 10000 >&2; printf 'it broke' >&2; exit 1").one()
    assert result["stderr_tail"].endswith("\n10000\nit broke")
    assert len(result["stderr_tail"]) <= 2000


def test_binary_and_a_gigabyte_of_output_are_kept_as_they_were_printed(pool: Pool) -> None:
    size = 1_000_000_000
    pool.start(f"head -c {size} /dev/zero; printf '\\377\\000\\376' >&2", metrics={"acc": r"acc=(\S+)"})
    result = pool.one()
    assert result["cause"] is None
    assert (pool.folder() / "stdout.txt").stat().st_size == size
    assert (pool.folder() / "stderr.txt").read_bytes() == b"\377\0\376"
    (pool.folder() / "stdout.txt").unlink()


def test_outputs_are_kept_also_when_the_trial_fails(pool: Pool) -> None:
    pool.start(
        "mkdir -p model/deep; echo w > model/deep/w; echo {x} > 'a [1].txt'; echo b > b.log; exit 1",
        outputs=[["model/"], ["a ", {"name": "x"}, ".txt"], ["*.png"]],
    )
    result = pool.one("[1]")
    assert result["cause"] == "exit-code"
    assert result["outputs"] == ["a [1].txt", "model/deep/w"]
    assert pool.text("outputs/model/deep/w") == "w\n"
    assert not (pool.folder() / "work").exists()


def test_a_pattern_that_nothing_matched_is_mentioned(pool: Pool) -> None:
    result = pool.start("echo x > a.txt", outputs=[["*.png"], ["*.txt"]]).one()
    assert (result["cause"], result["outputs"], result["missing_outputs"]) == (None, ["a.txt"], ["*.png"])


def test_no_output_leaves_the_tree_through_a_link(pool: Pool, tmp_path: Path) -> None:
    secret = tmp_path / "outside"
    secret.mkdir()
    (secret / "key").write_text("secret")
    pool.start(
        f"mkdir out; ln -s {secret} out/folder; ln -s {secret}/key out/file; ln -s ../../../../../../etc/passwd out/up;"
        " echo w > w; ln -s ../w out/inside; mkfifo out/pipe; ln -s nowhere out/broken",
        outputs=[["out/**"], ["out/folder/*"], ["../**"], ["/etc/passwd"]],
    )
    result = pool.one()
    assert result["outputs"] == ["out/inside"]
    assert pool.text("outputs/out/inside") == "w\n"
    assert len(result["skipped_outputs"]) == 7
    assert (secret / "key").read_text() == "secret"
    assert [path.name for path in (pool.folder() / "outputs").rglob("*") if path.is_symlink()] == []


def test_an_input_is_linked_and_stays_when_the_working_directory_goes(pool: Pool, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.csv").write_text("1,2")
    pool.start(
        "cat data/a.csv sub/one.csv",
        inputs=[
            {"from": [str(data)], "to": ["data"]},
            {"from": [f"{data}/", {"name": "x"}, ".csv"], "to": ["sub/one.csv"]},
        ],
    )
    pool.submit("a", "missing")
    pool.until_ended(2)
    assert pool.how(0).cause is None
    assert pool.text("stdout.txt") == "1,21,2"
    assert (data / "a.csv").read_text() == "1,2"
    assert pool.how(1).cause is Cause.COMMAND
    assert "missing.csv' does not exist" in pool.how(1).reason


@pytest.mark.parametrize("to", ["../out", "/tmp/out", ".", "data/inner"])
def test_an_input_is_never_put_outside_the_working_directory(pool: Pool, tmp_path: Path, to: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    pool.start("true", inputs=[{"from": [str(data)], "to": ["data"]}, {"from": [str(data)], "to": [to]}])
    assert pool.one()["cause"] == Cause.COMMAND
    assert list(data.iterdir()) == []


def test_an_input_of_the_store_is_put_together_from_its_manifest(pool: Pool, tmp_path: Path) -> None:
    from orchestrator.storage.inputs import upload
    from orchestrator.storage.local import LocalStore

    data = tmp_path / "data"
    (data / "deep").mkdir(parents=True)
    (data / "deep" / "a").write_text("A")
    (data / "tool").write_text("#!/bin/sh\necho tool")
    (data / "tool").chmod(0o755)
    stored = upload(LocalStore(pool.home.store), data)
    pool.start("cat data/deep/a; data/tool", inputs=[{"from": [stored.key], "to": ["data"]}])
    assert pool.one()["cause"] is None
    assert pool.text("stdout.txt") == "Atool\n"


def test_a_checkpoint_is_found_again_by_the_next_attempt(pool: Pool) -> None:
    pool.start(
        'cat ckpt/step 2>/dev/null; echo "$ORCHESTRATE_ATTEMPT" >> "$ORCHESTRATE_CHECKPOINT/step"; exit 1',
        checkpoint="ckpt",
        outputs=[["ckpt/"]],
    )
    pool.submit(0)
    pool.until_ended(1)
    pool.submit(0, attempt=2)
    ended = pool.until_ended(2)
    assert pool.text("stdout.txt", attempt=1) == ""
    assert pool.text("stdout.txt", attempt=2) == "1\n"
    assert pool.text("outputs/ckpt/step", attempt=2) == "1\n2\n"
    assert ended[name_of(0, 2)].result["outputs"] == ["ckpt/step"]  # type: ignore[index]


def test_secrets_reach_the_program_and_nothing_else(pool: Pool, tmp_path: Path) -> None:
    value = "s3cr3t-value-of-the-test"
    seen, wait = tmp_path / "seen", tmp_path / "wait"
    wait.touch()
    pool.start(
        f'printf %s "$TOKEN" > {seen}.part; mv {seen}.part {seen}; while [ -e {wait} ]; do sleep 0.01; done',
        secrets={"TOKEN": value},
    )
    pool.submit(0)
    until(seen.exists)
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert value.encode() not in process.read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
    wait.unlink()
    pool.until_ended()
    assert pool.how(0).cause is None
    assert seen.read_text() == value
    assert [p for p in pool.home.path.rglob("*") if p.is_file() and value.encode() in p.read_bytes()] == []
    assert value not in repr(pool.events)


def test_a_secret_that_the_program_printed_is_on_no_disk(pool: Pool) -> None:
    command = 'echo "loss=1 token $TOKEN"; echo "bad token $TOKEN" >&2; (sleep 0.1; printf %s "$TOKEN") & wait; exit 1'
    result = pool.start(command, secrets={"TOKEN": "s3cr3t"}, metrics={"loss": r"loss=(\S+)"}).one()
    assert result["stderr_tail"] == "bad token ***\n"
    assert (pool.text("stdout.txt"), pool.text("stderr.txt")) == ("loss=1 token ***\n***", "bad token ***\n")
    assert result["metrics"]["loss"]["last"] == 1
    assert [path for path in pool.home.path.rglob("*") if path.is_file() and b"s3cr3t" in path.read_bytes()] == []


def test_very_much_output_of_a_program_with_a_secret_is_kept_as_it_was_printed(pool: Pool) -> None:
    pool.start("head -c 20000000 /dev/zero; echo end >&2", secrets={"TOKEN": "s3cr3t"}).one()
    assert (pool.folder() / "stdout.txt").stat().st_size == 20_000_000
    assert pool.text("stderr.txt") == "end\n"


def test_a_secret_without_a_value_fails_the_trial(pool: Pool) -> None:
    pool.compute.create_pool(
        PoolRequest("run-1", job("run-1", "true", secrets=["NOWHERE"]), Machine(), 1, None, 0.0, 0.0)
    )
    assert "The secret NOWHERE has no value here." in pool.one()["reason"]


def test_logs_are_read_by_range_while_the_trial_runs_and_later(pool: Pool, tmp_path: Path) -> None:
    wait = tmp_path / "wait"
    wait.touch()
    pool.start(f"printf 0123456789; while [ -e {wait} ]; do sleep 0.01; done; printf end")
    name = pool.submit(0)[0]
    until(lambda: pool.compute.read_log("run-1", name, "stdout", 0, 100) == b"0123456789")
    assert pool.compute.read_log("run-1", name, "stdout", 4, 3) == b"456"
    assert pool.compute.read_log("run-1", name, "stdout", 10, 3) == b""
    wait.unlink()
    pool.until_ended()
    assert pool.compute.read_log("run-1", name, "stdout", 10, 100) == b"end"
    assert pool.compute.read_log("run-1", name, "stderr", 0, 100) == b""
    assert pool.compute.read_log("run-1", "unknown", "stdout", 0, 100) == b""
    assert LocalCompute(pool.home, "run-1").read_log("run-1", name, "stdout", 8, 3) == b"89e"


def test_a_task_and_a_result_may_be_longer_than_a_message(pool: Pool) -> None:
    value = "x" * 100_000
    pool.start(
        [*PYTHON, "import json,os,sys\nfor n in range(3000): open('f%d' % n + 'n' * 40, 'w')\n"
         "print(len(json.load(open(os.environ['ORCHESTRATE_PARAMS']))['x']))"],
        outputs=[["f*"]],
    )  # fmt: skip
    result = pool.one(value)
    assert pool.text("stdout.txt") == "100000\n"
    assert len(result["outputs"]) == 3000


def test_a_full_disk_fails_the_trial_and_not_the_pool(small_disk: Home) -> None:
    pool = Pool(small_disk)
    try:
        pool.start("if [ {x} = fill ]; then head -c 100000000 /dev/zero > big; fi", slots=1)
        pool.submit("fill", "not")
        pool.until_ended(2)
        assert (pool.how(0).cause, pool.how(0).exit_code) == (Cause.EXIT_CODE, 1)
        assert pool.how(1).cause is None
    finally:
        pool.compute.close()


def test_a_disk_that_the_logs_have_filled_is_said_to_be_full(small_disk: Home) -> None:
    pool = Pool(small_disk)
    try:
        pool.start("head -c 100000000 /dev/zero")
        event = pool.submit(0) and pool.until_ended()[name_of(0)]
        assert event.result is None
        assert pool.how(0).cause is Cause.INFRASTRUCTURE
        assert "No space left on device" in pool.how(0).reason
        pool.submit(0, first=1)
        pool.until_ended(2)
        assert pool.how(1).cause is Cause.INFRASTRUCTURE
        assert {e.name for e in pool.compute.changes("run-1", None, 0).events} == {name_of(0), name_of(1)}
    finally:
        pool.compute.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Home]:
    """A home on a disk of 4 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder)], capture_output=True)
    if mount.returncode:
        pytest.skip("a small disk can be mounted by root only")
    yield Home(folder / "home")
    subprocess.run(["umount", str(folder)], check=True)
