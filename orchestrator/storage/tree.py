"""Which files of a folder are the user's code.

Left out are, in this order: version control, virtual environments (a folder with ``pyvenv.cfg`` or
``conda-meta``), caches and our own state, always; what ``.orchestrateignore`` files name; what
``.gitignore`` files name.  Both may lie in any folder of the tree and are written in git's syntax;
``.orchestrateignore`` has the last word, so that ``!weights.bin`` in it brings back what git leaves out.
Where the folder is part of a git work tree, the ``.gitignore`` files above it count too, unless they leave
out the folder itself.  A user's private excludes (``.git/info/exclude``, ``core.excludesFile``) do not
count: the same commit gives the same bundle everywhere.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.storage import ignore
from orchestrator.storage.files import explain
from orchestrator.storage.layout import Home

NEVER = frozenset({
    ".git", ".hg", ".svn", ".orchestrate",
    "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".tox", ".nox",
    ".ipynb_checkpoints", "node_modules", ".DS_Store",
})  # fmt: skip
"""Names of files and folders that are never part of the code."""

_ENVIRONMENTS = ("pyvenv.cfg", "conda-meta")
_GIT = b".gitignore"
_OURS = b".orchestrateignore"


@dataclass(frozen=True, slots=True)
class Found:
    """A file of the tree: its path in it, where its bytes are, its size in bytes, if its owner may run it."""

    path: str
    source: Path
    size: int
    executable: bool


@dataclass(frozen=True, slots=True)
class Tree:
    root: Path
    files: tuple[Found, ...]
    warnings: tuple[str, ...]


def walk(folder: Path) -> Tree:
    """The files of the code in ``folder``, sorted by path.

    Raises UsageError where it is no folder, for links that leave it, for links that point to a folder which
    holds them, for names that are not UTF-8, and for folders that cannot be read.
    """
    root = Path(os.path.realpath(folder))
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise UsageError(f"The code folder {folder} {what}.", remedy="Correct workload.code in the spec.")
    outer, prefix = _outer_rules(root)
    walker = _Walker(root, prefix)
    walker.enter(root, b"", outer, [], [root])
    if walker.leaving:
        shown = "; ".join(walker.leaving[:5]) + ("; and more" if len(walker.leaving) > 5 else "")
        raise UsageError(
            f"The code folder {root} holds links that leave it: {shown}.",
            remedy="Name them in .orchestrateignore, copy what they point to into the folder, or list it "
            "under workload.inputs.",
        )
    return Tree(root, tuple(sorted(walker.files, key=lambda found: found.path)), tuple(walker.warnings))


@dataclass(slots=True)
class _Walker:
    root: Path
    prefix: bytes  # path of the root in its git work tree, with a slash at its end
    files: list[Found] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    leaving: list[str] = field(default_factory=list)
    state: Path = field(default_factory=lambda: Path(os.path.realpath(Home.default().path)))

    def enter(
        self,
        folder: Path,
        path: bytes,
        git: list[ignore.Rules],
        ours: list[ignore.Rules],
        within: list[Path],
    ) -> None:
        """Take a folder, whose path in the tree is ``path``; ``within`` are the real folders down to it."""
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            raise UsageError(
                f"The folder {folder} cannot be read: {os.strerror(error.errno or 0)}.",
                remedy="Make it readable, or name it in .orchestrateignore.",
            ) from error
        names = {os.fsencode(entry.name) for entry in found}
        git = _with_rules(git, folder, names, _GIT, self.prefix + path)
        ours = _with_rules(ours, folder, names, _OURS, path)
        for entry in found:
            if entry.name not in NEVER:
                self._take(entry, path + os.fsencode(entry.name), git, ours, within)

    def _take(
        self,
        entry: os.DirEntry[str],
        path: bytes,
        git: list[ignore.Rules],
        ours: list[ignore.Rules],
        within: list[Path],
    ) -> None:
        is_link = entry.is_symlink()
        is_folder = entry.is_dir()
        if is_folder and _is_environment(entry.path):
            return
        answer = ignore.decide(ours, path, is_folder)
        if answer is None:
            answer = ignore.decide(git, self.prefix + path, is_folder)
        if answer:
            return
        source = Path(entry.path)
        name = self._name(path, source)
        real = source
        if is_link:
            real = Path(os.path.realpath(source))
            if not real.is_relative_to(self.root):
                self.leaving.append(f"{name} -> {os.readlink(source)}")
                return
            if not real.exists():
                self.warnings.append(f"The link {name} in the code folder points to nothing; it is left out.")
                return
        elif is_folder:
            real = within[-1] / entry.name
        if is_folder:
            if real in within:
                raise UsageError(
                    f"The link {source} points to a folder that holds it.",
                    remedy="Remove it or name it in .orchestrateignore.",
                )
            if real != self.state:
                self.enter(source, path + b"/", git, ours, [*within, real])
            return
        try:
            status = entry.stat()
        except FileNotFoundError:
            return  # deleted since the folder was listed
        if stat.S_ISREG(status.st_mode):
            self.files.append(Found(name, source, status.st_size, bool(status.st_mode & 0o100)))
        else:
            self.warnings.append(f"{name} in the code folder is neither a file nor a folder; it is left out.")

    def _name(self, path: bytes, source: Path) -> str:
        try:
            return path.decode()
        except UnicodeDecodeError as error:
            raise UsageError(
                f"The name of {os.fsencode(source)!r} in the code folder is not UTF-8.",
                remedy="Rename it or name it in .orchestrateignore.",
            ) from error


def _is_environment(folder: str) -> bool:
    return any(os.path.lexists(os.path.join(folder, mark)) for mark in _ENVIRONMENTS)


def _with_rules(
    stack: list[ignore.Rules], folder: Path, names: set[bytes], name: bytes, base: bytes
) -> list[ignore.Rules]:
    return [*stack, _rules(folder / os.fsdecode(name), base)] if name in names else stack


def _rules(path: Path, base: bytes) -> ignore.Rules:
    if not path.is_file():
        return ignore.Rules(base, ())
    try:
        return ignore.parse(path.read_bytes(), base)
    except OSError as error:
        raise explain(error, "read", path) from error


def _outer_rules(root: Path) -> tuple[list[ignore.Rules], bytes]:
    """Rules of the folders above ``root`` in its git work tree, and the path of ``root`` in that."""
    top = next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), root)
    rules: list[ignore.Rules] = []
    path = b""
    folder = top
    for part in root.relative_to(top).parts:
        rules.append(_rules(folder / os.fsdecode(_GIT), path))
        path += os.fsencode(part)
        if ignore.decide(rules, path, True):
            return [], b""
        path += b"/"
        folder /= part
    return rules, path
