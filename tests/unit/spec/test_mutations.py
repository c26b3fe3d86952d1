"""Thousands of spoilt specs: each is a spec, or an error that says what is wrong in plain words, and where."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from orchestrator.spec import Loaded, Problem, Spec, SpecError, expand, from_dict, parse
from orchestrator.spec.template import compile, compile_shell
from tests.unit.spec.mutations import dumped, originals, spoilt_data, spoilt_text

TEXTS = originals()
DATA = [yaml.safe_load(text) for text in TEXTS]

# What only a programmer of this library would understand.
JARGON = (
    "Input should",
    "pydantic",
    "function-",
    "validation error",
    "Traceback",
    "NoneType",
    "<class",
    "cannot be a ",
)


def check_problems(problems: Sequence[Problem], lines: list[str] | None) -> None:
    for problem in problems:
        said = str(problem)
        assert problem.message
        assert "\n" not in said
        assert len(said) < 1000
        assert not any(word in said for word in JARGON), said
        if lines is None:
            assert problem.line is None
        else:
            assert problem.line is not None
            assert problem.column is not None
            assert 1 <= problem.line <= len(lines), said
            assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1, said


def check_spec(loaded: Loaded) -> None:
    """What is accepted can be written down, expanded and compiled."""
    written = loaded.spec.model_dump(mode="json", exclude_unset=True)
    assert Spec.model_validate(written) == loaded.spec
    assert expand(loaded.spec) == list(loaded.specs)
    for spec in loaded.specs:
        work = spec.workload
        if isinstance(work.command, str):
            compile_shell(work.command)
        for text in [*work.env.values(), *work.outputs, *(item.from_ for item in work.inputs)]:
            compile(text)
        for parameter in spec.parameters.values():
            if parameter.finite and parameter.size:
                parameter.value_at(parameter.size - 1)


def outcome(kind: str, seed: int, base: Path) -> str:
    draw = random.Random(f"{kind} {seed}")
    number = draw.randrange(len(TEXTS))
    lines = None
    try:
        if kind == "data":
            loaded = from_dict(spoilt_data(DATA[number], draw), base=base)
        else:
            spoilt = spoilt_data(DATA[number], draw) if kind == "yaml" else None
            text = spoilt_text(TEXTS[number], draw) if spoilt is None else dumped(spoilt, draw)
            # As the YAML parser counts them.
            unix = text.replace("\r\n", "\n")
            for end in "\r\x85\u2028\u2029":
                unix = unix.replace(end, "\n")
            lines = unix.split("\n")
            loaded = parse(text, "sweep.yaml", base=base if draw.random() < 0.2 else None)
    except SpecError as error:
        check_problems(error.problems, lines)
        return "refused" if any(problem.severity == "error" for problem in error.problems) else "refused for nothing"
    assert all(problem.severity == "warning" for problem in loaded.warnings)
    check_problems(loaded.warnings, lines)
    check_spec(loaded)
    return "accepted"


@pytest.mark.parametrize("kind", ["text", "yaml", "data"])
def test_a_spoilt_spec_is_a_spec_or_an_error_in_plain_words_with_its_place(kind: str, tmp_path: Path) -> None:
    outcomes = []
    for seed in range(1500):
        try:
            outcomes.append(outcome(kind, seed, tmp_path))
        except BaseException as error:
            error.add_note(f"kind {kind!r}, seed {seed}")
            raise
    assert "refused for nothing" not in outcomes
    assert outcomes.count("refused") > 200
    if kind != "data":
        assert outcomes.count("accepted") > 100


def test_a_spoilt_override_is_a_spec_or_an_error_in_plain_words() -> None:
    refused = 0
    for seed in range(1500):
        draw = random.Random(seed)
        number = draw.randrange(len(TEXTS))
        override = spoilt_text(draw.choice(["limits.parallel=4", "parameters.lr={uniform: [0, 1]}", "name=x"]), draw)
        try:
            check_spec(parse(TEXTS[number], "sweep.yaml", [override]))
        except SpecError as error:
            refused += 1
            for problem in error.problems:
                assert "\n" not in str(problem)
                assert not any(word in str(problem) for word in JARGON), str(problem)
    assert refused > 200
