"""Any space with any algorithm: points, or one clear error, and never anything else."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from orchestrator.errors import UsageError
from orchestrator.search import Told, make_search

from .spaces import sweep
from .test_learning import ALL_KINDS

# What "a" and "b" may be: others can compute with them and depend on them.
PLAIN = st.sampled_from(
    [
        {"uniform": [0, 1]},
        {"uniform": [0, 1], "step": 0.5},
        {"integer": [0, 3]},
        [0, 1, 2],
        1,
        [0, 1, 0],
        {"gamma": 2},
        {"repeat": 2},
    ]
)
FORMULAS = st.sampled_from(
    [
        "a * 2",
        "a + b > 0.5",
        "1 / a",
        "a if b else 0",
        "max(a, b)",
        "str(b)",
        "a < b",
        "0.5",
        "a[0]",
        "a + q",
        "b * 1e308 * 2",
    ]
)
VALUES = st.sampled_from([0, 1, 0.5, True, None, "a"])


@st.composite
def kinds(draw: st.DrawFn) -> Any:
    kind: Any = draw(
        st.sampled_from(ALL_KINDS)
        | st.builds(lambda text: {"derived": text}, FORMULAS)
        | st.sampled_from([{"choice": [7, 8, 9], "tied": "b"}, {"repeat": 2}])
    )
    if draw(st.integers(0, 2)) == 0:
        kind = {**kind, "when": {draw(st.sampled_from("ab")): draw(VALUES)}}
        if draw(st.booleans()):
            kind["otherwise"] = draw(VALUES)
    return kind


@st.composite
def spaces(draw: st.DrawFn) -> dict[str, Any]:
    space = {"a": draw(PLAIN), "b": draw(PLAIN)}
    for name in "cd"[: draw(st.integers(0, 2))]:
        space[name] = draw(kinds())
    return dict(draw(st.permutations(list(space.items()))))


@st.composite
def searches(draw: st.DrawFn) -> dict[str, Any]:
    static = ["grid", "random", "zip", "list", "sobol", "halton", "latin_hypercube"]
    algorithm = draw(st.sampled_from([*static, "tpe", "cmaes", "nsga2"]))
    search: dict[str, Any] = {"algorithm": algorithm, "seed": draw(st.integers(0, 5))}
    if draw(st.integers(0, 9)):
        search["trials"] = draw(st.integers(1, 12))
    if draw(st.integers(0, 9)):
        search["metric"] = "m"
    if draw(st.integers(0, 2)) == 0:
        search["constraints"] = [draw(FORMULAS)]
    if algorithm == "tpe" and draw(st.booleans()):
        search["options"] = {"n_startup_trials": 2}
    if algorithm == "list":
        search["points"] = [{"x": 1, "y": "a"}, {"x": 2, "y": None}]
    if algorithm == "grid" and draw(st.integers(0, 2)) == 0:
        search["grids"] = [{"a": draw(PLAIN)}, {"b": draw(VALUES)}]
    return search


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(spaces(), searches(), st.integers(0, 5))
def test_any_sweep_has_the_same_points_after_a_resume_or_is_refused_in_one_sentence(
    space: dict[str, Any], search: dict[str, Any], cut: int
) -> None:
    try:
        spec = sweep(space, **search)
        made = make_search(spec)
        resumed = make_search(spec)
        for trial in range(6):
            point = made.ask(trial)
            if point is None:
                assert made.size is None or made.size <= trial
                break
            assert set(space) <= set(point)
            assert json.loads(json.dumps(point, allow_nan=False)) == point
            if trial < cut:
                resumed.replay(trial, point)
            else:
                assert resumed.ask(trial) == point
            for one in (made, resumed):
                one.tell(Told(trial, point, "succeeded", float(trial % 3), {"m": float(trial % 3)}))
    except UsageError as error:
        assert str(error).endswith((".", "?"))  # noqa: PT017
        assert len(str(error)) < 500  # noqa: PT017
    except ValidationError:
        assert space
