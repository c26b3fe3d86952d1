"""What a search can be told beside its algorithm: the points of a list, sub-grids, constraints, further goals."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from orchestrator.spec.arrangements import formula_text
from orchestrator.spec.kind import parameter_value
from orchestrator.spec.parameters import Parameter
from orchestrator.spec.problems import describe, did_you_mean, one_of, wrong
from orchestrator.spec.quantities import Text, choice_of, number, text, whole_within
from orchestrator.spec.stopping import EarlyStopping

QUASI_RANDOM = ("sobol", "halton", "latin_hypercube")
OPTUNAS = ("tpe", "gp", "cmaes", "nsga2")
ADAPTIVE = (*OPTUNAS, "pbt")
ALGORITHMS = ("grid", "random", "zip", "list", "files", *QUASI_RANDOM, *ADAPTIVE)
# The names that a trial of one file can use in its placeholders.
FILE_NAMES = ("url", "path", "name", "stem")

OWN_ALGORITHM = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def algorithm_name(value: Any) -> str:
    """One of ours, or a user's own as ``module:function``."""
    if isinstance(value, str) and (value in ALGORITHMS or OWN_ALGORITHM.fullmatch(value)):
        return value
    hint = did_you_mean(value, ALGORITHMS) or "a function of your own is module:function"
    raise wrong(f"must be {one_of(ALGORITHMS)}, not {describe(value)}", hint)


def is_own(algorithm: str) -> bool:
    """Whether the algorithm is a user's own function."""
    return ":" in algorithm


def _point(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise wrong(f"needs a mapping of names to values, not {describe(value)}")
    return {text(name): parameter_value(item) for name, item in value.items()}


def _options(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise wrong(f"needs a mapping of names to values, not {describe(value)}")
    return {text(name): parameter_value(item) for name, item in value.items()}


def _texts(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Goal = Annotated[Literal["maximize", "minimize"], choice_of(("maximize", "minimize"))]


class SearchOptions(BaseModel):
    """The less common keys of ``search``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    constraints: Annotated[list[Annotated[str, BeforeValidator(formula_text)]], BeforeValidator(_texts)] = Field(
        [],
        description="Formulas over the parameters that must hold at every point, such as `lr * batch < 1`. Points "
        "where one does not are left out (grid, zip, list) or drawn again.",
        examples=[["lr * batch < 1", "depth <= 4 or width <= 128"]],
    )
    grids: list[Annotated[dict[str, Parameter], Field(min_length=1)]] = Field(
        [],
        description="For `grid`: several grids one after another. Each entry replaces some of `parameters`; the rest "
        "stays as it is.",
        examples=[[{"optimizer": "sgd", "momentum": [0.0, 0.9]}, {"optimizer": "adam"}]],
    )
    points: list[Annotated[dict[str, Any], BeforeValidator(_point)]] = Field(
        [],
        description="For `list`: the points themselves, each a mapping of names to values.",
        examples=[[{"lr": 0.1, "batch": 32}, {"lr": 0.01, "batch": 64}]],
    )
    file: Text | None = Field(
        None,
        description="For `list`: a CSV file with a header, or a JSON Lines file (.jsonl), one point a row; relative to "
        "the spec's file.",
        examples=["points.csv"],
    )
    folder: Text | None = Field(
        None,
        description="For `files`: one trial for each file below this folder, which is relative to the spec's file or "
        "the URL of a folder in an object store. Placeholders: {url}, {path}, {name} and {stem}.",
        examples=["./images", "s3://bucket/images"],
    )
    match: Text = Field(
        "*",
        description="For `files`: only files whose path below the folder matches this pattern; `*` stands for any "
        "characters, `/` too.",
        examples=["*.png"],
    )
    options: Annotated[dict[str, Any], BeforeValidator(_options)] = Field(
        {},
        description="Arguments for an adaptive sampler, as Optuna names them; for `pbt`: population, quantile, "
        "resample, factors and perturb; or for a function of your own.",
        examples=[{"n_startup_trials": 20}],
    )
    goals: dict[Text, Goal] = Field(
        {},
        description="For `nsga2`, `tpe` and `gp`: several metrics at once, and whether each is to be maximized or "
        "minimized. The first one is `metric` and `goal`, which rank the table.",
        examples=[{"accuracy": "maximize", "latency": "minimize"}],
    )
    warm_start: Annotated[list[Text], BeforeValidator(_texts)] = Field(
        [],
        description="Earlier runs whose results an adaptive search learns from before its first trial.",
        examples=[["glyphs-3f2a"]],
    )
    early_stopping: EarlyStopping | None = Field(
        None,
        description="Gives up a trial that does badly, by the values of `metric` that it reports with their steps: "
        "median, asha, hyperband, bandit, plateau or threshold.",
        examples=[{"rule": "asha", "first": 1, "reduction": 3}],
    )
    target: Annotated[float, BeforeValidator(number)] | None = Field(
        None, description="The run ends when a trial's metric is this good or better.", examples=[0.99]
    )
    patience: Annotated[int, whole_within(1, 10**9)] | None = Field(
        None, description="The run ends when this many trials in a row have not improved the best value.", examples=[50]
    )

    @model_validator(mode="before")
    @classmethod
    def _first_goal_ranks(cls, data: Any) -> Any:
        goals = data.get("goals") if isinstance(data, Mapping) else None
        if not isinstance(goals, Mapping) or not goals or "metric" in data or "goal" in data:
            return data
        metric, goal = next(iter(goals.items()))
        return {**data, "metric": metric, "goal": goal}
