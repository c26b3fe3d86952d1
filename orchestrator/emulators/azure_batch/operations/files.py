"""Operations on the files of tasks and nodes."""

from __future__ import annotations

import mimetypes
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from ..account import Account
from ..environment import task_folder
from ..errors import BatchFault, invalid_query
from ..nodes import Node
from ..odata import Property, one_page, parse_filter
from ..protocol import Call, FileSlice, Json, Reply, check_conditions, json_reply
from ..routing import operation
from ..task import Task
from ..timefmt import Micros, http_date, iso

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or folder as the service shows it; `modified` is on the emulator's clock."""

    name: str
    path: Path
    url: str
    is_directory: bool
    size: int
    modified: Micros
    mode: int
    etag: str

    @property
    def content_type(self) -> str:
        return mimetypes.guess_type(self.name)[0] or "application/octet-stream"

    def headers(self) -> dict[str, str]:
        return {
            "ETag": f'"{self.etag}"',
            "Last-Modified": http_date(self.modified),
            "Content-Type": self.content_type,
            "ocp-creation-time": http_date(self.modified),
            "ocp-batch-file-isdirectory": "true" if self.is_directory else "false",
            "ocp-batch-file-url": self.url,
            "ocp-batch-file-mode": f"{self.mode:o}",
        }

    def json(self) -> Json:
        found: Json = {"name": self.name, "url": self.url, "isDirectory": self.is_directory}
        if not self.is_directory:
            found["properties"] = {
                "creationTime": iso(self.modified),
                "lastModified": iso(self.modified),
                "contentLength": str(self.size),
                "contentType": self.content_type,
                "fileMode": f"{self.mode:o}",
            }
        return found


_FILTERS: dict[str, Property[Entry]] = {"name": Property("str", lambda entry: entry.name, frozenset(), prefix=True)}


@dataclass(frozen=True, slots=True)
class Tree:
    """A folder whose files a client may see."""

    account: Account
    root: Path
    url: str

    def entry(self, name: str) -> Entry:
        """The file or folder called `name`.

        Raises:
            BatchFault: there is none, or it lies outside.
        """
        path = self.root / name
        # Not resolved: a task may well have a link to outside, but no client may go up by dots.
        if name.startswith("/") or ".." in name.split("/"):
            raise BatchFault("FileNotFound", "the path leaves the folder")
        try:
            return self._describe(name.rstrip("/"), path)
        except OSError as problem:
            raise BatchFault("FileNotFound") from problem

    def _describe(self, name: str, path: Path) -> Entry:
        status = path.stat()
        # Files carry the machine's time; the client lives in the emulator's.
        shift = self.account.clock.shift()
        return Entry(
            name,
            path,
            f"{self.url}/{quote(name)}",
            path.is_dir(),
            status.st_size,
            status.st_mtime_ns // 1000 + shift,
            status.st_mode,
            f"0x{status.st_mtime_ns:X}{status.st_size:X}",
        )

    def entries(self, *, recursive: bool) -> Iterator[tuple[str, Entry]]:
        """All entries, sorted by name; without `recursive` only those of the folder itself."""
        paths = sorted(self.root.rglob("*") if recursive else self.root.iterdir())
        for path in paths:
            name = path.relative_to(self.root).as_posix()
            try:
                yield name, self._describe(name, path)
            except OSError:
                continue  # It went away between listing and looking.


def _task_tree(account: Account, call: Call) -> Tree:
    task = account.find_job(call.parameters["jobId"]).index.find(call.parameters["taskId"])
    root = _task_root(account, task)
    return Tree(account, root, f"{task.url}/files")


def _task_root(account: Account, task: Task) -> Path:
    node = task.node
    if node is None:
        raise BatchFault("TaskFilesUnavailable", f"the task is {task.state} and on no node")
    if node.pool.nodes.get(node.id) is not node:
        raise BatchFault("NodeNotFound", "the node that ran the task is no longer in the pool")
    node.require_files()
    root = task_folder(node, task.job, task.id).root
    if task.end is not None and account.clock.now() > task.end + task.retention:
        shutil.rmtree(root, ignore_errors=True)
        raise BatchFault("TaskFilesCleanedup", "the task's retention time is over")
    if not root.is_dir():
        raise BatchFault("TaskFilesUnavailable", "the task has no files on its node yet")
    return root


def _node_tree(account: Account, call: Call) -> Tree:
    node: Node = account.find_pool(call.parameters["poolId"]).find_node(call.parameters["nodeId"])
    node.require_files()
    return Tree(account, node.root, f"{node.url}/files")


def _list(account: Account, call: Call, tree: Tree) -> Reply:
    condition = parse_filter(call, _FILTERS)
    entries = tree.entries(recursive=call.flag("recursive"))
    return json_reply(one_page(call, "files", entries, lambda entry: entry.json(), condition))


def _download(call: Call, tree: Tree) -> Reply:
    entry = tree.entry(call.parameters["filePath"])
    check_conditions(call, entry)
    if entry.is_directory:
        raise BatchFault("FileNotFound", "it is a directory")
    start, length = _range(call, entry.size)
    return Reply(200, FileSlice(entry.path, start, length), entry.headers())


def _range(call: Call, size: int) -> tuple[int, int]:
    """Start and length of the part that `ocp-range` asks for; the service answers 200, not 206."""
    text = call.headers.get("ocp-range") or call.headers.get("range")
    if text is None:
        return 0, size
    found = _RANGE.fullmatch(text.strip())
    if not found or found.groups() == ("", ""):
        raise BatchFault("InvalidHeaderValue", values={"HeaderName": "ocp-range", "HeaderValue": text})
    if found[1] == "":
        length = min(size, int(found[2]))
        return size - length, length
    start = int(found[1])
    end = size - 1 if found[2] == "" else min(int(found[2]), size - 1)
    if start >= size or (found[2] != "" and int(found[2]) < start):
        raise BatchFault("InvalidRange", values={"HeaderName": "ocp-range", "FileSize": str(size)})
    return start, end - start + 1


def _properties(call: Call, tree: Tree) -> Reply:
    entry = tree.entry(call.parameters["filePath"])
    check_conditions(call, entry)
    return Reply(200, headers=entry.headers(), length=entry.size)


def _delete(call: Call, tree: Tree) -> Reply:
    entry = tree.entry(call.parameters["filePath"])
    try:
        if not entry.is_directory:
            entry.path.unlink()
        elif call.flag("recursive"):
            shutil.rmtree(entry.path)
        else:
            entry.path.rmdir()
    except OSError as problem:
        if entry.is_directory and not call.flag("recursive"):
            raise invalid_query("recursive", "false", "the directory is not empty") from problem
        raise BatchFault("IOError", str(problem)) from problem
    return Reply(200)


@operation("GET", "/jobs/{jobId}/tasks/{taskId}/files")
def list_task_files(account: Account, call: Call) -> Reply:
    return _list(account, call, _task_tree(account, call))


@operation("GET", "/jobs/{jobId}/tasks/{taskId}/files/{filePath}")
def download_task_file(account: Account, call: Call) -> Reply:
    return _download(call, _task_tree(account, call))


@operation("HEAD", "/jobs/{jobId}/tasks/{taskId}/files/{filePath}")
def get_task_file_properties(account: Account, call: Call) -> Reply:
    return _properties(call, _task_tree(account, call))


@operation("DELETE", "/jobs/{jobId}/tasks/{taskId}/files/{filePath}")
def delete_task_file(account: Account, call: Call) -> Reply:
    return _delete(call, _task_tree(account, call))


@operation("GET", "/pools/{poolId}/nodes/{nodeId}/files")
def list_node_files(account: Account, call: Call) -> Reply:
    return _list(account, call, _node_tree(account, call))


@operation("GET", "/pools/{poolId}/nodes/{nodeId}/files/{filePath}")
def download_node_file(account: Account, call: Call) -> Reply:
    return _download(call, _node_tree(account, call))


@operation("HEAD", "/pools/{poolId}/nodes/{nodeId}/files/{filePath}")
def get_node_file_properties(account: Account, call: Call) -> Reply:
    return _properties(call, _node_tree(account, call))


@operation("DELETE", "/pools/{poolId}/nodes/{nodeId}/files/{filePath}")
def delete_node_file(account: Account, call: Call) -> Reply:
    return _delete(call, _node_tree(account, call))
