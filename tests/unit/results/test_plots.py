"""The pictures of a run: each is drawn from what there is, or says why it is not."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib", reason="the pictures need matplotlib, which make test installs")

from orchestrator.results.front import front, front_of
from orchestrator.results.leaderboard import Trial
from orchestrator.results.plots import coordinates, importance, page, pareto, progress, slices
from orchestrator.results.plots.coordinates import Scale
from orchestrator.results.plots.data import NothingToShow, RunData
from orchestrator.search import make_search
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
    trials = [Trial(n, "succeeded", {}, {"a": a, "b": b}) for n, (a, b) in enumerate(points)]
    unfinished = Trial(6, "failed", {}, {"a": -1.0, "b": -1.0})
    half = Trial(7, "succeeded", {}, {"a": -1.0, "b": math.nan})
    assert [one.trial for one in front_of([*trials, unfinished, half], {"a": False, "b": False})] == [0, 1, 3, 5]


def test_an_axis_places_numbers_in_proportion_and_orders_of_magnitude_by_their_logarithm() -> None:
    assert [Scale([0, 5, 10])(value) for value in (0, 5, 10)] == [0.0, 0.5, 1.0]
    logarithmic = Scale([1e-4, 1e-2, 1.0])
    assert math.isclose(logarithmic(1e-2), 0.5)
    assert [Scale(["a", "b", "c"])(value) for value in "abc"] == [0.0, 0.5, 1.0]
    assert Scale([3, 3])(3) == 0.5


def test_an_axis_of_few_values_shows_each_at_equal_distances_and_what_is_missing_below_them() -> None:
    widths = Scale([64, 32, None, 256], [32, 64, 256])
    assert [widths(value) for value in (32, 64, 256)] == [0.0, 0.5, 1.0]
    assert [text for _, text in widths.ticks] == ["32", "64", "256", "none"]
    assert widths(None) < 0
    assert [text for _, text in Scale([True, None, "x"]).ticks] == ["true", "x", "none"]


def test_labels_of_a_scale_are_round_and_within_it() -> None:
    for values in ([0.13, 0.87], [3e-4, 0.09], [1e-7, 5.0], [17, 500], [-3.2, 11.1]):
        scale = Scale(values)
        assert 2 <= len(scale.ticks) <= 9
        assert all(0 <= height <= 1 and len(text) <= 6 for height, text in scale.ticks)


def conditional(repeat: int = 1) -> RunData:
    """Trials of which only some have a momentum."""
    spec = Spec.model_validate(
        {
            "name": "s",
            "workload": {"command": "true"},
            "parameters": {
                "opt": ["sgd", "adam"],
                "momentum": {"uniform": [0, 1], "when": {"opt": "sgd"}},
                "width": [64, 32],
                "seed": {"repeat": repeat},
            },
            "search": {"algorithm": "random", "metric": "loss", "goal": "minimize", "trials": 12},
        }
    )
    trials = []
    for number in range(12):
        point = number // repeat
        sgd = point % 2 == 0
        params = {
            "opt": "sgd" if sgd else "adam",
            "momentum": 0.05 * point if sgd else None,
            "width": (64, 32)[point % 3 > 0],
            "seed": number % repeat,
        }
        state = "pruned" if number == 3 else "succeeded"
        trials.append(Trial(number, state, params, {"loss": 10.0 ** -(number % 5)}))
    told = [Told(t.trial, t.params, t.state, t.metrics["loss"], t.metrics) for t in trials]
    return RunData("s-1", spec, "loss", False, trials, told, {})


def test_parameters_that_only_some_trials_have_are_drawn_for_those() -> None:
    data = conditional()
    few, lines, dots = data.few("width"), coordinates.draw(data).axes[0].lines, slices.draw(data).axes
    assert few == [32, 64]
    heights = [line.get_ydata() for line in lines if len(line.get_ydata()) == 4]
    assert sum(row[1] < 0 for row in heights) == 6
    assert len(heights) == 12
    shown = [sum(len(points.get_offsets()) for points in axes.collections) for axes in dots]
    assert shown == [12, 6, 12]
    assert all(axes.get_yscale() == "log" for axes in dots)  # the values span four orders of magnitude


def test_what_numbers_the_trials_of_a_point_is_no_parameter_of_a_picture(tmp_path: Path) -> None:
    data = conditional(3)
    assert data.varied() == ["opt", "momentum", "width"]
    text = page.write(data, tmp_path).page.read_text()
    assert "<th>point</th>" in text
    assert "<th>seed</th>" not in text
    assert text.count("<tr>") == 1 + 4


def test_one_trial_alone_has_a_whole_number_as_its_place() -> None:
    axes = progress.draw(run_data(1)).axes[0]
    low, high = axes.get_xlim()
    assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [1]


def test_long_names_keep_their_ends_apart_and_each_has_a_bar_of_its_own() -> None:
    spec = Spec.model_validate(
        {
            "name": "s",
            "workload": {"command": "true"},
            "parameters": {f"a_parameter_with_a_long_name_{number}": {"uniform": [0, 1]} for number in range(3)},
            "search": {"metric": "loss", "goal": "minimize", "trials": 30},
        }
    )
    search = make_search(spec)
    trials = []
    for number in range(30):
        params = dict(search.ask(number) or {})
        trials.append(Trial(number, "succeeded", params, {"loss": sum(params.values())}))
    told = [Told(t.trial, t.params, t.state, t.metrics["loss"], t.metrics) for t in trials]
    axes = importance.draw(RunData("s-1", spec, "loss", False, trials, told, {})).axes[0]
    assert len({bar.get_y() for bar in axes.patches}) == 3
    assert {label.get_text()[-7:] for label in axes.get_yticklabels()} == {f"_name_{number}" for number in range(3)}


def test_a_parameter_has_the_axis_that_it_was_drawn_on_whatever_its_values_happen_to_be() -> None:
    spec = Spec.model_validate(
        {
            "name": "s",
            "workload": {"command": "true"},
            "parameters": {
                "share": {"uniform": [0, 1]},
                "lr": {"loguniform": [1e-3, 1]},
                "width": [1, 10, 1000],
                "shift": {"normal": [0, 1]},
            },
            "search": {"metric": "loss", "trials": 2},
        }
    )
    rows = [(0.001, 0.1, 1, 0.001), (0.9, 0.2, 1000, 5.0)]
    trials = [
        Trial(n, "succeeded", dict(zip(spec.parameters, row, strict=True)), {"loss": 1.0 + n})
        for n, row in enumerate(rows)
    ]
    data = RunData("s-1", spec, "loss", True, trials, [], {})
    assert [data.log(name) for name in spec.parameters] == [False, True, True, False]
    assert [axes.get_xscale() for axes in slices.draw(data).axes] == ["linear", "log", "linear", "linear"]


def test_goals_that_span_orders_of_magnitude_have_logarithmic_axes_and_crowded_numbers_are_left_out() -> None:
    goals = {"acc": "maximize", "latency": "minimize"}
    spec = Spec.model_validate(
        {"name": "s", "workload": {"command": "true"}, "search": {"algorithm": "nsga2", "trials": 9, "goals": goals}}
    )
    points = [(0.1, 1.0), (0.5, 10.0), (0.501, 10.1), (0.9, 1000.0)]
    trials = [Trial(n, "succeeded", {}, {"acc": a, "latency": b}) for n, (a, b) in enumerate(points)]
    axes = pareto.draw(RunData("s-1", spec, "acc", True, trials, [], {})).axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "log")
    assert [text.get_text() for text in axes.texts] == ["0", "1", "3"]


def test_the_best_so_far_is_that_of_the_table() -> None:
    data = conditional()
    line = next(line for line in progress.draw(data).axes[0].lines if line.get_label() == "best so far")
    assert data.told[3].state == "pruned"
    assert list(line.get_ydata())[:5] == [told.value for told in data.told[:5]]


def test_parameters_that_find_no_room_are_counted_on_the_page(tmp_path: Path) -> None:
    parameters = {f"p{number}": [1, 2] for number in range(14)}
    spec = Spec.model_validate(
        {"name": "s", "workload": {"command": "true"}, "parameters": parameters, "search": {"metric": "loss"}}
    )
    trials = [Trial(n, "succeeded", dict.fromkeys(parameters, n), {"loss": float(n)}) for n in (1, 2)]
    text = page.write(RunData("s-1", spec, "loss", True, trials, [], {}), tmp_path).page.read_text()
    assert text.count("The first 12 of 14 parameters.") == 2
    assert "parameters." not in page.write(run_data(), tmp_path).page.read_text()
