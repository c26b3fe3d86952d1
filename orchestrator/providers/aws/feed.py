"""What the runners tell, listed in order of time: one call for up to a thousand pieces of news, however many tasks.

A runner's news is an object whose name says it: ``MILLISECONDS.TASK.NUMBER.KIND.CONTENT`` below ``runs/RUN/feed``, with
CONTENT in base64; kind ``r``: it runs, ``e``: it has ended, ``m``: rows of metrics.  ``KINDb`` has its content inside.
Clocks of machines differ and an object may come late, so every look goes back a little and leaves out what is known.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from orchestrator.providers.aws.client import Aws
from orchestrator.storage.base import ObjectStore
from orchestrator.storage.layout import RunKeys

# How far a look goes back, in milliseconds.
OVERLAP = 20_000


@dataclass(frozen=True, slots=True)
class News:
    """``at`` in milliseconds."""

    at: int
    name: str
    kind: str
    content: Any


class Feed:
    """The news of one run.  ``bucket`` and ``prefix`` (empty or ending in a slash) are where its store is."""

    def __init__(self, aws: Aws, store: ObjectStore, bucket: str, prefix: str, run: str) -> None:
        self._aws, self._store, self._bucket = aws, store, bucket
        self._folder = f"{RunKeys(run).root}/feed/"
        self._prefix = prefix
        self._known: dict[str, int] = {}

    def since(self, at: int) -> tuple[list[News], int]:
        """What is new since ``at``, in order, and the time of the last of it; everything for 0."""
        if at == 0:
            self._known = {}
        found = [news for key in self._keys(max(0, at - OVERLAP)) if (news := self._news(key)) is not None]
        last = max([at, *(news.at for news in found)])
        self._known = {key: when for key, when in self._known.items() if when >= last - OVERLAP}
        return found, last

    def _keys(self, at: int) -> Iterator[str]:
        root = f"{self._prefix}{self._folder}"
        arguments: dict[str, Any] = {"Bucket": self._bucket, "Prefix": root, "StartAfter": f"{root}{at:013d}"}
        while True:
            page = self._aws.call("s3", "list_objects_v2", **arguments)
            for item in page.get("Contents", ()):
                yield item["Key"][len(self._prefix) :]
            if not page.get("IsTruncated"):
                return
            arguments["ContinuationToken"] = page["NextContinuationToken"]

    def _news(self, key: str) -> News | None:
        at, name, _, kind, content = key[len(self._folder) :].split(".", 4)
        if key in self._known:
            return None
        data = self._store.get(key) if kind.endswith("b") else base64.urlsafe_b64decode(content)
        self._known[key] = int(at)
        return News(int(at), name, kind[0], json.loads(data) if data else None)


def clear(store: ObjectStore | None, run: str) -> None:
    """Take out what was told while the run's pool was alive: every result has its own object by then."""
    if store is not None:
        keys = RunKeys(run)
        store.delete_prefix(f"{keys.root}/feed")
        store.delete(keys.stop)
