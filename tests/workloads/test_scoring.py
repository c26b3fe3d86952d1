"""Batch scoring: shards add up, broken files are listed, nothing is lost and nothing is there twice."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from scoring.model import load_model, probabilities
from scoring.score import shard_of
from trial import BadInput


@pytest.mark.parametrize("count", [1, 7, 40, 41])
@pytest.mark.parametrize("shards", [1, 3, 8])
def test_shards_add_up_to_all_files_and_differ_by_one_at_most(count: int, shards: int) -> None:
    files = [f"{number}.csv" for number in range(count)]
    parts = [shard_of(files, shard, shards) for shard in range(shards)]
    assert sorted(file for part in parts for file in part) == sorted(files)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_shard_that_does_not_exist_is_refused() -> None:
    with pytest.raises(BadInput, match="from 0 to 2"):
        shard_of(["a"], 3, 3)


@pytest.fixture
def scored(program_here, tmp_path: Path) -> Path:
    """A sample that three shards have scored."""
    pytest.importorskip("sklearn")
    for shard in range(3):
        done = program_here("scoring.score", "--shard", shard, "--shards", 3, in_="all")
        assert done.code == 0, done.err
    return tmp_path / "all"


def rows_of(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))[1:]


def test_every_file_is_scored_or_listed_as_failed(program_here, scored: Path) -> None:
    joined = program_here("scoring.join", ".", "--data", "sample", in_="all")
    assert joined.code == 0, joined.err
    assert rows_of(scored / "failed.csv") == [
        ["part-0007.csv", "row 1 has 3 values, not 64"],
        ["part-0027.csv", "the file is empty"],
    ]
    scores = rows_of(scored / "scores.csv")
    assert len(scores) == 38 * 25
    network, kind = load_model(scored / "sample-model")
    pictures = np.loadtxt(scored / "sample" / "part-0003.csv", delimiter=",")
    answers = probabilities(network, kind, pictures)
    np.testing.assert_allclose(answers.sum(axis=1), 1)
    assert [row[2] for row in scores if row[0] == "part-0003.csv"] == [str(n) for n in answers.argmax(axis=1)]


def test_one_shard_gives_the_table_that_three_give(program_here, scored: Path) -> None:
    program_here("scoring.join", ".", "--data", "sample", in_="all")
    shutil.copytree(scored / "sample", scored.parent / "one" / "sample")
    shutil.copytree(scored / "sample-model", scored.parent / "one" / "sample-model")
    program_here("scoring.score", in_="one")
    program_here("scoring.join", ".", "--data", "sample", in_="one")
    for name in ("scores.csv", "failed.csv"):
        assert (scored / name).read_text() == (scored.parent / "one" / name).read_text()


def test_a_missing_or_repeated_shard_is_refused(program_here, scored: Path) -> None:
    kept = (scored / "scores-1.csv").read_text()
    (scored / "scores-1.csv").unlink()
    missing = program_here("scoring.join", ".", "--data", "sample", in_="all")
    assert (missing.code, "12 files are in no shard's results" in missing.err) == (2, True)
    (scored / "scores-1.csv").write_text(kept)
    (scored / "scores-9.csv").write_text("")
    emptied = program_here("scoring.join", ".", "--data", "sample", in_="all")
    assert (emptied.code, "scores-9.csv: cut short" in emptied.err) == (2, True)
    (scored / "scores-9.csv").write_text(kept)
    twice = program_here("scoring.join", ".", "--data", "sample", in_="all")
    assert (twice.code, "more than once" in twice.err) == (2, True)


def test_a_shard_goes_on_where_it_was_cut_short(program_here, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    assert program_here("scoring.score", in_="cut").code == 0
    whole = (tmp_path / "cut" / "scores-0.csv").read_text()
    (saved,) = (tmp_path / "cut" / "checkpoint").glob("*/epoch-40")
    for name in ("scores", "failed"):  # as they were after 20 files
        head, *lines = (saved / name).read_text().splitlines(keepends=True)
        (saved / name).write_text("".join([head, *(line for line in lines if line < "part-0020")]))
    saved.rename(saved.with_name("epoch-20"))
    (tmp_path / "cut" / "scores-0.csv").unlink()
    rest = program_here("scoring.score", in_="cut")
    assert "going on after epoch 20" in rest.out
    assert (tmp_path / "cut" / "scores-0.csv").read_text() == whole
    assert [row[0] for row in rows_of(tmp_path / "cut" / "failed-0.csv")] == ["part-0007.csv", "part-0027.csv"]


def test_another_model_or_other_contents_are_scored_anew(program_here, scored: Path) -> None:
    before = (scored / "scores-0.csv").read_text()
    with np.load(scored / "sample-model" / "weights.npz") as saved:
        weights = {name: -weight for name, weight in saved.items()}
    np.savez(scored / "sample-model" / "weights.npz", **weights)
    other = program_here("scoring.score", "--shard", 0, "--shards", 3, in_="all")
    assert "going on" not in other.out
    assert (scored / "scores-0.csv").read_text() != before
    shutil.copy(scored / "sample" / "part-0000.csv", scored / "sample" / "part-0027.csv")
    mended = program_here("scoring.score", "--shard", 0, "--shards", 3, in_="all")
    assert mended.metrics["files_failed"] == 0


def test_files_that_cannot_be_read_are_listed_and_a_shard_may_be_empty(program_here, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    folder = tmp_path / "files"
    (folder / "folder.csv").mkdir(parents=True)
    (folder / "binary.csv").write_bytes(bytes(range(128, 256)))
    (folder / "long.csv").write_text("1" * 200_000)
    done = program_here("scoring.score", "--data", folder, "--shard", 0, "--shards", 1)
    assert done.code == 0, done.err
    assert [row[0] for row in rows_of(done.folder / "failed-0.csv")] == ["binary.csv", "folder.csv", "long.csv"]
    empty = program_here("scoring.score", "--data", folder, "--shard", 3, "--shards", 4)
    assert (empty.code, empty.metrics["files_failed"]) == (0, 0)


@pytest.mark.parametrize("kind", ["logistic", "mlp", "lstm"])
def test_each_model_of_from_scratch_is_read_back(program, kind: str) -> None:
    pytest.importorskip("sklearn")
    from digits.data import load

    trained = program("from_scratch.train", "--smoke", "--model", kind, env={"OPENBLAS_NUM_THREADS": "1"})
    network, found = load_model(trained.folder / "model")
    test = load(None).test
    answers = probabilities(network, found, test.images.reshape(len(test), -1) * 16).argmax(axis=1)
    assert np.mean(answers == test.labels) == pytest.approx(trained.card["metrics"]["test_accuracy"])


def test_a_folder_that_holds_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no model of from_scratch"):
        load_model(tmp_path)
    (tmp_path / "model.json").write_text('{"settings": {"model": "mlp"}}')
    np.savez(tmp_path / "weights.npz", kernel0=np.ones((4, 3)), bias0=np.ones(2))
    with pytest.raises(BadInput, match="fit together"):
        load_model(tmp_path)
