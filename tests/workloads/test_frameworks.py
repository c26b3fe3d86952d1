"""The same CNN in every framework: the same losses from the same numbers.

TensorFlow, Keras and scikit-learn are in the test environment. The others are looked for in the interpreters that the
variable FRAMEWORK_PYTHONS names (paths, separated as in PATH), and skipped where none has them.
"""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from digits import network

from .conftest import WORKLOADS, Ended


@cache
def interpreter(*modules: str) -> str:
    """An interpreter that has the modules; the test is skipped where there is none."""
    check = f"from importlib.util import find_spec; raise SystemExit(not all(map(find_spec, {(*modules, 'numpy')})))"
    for python in (sys.executable, *filter(None, os.environ.get("FRAMEWORK_PYTHONS", "").split(os.pathsep))):
        if subprocess.run([python, "-c", check], capture_output=True, timeout=100).returncode == 0:
            return python
    pytest.skip(f"no interpreter here has {' and '.join(modules)}: name one in FRAMEWORK_PYTHONS")


def run(python: str, module: str, folder: Path, *arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    return subprocess.run(
        [python, "-m", module, *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(WORKLOADS), "OMP_NUM_THREADS": "1"} | env,
        capture_output=True,
        text=True,
        timeout=200,
    )


def start(python: str, module: str, folder: Path, *arguments: object, **env: str) -> Ended:
    """Run a program by an interpreter; it must succeed."""
    done = run(python, module, folder, *arguments, **env)
    assert done.returncode == 0, done.stderr
    return Ended.of(folder, done)


def train(python: str, framework: str, folder: Path, epochs: int, backend: str = "tensorflow") -> Ended:
    return start(python, f"digits.train_{framework}", folder, "--epochs", epochs, KERAS_BACKEND=backend)


class Whole:
    """Two uninterrupted epochs in a framework, trained once for all tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.trained: dict[str, Ended] = {}

    def __call__(self, framework: str, backend: str = "tensorflow") -> Ended:
        name = f"{framework}-{backend}"
        if name not in self.trained:
            self.trained[name] = train(
                interpreter(*needs(framework, backend)), framework, self.folder / name, 2, backend
            )
        return self.trained[name]


def needs(framework: str, backend: str = "tensorflow") -> list[str]:
    return ["keras", backend] if framework == "keras" else [{"pytorch": "torch"}.get(framework, framework)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize(
    ("framework", "backend"),
    [
        ("keras", "tensorflow"),
        *(
            pytest.param(*names, marks=pytest.mark.frameworks)
            for names in (
                ("keras", "jax"),
                ("keras", "torch"),
                ("pytorch", "tensorflow"),
                ("flax", "tensorflow"),
                ("mxnet", "tensorflow"),
                ("chainer", "tensorflow"),
            )
        ),
    ],
)
def test_every_framework_trains_the_network_that_plain_tensorflow_trains(
    framework: str, backend: str, whole: Whole
) -> None:
    found, reference = whole(framework, backend), whole("tensorflow")
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
