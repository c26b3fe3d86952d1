"""Searches that learn: what they ask, after a resume too, and what they make of results."""

from __future__ import annotations

import math
import subprocess
import sys
from importlib.util import find_spec
from statistics import median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import UsageError
from orchestrator.search import Search, Told, make_search
from orchestrator.search.dimensions import NoSuchValue, distribution, inner, locate, outer
from orchestrator.search.random import Draws
from orchestrator.search.space import Space
from orchestrator.spec import Spec

from .spaces import quick, sweep
from .test_kinds import DISTRIBUTIONS, READ

SPACE: dict[str, Any] = {
    "x": {"uniform": [-5, 10]},
    "lr": {"loguniform": [1e-5, 1]},
    "layers": {"integer": [1, 8]},
    "units": {"loginteger": [8, 512]},
    "noise": {"gamma": [2, 1]},
    "optimizer": ["sgd", "adam", [1, 2]],
    "fixed": 5,
    "double": {"derived": "2 * layers"},
}
CONDITIONAL = {**SPACE, "momentum": {"uniform": [0, 1], "when": {"optimizer": "sgd"}, "otherwise": 0}}
# The ready sweep of gp is run in an environment of its own where there is no torch beside the tests.
NO_TORCH = pytest.mark.skipif(find_spec("torch") is None, reason="gp needs torch, and its sweep has one of its own")
ALGORITHMS = ["tpe", "cmaes", "nsga2", pytest.param("gp", marks=NO_TORCH)]


def loss(point: Any) -> float:
    return (
        (point["x"] - 2) ** 2
        + abs(math.log10(point["lr"]) + 2)
        + abs(point["layers"] - 4)
        + abs(math.log2(point["units"] / 64))
        + point["noise"]
        + (point["optimizer"] != "adam")
    )


def told(trial: int, point: Any, state: str = "succeeded", value: float | None = None) -> Told:
    value = loss(point) if value is None else value
    return Told(trial, point, state, value if state in ("succeeded", "pruned") else None, {"loss": value})


def learning(algorithm: str = "tpe", space: dict[str, Any] = SPACE, **search: Any) -> Spec:
    defaults = {"trials": 40, "metric": "loss", "goal": "minimize", "seed": 3}
    return sweep(space, algorithm=algorithm, **{**defaults, **search})


def one_after_another(search: Search, count: int, first: int = 0) -> list[dict[str, Any]]:
    asked = []
    for trial in range(first, first + count):
        point = search.ask(trial)
        assert point is not None
        asked.append(dict(point))
        search.tell(told(trial, point, ("succeeded", "succeeded", "pruned", "failed")[trial % 4]))
    return asked


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_resumed_search_asks_what_an_undisturbed_one_asks(algorithm: str) -> None:
    spec = learning(algorithm, CONDITIONAL, options={"population_size": 6} if algorithm == "nsga2" else {})
    undisturbed = one_after_another(make_search(spec), 30)
    assert len({str(point) for point in undisturbed}) > 25
    for killed in (1, 11, 23):
        resumed = make_search(spec)
        for trial in range(killed):
            resumed.replay(trial, undisturbed[trial])
            resumed.tell(told(trial, undisturbed[trial], ("succeeded", "succeeded", "pruned", "failed")[trial % 4]))
        assert one_after_another(resumed, 30 - killed, killed) == undisturbed[killed:]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_with_many_in_flight_the_same_calls_give_the_same_points(algorithm: str) -> None:
    spec = learning(algorithm)

    def life(search: Search, known: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Four in flight; the first ``known`` points are announced, the rest asked for."""
        asked: list[dict[str, Any]] = []
        for trial in range(24):
            if trial >= 4:
                ended = sorted(set(range(trial)) - done)[0 if trial % 3 else 1]
                search.tell(told(ended, asked[ended]))
                done.add(ended)
            if trial < len(known):
                search.replay(trial, known[trial])
                asked.append(known[trial])
            else:
                point = search.ask(trial)
                assert point is not None
                asked.append(dict(point))
        return asked

    done: set[int] = set()
    first = life(make_search(spec), [])
    done = set()
    assert life(make_search(spec), first[:15]) == first


def test_another_process_asks_the_same_points() -> None:
    program = (
        "import sys; sys.path.insert(0, '.');"
        "from tests.unit.search.test_learning import *;"
        "print([p for p in one_after_another(make_search(learning()), 20)])"
    )
    here = one_after_another(make_search(learning()), 20)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "7", "PYTHONPATH": "."},
    )
    assert done.stdout.strip() == str(here)
    assert done.stderr == ""


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_points_of_a_search_that_learns_become_better(algorithm: str) -> None:
    space = {"x": {"uniform": [-5, 10]}, "y": {"uniform": [0, 15]}}
    options = {"options": {"population_size": 10}} if algorithm == "nsga2" else {}
    trials = 30 if algorithm == "gp" else 80
    better = 0
    for seed in range(5):
        search = make_search(learning(algorithm, space, seed=seed, trials=trials, **options))
        values = []
        for trial in range(trials):
            point = search.ask(trial)
            assert point is not None
            values.append(branin(point["x"], point["y"]))
            search.tell(told(trial, point, value=values[-1]))
        better += median(values[-10:]) < median(values[:10]) / 2
    assert better >= 4


def branin(x: float, y: float) -> float:
    """The Branin function; its least value is 0.397887."""
    return (
        (y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6) ** 2
        + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x)
        + 10
    )


def test_points_that_are_asked_for_while_others_run_lie_apart() -> None:
    space = {"x": {"uniform": [0, 1]}, "y": {"uniform": [0, 1]}}

    def spread(pending: bool) -> float:
        search = make_search(learning(space=space, trials=100, options={} if pending else {"constant_liar": False}))
        for trial in range(40):
            point = search.ask(trial)
            assert point is not None
            search.tell(told(trial, point, value=(point["x"] - 0.5) ** 2 + (point["y"] - 0.5) ** 2))
        asked = [search.ask(trial) or {} for trial in range(40, 56)]
        return min(math.dist(a.values(), b.values()) for n, a in enumerate(asked) for b in asked[:n])

    assert spread(pending=True) > 0
    assert spread(pending=True) >= spread(pending=False)


def test_parameters_are_modelled_one_by_one_where_the_options_say_so() -> None:
    together, alone = (
        one_after_another(make_search(learning(options=options)), 25) for options in ({}, {"multivariate": False})
    )
    assert together[:10] == alone[:10], "the first points are drawn at random"
    assert together[10:] != alone[10:]


def test_a_goal_to_maximize_is_maximized() -> None:
    space = {"x": {"uniform": [0, 1]}}
    search = make_search(learning(space=space, goal="maximize", trials=60))
    values = []
    for trial in range(60):
        point = search.ask(trial)
        assert point is not None
        values.append(point["x"])
        search.tell(told(trial, point, value=point["x"]))
    assert sum(values[40:]) / 20 > 0.85


def test_conditional_parameters_are_asked_for_only_where_they_are_active() -> None:
    asked = one_after_another(make_search(learning(space=CONDITIONAL)), 40)
    assert all((point["momentum"] == 0) == (point["optimizer"] != "sgd") for point in asked)
    assert {point["optimizer"] != "sgd" for point in asked} == {True, False}


def test_every_point_that_is_asked_for_satisfies_the_constraints() -> None:
    spec = learning(space={"x": {"uniform": [0, 1]}, "y": {"uniform": [0, 1]}}, constraints=["x + y < 0.3"])
    search = make_search(spec)
    for trial in range(40):
        point = search.ask(trial)
        assert point is not None
        assert point["x"] + point["y"] < 0.3
        search.tell(told(trial, point, value=-point["x"]))
    with pytest.raises(UsageError, match=r"none of 10,000 random points"):
        make_search(learning(space={"x": {"uniform": [0, 1]}}, constraints=["x > 1"]))


def test_a_repeated_point_counts_by_its_mean_once_all_its_trials_have_ended() -> None:
    space = {"x": {"uniform": [0, 1]}, "seed": {"repeat": 2}}
    noisy, clear = (make_search(learning(space=form, trials=60)) for form in (space, {"x": space["x"]}))
    for number in range(30):
        first, second = noisy.ask(2 * number), noisy.ask(2 * number + 1)
        only = clear.ask(number)
        assert first is not None
        assert second is not None
        assert only is not None
        assert (first["seed"], second["seed"]) == (0, 1)
        assert first["x"] == second["x"] == only["x"]
        noisy.tell(told(2 * number, first, value=first["x"] + 1))
        noisy.tell(told(2 * number + 1, second, value=second["x"] - 1))
        clear.tell(told(number, only, value=(only["x"] + 1 + only["x"] - 1) / 2))


def test_several_goals_lead_to_a_front_between_them() -> None:
    goals = {"accuracy": "maximize", "latency": "minimize"}
    spec = sweep(
        {"size": {"uniform": [0, 1]}, "waste": {"uniform": [0, 1]}},
        algorithm="nsga2",
        trials=150,
        goals=goals,
        seed=1,
        options={"population_size": 15},
    )
    assert (spec.search.metric, spec.search.goal) == ("accuracy", "maximize")
    search = make_search(spec)
    wastes = []
    for trial in range(150):
        point = search.ask(trial)
        assert point is not None
        wastes.append(point["waste"])
        metrics = {"accuracy": point["size"] - point["waste"], "latency": point["size"] + point["waste"]}
        search.tell(Told(trial, point, "succeeded", metrics["accuracy"], metrics))
    assert sum(wastes[-30:]) < 0.7 * sum(wastes[:30])


def test_trials_without_a_result_teach_nothing_and_break_nothing() -> None:
    search = make_search(learning())
    for trial in range(30):
        point = search.ask(trial)
        assert point is not None
        state = ("failed", "cancelled", "succeeded")[trial % 3]
        search.tell(Told(trial, point, state, None, {}))


def test_a_warm_start_asks_near_what_was_good_before() -> None:
    space = {"x": {"uniform": [0, 1]}, "y": {"uniform": [0, 1]}}
    cold = make_search(learning(space=space, trials=60))
    earlier = []
    for trial in range(40):
        point = cold.ask(trial)
        assert point is not None
        earlier.append(told(trial, point, value=(point["x"] - 0.2) ** 2 + (point["y"] - 0.8) ** 2))
        cold.tell(earlier[-1])
    strange = [Told(99, {"z": 1}, "succeeded", 0.0, {}), Told(98, {"x": 5, "y": 0}, "succeeded", 0.0, {})]
    warm = make_search(learning(space=space, warm_start="other", seed=11), earlier=[*strange, *earlier])
    asked = [warm.ask(trial) or {} for trial in range(8)]
    far = [math.dist(point.values(), (0.2, 0.8)) for point in asked]
    assert sorted(far)[4] < 0.25
    with pytest.raises(UsageError, match="none of 2 earlier trials"):
        make_search(learning(space=space, warm_start="other"), earlier=strange)


def test_a_record_of_another_space_is_refused() -> None:
    search = make_search(learning(space={"x": {"uniform": [0, 1]}}))
    with pytest.raises(UsageError, match="Trial 0 of the record"):
        search.replay(0, {"x": 7.0})


@pytest.mark.parametrize(
    ("algorithm", "options", "message"),
    [
        ("tpe", {"n_startup_trails": 5}, "knows no 'n_startup_trails'.*n_startup_trials"),
        ("nsga2", {"population_size": 1}, "refuses them"),
        ("tpe", {"seed": 1}, "knows no 'seed'"),
    ],
)
def test_an_option_that_the_sampler_does_not_take_is_refused(
    algorithm: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        make_search(learning(algorithm, options=options))


def test_an_option_that_fails_only_at_work_is_named() -> None:
    search = make_search(learning(options={"n_ei_candidates": 0, "n_startup_trials": 2}))
    with pytest.raises(UsageError, match=r"search\.options: tpe fails with them"):
        one_after_another(search, 10)


def test_the_search_ends_at_its_number_of_trials() -> None:
    search = make_search(learning(trials=2))
    assert search.size == 2
    assert search.adaptive
    assert search.ask(2) is None


ALL_KINDS = [
    *(written for written, _ in DISTRIBUTIONS),
    {"normal": [0, 1], "step": 0.1},
    {"uniform": [0, 1], "step": 0.1},
    {"loguniform": [1e-3, 1], "step": 1e-3},
    {"choice": ["a", 1, True, 1.5, None, [1], {"k": 1}]},
    {"range": [0.1, 0.7, 0.1]},
    {"range": [5, -5, -2]},
    {"range": [0, 10**9]},
    {"linspace": [0, 1, 7]},
    {"integer": [-3, 9], "step": 3},
    {"loginteger": [1, 1000]},
    {"combinations": ["a", "b", "c"], "length": 2},
    {"permutations": [1, 2, 3]},
]


@quick
@given(st.sampled_from(ALL_KINDS), st.floats(0, 1), st.integers(0, 10**9))
def test_what_optuna_is_told_of_a_value_follows_from_the_value_alone(
    written: dict[str, Any], share: float, index: int
) -> None:
    kind = READ.validate_python(written)
    known: Any = distribution(kind)
    low, high = getattr(known, "low", 0), getattr(known, "high", 1)
    if kind.size is None:
        suggested: Any = low + share * (high - low)
    elif hasattr(known, "choices"):
        suggested = index % kind.size
    else:
        suggested = min(low + index % kind.size, high)
    place = outer(kind, suggested)
    space = Space({"x": kind, "y": READ.validate_python([1, 2])})
    point = space.point({"x": place, "y": 1})
    assert locate(space, point) == {"x": place, "y": 1}
    told_optuna = inner(kind, place)
    assert known._contains(known.to_internal_repr(told_optuna))
    if kind.size is not None:
        assert told_optuna == suggested


def test_a_value_that_stands_in_two_rows_is_found_by_what_is_tied_to_it() -> None:
    parameters = {
        "a": READ.validate_python(["x", "x", "y"]),
        "b": READ.validate_python({"choice": [1, 2, 3], "tied": "a"}),
    }
    space = Space(parameters)
    assert locate(space, {"a": "x", "b": 2}) == {"a": 1}
    with pytest.raises(NoSuchValue):
        locate(space, {"a": "y", "b": 2})


@quick
@given(st.lists(st.sampled_from([1, True, "a", "b", None, [1]]), min_size=1, max_size=6), st.integers(1, 4), st.data())
def test_an_arrangement_is_found_by_its_values_and_of_equal_ones_the_first(
    values: list[Any], length: int, data: st.DataObject
) -> None:
    spelling = data.draw(st.sampled_from(["permutations", "combinations", "replacement"]))
    length = length if spelling == "replacement" else min(length, len(values))
    again = {"replacement": True} if spelling == "replacement" else {}
    name = "permutations" if spelling == "permutations" else "combinations"
    kind = READ.validate_python({name: values, "length": length, **again})
    if kind.size == 1:
        return  # its value is known
    assert kind.size is not None
    space = Space({"x": kind})
    everything = [kind.value_at(index) for index in range(kind.size)]
    value = data.draw(st.sampled_from(everything))
    first = next(number for number, one in enumerate(everything) if repr(one) == repr(value))
    assert locate(space, {"x": value}) == {"x": first}
    for strange in ([*value, 1], ["z"] * length, [], "a", None):
        with pytest.raises(NoSuchValue):
            locate(space, {"x": strange})


def test_one_of_a_trillion_arrangements_is_found_without_the_others() -> None:
    for written in ({"permutations": list(range(15))}, {"combinations": list(range(60)), "length": 20}):
        kind = READ.validate_python(written)
        assert kind.size is not None
        last = kind.value_at(kind.size - 1)
        assert locate(Space({"x": kind}), {"x": last}) == {"x": kind.size - 1}


def test_a_resumed_search_asks_the_same_where_chance_had_to_find_the_points_and_values_stand_twice() -> None:
    """Chance draws values for conditions that do not hold too, and one of equal values; the record shows neither."""
    space = {
        "x": {"uniform": [0, 1]},
        "kind": ["a", "b", "a"],
        "m": {"uniform": [0, 1], "when": {"kind": "b"}, "otherwise": 0},
    }
    spec = sweep(space, algorithm="tpe", trials=40, metric="loss", seed=2, constraints=["x < 0.03"])
    undisturbed, resumed = make_search(spec), make_search(spec)
    for trial in range(30):
        point = undisturbed.ask(trial)
        assert point is not None
        if trial < 12:
            resumed.replay(trial, point)
        else:
            assert resumed.ask(trial) == point
        for one in (undisturbed, resumed):
            one.tell(told(trial, point, value=point["x"] + point["m"]))


def test_what_a_constraint_refuses_is_not_asked_for_until_chance_has_to_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    space = {"x": {"uniform": [0, 1]}, "y": {"uniform": [0, 1]}}
    search = make_search(learning(space=space, constraints=["x < y"], trials=40))
    by_chance: list[int] = []
    drawn = Draws.coordinates
    monkeypatch.setattr(Draws, "coordinates", lambda own, number: by_chance.append(number) or drawn(own, number))
    for trial in range(40):
        point = search.ask(trial)
        assert point is not None
        search.tell(told(trial, point, value=(point["x"] - 0.5) ** 2 + (point["y"] - 0.5) ** 2))
    # The best point lies at the edge: a model that forgets what was refused leaves half of them to chance.
    assert len(by_chance) < 5
