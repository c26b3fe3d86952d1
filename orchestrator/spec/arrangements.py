"""The kinds of parameter that arrange other values: subsets, orders, repetitions, stages and computed values."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, model_validator

from orchestrator.spec.formula import Formula, FormulaError
from orchestrator.spec.kind import LARGEST, Kind, listed_values
from orchestrator.spec.problems import wrong
from orchestrator.spec.quantities import Flag, text, whole_within


def formula_text(value: Any) -> str:
    # A number is a formula too, though YAML does not read it as a text.
    written = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else text(value)
    try:
        Formula(written)
    except FormulaError as error:
        raise wrong(str(error)) from None
    return written


class Combinations(Kind):
    """A list of some of the values, in their order; as ``itertools.combinations``."""

    key: ClassVar[str] = "combinations"

    combinations: Annotated[list[Any], BeforeValidator(listed_values)] = Field(
        description="The values of which `length` are taken, in the order given here.",
        examples=[["crop", "flip", "blur"]],
    )
    length: Annotated[int, whole_within(1, 1000)] = Field(description="How many are taken.", examples=[2])
    replacement: Flag = Field(False, description="Whether the same value may be taken again.")

    @property
    def size(self) -> int:
        pool = len(self.combinations)
        return math.comb(pool + self.length - 1 if self.replacement else pool, self.length)

    def _value(self, index: int) -> list[Any]:
        # Taking k of n with replacement is taking k of n + k - 1 without, each place shifted back by its number.
        pool = len(self.combinations) + (self.length - 1 if self.replacement else 0)
        taken = []
        place = 0
        for number in range(self.length):
            left = self.length - number - 1
            while (following := math.comb(pool - place - 1, left)) <= index:
                index -= following
                place += 1
            taken.append(self.combinations[place - number if self.replacement else place])
            place += 1
        return taken

    @model_validator(mode="after")
    def _possible(self) -> Self:
        _check_length(self.length, len(self.combinations), self.replacement, self.size)
        return self


class Permutations(Kind):
    """A list of some of the values, in any order; as ``itertools.permutations``."""

    key: ClassVar[str] = "permutations"

    permutations: Annotated[list[Any], BeforeValidator(listed_values)] = Field(
        description="The values of which `length` are taken, in every order.",
        examples=[["conv", "pool", "norm"]],
    )
    length: Annotated[int, whole_within(1, 1000)] | None = Field(
        None, description="How many are taken. Left out: all of them.", examples=[2]
    )

    @property
    def taken(self) -> int:
        """How many of the values each arrangement has."""
        return len(self.permutations) if self.length is None else self.length

    @property
    def size(self) -> int:
        return math.perm(len(self.permutations), self.taken)

    def _value(self, index: int) -> list[Any]:
        left = list(self.permutations)
        taken = []
        for number in range(self.taken, 0, -1):
            place, index = divmod(index, math.perm(len(left) - 1, number - 1))
            taken.append(left.pop(place))
        return taken

    @model_validator(mode="after")
    def _possible(self) -> Self:
        _check_length(self.taken, len(self.permutations), False, self.size)
        return self


def _check_length(length: int, values: int, again: bool, size: int) -> None:
    if length > values and not again:
        raise wrong(f"must be at most {values}, the number of values", at=["length"])
    if size > LARGEST:
        raise wrong("has too many values")


class Numbered(Kind):
    """A kind whose values number the trials of each point.  It runs fastest in every search."""

    noun: ClassVar[str]
    """What a trial of a point is called."""


class Repeat(Numbered):
    """0, 1, 2, ...: every point is tried this many times, as with several seeds, and counts by its mean.

    It runs fastest in every search, also in one that draws its points or learns.
    """

    key: ClassVar[str] = "repeat"
    noun: ClassVar[str] = "repetition"

    repeat: Annotated[int, whole_within(1, 1_000_000)] = Field(
        description="How many trials a point gets. The value is 0 in the first, 1 in the second, and so on: a seed.",
        examples=[5],
    )

    @property
    def size(self) -> int:
        return self.repeat

    def _value(self, index: int) -> int:
        return index


class Stages(Numbered):
    """The stages of every point, one trial each: it begins when the one before has ended well, from its checkpoint.

    A trial whose stage before it has failed is not begun and fails with it.
    """

    key: ClassVar[str] = "stages"
    noun: ClassVar[str] = "stage"

    stages: Annotated[list[Any], BeforeValidator(listed_values)] = Field(
        description="Every point is trained in stages, one trial a value: each begins once the one before it has ended "
        "well, and goes on from its checkpoint.",
        min_length=1,
        examples=[["pretrain", "finetune"]],
    )

    @property
    def size(self) -> int:
        return len(self.stages)

    def _value(self, index: int) -> Any:
        return self.stages[index]


class Derived(Kind):
    """A value that is computed from other parameters."""

    key: ClassVar[str] = "derived"

    derived: Annotated[str, BeforeValidator(formula_text)] = Field(
        description="A formula over other parameters: + - * / // % **, comparisons, and, or, not, `a if c else b`, "
        "`x[0]`, and abs, min, max, round, int, float, str, len, floor, ceil, sqrt, exp, log, log2, log10.",
        examples=["2 ** depth", "lr * batch / 256"],
    )

    @cached_property
    def formula(self) -> Formula:
        return Formula(self.derived)

    @property
    def axis(self) -> bool:
        return False

    @property
    def reads(self) -> frozenset[str]:
        return super().reads | self.formula.names
