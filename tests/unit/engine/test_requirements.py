"""The files for pip are gathered into texts that stand alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.engine.requirements import gathered
from orchestrator.errors import UsageError
from orchestrator.spec.model import Workload


def texts(base: Path, **files: str) -> dict[str, str] | None:
    for name, text in files.items():
        path = base / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return gathered(Workload(command="true", requirements="r", build_constraints="b" if "b" in files else None), base)


def test_without_requirements_there_is_nothing(tmp_path: Path) -> None:
    assert gathered(Workload(command="true"), tmp_path) is None


def test_files_that_a_file_includes_stand_in_the_text(tmp_path: Path) -> None:
    found = texts(
        tmp_path,
        r="# ours\nnumpy==1.23.5  # old\n-r sub/more\n\n--constraint=limits\nx @ https://a.example/x.zip#sha1=0\n"
        "-r https://a.example/r.txt\n--no-binary \\\n  :all:\n",
        sub__more="scipy\n-c ../limits\n-rlast\n",
        sub__last="-e git+https://a.example/y\n",
        limits="six<2\n-r others\n",
        others="attrs<30\n",
        b="-c others\n--requirement others\nsetuptools==80.9.0\n",
    )
    assert found == {
        "packages": "numpy==1.23.5\nscipy\n-e git+https://a.example/y\nx @ https://a.example/x.zip#sha1=0\n"
        "-r https://a.example/r.txt\n--no-binary    :all:\n",
        "constraints": "six<2\nattrs<30\n" * 2,
        "build_constraints": "attrs<30\nattrs<30\nsetuptools==80.9.0\n",
        "python": "",
    }


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"r": "-r nowhere\n"}, r"^workload\.requirements: .*nowhere cannot be read"),
        ({"r": "a\n", "b": "-r r\n-r b\n"}, r"^workload\.build_constraints: .*b includes itself"),
        ({"r": "-r x\n", "x": "-r r\n"}, "r includes itself"),
        ({"r": "-e .\n"}, r"names the folder '-e \.'"),
        ({"r": "../pkg\n"}, r"names the folder '\.\./pkg'"),
        ({"r": "./pkg[all]\n"}, r"names the folder '\./pkg\[all\]'"),
        ({"r": "--find-links=wheels\n"}, r"names the folder '--find-links=wheels'"),
    ],
)
def test_what_would_not_be_there_is_refused(tmp_path: Path, files: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        texts(tmp_path, **files)


@pytest.mark.parametrize(
    "line", ["--index-url https://ada:hunter2@a.example/simple", "x @ git+https://ada:${TOKEN}hunter2@a.example/y"]
)
def test_a_password_is_refused_and_not_shown(tmp_path: Path, line: str) -> None:
    with pytest.raises(UsageError, match="holds a password") as refused:
        texts(tmp_path, r=f"numpy\n{line}\n")
    assert "hunter2" not in str(refused.value)


def test_the_name_of_a_variable_is_no_password(tmp_path: Path) -> None:
    lines = "--index-url https://${USER}:${TOKEN}@a.example/simple\nx @ git+ssh://git@a.example:22/y\n"
    found = texts(tmp_path, r=f"{lines}--find-links https://a.example/wheels\n")
    assert found is not None
    assert found["packages"].startswith(lines)
