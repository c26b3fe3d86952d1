"""What every program promises: its arguments, and one sentence where its data is not there."""

import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.environments import Environments, sweep

from .conftest import WORKLOADS, Ended

# Programs that train in epochs, and the package that each needs.
EPOCHS = {
    "admissions.train": "numpy",
    "cifar10.train_pytorch": "torch",
    "cifar10.train_tensorflow": "tensorflow",
    "digits.train_chainer": "chainer",
    "digits.train_flax": "flax",
    "digits.train_keras": "tensorflow",
    "digits.train_mxnet": "mxnet",
    "digits.train_pytorch": "torch",
    "digits.train_sklearn": "sklearn",
    "digits.train_tensorflow": "tensorflow",
    "forecast.train": "tensorflow",
    "from_scratch.train": "numpy",
    "generate.train": "tensorflow",
    "glyphs.train": "tensorflow",
    "text.train": "tensorflow",
}
# Programs that take one step, or none.
OTHERS = {"documents.train": "sklearn", "inspections.train": "pyspark", "scoring.score": "sklearn"}
PROGRAMS = EPOCHS | OTHERS
# Programs of the second stage, and of the search engine's demonstrations.
BESIDE = {"documents.consensus", "scoring.join"}


# The sweeps of those whose package is not in the environment of the tests.
SWEEPS = {
    "cifar10.train_pytorch": ("cifar10", "pytorch"),
    "inspections.train": ("inspections", ""),
    **{f"digits.train_{name}": ("frameworks", name) for name in ("chainer", "flax", "mxnet", "pytorch")},
}


@pytest.fixture
def run(
    program_here: Callable[..., Ended], program: Callable[..., Ended], environments: Environments
) -> Callable[..., Ended]:
    """Run a program in this process, or in the environment of its sweep if this one lacks its package."""

    def run(module: str, *arguments: object) -> Ended:
        if find_spec(PROGRAMS[module]) is not None:
            return program_here(module, *arguments)
        python = environments.python(*SWEEPS[module], PROGRAMS[module])
        # What old packages warn of on their import is not the program's.
        env = {**sweep(*SWEEPS[module]).workload.env, "PYTHONWARNINGS": "ignore"}
        return program(module, *arguments, python=python, env=env)

    return run


def test_every_program_is_named_here() -> None:
    found = {
        f"{path.parent.name}.{path.stem}"
        for path in WORKLOADS.glob("*/*.py")
        if "__main__" in path.read_text() and path.parent.name != "valley" and path.stem != "collect"
    }
    assert found == {*PROGRAMS, *BESIDE}


@pytest.mark.parametrize("module", PROGRAMS)
def test_every_program_has_the_arguments_of_all_programs(module: str, run: Callable[..., Ended]) -> None:
    told = run(module, "--help")
    assert told.code == 0
    wanted = {"--smoke", "--data"}
    wanted |= {"--epochs", "--checkpoint"} if module in EPOCHS else set()
    wanted |= {"--seed"} if module != "scoring.score" else {"--checkpoint"}
    wanted |= shown(module)
    assert wanted <= set(re.split(r"[][\s,]+", told.out))


def shown(module: str) -> set[str]:
    """The options that a README gives the program."""
    readmes = "\n".join(path.read_text() for path in (*WORKLOADS.glob("*/README.md"), WORKLOADS / "README.md"))
    commands = re.findall(rf"python -m {re.escape(module)}\b([^`#\n]*)", readmes)
    return {option for command in commands for option in re.findall(r"--\w+", command)}


def commands(readme: Path) -> list[tuple[str, list[str]]]:
    """The trainings by hand that a README shows, in its order, but for those of files of the reader's own."""
    shown = re.findall(r"python -m (\w+\.\w+)([^`#\n]*)", readme.read_text())
    found = [(module, words.split()) for module, words in shown if module in PROGRAMS]
    return [(module, words) for module, words in found if not {"--data", "...", "--help"} & {*words}]


@pytest.mark.parametrize("readme", sorted(WORKLOADS.glob("*/README.md")), ids=lambda path: path.parent.name)
def test_the_commands_of_a_readme_run_one_after_another_in_one_folder(
    readme: Path, run: Callable[..., Ended], request: pytest.FixtureRequest
) -> None:
    for module, arguments in commands(readme):
        if PROGRAMS[module] == "tensorflow":
            request.getfixturevalue("keras")
        done = run(module, *arguments, "--smoke")
        assert done.code == 0, f"{module} {arguments}: {done.err}"


@pytest.mark.parametrize("module", PROGRAMS)
def test_data_that_is_not_there_is_told_in_one_sentence(module: str, run: Callable[..., Ended], tmp_path: Path) -> None:
    corpus = ["--corpus", "csv"] if module in ("text.train", "documents.train") else []
    ended = run(module, "--data", tmp_path / "nowhere", *corpus)
    assert ended.code == 2
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1
    assert "nowhere" in ended.err
