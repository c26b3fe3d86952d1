"""``orchestrate doctor``."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from orchestrator import providers
from orchestrator.cli.app import App, Command, complete_provider, pass_app
from orchestrator.cli.terminal import bold, dim, green, red, show, yellow
from orchestrator.errors import UsageError
from orchestrator.providers.checks import Check
from orchestrator.results.export import to_json
from orchestrator.results.words import duration
from orchestrator.storage.layout import Home

GIB = 2**30
# Under so much free space a sweep with models to keep will soon fill the disk; under so little it cannot begin.
LITTLE_DISK = 5 * GIB
NO_DISK = GIB // 2
LITTLE_MEMORY = GIB
# Upserts and partial indices came in 3.24; what the record needs came no later than this.
SQLITE_NEEDED = (3, 35, 0)
# When this version was made, in Unix seconds: a clock that says less is wrong.
OLDEST_NOW = 1_735_689_600
# Where neither file locks nor SQLite's write-ahead log can be relied on.
SHARED_FILE_SYSTEMS = ("nfs", "cifs", "smb", "9p", "fuse.sshfs", "afs", "lustre", "ceph")
# Files that a sweep of many slots may have open.
FEW_FILES = 1024
_MARKS = {"ok": green("ok  "), "warn": yellow("warn"), "fail": red("fail")}


@click.command("doctor", cls=Command)
@click.option(
    "--provider", metavar="P", shell_complete=complete_provider, help="Check the account at this provider too."
)
@click.option("--fix", is_flag=True, help="Find or make there, once, what all runs share.")
@click.option("--policy", is_flag=True, help="Print the least that the provider must allow, and check nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a check.")
@pass_app
def command(app: App, provider: str | None, fix: bool, policy: bool, as_json: bool) -> int:
    """Check whether this machine, and an account, are fit to run sweeps; say what to do where they are not.

    The exit code is 3 where something that is needed fails.
    """
    if (fix or policy) and provider is None:
        raise UsageError("--fix and --policy need a provider.", remedy="Add --provider aws.")
    if provider is not None and policy:
        show(json.dumps(providers.policy(provider, app.home), indent=2))
        return 0
    worst, width = 0, 8 if provider is None else 17
    for check in _all(app.home, provider, fix):
        if check.status == "fail":
            worst = 3
        if as_json:
            show(to_json({"check": check.name, "status": check.status, "detail": check.detail, "remedy": check.remedy}))
            continue
        show(f"{_MARKS[check.status]}  {bold(f'{check.name:<{width}}')}  {check.detail}")
        if check.remedy:
            show(f"{'':{width + 8}}{dim(check.remedy)}")
    return worst


def _all(home: Home, provider: str | None, fix: bool) -> Iterator[Check]:
    for look in CHECKS:
        yield look(home)
    if provider is not None and fix:
        yield from providers.fix(provider, home)
    if provider is not None:
        yield from providers.checks(provider, home)


def _python(home: Home) -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("python", "ok", f"{version}, {sys.executable}")


def _home(home: Home) -> Check:
    """That runs can be written down and locked, tried with a file that has no name and leaves nothing."""
    folder = nearest(home.path)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return Check(
            "home",
            "fail",
            f"{home.path} cannot be used: {error.strerror}",
            "Set ORCHESTRATE_HOME to a folder of your own, or give yourself the right to this one.",
        )
    kind = file_system(folder)
    if kind.startswith(SHARED_FILE_SYSTEMS):
        return Check(
            "home",
            "warn",
            f"{home.path} is on a shared file system ({kind})",
            "Locks and SQLite are not safe there: set ORCHESTRATE_HOME to a folder on a disk of this machine.",
        )
    return Check("home", "ok", f"{home.path}{'' if home.path.exists() else ' (made by the first run)'}")


def _disk(home: Home) -> Check:
    free = shutil.disk_usage(nearest(home.path)).free
    detail = f"{free / GIB:,.1f} GiB free for {home.path}"
    if free >= LITTLE_DISK:
        return Check("disk", "ok", detail)
    remedy = "Free some, or set ORCHESTRATE_HOME to a folder on a larger disk."
    return Check("disk", "warn" if free >= NO_DISK else "fail", detail, remedy)


def _cores(home: Home) -> Check:
    from orchestrator.providers.local.capacity import cpu_count

    usable, there = cpu_count(), os.cpu_count() or 1
    return Check("cores", "ok", f"{usable:g}" + (f" of {there} may be used here" if usable < there else ""))


def _memory(home: Home) -> Check:
    from orchestrator.providers.local.capacity import memory_size

    size = memory_size()
    if size < LITTLE_MEMORY:
        return Check("memory", "warn", f"{size / GIB:.1f} GiB", "Most frameworks need more than this to train at all.")
    return Check("memory", "ok", f"{size / GIB:.1f} GiB")


def _gpus(home: Home) -> Check:
    from orchestrator.providers.local.gpus import find_gpus

    found, why = find_gpus()
    if not found:
        return Check("gpus", "ok", f"none: {why}")
    names = ", ".join(f"{gpu.name} ({gpu.memory / GIB:.0f} GiB)" for gpu in found)
    return Check("gpus", "ok", f"{len(found)}: {names}")


def _clock(home: Home) -> Check:
    now = time.time()
    if now < OLDEST_NOW:
        return Check(
            "clock",
            "fail",
            time.strftime("%Y-%m-%d %H:%M", time.gmtime(now)),
            "Set the clock: leases and the signatures of clouds go by it.",
        )
    folder = nearest(home.path)
    stamp = folder.stat().st_mtime
    if stamp > now + 120:
        return Check(
            "clock",
            "warn",
            f"{folder} was changed {duration(stamp - now)} in the future",
            "The clock has been set back, or the disk's machine has another one: synchronise them.",
        )
    return Check("clock", "ok", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now)))


def _sqlite(home: Home) -> Check:
    import sqlite3

    if sqlite3.sqlite_version_info < SQLITE_NEEDED:
        needed = ".".join(map(str, SQLITE_NEEDED))
        return Check("sqlite", "fail", sqlite3.sqlite_version, f"Use a Python with SQLite {needed} or newer.")
    return Check("sqlite", "ok", sqlite3.sqlite_version)


def _files(home: Home) -> Check:
    import resource

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit != resource.RLIM_INFINITY and limit < FEW_FILES:
        return Check("files", "warn", f"at most {limit} may be open", f"Raise it: ulimit -n {4 * FEW_FILES}")
    return Check("files", "ok", "any number may be open" if limit == resource.RLIM_INFINITY else f"{limit} may be open")


def _git(home: Home) -> Check:
    if shutil.which("git") is None:
        return Check("git", "warn", "not found", "Install git, so that a run notes which commit it ran.")
    return Check("git", "ok", _first_line(["git", "--version"]) or "found")


def _docker(home: Home) -> Check:
    """Only containers need it, so nothing about it is a failure."""
    if shutil.which("docker") is None:
        return Check("docker", "ok", "no; only workload.isolation: docker needs it")
    version = _first_line(["docker", "version", "--format", "{{.Server.Version}}"])
    if version is None:
        return Check(
            "docker",
            "warn",
            "the docker command is here and its service does not answer",
            "Start it (systemctl start docker) and see that you are in the group docker.",
        )
    return Check("docker", "ok", version)


CHECKS: tuple[Callable[[Home], Check], ...] = (
    _python,
    _home,
    _disk,
    _cores,
    _memory,
    _gpus,
    _clock,
    _sqlite,
    _files,
    _git,
    _docker,
)


def _first_line(words: list[str]) -> str | None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=5, stdin=subprocess.DEVNULL, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.splitlines()
    return lines[0].strip() if done.returncode == 0 and lines else None


def nearest(path: Path) -> Path:
    """The path itself, or the folder in which the first missing part of it would be made."""
    while not path.exists():
        path = path.parent
    return path


def file_system(path: Path) -> str:
    """The kind of file system that holds the path, by the longest mount point above it; empty where unknown."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    except OSError:
        return ""
    where = path.resolve()
    above = [(len(point), kind) for point, kind in mounts if where.is_relative_to(point.replace("\\040", " "))]
    return max(above, default=(0, ""))[1]
