from __future__ import annotations

import errno
import multiprocessing
import os
import threading
from pathlib import Path

import pytest

from orchestrator.errors import (
    AuthenticationFailed,
    InvalidRequest,
    MachineError,
    NotFound,
    QuotaExceeded,
    Unavailable,
    UsageError,
)
from orchestrator.storage.base import ObjectStore
from orchestrator.storage.files import PART, explain
from orchestrator.storage.layout import Home
from orchestrator.storage.local import LocalStore
from orchestrator.storage.open import open_store
from orchestrator.testing.store_suite import StoreSuite


class TestLocalStore(StoreSuite):
    @pytest.fixture
    def store(self, tmp_path_factory: pytest.TempPathFactory) -> ObjectStore:
        return LocalStore(tmp_path_factory.mktemp("local") / "store")

    def test_a_grant_opens_nothing_else(self, store: ObjectStore) -> None:
        # Deviates: a file URL carries no rights of its own; those of the file decide.
        assert store.grant("folder/mine", 60) == f"{store.url}/folder/mine"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def test_the_path_of_an_object_is_its_key(store: LocalStore) -> None:
    store.put("a/b c", b"x")
    assert store.path("a/b c") == store.root / "a" / "b c"
    assert store.path("a/b c").read_bytes() == b"x"


def test_an_object_cannot_lie_below_another(store: LocalStore) -> None:
    store.put("a", b"x")
    with pytest.raises(InvalidRequest):
        store.put("a/b", b"y")
    store.put("c/d", b"z")
    with pytest.raises(InvalidRequest):
        store.put("c", b"y")
    assert [info.key for info in store.list("")] == ["a", "c/d"]


def test_names_of_half_written_files_are_kept_free_and_are_not_listed(store: LocalStore) -> None:
    store.put("a/b", b"x")
    (store.root / "a" / f"{PART}0").write_bytes(b"half")
    assert [info.key for info in store.list("")] == ["a/b"]
    with pytest.raises(InvalidRequest):
        store.put(f"a/{PART}0", b"x")


def test_what_dead_processes_left_is_removed_when_it_is_old(store: LocalStore) -> None:
    store.put("a/b", b"x")
    old, fresh = (store.root / "a" / f"{PART}{name}" for name in ("old", "fresh"))
    old.write_bytes(b"half")
    fresh.write_bytes(b"half")
    os.utime(old, (0, 0))
    assert store.remove_leftovers() == 1
    assert fresh.exists()
    assert not old.exists()
    assert store.get("a/b") == b"x"


def _put_for_ever(root: Path, ready: multiprocessing.synchronize.Event) -> None:
    store = LocalStore(root)
    for n in range(10**9):
        store.put("key", bytes([65 + n % 26]) * 3_000_000)
        ready.set()


def test_a_writer_that_is_killed_leaves_a_whole_object(store: LocalStore) -> None:
    context = multiprocessing.get_context("fork")
    for _ in range(5):
        ready = context.Event()
        writer = context.Process(target=_put_for_ever, args=(store.root, ready))
        writer.start()
        assert ready.wait(20)
        writer.kill()
        writer.join()
        data = store.get("key")
        assert len(data) == 3_000_000
        assert len(set(data)) == 1
        assert [info.key for info in store.list("")] == ["key"]


def test_putting_and_deleting_in_one_folder_at_the_same_time_loses_nothing(store: LocalStore) -> None:
    # The last file's deletion takes the folder away under the writer's feet.
    failures: list[BaseException] = []

    def work(n: int) -> None:
        try:
            for _ in range(200):
                store.put(f"folder/deep/{n}", b"x")
                assert store.get(f"folder/deep/{n}") == b"x"
                store.delete(f"folder/deep/{n}")
        except BaseException as error:  # carried to the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_full_disk_is_told_with_its_path_and_what_to_do(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("a", b"old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(QuotaExceeded) as caught:
        store.put("a", b"new")
    assert str(store.root / "a") in caught.value.message
    assert "ORCHESTRATE_HOME" in caught.value.remedy
    assert store.get("a") == b"old"
    assert os.listdir(store.root) == ["a"]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENOENT, NotFound),
        (errno.ENOSPC, QuotaExceeded),
        (errno.EDQUOT, QuotaExceeded),
        (errno.EACCES, AuthenticationFailed),
        (errno.EROFS, AuthenticationFailed),
        (errno.ENAMETOOLONG, InvalidRequest),
        (errno.EMFILE, Unavailable),
        (errno.EIO, MachineError),
    ],
)
def test_errors_of_the_system_are_told_apart_by_their_number(code: int, kind: type[Exception]) -> None:
    assert type(explain(OSError(code, "any text"), "write", "/x")) is kind


def test_a_part_of_a_key_that_the_file_system_cannot_hold_is_refused(store: LocalStore) -> None:
    with pytest.raises(InvalidRequest):
        store.put("x" * 300, b"")


def test_without_a_url_the_store_is_the_home_s(tmp_path: Path) -> None:
    store = open_store(None, Home(tmp_path))
    assert store.url == (tmp_path / "store").as_uri()


def test_a_file_url_opens_that_folder(tmp_path: Path) -> None:
    folder = tmp_path / "with space"
    LocalStore(folder).put("a", b"x")
    assert open_store(folder.as_uri(), Home(tmp_path)).get("a") == b"x"


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("hdfs://bucket", "file, s3, az"),
        ("flie:///tmp/x", "file://"),
        ("file://relative/x", "three slashes"),
        ("some/folder", "file:///"),
    ],
)
def test_a_url_that_names_no_store_is_refused_with_a_hint(url: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        open_store(url, Home(tmp_path))
    assert hint in str(caught.value)
