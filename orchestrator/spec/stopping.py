"""The rules of early stopping: when a trial is given up because of the values that it reports."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from orchestrator.spec.problems import describe, did_you_mean, one_of, wrong
from orchestrator.spec.quantities import number, number_within, whole_within

Number = Annotated[float, BeforeValidator(number)]
Step = Annotated[float, number_within(0)]


class Rule(BaseModel):
    """What every rule has in common."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: ClassVar[str]

    after: Step = Field(0.0, description="No trial is given up before it has reported a step above this one.")


class Median(Rule):
    """A trial is given up at a step where its best value so far is worse than the median of the other trials' means.

    The mean of a trial is that of all its values up to this step; only trials that reported at this very step count.
    Source: D. Golovin and others, Google Vizier,
    KDD 2017, section 3.2.2.
    """

    key: ClassVar[str] = "median"

    rule: Literal["median"] = "median"
    percentile: Annotated[float, number_within(0, 100, above=True)] = Field(
        50.0, description="Another percentile in place of the median: 80 gives up what is not among the best fifth."
    )
    trials: Annotated[int, whole_within(1)] = Field(
        5, description="No trial is given up before so many others have reported at the same step."
    )


class Halving(Rule):
    """Asynchronous successive halving (ASHA) by stopping.

    At the steps first, first * reduction, first * reduction^2, ... a trial goes on only if it is among the best
    1 / reduction of the trials that have come so far.  Source: L. Li and others, A System for Massively Parallel
    Hyperparameter Tuning, MLSys 2020.
    """

    key: ClassVar[str] = "asha"

    rule: Literal["asha"] = "asha"
    first: Annotated[float, number_within(0, above=True)] = Field(1.0, description="The step of the first selection.")
    reduction: Annotated[float, number_within(1, 1000, above=True)] = Field(
        3.0, description="One trial in so many goes on at each selection."
    )
    last: Annotated[float, number_within(0, above=True)] | None = Field(
        None, description="The step at which a trial is complete: no selection is made there or later."
    )


class Hyperband(Rule):
    """Several successive halvings side by side, which begin to select at different steps.

    Each trial belongs to one by its number, in Hyperband's proportions.
    Source: L. Li and others, Hyperband, JMLR 2018.
    """

    key: ClassVar[str] = "hyperband"

    rule: Literal["hyperband"] = "hyperband"
    first: Annotated[float, number_within(0, above=True)] = Field(1.0, description="The earliest selection's step.")
    last: Annotated[float, number_within(0, above=True)] = Field(description="The step at which a trial is complete.")
    reduction: Annotated[float, number_within(1, 1000, above=True)] = Field(
        3.0, description="One trial in so many goes on at each selection."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.last < self.first * self.reduction:
            raise wrong(f"must be at least first * reduction, which is {self.first * self.reduction:g}", at=["last"])
        return self

    @property
    def brackets(self) -> int:
        return math.floor(math.log(self.last / self.first) / math.log(self.reduction) + 1e-9) + 1


class Bandit(Rule):
    """A trial is given up when its best value is worse than the best of all trials at the same step by a slack."""

    key: ClassVar[str] = "bandit"

    rule: Literal["bandit"] = "bandit"
    factor: Annotated[float, number_within(0)] | None = Field(
        None, description="The slack as a share: 0.2 allows best / 1.2 where more is better, best * 1.2 where less is."
    )
    amount: Annotated[float, number_within(0)] | None = Field(None, description="The slack as an amount.")

    @model_validator(mode="after")
    def _one_slack(self) -> Self:
        if (self.factor is None) == (self.amount is None):
            raise wrong("needs one slack: factor or amount", "add factor: 0.2")
        return self


class Plateau(Rule):
    """A trial is given up when its own best value has not improved for a number of reports."""

    key: ClassVar[str] = "plateau"

    rule: Literal["plateau"] = "plateau"
    reports: Annotated[int, whole_within(1)] = Field(
        10, description="How many reports in a row may pass without an improvement."
    )
    delta: Annotated[float, number_within(0)] = Field(0.0, description="The least change that counts as one.")


class Threshold(Rule):
    """A trial is given up when it reports a value outside a range."""

    key: ClassVar[str] = "threshold"

    rule: Literal["threshold"] = "threshold"
    below: Number | None = Field(None, description="Give up at a value below this one.")
    above: Number | None = Field(None, description="Give up at a value above this one.")

    @model_validator(mode="after")
    def _one_side(self) -> Self:
        if self.below is None and self.above is None:
            raise wrong("needs a bound: below or above", "add below: 0.1")
        if self.below is not None and self.above is not None and self.below > self.above:
            raise wrong("leaves no value: below is greater than above")
        return self


RULES: dict[str, type[Rule]] = {rule.key: rule for rule in (Median, Halving, Hyperband, Bandit, Plateau, Threshold)}


def _named(value: Any) -> Any:
    """The full form of a rule's name alone."""
    if isinstance(value, Rule):
        return value
    written = {"rule": value} if isinstance(value, str) else value
    if not isinstance(written, dict):
        raise wrong(f"needs a rule, not {describe(value)}", f"write {{rule: {next(iter(RULES))}}}")
    if written.get("rule") not in RULES:
        message = f"must be {one_of(RULES)}" if "rule" in written else "is missing"
        raise wrong(f"rule {message}", did_you_mean(written.get("rule", ""), RULES), at=["rule"])
    return written


def _rule_of(value: Any) -> str | None:
    return value.key if isinstance(value, Rule) else value["rule"]


EarlyStopping = Annotated[
    Annotated[Median, Tag("median")]
    | Annotated[Halving, Tag("asha")]
    | Annotated[Hyperband, Tag("hyperband")]
    | Annotated[Bandit, Tag("bandit")]
    | Annotated[Plateau, Tag("plateau")]
    | Annotated[Threshold, Tag("threshold")],
    Discriminator(_rule_of),
    BeforeValidator(_named),
]
