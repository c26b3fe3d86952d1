"""Runs as Optuna studies."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from orchestrator.errors import UsageError
from orchestrator.search import Told, make_search
from orchestrator.search.export import export_study
from orchestrator.spec import Spec

from .spaces import points, sweep
from .test_learning import CONDITIONAL, learning, one_after_another
from .test_learning import told as as_told


def test_a_study_holds_every_trial_with_its_values_state_and_curve(tmp_path: Path) -> None:
    spec = learning(space=CONDITIONAL)
    asked = one_after_another(make_search(spec), 12)
    ended = [as_told(n, point, ("succeeded", "pruned", "failed")[n % 3]) for n, point in enumerate(asked)]
    url = f"sqlite:///{tmp_path / 'study.db'}"
    written = export_study(spec, "sweep-1", ended, url, lambda trial: [(1, 5.0), (2, 4.0 + trial)])
    assert written == 12
    study = optuna.load_study(study_name="sweep-1", storage=url)
    assert study.direction.name == "MINIMIZE"
    assert study.metric_names == ["loss"]
    assert [trial.state.name for trial in study.trials[:3]] == ["COMPLETE", "PRUNED", "FAIL"]
    best = min((told for told in ended if told.state == "succeeded"), key=lambda told: told.value or 0)
    assert study.best_value == best.value
    assert study.best_trial.user_attrs["trial"] == best.trial
    for trial, point in zip(study.trials, asked, strict=True):
        assert {"x", "lr", "layers", "units", "noise", "optimizer"} <= set(trial.params)
        assert trial.params["x"] == point["x"]
        assert trial.params["optimizer"] in ("sgd", "adam", "[1, 2]")
        assert ("momentum" in trial.params) == (point["optimizer"] == "sgd")
        assert trial.user_attrs["double"] == point["double"]
        assert trial.intermediate_values == {1: 5.0, 2: 4.0 + trial.number}
    with pytest.raises(UsageError, match="already"):
        export_study(spec, "sweep-1", ended, url)


def test_a_study_of_a_grid_can_be_exported_too(tmp_path: Path) -> None:
    spec = sweep(
        {"a": {"range": [0.0, 1.0, 0.25]}, "n": {"normal": [0, 1]}, "b": [True, None], "c": {"permutations": [1, 2]}},
        algorithm="random",
        trials=20,
        metric="m",
    )
    search = make_search(spec)
    ended = [Told(n, search.ask(n) or {}, "succeeded", float(n), {"m": float(n)}) for n in range(20)]
    url = f"sqlite:///{tmp_path / 'study.db'}"
    export_study(spec, "grid", ended, url)
    study = optuna.load_study(study_name="grid", storage=url)
    assert study.best_value == 19
    assert len(study.trials) == 20


def exported(spec: Spec, folder: Path) -> list[optuna.trial.FrozenTrial]:
    """The trials of the study of a run in which all went well."""
    search = make_search(spec)
    values = ((number, point, float(number)) for number, point in enumerate(points(search)))
    ended = [Told(number, point, "succeeded", value, {"m": value}) for number, point, value in values]
    url = f"sqlite:///{folder / 'study.db'}"
    export_study(spec, "s", ended, url)
    return optuna.load_study(study_name="s", storage=url).trials


def test_values_of_sub_grids_are_parameters_of_the_study(tmp_path: Path) -> None:
    space = {"opt": "sgd", "lr": [0.1, 0.01], "momentum": 0.0, "layers": [[1], [2]], "same": 1}
    grids = [
        {"momentum": [0.0, 0.9], "layers": {"fixed": [3, 3]}},
        {"opt": "adam", "lr": {"linspace": [0.001, 0.002, 2]}},
    ]
    trials = exported(sweep(space, grids=grids, metric="m"), tmp_path)
    assert [tuple(trial.params[name] for name in ("opt", "lr", "momentum", "layers")) for trial in trials] == [
        *(("sgd", lr, momentum, "[3, 3]") for lr in (0.1, 0.01) for momentum in (0.0, 0.9)),
        *(("adam", lr, 0.0, layers) for lr in (0.001, 0.002) for layers in ("[1]", "[2]")),
    ]
    assert {"same"} == set(trials[0].user_attrs) - {"trial", "state", "m"}


def test_what_comes_with_the_points_of_a_list_are_parameters_of_the_study(tmp_path: Path) -> None:
    listed = [{"lr": 0.1, "opt": "a", "note": None, "k": 1}, {"lr": 0.2, "opt": "b", "note": "x", "k": 1}]
    trials = exported(sweep({"fold": [0, 1]}, algorithm="list", points=listed, metric="m"), tmp_path)
    assert [trial.params for trial in trials] == [
        {"lr": lr, "opt": opt, "fold": fold} for lr, opt in ((0.1, "a"), (0.2, "b")) for fold in (0, 1)
    ]
    assert trials[2].user_attrs["note"] == "x"


def test_a_storage_that_optuna_cannot_open_is_one_sentence_without_its_password() -> None:
    with pytest.raises(UsageError, match="Optuna cannot open this storage") as caught:
        export_study(sweep({"a": [1, 2]}, metric="m"), "x", [], "redis://user:word@host")
    assert "word" not in str(caught.value)


def test_a_run_without_a_metric_is_no_study(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"search\.metric"):
        export_study(sweep({"a": [1]}), "x", [], f"sqlite:///{tmp_path / 'study.db'}")
