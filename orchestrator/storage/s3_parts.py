"""Large objects in S3: sent in parts that an interrupted upload need not repeat, fetched in ranges, and checked."""

from __future__ import annotations

import base64
import hashlib
import math
import os
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from botocore import exceptions as boto
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from orchestrator.errors import Unavailable
from orchestrator.storage.transfer import Parallel, part_size

MOST_PARTS = 10_000
"""Of one object (S3 user guide, "Amazon S3 multipart upload limits")."""

_BODY_LOST = (boto.ResponseStreamingError, boto.IncompleteReadError, boto.ReadTimeoutError)
_TAKEN = ("InvalidPart", "InvalidPartOrder", "NoSuchUpload")
_TRIES = 3

Client = Any


def checksum(data: bytes) -> str:
    """CRC-32 as S3 writes it."""
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def read_body(get: Callable[[], Mapping[str, Any]]) -> bytes:
    """The body of a GetObject answer.  botocore repeats a call that fails, but not the reading of its body."""
    again = Retrying(
        retry=retry_if_exception_type(_BODY_LOST),
        stop=stop_after_attempt(5),
        wait=wait_random_exponential(0.2, max=5),
        reraise=True,
    )
    return again(lambda: bytes(get()["Body"].read()))


def send(client: Client, bucket: str, name: str, path: Path, parallel: Parallel) -> None:
    """Upload a file in parts.  Parts that an interrupted upload of the same bytes left are used, not sent again.

    Two that send the same bytes at the same time may come to share one upload.  The one that completes it takes it
    away from the other, who then finds the object there, or goes on with one of its own.
    """
    step = part_size(path.stat().st_size, MOST_PARTS)
    for attempt in range(_TRIES):
        last = attempt == _TRIES - 1
        upload, present = (None, {}) if last else _unfinished(client, bucket, name, path, step)
        try:
            _send(client, bucket, name, path, parallel, upload, present, step)
            return
        except boto.ClientError as error:
            taken = error.response["Error"]["Code"] in _TAKEN
            broken = error.response["ResponseMetadata"].get("HTTPStatusCode", 0) >= 500
            if last or not (taken or broken):
                raise
            if _is_there(client, bucket, name, path, step):
                return


def _is_there(client: Client, bucket: str, name: str, path: Path, step: int) -> bool:
    """Whether the object is the file, as far as its tag tells: the MD5 of its parts' MD5 and their number."""
    try:
        tag = client.head_object(Bucket=bucket, Key=name)["ETag"].strip('"')
    except boto.ClientError:
        return False  # whatever hinders us will be met again by the next attempt, and told
    parts = [_md5(_part(path, number, step)) for number in _numbers(path, step)]
    return bool(tag == f"{_md5(b''.join(map(bytes.fromhex, parts)))}-{len(parts)}")


def _send(
    client: Client,
    bucket: str,
    name: str,
    path: Path,
    parallel: Parallel,
    upload: str | None,
    present: Mapping[int, Mapping[str, str]],
    step: int,
) -> None:
    where = {"Bucket": bucket, "Key": name}
    if upload is None:
        upload = client.create_multipart_upload(**where, ChecksumAlgorithm="CRC32")["UploadId"]

    def send_part(number: int) -> Mapping[str, str]:
        if number in present:
            return present[number]
        data = _part(path, number, step)
        crc = checksum(data)
        answer = client.upload_part(**where, UploadId=upload, PartNumber=number, Body=data, ChecksumCRC32=crc)
        return {"ETag": answer["ETag"], "ChecksumCRC32": crc}

    numbers = _numbers(path, step)
    sent = parallel.map(send_part, numbers)
    parts = [{"PartNumber": number, **part} for number, part in zip(numbers, sent, strict=True)]
    client.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts})


def _unfinished(
    client: Client, bucket: str, name: str, path: Path, step: int
) -> tuple[str | None, dict[int, Mapping[str, str]]]:
    """The unfinished upload to this name that holds most of the file's parts, and those parts by their numbers."""
    best: tuple[str | None, dict[int, Mapping[str, str]]] = (None, {})
    try:
        for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=name):
            for upload in page.get("Uploads", ()):
                if upload["Key"] == name:
                    found = _same_parts(client, bucket, name, upload["UploadId"], path, step)
                    if len(found) > len(best[1]):
                        best = (upload["UploadId"], found)
    except boto.ClientError as error:
        # Resuming is a favour that takes two more permissions; without them the file is sent from its start.
        if error.response["ResponseMetadata"].get("HTTPStatusCode") not in (403, 404, 501):
            raise
        return None, {}
    return best


def _same_parts(
    client: Client, bucket: str, name: str, upload: str, path: Path, step: int
) -> dict[int, Mapping[str, str]]:
    found: dict[int, Mapping[str, str]] = {}
    pages = client.get_paginator("list_parts").paginate(Bucket=bucket, Key=name, UploadId=upload)
    for page in pages:
        for part in page.get("Parts", ()):
            data = _part(path, part["PartNumber"], step)
            crc = checksum(data)
            # Services that keep no checksums of parts give their MD5 as the tag, unless they encrypt them.
            same = part["ChecksumCRC32"] == crc if "ChecksumCRC32" in part else part["ETag"].strip('"') == _md5(data)
            if data and len(data) == part["Size"] and same:
                found[part["PartNumber"]] = {"ETag": part["ETag"], "ChecksumCRC32": crc}
    return found


def _numbers(path: Path, step: int) -> range:
    return range(1, math.ceil(path.stat().st_size / step) + 1)


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _part(path: Path, number: int, step: int) -> bytes:
    with path.open("rb", buffering=0) as file:
        file.seek((number - 1) * step)
        return file.read(step)


def receive(client: Client, bucket: str, name: str, head: Mapping[str, Any], path: Path, parallel: Parallel) -> None:
    """Download the object that ``head`` (the answer to HeadObject) describes, in ranges, into a file.

    Raises Unavailable where the bytes are not those of the stored checksum, and ClientError (PreconditionFailed)
    where the object is another one by now.
    """
    size = int(head["ContentLength"])
    step = part_size(size, MOST_PARTS)
    with path.open("wb", buffering=0) as file:
        file.truncate(size)

        def receive_range(start: int) -> None:
            end = min(start + step, size)
            data = read_body(
                lambda: client.get_object(
                    Bucket=bucket, Key=name, Range=f"bytes={start}-{end - 1}", IfMatch=head["ETag"]
                )
            )
            os.pwrite(file.fileno(), data, start)

        parallel.map(receive_range, range(0, size, step))
    _check(path, size, step, head)


def _check(path: Path, size: int, step: int, head: Mapping[str, Any]) -> None:
    stored = str(head.get("ChecksumCRC32", ""))
    digest, _, count = stored.partition("-")
    if count and int(count) == math.ceil(size / step):
        # The checksum of an object of parts is that of its parts' checksums, one after the other.
        crcs = (zlib.crc32(_part(path, number, step)) for number in range(1, int(count) + 1))
        seen = checksum(b"".join(crc.to_bytes(4, "big") for crc in crcs))
    elif digest and head.get("ChecksumType") == "FULL_OBJECT":
        crc = 0
        for number in range(1, math.ceil(size / step) + 1):
            crc = zlib.crc32(_part(path, number, step), crc)
        seen = base64.b64encode(crc.to_bytes(4, "big")).decode()
    else:
        return  # no checksum was stored with it, or one that was made in another way
    if seen != digest:
        raise Unavailable(f"The bytes that S3 sent do not have the stored checksum {stored}.", remedy="Try again.")
