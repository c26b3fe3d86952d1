"""Inspections: the table, and Spark's pipeline where Spark is."""

from pathlib import Path

import pytest
from inspections import table
from trial import BadInput

from .test_frameworks import interpreter, start


def test_drawn_inspections_are_in_the_citys_columns_and_repeat(tmp_path: Path) -> None:
    for name in ("one.csv", "two.csv"):
        table.draw(tmp_path / name, rows=200, seed=5)
    table.check(tmp_path / "one.csv")
    text = (tmp_path / "one.csv").read_text()
    assert text == (tmp_path / "two.csv").read_text()
    assert all(f",{result}," in text for result in ("Pass", "Pass w/ Conditions", "Fail"))


@pytest.mark.parametrize(
    ("content", "message"), [("", "no column License"), ("License #,Results\n", "no column Violations")]
)
def test_a_file_without_the_columns_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "bad.csv").write_text(content)
    with pytest.raises(BadInput, match=message):
        table.check(tmp_path / "bad.csv")
    with pytest.raises(BadInput, match="no such file"):
        table.check(tmp_path / "nothing.csv")


@pytest.mark.frameworks
def test_the_pipeline_finds_what_fails_and_repeats(tmp_path: Path) -> None:
    python = interpreter("pyspark")
    first = start(python, "inspections.train", tmp_path / "first", "--smoke", "--rows", 1_000)
    again = start(python, "inspections.train", tmp_path / "again", "--smoke", "--rows", 1_000)
    assert first.card == again.card
    metrics = first.card["metrics"]
    assert metrics["test_accuracy"] > 0.7
    precision, recall = metrics["test_precision"], metrics["test_recall"]
    assert metrics["test_f1"] == pytest.approx(2 * precision * recall / (precision + recall))
    assert (first.folder / "model" / "spark" / "metadata").is_dir()
