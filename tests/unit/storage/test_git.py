from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator.storage.git import describe, without_credentials

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is missing")


def git(folder: Path, *arguments: str) -> str:
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], capture_output=True, check=True, env=environment, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "-b", "trunk")
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "train.py").write_text("")
    (tmp_path / ".gitignore").write_text("*.log\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_a_clean_tree_is_its_commit(tree: Path) -> None:
    (tree / "code" / "x.log").write_text("ignored")
    assert describe(tree / "code") == {
        "commit": git(tree, "rev-parse", "HEAD"),
        "dirty": False,
        "branch": "trunk",
        "remote": None,
    }


@pytest.mark.parametrize("change", ["edit", "add", "delete", "stage"])
def test_what_the_commit_does_not_hold_makes_it_dirty(tree: Path, change: str) -> None:
    if change == "edit":
        (tree / "code" / "train.py").write_text("changed")
    elif change == "add":
        (tree / "code" / "new.py").write_text("")
    elif change == "delete":
        (tree / "code" / "train.py").unlink()
    else:
        (tree / "code" / "new.py").write_text("")
        git(tree, "add", ".")
    state = describe(tree / "code")
    assert state is not None
    assert state["dirty"]


def test_changes_beside_the_folder_do_not_matter(tree: Path) -> None:
    (tree / "README").write_text("")
    state = describe(tree / "code")
    assert state is not None
    assert not state["dirty"]


def test_a_tree_without_commits_and_a_detached_head_are_told(
    tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    git(tree, "checkout", "-q", "--detach")
    state = describe(tree)
    assert state is not None
    assert state["branch"] is None
    empty = tmp_path_factory.mktemp("empty")
    git(empty, "init", "-q", "-b", "trunk")
    assert describe(empty) == {"commit": None, "dirty": False, "branch": "trunk", "remote": None}


def test_where_there_is_no_git_there_is_no_state(
    tmp_path: Path, tree: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert describe(tmp_path_factory.mktemp("plain")) is None
    assert describe(tmp_path / "missing") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert describe(tree) is None


def test_the_remote_is_told_without_credentials(tree: Path) -> None:
    git(tree, "remote", "add", "origin", "https://me:hunter2@example.org/team/code.git?token=abc")
    state = describe(tree)
    assert state is not None
    assert state["remote"] == "https://example.org/team/code.git"


@pytest.mark.parametrize(
    ("remote", "shown"),
    [
        ("https://token@example.org:8443/x.git", "https://example.org:8443/x.git"),
        ("ssh://git@example.org/x.git", "ssh://example.org/x.git"),
        ("git@example.org:team/x.git", "example.org:team/x.git"),
        ("https://a:p@ss@example.org/x", "https://example.org/x"),
        ("/srv/git/x.git", "/srv/git/x.git"),
        ("../x@y.git", "../x@y.git"),
    ],
)
def test_credentials_are_cut_from_every_form_of_a_remote(remote: str, shown: str) -> None:
    assert without_credentials(remote) == shown


def test_a_repository_cannot_make_us_run_its_programs(tree: Path) -> None:
    trap = tree / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {tree}/sprung\n")
    trap.chmod(0o755)
    git(tree, "config", "core.fsmonitor", str(trap))
    git(tree, "config", "core.pager", str(trap))
    assert describe(tree) is not None
    assert not (tree / "sprung").exists()


def test_the_variables_of_a_calling_git_hook_do_not_mislead(
    tree: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path_factory.mktemp("other")
    git(other, "init", "-q", "-b", "elsewhere")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    state = describe(tree)
    assert state is not None
    assert state["branch"] == "trunk"
