"""What git says about a folder, for the record of a run: which code it was."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TypedDict
from urllib.parse import urlsplit, urlunsplit

_SECONDS = 30.0


class GitState(TypedDict):
    """``dirty``: the folder holds what the commit does not.  ``branch`` is None where HEAD is detached;
    ``commit`` where there is none yet.  ``remote`` is the URL of ``origin`` without any credentials."""

    commit: str | None
    dirty: bool
    branch: str | None
    remote: str | None


def describe(folder: Path) -> GitState | None:
    """The state of the work tree that ``folder`` is in; None where there is none, or git gives no answer."""
    lines = _git(folder, "status", "--porcelain=v2", "--branch", "--untracked-files=normal", "--", ".")
    if lines is None:
        return None
    head = {"branch.oid": "(initial)", "branch.head": "(detached)"}
    dirty = False
    for line in lines.splitlines():
        if line.startswith("# "):
            name, _, value = line[2:].partition(" ")
            head[name] = value
        elif line:
            dirty = True
    remote = _git(folder, "config", "--get", "remote.origin.url")
    return GitState(
        commit=None if head["branch.oid"] == "(initial)" else head["branch.oid"],
        dirty=dirty,
        branch=None if head["branch.head"] == "(detached)" else head["branch.head"],
        remote=without_credentials(remote.strip()) if remote else None,
    )


def without_credentials(remote: str) -> str:
    """A remote's URL without user, password, query and fragment; any of them can be a token."""
    if "://" not in remote:
        return re.sub(r"^[^/@]*@", "", remote)  # user@host:path
    parts = urlsplit(remote)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _git(folder: Path, *arguments: str) -> str | None:
    # The repository's own settings must not make git run programs, wait for a person or write.
    safe = (
        "--no-optional-locks",
        "--no-pager",
        "-c",
        "core.fsmonitor=false",
        "-c",
        "core.hooksPath=/dev/null",
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *safe, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            env=environment,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None
