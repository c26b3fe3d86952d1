"""What all programs share: a checkpoint survives any moment, a card says what was trained, errors are one sentence."""

import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from trial import BadInput, Checkpoint, hash_arrays, run_program, settings_of, training_parser, write_card
from trial.arrays import read_npz
from trial.checkpoint import default_folder
from trial.tables import numbers, read_rows


def write(text: str):
    return lambda folder: (folder / "state").write_text(text)


def test_the_latest_epoch_is_kept_and_those_before_it_are_gone(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "c", {"lr": 0.1})
    assert checkpoint.latest() is None
    for epoch in range(1, 12):
        checkpoint.save(epoch, write(f"after {epoch}"))
    epochs, folder = checkpoint.latest()
    assert epochs == 11
    assert (folder / "state").read_text() == "after 11"
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["epoch-11"]


def test_a_save_that_is_cut_short_leaves_the_one_before(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, {})
    checkpoint.save(1, write("whole"))

    def dies(folder: Path) -> None:
        (folder / "state").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(2, dies)
    epochs, folder = Checkpoint(tmp_path, {}).latest()
    assert (epochs, (folder / "state").read_text()) == (1, "whole")
    checkpoint.save(2, write("whole again"))
    assert checkpoint.latest()[0] == 2


def test_two_epochs_that_lie_there_after_a_kill_count_as_the_later_one(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, {})
    checkpoint.save(1, write("first"))
    (tmp_path / "epoch-1").rename(tmp_path / "kept")
    checkpoint.save(2, write("second"))
    (tmp_path / "kept").rename(tmp_path / "epoch-1")
    assert checkpoint.latest()[0] == 2
    checkpoint.save(3, write("third"))
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-3"]


def test_another_experiments_checkpoint_is_refused_and_the_difference_named(tmp_path: Path) -> None:
    Checkpoint(tmp_path, {"lr": 0.1, "width": 8, "seed": 1}).save(1, write(""))
    with pytest.raises(BadInput, match=r"lr 0\.1, not 0\.2, model None, not 'cnn'"):
        Checkpoint(tmp_path, {"lr": 0.2, "width": 8, "seed": 1, "model": "cnn"}).latest()


def test_resume_restores_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = Checkpoint(tmp_path, {})
    seen = []
    assert checkpoint.resume(seen.append) == 0
    assert seen == []
    checkpoint.save(4, write("state"))
    assert checkpoint.resume(seen.append) == 4
    assert (seen[0] / "state").read_text() == "state"
    assert capsys.readouterr().out == "going on after epoch 4\n"


def test_the_folder_that_orchestrator_carries_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORCHESTRATE_CHECKPOINT", raising=False)
    assert default_folder() is None
    monkeypatch.setenv("ORCHESTRATE_CHECKPOINT", "/carried")
    assert default_folder() == "/carried"


def test_trainings_by_hand_have_a_folder_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for rate in (0.1, 0.2):
        Checkpoint(None, {"lr": rate, "seed": 1}).save(3, write(f"with {rate}"))
    epochs, folder = Checkpoint(None, {"seed": 1, "lr": 0.1}).latest()
    assert (epochs, (folder / "state").read_text()) == (3, "with 0.1")
    assert len([*(tmp_path / "checkpoint").iterdir()]) == 2


def test_a_training_that_is_beyond_what_is_asked_is_refused(tmp_path: Path) -> None:
    Checkpoint(tmp_path, {}).save(8, write(""))
    assert Checkpoint(tmp_path, {}, epochs=8).latest()[0] == 8
    with pytest.raises(BadInput, match="after epoch 8, which is beyond --epochs 5"):
        Checkpoint(tmp_path, {}, epochs=5).latest()


@pytest.mark.parametrize(("argument", "least"), [("--epochs", 1), ("--seed", 0), ("--threads", 1)])
def test_a_number_that_makes_no_sense_is_refused(argument: str, least: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        training_parser("", epochs=5).parse_args([argument, str(least - 1)])
    assert ended.value.code == 2
    assert f"argument {argument}: must be at least {least}" in capsys.readouterr().err


def test_rows_come_with_their_places_and_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes('\ufeffa,b,c\r\n1,2.5,x\r\n3,4,"two\r\nlines"\r\n5,6\r\n'.encode())
    rows = [*read_rows(tmp_path / "t.csv", ["a", "b"])]
    assert [where.rpartition(":")[2] for where, _ in rows] == ["2", "4", "5"]
    assert [numbers(where, row, ["b", "a"]) for where, row in rows] == [[2.5, 1], [4, 3], [6, 5]]
    assert rows[2][1]["c"] is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no column a, b; there are none"),
        (b"a,c\n1,2\n", "no column b; there are a, c"),
        (b"PK\x03\x04\xff\xfe", "no text in UTF-8"),
        (b"a,b\n1," + b"2" * 200_000 + b"\n", "no row of a CSV file"),
        (b"a,b\n1,2\n1,inf\n", ":3: a, b must be finite numbers, not '1', 'inf'"),
        (b"a,b\n1,2\n1\n", ":3: a, b must be finite numbers, not '1', None"),
        (b"a,b\n1,two\n", ":2: a, b must be finite numbers"),
    ],
)
def test_a_bad_table_is_refused_in_one_sentence(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(BadInput, match=message):
        for where, row in read_rows(tmp_path / "t.csv", ["a", "b"]):
            numbers(where, row, ["a", "b"])


def test_arrays_are_read_and_what_is_no_npz_is_refused_in_one_sentence(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "good.npz", a=np.arange(3), b=np.ones(2))
    assert read_npz(tmp_path / "good.npz", ["b"])["b"].tolist() == [1, 1]
    assert [*read_npz(tmp_path / "good.npz")] == ["a", "b"]
    content = (tmp_path / "good.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(content[: len(content) // 2])
    damaged = bytearray(content)
    damaged[60] ^= 0xFF
    (tmp_path / "damaged.npz").write_bytes(damaged)
    (tmp_path / "empty.npz").write_bytes(b"")
    np.save(tmp_path / "one.npy", np.zeros(3))
    np.savez(tmp_path / "evil.npz", a=np.array([{"a": 1}], dtype=object))
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as other:
        other.writestr("a.npy", b"no array")
    for path in sorted({*tmp_path.iterdir()} - {tmp_path / "good.npz"}):
        with pytest.raises(BadInput, match=rf"^{path}: "):
            read_npz(path, ["a"])
    with pytest.raises(BadInput, match="c is not in it; there are a, b"):
        read_npz(tmp_path / "good.npz", ["a", "c"])


def test_settings_are_what_shapes_the_training_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = training_parser("", epochs=5)
    parser.add_argument("--lr", type=float, default=0.1)
    monkeypatch.setattr(sys, "argv", ["train", "--threads", "2", "--smoke", "--epochs", "9"])
    assert settings_of(parser.parse_args()) == {"seed": 1, "lr": 0.1}


def test_equal_data_and_no_other_has_an_equal_hash() -> None:
    data = np.arange(6)
    assert hash_arrays(data) == hash_arrays(np.arange(6))
    different = [data + 1, data.reshape(2, 3), data.astype(np.int32), data[:5], data[::-1]]
    assert len({hash_arrays(data), *(hash_arrays(other) for other in different)}) == 6
    assert hash_arrays(np.arange(6).reshape(2, 3).T) == hash_arrays(np.ascontiguousarray(np.arange(6).reshape(2, 3).T))


def test_a_card_holds_hash_settings_metrics_and_versions(tmp_path: Path) -> None:
    write_card(
        tmp_path / "model", data="abc", settings={"lr": 0.1}, metrics={"acc": np.float32(0.5)}, packages=["numpy"], n=3
    )
    card = json.loads((tmp_path / "model" / "model.json").read_text())
    assert card["data_sha256"] == "abc"
    assert card["settings"] == {"lr": 0.1}
    assert card["metrics"] == {"acc": 0.5}
    assert card["versions"]["numpy"] == np.__version__
    assert card["n"] == 3


def test_bad_input_is_one_sentence_and_code_2_and_a_fault_of_ours_keeps_its_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def bad() -> None:
        raise BadInput("file.csv:3: no number")

    with pytest.raises(SystemExit) as ended:
        run_program(bad)
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: file.csv:3: no number\n"
    with pytest.raises(ZeroDivisionError):
        run_program(lambda: print(1 / 0))
