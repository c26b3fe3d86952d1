"""The object store in an S3 bucket, or in anything that speaks its protocol.

Credentials, region and endpoint come from boto3's own chain: the environment (``AWS_ACCESS_KEY_ID``, ``AWS_PROFILE``,
``AWS_REGION``, ``AWS_ENDPOINT_URL_S3`` or ``AWS_ENDPOINT_URL``), profile files, the machine's role.  Passing faults
are repeated by botocore, with growing pauses.
"""

from __future__ import annotations

import builtins
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import boto3
from botocore import exceptions as boto
from botocore.config import Config

from orchestrator.errors import AuthenticationFailed, InvalidRequest, NotFound, Unavailable
from orchestrator.storage import keys, s3_errors, s3_parts
from orchestrator.storage.base import ObjectInfo
from orchestrator.storage.files import explain, write_atomically
from orchestrator.storage.transfer import SINGLE, Parallel

LONGEST_GRANT = 7 * 86_400.0
"""Seconds; the limit of a presigned URL (S3 user guide, "Sharing objects with presigned URLs").  One that is signed
with temporary credentials ends with them, whatever was asked for."""

_CONNECTIONS = 32
_DELETED_AT_ONCE = 1000
_TRIES = 6

# Bodies have a checksum, and what is large has its digest for a name: to hash it once more for a signature would only
# take time.  Over TLS botocore does not do so either.
_UNSIGNED = {"payload_signing_enabled": False}

_CREDENTIALS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.ProfileNotFound,
    boto.SSOError,
    boto.TokenRetrievalError,
)
_PASSING = (boto.ConnectionError, boto.FlexibleChecksumError, boto.HTTPClientError, boto.IncompleteReadError)


class S3Store:
    """Objects below ``prefix`` of a bucket.  Nothing is contacted before the first call.  Safe for threads.

    ``endpoint`` is that of an S3-compatible service; None: as boto3 is configured.  ``grant_endpoint`` is how the
    holders of grants reach it, where that differs (from inside a container, say).
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        session: boto3.Session | None = None,
        endpoint: str | None = None,
        grant_endpoint: str | None = None,
    ) -> None:
        self.bucket = bucket
        self._prefix = f"{keys.check_prefix(prefix)}/" if prefix else ""
        self._session = session
        self._endpoint = endpoint
        self._grant_endpoint = grant_endpoint or endpoint
        self._lock = threading.RLock()
        self._made: Any = None
        self._signing: Any = None
        self._parallel = Parallel()

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{quote(self._prefix)}".rstrip("/")

    def put(self, key: str, data: bytes | Path) -> None:
        name = self._name(key)
        if isinstance(data, Path):
            try:
                if data.stat().st_size > SINGLE:
                    with self._translated(key):
                        s3_parts.send(self._client(), self.bucket, name, data, self._parallel)
                    return
                data = data.read_bytes()
            except OSError as error:
                raise explain(error, "read", str(data)) from error
        with self._translated(key):
            crc = s3_parts.checksum(data)
            self._client().put_object(Bucket=self.bucket, Key=name, Body=data, ChecksumCRC32=crc)

    def get(self, key: str) -> bytes:
        name = self._name(key)
        with self._translated(key):
            return s3_parts.read_body(lambda: self._client().get_object(Bucket=self.bucket, Key=name))

    def fetch(self, key: str, target: Path) -> None:
        name = self._name(key)
        with self._translated(key):
            head = self._client().head_object(Bucket=self.bucket, Key=name, ChecksumMode="ENABLED")

        def write(part: Path) -> None:
            with self._translated(key):
                if head["ContentLength"] > SINGLE:
                    s3_parts.receive(self._client(), self.bucket, name, head, part, self._parallel)
                else:
                    part.write_bytes(self.get(key))

        try:
            write_atomically(target, write)
        except OSError as error:
            raise explain(error, "write", target) from error

    def read_range(self, key: str, offset: int, size: int) -> bytes:
        name = self._name(key)
        if offset < 0 or size < 0:
            raise InvalidRequest(f"A range of {key!r} cannot begin at {offset} with {size} bytes.")
        if size == 0:
            if not self.exists(key):
                raise NotFound(f"There is no object {key!r} in {self.url}.")
            return b""
        wanted = f"bytes={offset}-{offset + size - 1}"
        with self._translated(key):
            try:
                return s3_parts.read_body(lambda: self._client().get_object(Bucket=self.bucket, Key=name, Range=wanted))
            except boto.ClientError as error:
                if error.response["Error"]["Code"] in ("InvalidRange", "416"):
                    return b""  # past the end
                raise

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        for found in self._listed(keys.check_prefix(prefix)):
            key = found["Key"][len(self._prefix) :]
            if not key.endswith("/"):  # consoles mark "folders" by such empty objects
                yield ObjectInfo(key, found["Size"], found["LastModified"].timestamp())

    def delete(self, key: str) -> None:
        name = self._name(key)
        with self._translated(key):
            self._client().delete_object(Bucket=self.bucket, Key=name)

    def delete_prefix(self, prefix: str) -> None:
        names: builtins.list[dict[str, str]] = []
        for found in self._listed(keys.check_prefix(prefix)):
            names.append({"Key": found["Key"]})
            if len(names) == _DELETED_AT_ONCE:
                self._delete(names)
                names = []
        if names:
            self._delete(names)

    def exists(self, key: str) -> bool:
        name = self._name(key)
        try:
            with self._translated(key):
                self._client().head_object(Bucket=self.bucket, Key=name)
        except NotFound:
            return False
        return True

    def grant(self, key: str, seconds: float, *, write: bool = False) -> str:
        """A presigned URL: GET reads the object; with ``write``, PUT writes it.

        Raises InvalidRequest for more than :data:`LONGEST_GRANT`.
        """
        name = self._name(key)
        if not 0 < seconds <= LONGEST_GRANT:
            raise InvalidRequest(
                f"A grant of {seconds:.0f} s cannot be made: S3 allows up to {LONGEST_GRANT:.0f} s.",
                remedy="Let the tasks use a role of their own.",
            )
        method = "put_object" if write else "get_object"
        where = {"Bucket": self.bucket, "Key": name}
        with self._translated(key):
            signing = self._signing_client()
            return str(signing.generate_presigned_url(method, Params=where, ExpiresIn=max(1, int(seconds))))

    def unfinished(self, older_than: float = 7 * 86_400.0) -> Iterator[tuple[str, Callable[[], None]]]:
        """Uploads in parts that began so many seconds ago and were broken off: their keys, and what gives them up."""
        limit = time.time() - older_than
        with self._translated(""):
            pages = self._client().get_paginator("list_multipart_uploads")
            for page in pages.paginate(Bucket=self.bucket, Prefix=self._prefix):
                for upload in page.get("Uploads", ()):
                    if upload["Initiated"].timestamp() < limit:
                        key = upload["Key"][len(self._prefix) :]
                        yield key, partial(self._give_up, key, upload["UploadId"])

    def _give_up(self, key: str, upload: str) -> None:
        with self._translated(key):
            self._client().abort_multipart_upload(Bucket=self.bucket, Key=self._prefix + key, UploadId=upload)

    def _name(self, key: str) -> str:
        return self._prefix + keys.check(key)

    def _listed(self, prefix: str) -> Iterator[Any]:
        """What has this name or lies below it, in order, mostly in one call for each 1,000."""
        start = self._prefix + prefix
        inside = f"{start}/" if prefix else start
        where = {"Bucket": self.bucket, "Prefix": start}
        while True:
            with self._translated(prefix):
                page = self._client().list_objects_v2(**where)
            name = ""
            for found in page.get("Contents", ()):
                name = found["Key"]
                if name == start or name.startswith(inside):
                    yield found
                elif name > inside:
                    return
            if not page["IsTruncated"]:
                return
            if name < inside:
                # Neighbours such as "runs/1.json" come before what lies below "runs/1"; there can be many.
                where["Prefix"] = inside
                where.pop("ContinuationToken", None)
            else:
                where["ContinuationToken"] = page["NextContinuationToken"]

    def _delete(self, names: builtins.list[dict[str, str]]) -> None:
        with self._translated(""):
            answer = self._client().delete_objects(Bucket=self.bucket, Delete={"Objects": names, "Quiet": True})
        for error in answer.get("Errors", ()):
            raise s3_errors.explain("DeleteObjects", {"Error": error}, f"s3://{self.bucket}/{error['Key']}")

    def _client(self) -> Any:
        with self._lock:
            if self._made is None:
                self._made = self._connect(self._endpoint)
            return self._made

    def _signing_client(self) -> Any:
        """Another client: URLs must name the bucket's own region and ask nothing of their holders but the method."""
        with self._lock:
            if self._signing is None:
                try:
                    answer = self._client().head_bucket(Bucket=self.bucket)
                except boto.ClientError as error:
                    answer = error.response  # the region is told even to those who may not look inside
                headers = answer["ResponseMetadata"].get("HTTPHeaders", {})
                self._signing = self._connect(
                    self._grant_endpoint,
                    region=headers.get("x-amz-bucket-region"),
                    request_checksum_calculation="when_required",
                )
            return self._signing

    def _connect(self, endpoint: str | None, region: str | None = None, **settings: Any) -> Any:
        if self._session is None:
            self._session = boto3.Session()
        config = Config(
            signature_version="s3v4",
            retries={"mode": "standard", "total_max_attempts": _TRIES},
            max_pool_connections=_CONNECTIONS,
            connect_timeout=10,
            read_timeout=60,
            s3=_UNSIGNED,
            **settings,
        )
        client = self._session.client("s3", region_name=region, endpoint_url=endpoint, config=config)
        host = urlsplit(client.meta.endpoint_url).hostname or ""
        chosen = "addressing_style" in (client.meta.config.s3 or {})
        if not chosen and not host.endswith((".amazonaws.com", ".amazonaws.com.cn")):
            # Other services seldom have a host name for each bucket.
            config = config.merge(Config(s3={**_UNSIGNED, "addressing_style": "path"}))
            client = self._session.client("s3", region_name=region, endpoint_url=endpoint, config=config)
        return client

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        where = f"{self.url}/{key}"
        try:
            yield
        except boto.ClientError as error:
            raise s3_errors.explain(error.operation_name, error.response, where) from error
        except _CREDENTIALS as error:
            raise AuthenticationFailed(
                f"There are no usable credentials for {self.url}: {error}.",
                remedy="Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or sign in (aws sso login).",
            ) from error
        except _PASSING as error:
            raise Unavailable(f"S3 did not answer for {where}: {error}.", remedy="Check the network.") from error
        except boto.BotoCoreError as error:
            raise InvalidRequest(f"{where} cannot be reached: {error}.") from error
