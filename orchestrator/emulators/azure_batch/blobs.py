"""Resource files from Blob storage (or any web server) to a node, and output files from a node to Blob storage.

Plain HTTP with the SAS that the URL carries, as the node agent does it. The standard library's client in threads.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import os
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .failures import SERVER, USER, failure
from .protocol import Json

_API_VERSION = "2021-12-02"
_TIMEOUT_SECONDS = 60.0
_ATTEMPTS = 3
_THREADS = 16
# Put Blob takes 5,000 MiB; smaller blocks keep the memory small.
_BLOCK_BYTES = 16 * 1024 * 1024
_DEFAULT_MODE = 0o770


class TransferFailed(Exception):
    """A file could not be moved; carries the task's `failureInfo`."""

    def __init__(self, info: Json) -> None:
        super().__init__(info["message"])
        self.info = info


class _Refused(Exception):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"HTTP {status}: {reason}")
        self.status = status


class Blobs:
    """Moves files for the nodes.

    Args:
        auto_storage_url: account URL with a SAS, None where there is no auto storage.
    """

    def __init__(self, auto_storage_url: str | None) -> None:
        self._auto_storage_url = auto_storage_url
        self._threads = ThreadPoolExecutor(_THREADS, "blobs")

    def stop(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def fetch(self, files: list[Json], target: Path) -> None:
        """Download resource files below `target`.

        Raises:
            TransferFailed: with the service's code for the first that could not be.
        """
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(self._threads, self._fetch_one, file, target) for file in files))

    async def upload(self, files: list[Json], working: Path, task_root: Path, variables: dict[str, str]) -> None:
        """Store those output files that are asked for, and log it as the node agent does.

        Args:
            files: the output files whose condition is met.
            variables: the task's, for `$NAME` in patterns.

        Raises:
            TransferFailed: one of them could not be stored.
        """
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._threads, _upload_all, files, working, task_root, variables)

    async def put(self, container_url: str, name: str, content: bytes) -> None:
        """Store one small blob.

        Raises:
            TransferFailed: it could not be stored.
        """

        def store() -> None:
            try:
                _put(_blob_url(container_url, name), content, {})
            except (_Refused, OSError, http.client.HTTPException) as problem:
                raise TransferFailed(_upload_failure(problem, container_url)) from problem

        await asyncio.get_running_loop().run_in_executor(self._threads, store)

    def _fetch_one(self, file: Json, target: Path) -> None:
        mode = int(file["fileMode"], 8) if file.get("fileMode") else _DEFAULT_MODE
        if file.get("httpUrl"):
            _download(file["httpUrl"], _below(target, file["filePath"]), mode)
            return
        container = file.get("storageContainerUrl") or self._auto_storage_container(file)
        folder = _below(target, file["filePath"]) if file.get("filePath") else target
        for name in _list_container(container, file.get("blobPrefix", "")):
            _download(_blob_url(container, name), _below(folder, name), mode)

    def _auto_storage_container(self, file: Json) -> str:
        if self._auto_storage_url is None:
            raise TransferFailed(
                failure(
                    "BlobDownloadMiscError",
                    "The account has no auto storage (start the emulator with auto_storage_url).",
                    details={"ContainerName": file.get("autoStorageContainerName", "")},
                )
            )
        return _blob_url(self._auto_storage_url, file["autoStorageContainerName"])


def _below(folder: Path, relative: str) -> Path:
    path = (folder / relative).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise TransferFailed(
            failure(
                "ResourceFileCreateFailed",
                "The file path leaves the task's working directory",
                details={"FilePath": relative},
            )
        )
    return path


def _blob_url(container_url: str, name: str) -> str:
    parts = urllib.parse.urlsplit(container_url)
    path = f"{parts.path.rstrip('/')}/{urllib.parse.quote(name)}"
    return urllib.parse.urlunsplit(parts._replace(path=path))


def _without_query(url: str) -> str:
    """The URL as it may be shown: the SAS is a secret."""
    return urllib.parse.urlunsplit(urllib.parse.urlsplit(url)._replace(query="", fragment=""))


def _open(request: urllib.request.Request) -> http.client.HTTPResponse:
    try:
        # No proxy: a node reaches its storage itself, and loopback is never to be asked of a proxy.
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}) if _is_loopback(request.host) else urllib.request.ProxyHandler()
        )
        response: http.client.HTTPResponse = opener.open(request, timeout=_TIMEOUT_SECONDS)
        return response
    except urllib.error.HTTPError as problem:
        raise _Refused(problem.code, problem.reason) from problem


def _is_loopback(host: str) -> bool:
    name = host.rpartition(":")[0] or host
    return name.startswith("127.") or name in ("localhost", "[::1]") or name.endswith(".localhost")


def _download(url: str, path: Path, mode: int) -> None:
    last: Exception | None = None
    for attempt in range(_ATTEMPTS):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _open(urllib.request.Request(url, headers=_headers())) as response, path.open("wb") as file:
                shutil.copyfileobj(response, file)
            path.chmod(mode)
            return
        except _Refused as problem:
            last = problem
            if problem.status < 500:
                break
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as problem:
            last = problem
        except ValueError as problem:
            last = problem  # It is no URL.
            break
        except OSError as problem:
            raise TransferFailed(
                failure("ResourceFileWriteFailed", str(problem), SERVER, {"FilePath": path.name})
            ) from problem
        time.sleep(0.1 * 2**attempt)
    raise TransferFailed(_download_failure(last, url)) from last


def _headers() -> dict[str, str]:
    return {"x-ms-version": _API_VERSION}


def _download_failure(problem: Exception | None, url: str) -> Json:
    details = {"BlobSource": _without_query(url), "Reason": str(problem)}
    if isinstance(problem, _Refused) and problem.status == 404:
        return failure("BlobNotFound", "One of the specified Azure Blob(s) is not found", USER, details)
    if isinstance(problem, _Refused) and problem.status in (401, 403):
        return failure("BlobAccessDenied", "Access for one of the specified Azure Blob(s) is denied", USER, details)
    if isinstance(problem, TimeoutError):
        return failure("BlobDownloadTimedOut", "Timeout encountered while downloading a blob", SERVER, details)
    return failure("BlobDownloadMiscError", "Miscellaneous error encountered while downloading a blob", SERVER, details)


def _list_container(container_url: str, prefix: str) -> Iterator[str]:
    marker = ""
    while True:
        parts = urllib.parse.urlsplit(container_url)
        query = urllib.parse.parse_qsl(parts.query, keep_blank_values=True)
        query += [("restype", "container"), ("comp", "list"), ("prefix", prefix)]
        query += [("marker", marker)] if marker else []
        url = urllib.parse.urlunsplit(parts._replace(query=urllib.parse.urlencode(query)))
        try:
            with _open(urllib.request.Request(url, headers=_headers())) as response:
                listing = ElementTree.fromstring(response.read())
        except (_Refused, OSError, http.client.HTTPException) as problem:
            raise TransferFailed(_download_failure(problem, container_url)) from problem
        for name in listing.iterfind("./Blobs/Blob/Name"):
            yield name.text or ""
        marker = listing.findtext("./NextMarker") or ""
        if not marker:
            return


def _upload_all(files: list[Json], working: Path, task_root: Path, variables: dict[str, str]) -> None:
    with (task_root / "fileuploadout.txt").open("a") as out, (task_root / "fileuploaderr.txt").open("a") as err:
        for file in files:
            destination = file["destination"].get("container")
            if destination is None:
                continue
            for path, blob in matches(file["filePattern"], destination.get("path"), working, variables):
                try:
                    _upload(path, destination, blob)
                except (_Refused, OSError, http.client.HTTPException) as problem:
                    info = _upload_failure(problem, destination["containerUrl"])
                    err.write(f"{path}: {info['code']}: {problem}\n")
                    raise TransferFailed(info) from problem
                out.write(f"uploaded {path} as {blob}\n")


def matches(pattern: str, blob_path: str | None, working: Path, variables: dict[str, str]) -> list[tuple[Path, str]]:
    """The files that a pattern means, each with its blob's name.

    A pattern without wildcards means one file and `blob_path` is its blob's name; with wildcards `blob_path` is a
    folder, below which the part of the path that follows the pattern's fixed part is kept.
    """
    expanded = re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda found: variables.get(found[1] or found[2], found[0]), pattern)
    full = os.path.normpath(expanded if os.path.isabs(expanded) else working / expanded)
    if not re.search(r"[*?\[]", expanded):
        path = Path(full)
        return [(path, blob_path or path.name)] if path.is_file() else []
    fixed = Path(re.split(r"[*?\[]", full)[0])
    base = fixed if full.startswith(f"{fixed}/") else fixed.parent
    matcher = _pattern(full)
    found = []
    for folder, folders, names in os.walk(base):
        folders.sort()
        for name in sorted(names):
            path = Path(folder) / name
            if matcher.fullmatch(str(path)):
                relative = path.relative_to(base).as_posix()
                found.append((path, f"{blob_path.rstrip('/')}/{relative}" if blob_path else relative))
    return found


def _pattern(text: str) -> re.Pattern[str]:
    """The service's wildcards: `*`, `**` for any folders, `?`, `[abc]`; a leading dot only matches a dot."""
    out = ""
    position = 0
    while position < len(text):
        at_start = position == 0 or text[position - 1] == "/"
        char = text[position]
        if text.startswith("**/", position) and at_start:
            out += r"(?:[^/.][^/]*/)*"
            position += 3
            continue
        if text.startswith("**", position):
            out += r"(?:[^/.][^/]*/)*[^/.][^/]*" if at_start else r".*"
            position += 2
            continue
        if char == "*":
            out += r"(?:[^/.][^/]*)?" if at_start else r"[^/]*"
        elif char == "?":
            out += r"[^/.]" if at_start else r"[^/]"
        elif char == "[" and (end := text.find("]", position + 2)) > 0:
            inside = text[position + 1 : end]
            out += "[" + ("^" + re.escape(inside[1:]) if inside.startswith("!") else inside) + "]"
            position = end
        else:
            out += re.escape(char)
        position += 1
    return re.compile(out)


def _upload(path: Path, destination: Json, blob: str) -> None:
    url = _blob_url(destination["containerUrl"], blob)
    headers = {header["name"]: header.get("value", "") for header in destination.get("uploadHeaders", [])}
    if path.stat().st_size <= _BLOCK_BYTES:
        _put(url, path.read_bytes(), headers)
        return
    blocks: list[str] = []
    with path.open("rb") as file:
        while chunk := file.read(_BLOCK_BYTES):
            block = base64.b64encode(f"{len(blocks):08d}".encode()).decode()
            _request("PUT", _with_query(url, comp="block", blockid=block), chunk, {})
            blocks.append(block)
    listing = "".join(f"<Latest>{block}</Latest>" for block in blocks)
    body = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{listing}</BlockList>'.encode()
    _request("PUT", _with_query(url, comp="blocklist"), body, headers)


def _put(url: str, content: bytes, headers: dict[str, str]) -> None:
    _request("PUT", url, content, {"x-ms-blob-type": "BlockBlob", **headers})


def _with_query(url: str, **more: str) -> str:
    parts = urllib.parse.urlsplit(url)
    query = urllib.parse.urlencode([*urllib.parse.parse_qsl(parts.query, keep_blank_values=True), *more.items()])
    return urllib.parse.urlunsplit(parts._replace(query=query))


def _request(method: str, url: str, body: bytes, headers: dict[str, str]) -> None:
    everything = {"Content-Type": "application/octet-stream", **_headers(), **headers}
    request = urllib.request.Request(url, data=body, headers=everything, method=method)
    for attempt in range(_ATTEMPTS):
        try:
            with _open(request) as response:
                response.read()
            return
        except _Refused as problem:
            if problem.status < 500 or attempt == _ATTEMPTS - 1:
                raise
        except OSError:
            if attempt == _ATTEMPTS - 1:
                raise
        time.sleep(0.1 * 2**attempt)


def _upload_failure(problem: Exception, container_url: str) -> Json:
    details = {"ContainerUrl": _without_query(container_url), "Reason": str(problem)}
    if isinstance(problem, _Refused) and problem.status == 404:
        return failure("FileUploadContainerNotFound", "The container of an output file does not exist", USER, details)
    if isinstance(problem, _Refused) and problem.status in (401, 403):
        return failure("FileUploadAccessDenied", "Access to an output file's container is denied", USER, details)
    return failure("FileUploadMiscError", "An error occurred while uploading an output file", USER, details)
