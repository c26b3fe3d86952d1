"""What every recipe has, and how they are named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.cli.main import main
from orchestrator.errors import UsageError
from orchestrator.images.recipes import named, recipes

FOLDER = Path(__file__).parents[2] / "containers"
FRAMEWORKS = ["chainer", "cntk", "jax", "mxnet", "notebook", "pytorch", "scikit-learn", "spark", "tensorflow"]


def test_there_is_a_recipe_for_each_framework_with_a_readme_and_a_smoke_command() -> None:
    found = recipes(FOLDER)
    assert [recipe.name for recipe in found] == FRAMEWORKS
    for recipe in found:
        assert "cpu" in recipe.variants
        assert (recipe.folder / "README.md").stat().st_size > 100
        assert 'CMD ["python3", "/opt/image/smoke.py"]' in (recipe.folder / "Dockerfile").read_text()


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_recipe_pins_all_is_not_root_and_leaves_no_cache(name: str) -> None:
    folder = FOLDER / name
    lines = [line.strip() for line in (folder / "Dockerfile").read_text().splitlines()]
    assert lines[lines.index("FROM ${BASE}") - 1].startswith("ARG BASE=")
    assert "ARG VARIANT=cpu" in lines
    assert [line for line in lines if line.startswith("USER ")] == ["USER 1000:1000"]
    steps = "\n".join(lines)
    assert steps.count("pip install") == steps.count("pip install --no-cache-dir") > 0
    assert steps.count("apt-get update") == steps.count("rm -rf /var/lib/apt/lists/*")
    for file in folder.glob("requirements-*.txt"):
        pins = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
        assert pins
        assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][^\s*]*", pin) for pin in pins), file


def test_an_image_is_called_by_its_framework_version_and_variant() -> None:
    (tensorflow,) = named(recipes(FOLDER), ["tensorflow"])
    assert tensorflow.image("cpu") == "orchestrator/tensorflow:2.21"
    assert tensorflow.image("gpu") == "orchestrator/tensorflow:2.21-gpu"


def test_what_is_not_known_to_work_is_built_only_by_name() -> None:
    everything = recipes(FOLDER)
    assert "cntk" not in [recipe.name for recipe in named(everything, [])]
    assert [recipe.name for recipe in named(everything, ["cntk"])] == ["cntk"]


def test_a_wrong_name_is_one_clear_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="Did you mean 'tensorflow'"):
        named(recipes(FOLDER), ["tensorflw"])
    assert main(["images", "build", "scikit-learn", "--gpu", "--folder", str(FOLDER)]) == 2
    assert "scikit-learn has no gpu variant" in capsys.readouterr().err
