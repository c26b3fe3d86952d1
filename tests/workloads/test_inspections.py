"""Inspections: the table, and Spark's pipeline where Spark is."""

import re
from pathlib import Path

import numpy as np
import pytest
from inspections import table
from inspections.scores import metrics_of
from trial import BadInput

from tests.environments import Environments

from .test_frameworks import start


@pytest.fixture
def spark(environments: Environments) -> str:
    return environments.python("inspections", "", "pyspark")


def test_drawn_inspections_are_in_the_citys_columns_and_repeat(tmp_path: Path) -> None:
    for name in ("one.csv", "two.csv"):
        table.draw(tmp_path / name, rows=200, seed=5)
    table.check(tmp_path / "one.csv")
    text = (tmp_path / "one.csv").read_text()
    assert text == (tmp_path / "two.csv").read_text()
    assert all(f",{result}," in text for result in ("Pass", "Pass w/ Conditions", "Fail"))


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "no column License"), ("License #,Results\n", "no column Violations; there are License #, Results")],
)
def test_a_file_without_the_columns_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "bad.csv").write_text(content)
    with pytest.raises(BadInput, match=message):
        table.check(tmp_path / "bad.csv")
    with pytest.raises(BadInput, match="no such file"):
        table.check(tmp_path / "nothing.csv")


def test_metrics_are_those_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    truth, answers = np.random.default_rng(0).integers(2, size=(2, 99)).astype(float)
    pairs, numbers = np.unique(np.stack([truth, answers]), axis=1, return_counts=True)
    ours = metrics_of("val", dict(zip(map(tuple, pairs.T.tolist()), numbers.tolist(), strict=True)))
    for name, theirs in (
        ("accuracy", metrics.accuracy_score),
        ("precision", metrics.precision_score),
        ("recall", metrics.recall_score),
        ("f1", metrics.f1_score),
    ):
        assert ours[f"val_{name}"] == pytest.approx(theirs(truth, answers)), name
    assert metrics_of("val", {(0.0, 0.0): 3})["val_f1"] == 0


CITY = (
    "Inspection ID,DBA Name,AKA Name,License #,Facility Type,Risk,Address,City,State,Zip,Inspection Date,"
    "Inspection Type,Results,Violations,Latitude,Longitude,Location"
)


def test_the_citys_own_file_is_read_with_its_quotes_commas_and_line_breaks(tmp_path: Path, spark: str) -> None:
    lines = [CITY]
    for number in range(240):
        result, said = (
            ("Fail", '38. INSECTS, RODENTS - Comments: OVER 50 ""MICE"" DROPPINGS\nIN THE PREP AREA, FAIL, PASS'),
            ("Pass", "55. PHYSICAL FACILITIES - Comments: MUST REPAIR, REPAINT | 49. NON-FOOD CONTACT SURFACES\nCLEAN"),
            ("Pass w/ Conditions", ""),
            ("Out of Business", ""),
        )[number % 4]
        lines.append(
            f'{2_000_000 + number},"JOE\'S ""BEST"" GRILL, INC.",,{1_000 + number},Restaurant,Risk 1 (High),'
            f'"1 W STATE ST, 2ND FL ",CHICAGO,IL,60601,10/21/2019,Canvass,{result},"{said}",41.8,-87.6,"(41.8, -87.6)"'
        )
    (tmp_path / "Food_Inspections.csv").write_text("\n".join(lines) + "\n")
    done = start(spark, "inspections.train", tmp_path / "run", "--data", tmp_path / "Food_Inspections.csv")
    counts = [int(count) for count in re.findall(r"(\d+) (?:train|val|test)\b", done.out.splitlines()[0])]
    assert (len(counts), sum(counts)) == (3, 180)
    assert done.card["metrics"]["test_recall"] == done.card["metrics"]["test_precision"] == 1


def test_the_pipeline_finds_what_fails_and_repeats(tmp_path: Path, spark: str) -> None:
    first = start(spark, "inspections.train", tmp_path / "first", "--smoke", "--rows", 1_000)
    again = start(spark, "inspections.train", tmp_path / "again", "--smoke", "--rows", 1_000)
    assert first.card == again.card
    metrics = first.card["metrics"]
    assert metrics["test_accuracy"] > 0.7
    precision, recall = metrics["test_precision"], metrics["test_recall"]
    assert metrics["test_f1"] == pytest.approx(2 * precision * recall / (precision + recall))
    assert (first.folder / "model" / "spark" / "metadata").is_dir()
