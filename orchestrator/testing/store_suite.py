"""Behaviours that every object store must have, as a class of tests.

A store proves itself by a subclass, collected by pytest, whose fixture ``store`` gives an empty one::

    class TestMyStore(StoreSuite):
        @pytest.fixture
        def store(self) -> ObjectStore:
            return MyStore(...)
"""

from __future__ import annotations

import random
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator.errors import InvalidRequest, NotFound
from orchestrator.storage.base import ObjectStore

ODD_KEYS = (
    "a b/c+d",
    "per%cent/50%25",
    "hash#/que?ry",
    "ünï/日本語/🚀",
    "quotes/'\"`$(x)",
    "-dash/--flag",
    "dots/.hidden/..two",
    "tilde~/at@/colon:equals=&and",
    "long/" + "x" * 200,
)

BAD_KEYS = ("", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "../a", "a/.", "./a", "nul\0", "x" * 1025, "lone\udc80")


class StoreSuite:
    """Subclass it and give a fixture ``store``."""

    large = 20 * 2**20
    """Bytes of the largest object that is tried; more than one part of a multi-part upload."""

    many = 1100
    """Objects in the longest list that is tried; more than one page of the store's listing."""

    @pytest.fixture
    def store(self) -> ObjectStore:
        raise NotImplementedError("a subclass gives the store")

    def put_by_grant(self, url: str, data: bytes) -> None:
        """Write as the holder of a grant does, who knows nothing of the store but the URL.

        Both headers are sent to every store: Azure wants the one, and the other keeps what stands between from
        reading the bytes as a form.
        """
        parts = urllib.parse.urlsplit(url)
        if parts.scheme == "file":
            path = Path(urllib.parse.unquote(parts.path))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            return
        headers = {"Content-Type": "application/octet-stream", "x-ms-blob-type": "BlockBlob"}
        request = urllib.request.Request(url, data, headers, method="PUT")
        with urllib.request.urlopen(request, timeout=30):
            pass

    def get_by_grant(self, url: str) -> bytes:
        with urllib.request.urlopen(url, timeout=30) as answer:
            data: bytes = answer.read()
            return data

    # -- one object

    def test_what_was_put_is_what_is_got(self, store: ObjectStore) -> None:
        data = bytes(range(256)) * 5
        store.put("folder/object", data)
        assert store.get("folder/object") == data

    def test_an_empty_object_exists(self, store: ObjectStore) -> None:
        store.put("empty", b"")
        assert store.exists("empty")
        assert store.get("empty") == b""

    def test_a_second_put_replaces_the_first(self, store: ObjectStore) -> None:
        store.put("key", b"a long first value")
        store.put("key", b"second")
        assert store.get("key") == b"second"
        assert [(info.key, info.size) for info in store.list("key")] == [("key", 6)]

    def test_a_file_is_put_and_fetched_whole(self, store: ObjectStore, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.write_bytes(random.Random(1).randbytes(self.large))
        store.put("large", source)
        assert [info.size for info in store.list("large")] == [self.large]
        target = tmp_path / "new" / "folder" / "target"
        store.fetch("large", target)
        assert target.read_bytes() == source.read_bytes()
        assert [path.name for path in target.parent.iterdir()] == ["target"]

    def test_fetching_replaces_a_file(self, store: ObjectStore, tmp_path: Path) -> None:
        target = tmp_path / "target"
        target.write_bytes(b"something longer that was there")
        store.put("key", b"new")
        store.fetch("key", target)
        assert target.read_bytes() == b"new"

    def test_putting_a_file_leaves_it_alone(self, store: ObjectStore, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.write_bytes(b"mine")
        store.put("key", source)
        source.write_bytes(b"changed later")
        assert store.get("key") == b"mine"
        assert [path.name for path in tmp_path.iterdir()] == ["source"]

    def test_a_file_that_does_not_exist_cannot_be_put(self, store: ObjectStore, tmp_path: Path) -> None:
        with pytest.raises(NotFound):
            store.put("key", tmp_path / "missing")
        assert not store.exists("key")

    @pytest.mark.parametrize("key", ODD_KEYS)
    def test_unusual_names_are_kept_as_they_are(self, store: ObjectStore, key: str) -> None:
        store.put(key, key.encode())
        assert store.exists(key)
        assert store.get(key) == key.encode()
        assert [info.key for info in store.list("")] == [key]
        assert [info.key for info in store.list(key.split("/")[0])] == [key]
        store.delete(key)
        assert list(store.list("")) == []

    @pytest.mark.parametrize("key", BAD_KEYS)
    def test_names_that_are_no_keys_are_refused(self, store: ObjectStore, key: str, tmp_path: Path) -> None:
        for call in (
            lambda: store.put(key, b"x"),
            lambda: store.get(key),
            lambda: store.fetch(key, tmp_path / "x"),
            lambda: store.read_range(key, 0, 1),
            lambda: store.exists(key),
            lambda: store.delete(key),
            lambda: store.grant(key, 60),
        ):
            with pytest.raises(InvalidRequest):
                call()
        assert list(store.list("")) == []

    # -- what is missing

    def test_a_missing_object_is_not_found(self, store: ObjectStore, tmp_path: Path) -> None:
        store.put("folder/object", b"x")
        for key in ("missing", "folder", "folder/missing", "folder/object/below"):
            assert not store.exists(key)
            with pytest.raises(NotFound):
                store.get(key)
            with pytest.raises(NotFound):
                store.read_range(key, 0, 10)
            with pytest.raises(NotFound):
                store.fetch(key, tmp_path / "target")
            assert list(tmp_path.iterdir()) == []

    def test_deleting_what_is_missing_is_fine(self, store: ObjectStore) -> None:
        store.delete("missing")
        store.delete("folder/missing")
        store.delete_prefix("missing")
        store.delete_prefix("")

    def test_a_deleted_object_is_gone(self, store: ObjectStore) -> None:
        store.put("a/b", b"x")
        store.put("a/c", b"y")
        store.delete("a/b")
        store.delete("a/b")
        assert not store.exists("a/b")
        assert [info.key for info in store.list("")] == ["a/c"]

    def test_a_name_can_be_used_again_after_what_lay_below_it_is_gone(self, store: ObjectStore) -> None:
        store.put("a/b/c", b"x")
        store.delete("a/b/c")
        store.put("a/b", b"y")
        assert store.get("a/b") == b"y"

    # -- ranges

    def test_ranges_give_what_is_there_and_no_more(self, store: ObjectStore) -> None:
        store.put("key", b"0123456789")
        assert store.read_range("key", 0, 4) == b"0123"
        assert store.read_range("key", 4, 4) == b"4567"
        assert store.read_range("key", 8, 100) == b"89"
        assert store.read_range("key", 10, 5) == b""
        assert store.read_range("key", 99, 5) == b""
        assert store.read_range("key", 3, 0) == b""

    def test_a_range_of_an_empty_object_is_empty(self, store: ObjectStore) -> None:
        store.put("key", b"")
        assert store.read_range("key", 0, 10) == b""

    def test_a_negative_range_is_refused(self, store: ObjectStore) -> None:
        store.put("key", b"0123456789")
        for offset, size in ((-1, 2), (0, -1)):
            with pytest.raises(InvalidRequest):
                store.read_range("key", offset, size)

    # -- listing

    def test_a_prefix_names_whole_parts(self, store: ObjectStore) -> None:
        for key in ("runs/1/a", "runs/1/b/c", "runs/10/a", "runs/1.json", "other"):
            store.put(key, b"x")
        assert [info.key for info in store.list("runs/1")] == ["runs/1/a", "runs/1/b/c"]
        assert [info.key for info in store.list("runs/1/")] == ["runs/1/a", "runs/1/b/c"]
        assert [info.key for info in store.list("runs/1/a")] == ["runs/1/a"]
        assert list(store.list("run")) == []
        assert list(store.list("missing")) == []

    def test_listing_is_in_order_of_key(self, store: ObjectStore) -> None:
        names = ["a-b", "a/b", "a0", "a/b-c", "a/a/z", "B", "a.b/c", "ä", "a/é", "b", "a/b0/c"]
        for key in names:
            store.put(key, b"x")
        assert [info.key for info in store.list("")] == sorted(names)

    def test_listing_tells_size_and_time(self, store: ObjectStore) -> None:
        before = time.time()
        store.put("key", b"12345")
        (info,) = store.list("")
        assert info.size == 5
        assert before - 120 <= info.modified <= time.time() + 120

    def test_a_long_list_is_complete(self, store: ObjectStore) -> None:
        names = [f"many/{i:04d}" for i in range(self.many)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: store.put(key, b""), names))
        assert [info.key for info in store.list("many")] == names
        store.delete_prefix("many")
        assert list(store.list("")) == []

    def test_a_bad_prefix_is_refused(self, store: ObjectStore) -> None:
        store.put("a", b"x")
        for prefix in ("..", "/", "a/../b", "a//b"):
            with pytest.raises(InvalidRequest):
                list(store.list(prefix))
            with pytest.raises(InvalidRequest):
                store.delete_prefix(prefix)
        assert store.exists("a")

    def test_deleting_a_prefix_spares_its_neighbours(self, store: ObjectStore) -> None:
        for key in ("runs/1/a", "runs/1/b/c", "runs/10/a", "runs/1-x"):
            store.put(key, b"x")
        store.delete_prefix("runs/1")
        assert [info.key for info in store.list("")] == ["runs/1-x", "runs/10/a"]
        store.delete_prefix("runs/1-x")
        assert [info.key for info in store.list("")] == ["runs/10/a"]

    # -- many at a time

    def test_readers_see_the_old_object_or_the_new_one(self, store: ObjectStore) -> None:
        versions = {bytes([65 + i]) * 40_000 for i in range(4)}
        store.put("key", min(versions))
        done = threading.Event()

        def read() -> set[bytes]:
            seen = set()
            while not done.is_set():
                seen.add(store.get("key"))
            return seen

        def write(version: bytes) -> None:
            for _ in range(10):
                store.put("key", version)

        with ThreadPoolExecutor(6) as pool:
            readers = [pool.submit(read) for _ in range(2)]
            writers = [pool.submit(write, version) for version in versions]
            try:
                for writer in writers:
                    writer.result()
            finally:
                done.set()
            seen = set.union(*(reader.result() for reader in readers))
        assert seen <= versions
        assert store.get("key") in versions

    def test_threads_do_not_disturb_one_another(self, store: ObjectStore) -> None:
        def work(n: int) -> bool:
            key, data = f"shared/{n % 5}/{n}", str(n).encode() * 100
            store.put(key, data)
            same = store.get(key) == data
            store.delete(key)
            return same and not store.exists(key)

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(work, range(64)))
        assert list(store.list("")) == []

    # -- grants

    def test_a_grant_lets_its_holder_read(self, store: ObjectStore) -> None:
        store.put("folder/a b+c%.txt", b"granted")
        assert self.get_by_grant(store.grant("folder/a b+c%.txt", 60)) == b"granted"

    def test_a_grant_lets_its_holder_write_what_is_not_there_yet(self, store: ObjectStore) -> None:
        self.put_by_grant(store.grant("folder/new", 60, write=True), b"written")
        assert store.get("folder/new") == b"written"

    def test_a_grant_opens_nothing_else(self, store: ObjectStore) -> None:
        store.put("folder/mine", b"mine")
        store.put("folder/other", b"other")
        url = store.grant("folder/mine", 60)
        with pytest.raises(urllib.error.HTTPError):
            self.get_by_grant(url.replace("folder/mine", "folder/other"))
        with pytest.raises(urllib.error.HTTPError):
            self.put_by_grant(url, b"a grant to read is none to write")
        assert store.get("folder/mine") == b"mine"

    def test_a_url_names_the_store(self, store: ObjectStore) -> None:
        assert urllib.parse.urlsplit(store.url).scheme in ("file", "s3", "az")
