"""Population-based training: who goes on from whom, with which parameters, and the same again after a resume."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import UsageError
from orchestrator.search import Told, make_search
from orchestrator.search.perturb import perturbed
from orchestrator.search.population import Population
from orchestrator.search.space import Space
from orchestrator.spec import Spec

from .spaces import quick
from .test_learning import CONDITIONAL

SPACE: dict[str, Any] = {"lr": {"loguniform": [1e-4, 1]}, "batch": [16, 32, 64], "optimizer": ["sgd", "adam"]}


def breeding(
    space: dict[str, Any] = SPACE, *, trials: int = 24, checkpoint: str | None = "ckpt", **search: Any
) -> Spec:
    settings = {"algorithm": "pbt", "trials": trials, "metric": "score", "seed": 5, **search}
    workload = {"command": "true"} | ({"checkpoint": checkpoint} if checkpoint else {})
    return Spec.model_validate({"name": "test", "workload": workload, "parameters": space, "search": settings})


def made(spec: Spec) -> Population:
    search = make_search(spec)
    assert isinstance(search, Population)
    return search


def told(trial: int, params: Any, value: float | None) -> Told:
    return Told(trial, params, "failed" if value is None else "succeeded", value, {})


def one_after_another(search: Population, values: list[float | None]) -> list[tuple[dict[str, Any], int | None]]:
    """The points and parents of trials that end as they began, with these values."""
    asked = []
    for trial, value in enumerate(values):
        point = search.ask(trial)
        assert point is not None
        asked.append((point, search.parent(trial)))
        search.tell(told(trial, point, value))
    return asked


def test_the_worst_goes_on_from_the_best_and_the_others_from_themselves() -> None:
    search = made(breeding(options={"population": 4}))
    asked = one_after_another(search, [0.1, 0.9, 0.5, 0.4, 0.6, 1.0, 0.7, 0.45])
    assert [parent for _, parent in asked[:4]] == [None] * 4
    # The worst of four went on from the best, trial 0 first and then trial 3; the others from themselves.
    assert [parent for _, parent in asked[4:]] == [1, 1, 2, 5]
    points = [point for point, _ in asked]
    assert [points[5], points[6]] == [points[1], points[2]]
    assert points[4] != points[1]
    assert points[7] != points[5]


def test_a_failed_member_is_replaced_by_a_good_one() -> None:
    asked = one_after_another(made(breeding(options={"population": 3})), [0.1, None, 0.9, 0.2, 0.8, 0.95])
    assert [parent for _, parent in asked] == [None, None, None, 2, 2, 2]


def test_a_population_that_failed_as_a_whole_begins_anew() -> None:
    asked = one_after_another(made(breeding(options={"population": 2})), [None] * 4)
    assert [parent for _, parent in asked] == [None] * 4
    assert len({str(point) for point, _ in asked}) == 4


def test_what_may_not_change_is_inherited_with_the_checkpoint() -> None:
    values: list[float | None] = [trial * 37 % 101 / 101 for trial in range(24)]
    asked = one_after_another(made(breeding(options={"population": 4, "perturb": ["lr"], "resample": 0})), values)
    changed = 0
    for point, parent in asked:
        if parent is not None:
            source = asked[parent][0]
            assert (point["batch"], point["optimizer"]) == (source["batch"], source["optimizer"])
            assert point["lr"] == source["lr"] or point["lr"] / source["lr"] == pytest.approx(0.8, abs=0.45)
            changed += point["lr"] != source["lr"]
    assert changed > 2


def test_children_keep_the_constraints() -> None:
    spec = breeding(options={"population": 4}, constraints=["lr * batch < 1"], trials=40)
    asked = one_after_another(made(spec), [trial % 7 / 7 for trial in range(40)])
    assert all(point["lr"] * point["batch"] < 1 for point, _ in asked)


@quick
@given(st.integers(0, 10**6), st.integers(2, 6), st.integers(1, 6))
def test_a_resume_goes_on_as_if_nothing_had_happened(seed: int, members: int, parallel: int) -> None:
    """Whatever order the trials end in, and wherever the run is cut."""
    spec = breeding(CONDITIONAL, trials=30, options={"population": members}, seed=seed)
    chance = random.Random(seed)
    search, history, live = made(spec), [], {}
    parallel = min(parallel, search.population)
    for trial in range(30):
        while len(live) >= parallel:
            ended = told(chance.choice(sorted(live)), None, chance.choice([None, chance.random(), chance.random()]))
            ended = told(ended.trial, live.pop(ended.trial), ended.value)
            search.tell(ended)
            history.append(ended)
        point = search.ask(trial)
        assert point is not None
        live[trial] = point
        history.append((trial, point, search.parent(trial)))
    cut = chance.randrange(len(history))
    again = made(spec)
    for place, event in enumerate(history):
        if isinstance(event, Told):
            again.tell(event)
        elif place < cut:
            again.replay(event[0], event[1])
            assert again.parent(event[0]) == event[2]
        else:
            assert (again.ask(event[0]), again.parent(event[0])) == event[1:]


def test_no_more_is_remembered_than_the_population_needs() -> None:
    search = made(breeding(options={"population": 4}, trials=2000))
    one_after_another(search, [trial * 37 % 101 / 101 for trial in range(2000)])
    assert len(search._places) + len(search._parents) + len(search._members) <= 12


@pytest.mark.parametrize(
    ("form", "value", "factor", "expected"),
    [
        ({"uniform": [0, 1]}, 0.5, 1.2, 0.6),
        ({"loguniform": [0.01, 1]}, 0.9, 1.2, 1.0),
        ({"uniform": [0, 1], "step": 0.1}, 0.1, 1.2, 0.2),
        ({"normal": [0, 1]}, -2.0, 0.8, -1.6),
        ({"normal": [0, 1], "step": 1}, 2.0, 1.2, 3.0),
        ({"integer": [1, 100]}, 50, 1.2, 60),
        ({"integer": [1, 9]}, 2, 1.2, 3),
        ({"integer": [1, 9]}, 9, 1.2, 9),
        ({"loginteger": [8, 512]}, 100, 0.8, 80),
        ({"range": [10, 0, -1]}, 5, 1.2, 6),
        ({"choice": [64, 16, 32]}, 16, 1.2, 32),
        ({"choice": [64, 16, 32]}, 16, 0.8, 16),
        ({"choice": ["a", "b", "c"]}, "b", 1.2, "b"),
    ],
)
def test_a_parameter_moves_by_the_factor_or_by_one_step(form: Any, value: Any, factor: float, expected: Any) -> None:
    kind = breeding({"x": form}, options={"population": 2}).parameters["x"]
    space = Space({"x": kind})
    values = [kind.value_at(number) for number in range(kind.size)] if kind.size is not None else []
    place = values.index(value) if values else value
    assert space.point({"x": perturbed(kind, place, factor)})["x"] == pytest.approx(expected) or value == "b"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (breeding(checkpoint=None), "workload.checkpoint: is missing"),
        (breeding(early_stopping={"rule": "median"}), "early_stopping: does nothing for pbt"),
        (breeding({**SPACE, "fold": {"repeat": 2}}), "fold: cannot be repeated by pbt"),
        (breeding(options={"popluation": 4}), "pbt knows no 'popluation'"),
        (breeding(options={"population": 25}), "population must be 2 to 24"),
        (breeding(options={"quantile": 0.6}), "quantile must be"),
        (breeding(options={"factors": 2}), "factors must be a list"),
        (breeding(options={"perturb": ["rate"]}), "perturb must be a list of the names lr, batch or optimizer"),
        (breeding(constraints=["lr > 2"]), "none of 10,000 random points satisfies them"),
    ],
)
def test_a_mistake_is_one_clear_error(spec: Spec, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_search(spec)
