"""The ignore rules, compared with the real git's."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.storage.tree import walk

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git decides what is right, and is missing")

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "HOME": os.devnull,
}


def git(folder: Path, *arguments: str) -> bytes:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=True, env=ENVIRONMENT)
    return done.stdout


def kept_by_git(root: Path, below: str = ".") -> list[str]:
    listing = git(root / below, "ls-files", "--others", "--exclude-standard", "-z")
    return sorted(os.fsdecode(name) for name in listing.split(b"\0") if name)


def kept_by_us(folder: Path) -> list[str]:
    return [found.path for found in walk(folder).files]


def make(root: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


NAMES = st.text("ab.- é", min_size=1, max_size=3).filter(lambda name: name.strip(".") != "" and name[0] != "-")
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
PIECES = st.sampled_from(
    ["a", "b", "ab", ".", "-", "é", " ", "*", "**", "?", "/", "/", "**/", "/**", "[ab]", "[!a]", "[a-c]", "[^-a]",
     "[]a]", "[[:alpha:]]", "[![:punct:]]", "[a", "[[:x:]]", "[b-a]", "\\", "\\a", "\\*", "!", "#", "\\!", "\\ ", "\r"]
)  # fmt: skip
LINES = st.one_of(
    st.lists(PIECES, min_size=1, max_size=5).map("".join),
    PATHS,
    PATHS.map(lambda path: "!" + path),
    PATHS.map(lambda path: "/" + path),
    PATHS.map(lambda path: path + "/"),
    st.sampled_from(["*", "!*/", "*.a", "a/**", "!a", "**/a", "a/*", "!a/b", "# a", "", "/*", "!/a", "a//b", "/"]),
)
RULES = st.lists(LINES, min_size=1, max_size=6).map(lambda lines: "\n".join(lines).encode())


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    paths=st.sets(PATHS, min_size=1, max_size=12),
    rules=st.dictionaries(st.sampled_from(["", "a/", "a/b/", "b/"]), RULES, min_size=1, max_size=3),
)
def test_what_git_keeps_is_kept_and_nothing_else(
    paths: set[str], rules: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("tree")
    git(root, "init", "-q")
    chosen: dict[str, bytes] = {f"{folder}.gitignore": text for folder, text in rules.items()}
    for path in sorted(paths):
        ancestors = {path[:i] for i, char in enumerate(path) if char == "/"}
        if not any(other.startswith(path + "/") for other in chosen) and not ancestors & set(chosen):
            chosen[path] = b""
    make(root, chosen)
    assert kept_by_us(root) == kept_by_git(root)
    shutil.rmtree(root)


@pytest.mark.parametrize(
    ("rules", "dropped"),
    [
        ("*.log\n!keep.log", {"x.log", "d/x.log"}),
        ("/x.log", {"x.log"}),
        ("d/", {"d/x.log", "d/e/y", "d/keep.log"}),
        ("d/\n!d/keep.log", {"d/x.log", "d/e/y", "d/keep.log"}),
        ("d/*\n!d/keep.log", {"d/x.log", "d/e/y"}),
        ("**/y", {"d/e/y"}),
        ("d/**/y", {"d/e/y"}),
        ("e", {"d/e/y"}),
        ("d/e/y ", {"d/e/y"}),
        ("x.log/", set()),
        ("*.log\n!d/", {"x.log", "d/x.log", "keep.log", "d/keep.log"}),
        ("# x.log", set()),
        ("\\#hash", {"#hash"}),
        ("trail\\ ", {"trail "}),
        ("\ufeffx.log", {"x.log", "d/x.log"}),
        ("x.log\r\n", {"x.log", "d/x.log"}),
    ],
)
def test_a_rule_means_what_git_takes_it_to_mean(rules: str, dropped: set[str], tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    names = {"x.log", "keep.log", "d/x.log", "d/keep.log", "d/e/y", "#hash", "trail "}
    make(tmp_path, dict.fromkeys(names, b"") | {".gitignore": rules.encode()})
    assert kept_by_git(tmp_path) == sorted(names - dropped | {".gitignore"})
    assert kept_by_us(tmp_path) == sorted(names - dropped | {".gitignore"})


def test_the_rules_of_the_work_tree_above_a_folder_count(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    make(tmp_path, {
        ".gitignore": b"*.ckpt\n/models/x/only\n/only\n",
        "models/.gitignore": b"secret*\n!secret.py\n",
        "models/x/train.py": b"", "models/x/a.ckpt": b"", "models/x/secret.txt": b"", "models/x/secret.py": b"",
        "models/x/only": b"", "models/x/deep/only": b"",
    })  # fmt: skip
    assert kept_by_us(tmp_path / "models" / "x") == ["deep/only", "secret.py", "train.py"]
    assert kept_by_us(tmp_path / "models" / "x") == kept_by_git(tmp_path, "models/x")


def test_a_folder_that_the_work_tree_ignores_as_a_whole_has_rules_of_its_own_alone(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    make(tmp_path, {
        ".gitignore": b"build\n*.bin\n",
        "build/job/run.py": b"", "build/job/w.bin": b"", "build/job/.gitignore": b"*.tmp\n", "build/job/x.tmp": b"",
    })  # fmt: skip
    assert kept_by_us(tmp_path / "build" / "job") == [".gitignore", "run.py", "w.bin"]


def test_rules_of_folders_outside_any_work_tree_do_not_count(tmp_path: Path) -> None:
    make(tmp_path, {".gitignore": b"*.py\n", "code/run.py": b""})
    assert kept_by_us(tmp_path / "code") == ["run.py"]


def test_our_own_ignore_file_has_the_last_word(tmp_path: Path) -> None:
    make(tmp_path, {
        ".gitignore": b"*.bin\ndata/\n",
        ".orchestrateignore": b"!best.bin\n!data/\n/notes\nsub/.orchestrateignore\n",
        "sub/.orchestrateignore": b"!notes\nx.py\n",
        "best.bin": b"", "other.bin": b"", "data/train.csv": b"", "data/w.bin": b"", "notes": b"",
        "sub/notes": b"", "sub/x.py": b"", "sub/y.py": b"", "x.py": b"",
    })  # fmt: skip
    assert kept_by_us(tmp_path) == [
        ".gitignore", ".orchestrateignore", "best.bin", "data/train.csv", "sub/notes", "sub/y.py", "x.py",
    ]  # fmt: skip
