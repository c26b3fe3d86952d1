"""The pictures of a run: each is drawn from what there is, or says why it is not."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib", reason="the pictures need matplotlib, which make test installs")

from orchestrator.results.leaderboard import Trial
from orchestrator.results.plots import importance, page
from orchestrator.results.plots.coordinates import Scale
from orchestrator.results.plots.data import NothingToShow, RunData
from orchestrator.results.plots.pareto import front
from orchestrator.search.base import Told
from orchestrator.spec.model import Spec


def run_data(count: int = 20, *, search: dict[str, Any] | None = None, steps: int = 3) -> RunData:
    """Trials whose loss is decided by ``a`` alone."""
    spec = Spec.model_validate(
        {
            "name": "s",
            "workload": {"command": "true {a} {b} {c}"},
            "parameters": {"a": {"uniform": [0, 1]}, "b": ["<b>", "y"], "c": {"uniform": [0, 1]}},
            "search": {"metric": "loss", "goal": "minimize", "trials": max(count, 1), **(search or {})},
        }
    )
    trials = []
    for number in range(count):
        params = {"a": (number * 0.618) % 1, "b": ["<b>", "y"][number % 2], "c": (number * 0.414) % 1}
        metrics = {"loss": (params["a"] - 0.3) ** 2, "size": float(number % 5)}  # type: ignore[operator]
        trials.append(Trial(number, "succeeded", params, metrics))
    told = [Told(t.trial, t.params, t.state, t.metrics["loss"], t.metrics) for t in trials]
    curves = {t.trial: [(float(s), t.metrics["loss"] + 1 / s) for s in range(1, steps + 1)] for t in trials}
    return RunData("s-1", spec, "loss", False, trials, told, curves)


def test_the_page_needs_nothing_beside_it_and_shows_names_as_text(tmp_path: Path) -> None:
    written = page.write(run_data(), tmp_path)
    text = written.page.read_text()
    assert set(written.left_out) == {"pareto"}
    assert text.count("<svg") == len(written.images) == 5
    fetched = re.findall(r'(?:src|href)\s*=\s*"([^"]*)"', text)
    assert all(target.startswith(("#", "data:")) for target in fetched), fetched[:5]
    assert "<script" not in text
    assert "&lt;b&gt;" in text
    assert "<b>" not in text
    for image in written.images:
        assert image.read_bytes().startswith(b"\x89PNG")


def test_every_reference_inside_the_page_has_its_target(tmp_path: Path) -> None:
    text = page.write(run_data(), tmp_path).page.read_text()
    names = re.findall(r'\bid="([^"]+)"', text)
    assert len(names) == len(set(names))
    assert set(re.findall(r'href="#([^"]+)"', text)) | set(re.findall(r"url\(#([^)]+)\)", text)) <= set(names)


def test_the_parameter_that_decides_is_the_important_one() -> None:
    shares = importance.importances(run_data(60))
    assert next(iter(shares)) == "a"
    assert math.isclose(sum(shares.values()), 1.0, rel_tol=1e-6)


def test_a_run_that_has_nothing_to_draw_says_so_for_each_picture(tmp_path: Path) -> None:
    data = run_data(0)
    written = page.write(data, tmp_path)
    assert set(written.left_out) == {picture.name for picture in page.PICTURES}
    assert all(written.left_out.values())
    with pytest.raises(NothingToShow, match="at least"):
        importance.importances(run_data(3))


def test_several_goals_have_a_front(tmp_path: Path) -> None:
    data = run_data(search={"algorithm": "nsga2", "goals": {"loss": "minimize", "size": "minimize"}})
    assert "pareto" not in page.write(data, tmp_path).left_out


def test_the_front_is_what_nothing_beats() -> None:
    points = [(1.0, 5.0), (2.0, 4.0), (2.0, 5.0), (3.0, 1.0), (4.0, 1.0), (1.0, 5.0)]
    assert front(points, [False, False]) == [0, 1, 3, 5]
    assert front(points, [True, True]) == [2, 4]
    assert front([], [True, True]) == []


def test_an_axis_places_numbers_in_proportion_and_orders_of_magnitude_by_their_logarithm() -> None:
    assert [Scale([0, 5, 10])(value) for value in (0, 5, 10)] == [0.0, 0.5, 1.0]
    logarithmic = Scale([1e-4, 1e-2, 1.0])
    assert math.isclose(logarithmic(1e-2), 0.5)
    assert [Scale(["a", "b", "c"])(value) for value in "abc"] == [0.0, 0.5, 1.0]
    assert math.isnan(Scale([1, 2])(None))
    assert Scale([3, 3])(3) == 0.5
