"""The same CNN in every framework: the same losses from the same numbers, each in the environment of its row."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from digits import network

from tests.environments import Environments, environ, sweep

from .conftest import WORKLOADS, Ended

# What each row of the sweep imports.
MODULES = {
    "tensorflow": ("tensorflow",),
    "keras-tensorflow": ("keras", "tensorflow"),
    "keras-jax": ("keras", "jax"),
    "keras-torch": ("keras", "torch"),
    "pytorch": ("torch",),
    "flax": ("flax",),
    "mxnet": ("mxnet",),
    "chainer": ("chainer",),
}


def run(python: str, module: str, folder: Path, *arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    return subprocess.run(
        [python, "-m", module, *map(str, arguments)],
        cwd=folder,
        env=environ() | {"PYTHONPATH": str(WORKLOADS), "OMP_NUM_THREADS": "1"} | env,
        capture_output=True,
        text=True,
        timeout=200,
    )


def start(python: str, module: str, folder: Path, *arguments: object, **env: str) -> Ended:
    """Run a program by an interpreter; it must succeed."""
    done = run(python, module, folder, *arguments, **env)
    assert done.returncode == 0, done.stderr
    return Ended.of(folder, done)


class Whole:
    """Two uninterrupted epochs of a row, trained once for all tests."""

    def __init__(self, folder: Path, environments: Environments) -> None:
        self.folder = folder
        self.environments = environments
        self.trained: dict[str, Ended] = {}

    def __call__(self, row: str) -> Ended:
        if row not in self.trained:
            python = self.environments.python("frameworks", row, *MODULES[row])
            program, env = f"digits.train_{row.partition('-')[0]}", sweep("frameworks", row).workload.env
            self.trained[row] = start(python, program, self.folder / row, "--epochs", 2, **env)
        return self.trained[row]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, environments: Environments) -> Whole:
    return Whole(tmp_path_factory.mktemp("whole"), environments)


@pytest.mark.parametrize("row", [row for row in MODULES if row != "tensorflow"])
def test_every_framework_trains_the_network_that_plain_tensorflow_trains(row: str, whole: Whole) -> None:
    found, reference = whole(row), whole("tensorflow")
    # Only the order of additions differs, and its effect grows over 74 steps.
    assert found.metrics["loss"] == pytest.approx(reference.metrics["loss"], rel=0.01)
    assert found.metrics["test_accuracy"] == pytest.approx(reference.metrics["test_accuracy"], abs=0.02)
    assert reference.metrics["loss"] < 0.5


def test_a_framework_does_not_go_on_from_anothers_state(whole: Whole) -> None:
    first = whole("tensorflow")
    (folder,) = (first.folder / "checkpoint").iterdir()
    done = run(sys.executable, "digits.train_sklearn", first.folder, "--model", "mlp", "--checkpoint", folder)
    assert done.returncode == 2
    assert "packages ['tensorflow', 'numpy'], not ['sklearn', 'numpy']" in done.stderr


def test_both_layouts_of_the_initial_weights_are_one_network() -> None:
    first, last = network.channels_first(8, seed=3), network.channels_last(8, seed=3)
    pictures = np.random.default_rng(0).normal(size=(network.FILTERS[1], 2, 2)).astype(np.float32)
    np.testing.assert_allclose(
        pictures.reshape(-1) @ first["dense1.kernel"],
        pictures.transpose(1, 2, 0).reshape(-1) @ last["dense1.kernel"],
        rtol=1e-4,
        atol=1e-5,
    )
    assert last["conv2.kernel"][1, 2, 3, 4] == first["conv2.kernel"][4, 3, 1, 2]
