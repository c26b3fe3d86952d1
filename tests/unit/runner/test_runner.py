"""The pure parts of the runner: templates, metrics, output patterns, report()."""

from __future__ import annotations

import json
import math
import os
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.providers.base import Cause
from orchestrator.runner import runner
from orchestrator.storage.layout import RunKeys

# ------------------------------------------------------------------------------------------------------- report()


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "reports.jsonl"
    monkeypatch.setenv("ORCHESTRATE_METRICS", str(path))
    return path


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_report_is_one_line_of_strict_json(reports: Path) -> None:
    runner.report(step=np.int64(3), loss=np.float32(0.5), big=10**20, share=Fraction(1, 4), yes=True)
    runner.report(0.5, loss=math.nan, up=math.inf, down=-math.inf)
    runner.report(loss=1)
    first, second, third = lines(reports)
    assert isinstance(first.pop("at"), float)
    assert first == {"step": 3, "loss": 0.5, "big": 1e20, "share": 0.25, "yes": 1.0}
    assert {**second, "at": 0} == {"at": 0, "step": 0.5, "loss": "nan", "up": "inf", "down": "-inf"}
    assert third.keys() == {"at", "loss"}


@pytest.mark.parametrize(
    ("step", "metrics"),
    [
        (1, {}),
        (1, {"loss": "0.5"}),
        (1, {"loss": None}),
        (1, {"loss": [1, 2]}),
        (1, {"loss": np.array([1.0, 2.0])}),
        (1, {"loss": 1j}),
        (1, {"loss": 10**400}),
        (1, {"at": 1}),
        (1, {"n" * 300: 1}),
        ("1", {"loss": 1}),
        (math.nan, {"loss": 1}),
    ],
)
def test_what_is_no_number_is_refused_and_nothing_is_written(
    reports: Path, step: object, metrics: dict[str, object]
) -> None:
    with pytest.raises((TypeError, ValueError), match="report"):
        runner.report(step, **metrics)
    assert not reports.exists()


def test_outside_a_run_a_report_is_checked_and_goes_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORCHESTRATE_METRICS", raising=False)
    runner.report(loss=1)
    with pytest.raises(TypeError):
        runner.report(loss="x")


def test_reports_of_several_processes_do_not_mix(reports: Path) -> None:
    pids = []
    for number in range(4):
        pid = os.fork()
        if pid == 0:
            for step in range(200):
                runner.report(step=step, **{f"metric_of_process_{number}": step})
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
    assert len(lines(reports)) == 800


# ------------------------------------------------------------------------------------------------------ templates


def parts(text: str) -> list[str | dict[str, str]]:
    literal, *rest = text.split("{x}")
    found: list[str | dict[str, str]] = [literal]
    for piece in rest:
        found += [{"name": "x"}, piece]
    return found


def test_values_are_inserted_as_text_or_json() -> None:
    template = ["--a=", {"name": "a"}, " ", {"name": "trial"}]
    assert runner.render(template, {"a": "s p", "trial": 3}) == "--a=s p 3"
    assert runner.render(template, {"a": 1e-4, "trial": None}) == "--a=0.0001 null"
    assert runner.render(template, {"a": True, "trial": {"ä": [1]}}) == '--a=true {"ä": [1]}'
    with pytest.raises(KeyError):
        runner.render(template, {"a": 1})


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40))
def test_a_quoted_value_is_one_word_for_the_shell(value: str) -> None:
    command = runner.render(["printf %s ", *parts("{x}")], {"x": value}, runner.quote_word)
    assert subprocess.run(["/bin/sh", "-c", command], capture_output=True).stdout == value.encode()


@pytest.mark.parametrize(
    "command",
    [
        "cd x",
        "a | b",
        "a > b",
        "a; b",
        "a & b",
        "A=1 b",
        "echo $HOME",
        "a 'b'",
        "a *",
        "a ~",
        "a {b}",
        "a # b",
        "a\nb",
        "exit 3",
        "{x} a",
        "a `b`",
        "a \\b",
        "a ?",
        "a [b]",
        "! a",
        "",
    ],
)
def test_what_means_something_to_a_shell_is_left_to_it(command: str) -> None:
    assert runner.plain_words(parts(command), {"x": "ls"}) is None


def test_plain_words_are_those_that_a_shell_would_make() -> None:
    assert runner.plain_words(parts("python  train.py\t--lr={x} {x}{x} a=b "), {"x": "$(a) b"}) == [
        "python",
        "train.py",
        "--lr=$(a) b",
        "$(a) b$(a) b",
        "a=b",
    ]
    assert runner.plain_words(parts("python {x} end"), {"x": ""}) == ["python", "", "end"]


def test_keys_and_causes_are_those_of_the_library() -> None:
    keys = RunKeys("some-run")
    assert runner.attempt_key("some-run", 7, 2) == keys.attempt(7, 2)
    assert runner.checkpoint_key("some-run", 1234567) == keys.checkpoint(1234567)
    causes = {runner.EXIT_CODE, runner.TIMEOUT, runner.COMMAND, runner.CANCELLED, runner.PREEMPTED}
    assert causes | {runner.INFRASTRUCTURE} <= set(Cause)


# -------------------------------------------------------------------------------------------------------- metrics


def test_lines_are_whole_whatever_pieces_they_come_in(tmp_path: Path) -> None:
    path = tmp_path / "out"
    reader = runner.Lines(str(path))
    assert reader.read(100) == ([], True)
    found: list[str] = []
    text = "one\nzw\u00f6lf\rthree\r\nfour".encode() + b"\xff\xfe\n" + b"last"
    with path.open("ab", buffering=0) as file:
        for byte in text:
            file.write(bytes([byte]))
            found += reader.read(100)[0]
    found += reader.last()
    reader.close()
    assert [line for line in found if line] == ["one", "zwölf", "three", "four\ufffd\ufffd", "last"]


def test_a_line_without_an_end_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"start " + b"x" * (5 << 20) + b"\nnext\n")
    reader = runner.Lines(str(path))
    found: list[str] = []
    complete = False
    while not complete:
        some, complete = reader.read(1 << 20)
        found += some
        assert len(reader._rest) <= runner.LINE_LIMIT + (1 << 20)
    reader.close()
    whole = [line for line in found if line]
    assert [line[:6] for line in whole] == ["start ", "next"]
    assert len(whole[0]) == runner.LINE_LIMIT
    assert reader.cut == 1


def gathered(folder: Path, patterns: dict[str, str]) -> runner.Metrics:
    metrics = runner.Metrics(str(folder), patterns)
    while not metrics.read()[1]:
        pass
    metrics.finish()
    return metrics


def test_patterns_find_numbers_in_the_output(tmp_path: Path) -> None:
    (tmp_path / "stdout.txt").write_text(
        "loss=0.5, acc: 93\rloss=1e-3; loss=nan\nloss=-inf\nloss=fast\nno loss here\nacc: 94"
    )
    metrics = gathered(tmp_path, {"loss": r"loss=(\S+)", "acc": r"(?<=acc: )\d+"})
    assert metrics.summary() == {
        "loss": {"last": "-inf", "min": "-inf", "max": 0.5, "step": None, "count": 4},
        "acc": {"last": 94.0, "min": 93.0, "max": 94.0, "step": None, "count": 2},
    }
    assert metrics.unread == 1
    assert "loss=fast" in metrics.notes()[0]
    written = lines(tmp_path / "metrics.jsonl")
    assert [line["loss"] for line in written if "loss" in line] == [0.5, 0.001, "nan", "-inf"]
    assert all(line.keys() >= {"at", "step"} for line in written)


def test_a_pattern_finds_the_step_too(tmp_path: Path) -> None:
    (tmp_path / "stdout.txt").write_text("epoch 1: err 0.5, late\nepoch 2: err 0.25\nepoch inf: err 0.1\n")
    metrics = gathered(tmp_path, {"err": r"epoch (?P<step>\S+) err (?P<value>\S+)"})
    written = lines(tmp_path / "metrics.jsonl")
    assert [(line["step"], line["err"]) for line in written] == [(1.0, 0.5), (2.0, 0.25)]
    assert metrics.unread == 1


def test_bad_lines_of_reports_are_counted_and_the_good_are_kept(tmp_path: Path) -> None:
    (tmp_path / "reports.jsonl").write_text(
        "\n".join(
            [
                '{"step": 1, "loss": 1}',
                "not json",
                "[1]",
                '{"loss": "high"}',
                '{"loss": null, "acc": 0.5}',
                '{"step": "one", "loss": 1}',
                '{"loss": {"deep": 1}}',
                '{"step": NaN, "loss": 1}',
                "[" * 100_000,
                '{"loss": NaN}',
                "{}",
                '{"step": 2, "loss": 3}',
            ]
        )
    )
    metrics = gathered(tmp_path, {})
    assert metrics.unread == 8
    assert metrics.summary()["loss"] == {"last": 3.0, "min": 1.0, "max": 3.0, "step": 2.0, "count": 3}
    assert metrics.summary()["acc"]["count"] == 1
    assert len(lines(tmp_path / "metrics.jsonl")) == 4


@pytest.mark.parametrize("patterns", [{"a": "("}, {"step": "x"}, {"at": "x"}])
def test_a_pattern_that_cannot_be_is_a_fault_of_the_command(tmp_path: Path, patterns: dict[str, str]) -> None:
    with pytest.raises(runner.Failure) as failure:
        runner.Metrics(str(tmp_path), patterns)
    assert failure.value.cause == runner.COMMAND


# -------------------------------------------------------------------------------------------------------- outputs


@pytest.mark.parametrize(
    ("patterns", "kept"),
    [
        (["*.png"], ["a.png"]),
        (["**/*.png"], ["a.png", "model/b.png", "model/deep/c.png"]),
        (["**"], ["a.png", "model/.hidden", "model/b.png", "model/deep/c.png", "x[1].txt"]),
        (["model"], ["model/.hidden", "model/b.png", "model/deep/c.png"]),
        (["model/"], ["model/.hidden", "model/b.png", "model/deep/c.png"]),
        (["./model/*.png"], ["model/b.png"]),
        (["model/**"], ["model/b.png", "model/deep/c.png"]),
        (["*/deep"], ["model/deep/c.png"]),
        (["m?del/b.*", "a.png", "**/b.png"], ["a.png", "model/b.png"]),
        ([".*"], [".dot"]),
        (["x[[]1].txt"], ["x[1].txt"]),
        (["nothing", "a.png/deep", "*.gif"], []),
    ],
)
def test_patterns_match_as_a_shell_would(tmp_path: Path, patterns: list[str], kept: list[str]) -> None:
    work = tmp_path / "work"
    (work / "model" / "deep").mkdir(parents=True)
    (work / "empty").mkdir()
    for name in ("a.png", "model/b.png", "model/deep/c.png", "model/.hidden", ".dot", "x[1].txt"):
        (work / name).write_text(name)
    outputs = runner.Outputs(str(work), str(tmp_path / "outputs"))
    assert outputs.collect(patterns) == kept
    for name in kept:
        assert (tmp_path / "outputs" / name).read_text() == name
    assert outputs.missing == (patterns if not kept else [])


def test_a_tree_is_removed_whatever_its_modes_and_links(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    root = tmp_path / "root"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "file").touch()
    (root / "link").symlink_to(outside)
    (root / "a" / "b").chmod(0o000)
    (root / "a").chmod(0o500)
    runner.remove_tree(str(root))
    runner.remove_tree(str(root))
    assert not root.exists()
    assert (outside / "kept").exists()


class Unwatched(runner.Wake):
    def __init__(self) -> None: ...

    def watch(self, fd: int, events: int) -> None: ...

    def forget(self, fd: int) -> None: ...


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000])
def test_a_secret_is_blackened_whatever_pieces_it_comes_in(tmp_path: Path, size: int) -> None:
    printed = b"token=abcabd! abcabcabd abcab abcabd1234 abca\n\xff\0abcabdabcabd1234abc"
    stream = runner.Concealed(str(tmp_path / "out"), [b"abcabd", b"abcabd1234"], Unwatched())
    for at in range(0, len(printed), size):
        os.write(stream.program, printed[at : at + size])
        while stream.pump():
            pass
        assert b"abcabd" not in (tmp_path / "out").read_bytes()
    os.close(stream.program)
    stream.close()
    stream.close()
    assert (tmp_path / "out").read_bytes() == b"token=***! abc*** abcab *** abca\n\xff\0******abc"


def test_a_disk_that_takes_no_output_does_not_stop_its_program() -> None:
    stream = runner.Concealed("/dev/full", [b"s3cr3t"], Unwatched())
    os.write(stream.program, b"x" * 1000)
    assert stream.pump()
    os.write(stream.program, b"more")
    assert stream.pump()
    os.close(stream.program)
    stream.close()
    assert stream.error is not None
