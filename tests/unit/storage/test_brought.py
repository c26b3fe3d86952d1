"""Objects of other stores on this machine: brought once, anew when they have changed, and never in part."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from orchestrator.errors import InvalidRequest, NotFound, Unavailable
from orchestrator.storage import brought
from orchestrator.storage.base import ObjectInfo
from orchestrator.storage.brought import Brought, Stopped
from orchestrator.storage.local import LocalStore


class Far(LocalStore):
    """A store that counts what is read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.read: list[str] = []

    def read_range(self, key: str, offset: int, size: int) -> bytes:
        self.read.append(key)
        return super().read_range(key, offset, size)


@pytest.fixture
def far(tmp_path: Path) -> Far:
    store = Far(tmp_path / "far")
    for key in ("data/a.csv", "data/deep/b.csv", "data-2/c.csv", "empty"):
        store.put(key, b"" if key == "empty" else key.encode())
    return store


@pytest.fixture
def place(tmp_path: Path) -> Brought:
    return Brought(tmp_path / "cache", tmp_path / "run")


def test_an_object_is_a_file_and_a_folder_all_that_lies_below_it(far: Far, place: Brought) -> None:
    assert place.bring(far, "data/a.csv").read_text() == "data/a.csv"
    assert place.bring(far, "empty").read_text() == ""
    for key in ("data", "data/"):
        found = place.bring(far, key)
        assert {str(path.relative_to(found)) for path in found.rglob("*") if path.is_file()} == {"a.csv", "deep/b.csv"}
        assert (found / "deep" / "b.csv").read_text() == "data/deep/b.csv"


def test_an_object_is_read_once_for_all_runs(far: Far, place: Brought, tmp_path: Path) -> None:
    place.bring(far, "data")
    place.bring(far, "data/a.csv")
    Brought(tmp_path / "cache", tmp_path / "another run").bring(far, "data")
    assert sorted(far.read) == ["data/a.csv", "data/deep/b.csv"]


def test_what_has_changed_there_or_here_is_read_anew(far: Far, place: Brought) -> None:
    first = place.bring(far, "data")
    far.put("data/a.csv", b"changed")
    assert (place.bring(far, "data") / "a.csv").read_text() == "changed"
    assert (first / "a.csv").read_text() == "data/a.csv", "a trial may be reading it"
    written_to = place.bring(far, "data") / "a.csv"
    written_to.chmod(0o644)
    written_to.write_text("spoilt")
    assert (place.bring(far, "data") / "a.csv").read_text() == "changed"


@pytest.mark.parametrize("key", ["nothing", "dat", "data/a.csv/"])
def test_what_is_not_there_is_said(far: Far, place: Brought, key: str) -> None:
    with pytest.raises(NotFound, match="no object and no folder"):
        place.bring(far, key)


@pytest.mark.parametrize("name", ["data/../../escaped", "data//etc/escaped"])
def test_no_object_s_name_leads_out_of_the_folder(far: Far, place: Brought, name: str) -> None:
    """Object stores allow such names."""

    class Hostile(Far):
        def list(self, prefix: str) -> object:  # type: ignore[override]
            return iter([ObjectInfo(name, 0, 0.0)])

    with pytest.raises(InvalidRequest, match="cannot be an object key"):
        place.bring(Hostile(far.root), "data")


def test_an_object_that_changes_while_it_is_read_is_not_kept(
    far: Far, place: Brought, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brought, "PIECE", 4)

    class Changing(Far):
        def read_range(self, key: str, offset: int, size: int) -> bytes:
            if offset:
                self.put(key, b"something else")
            return super().read_range(key, offset, size)

    with pytest.raises(Unavailable, match="changed while it was read"):
        place.bring(Changing(far.root), "data/a.csv")


def test_whoever_is_told_to_stop_does_not_wait_for_the_rest(
    far: Far, place: Brought, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brought, "PIECE", 1)
    begun, go_on = threading.Event(), threading.Event()

    class Slow(Far):
        def read_range(self, key: str, offset: int, size: int) -> bytes:
            begun.set()
            go_on.wait()
            return super().read_range(key, offset, size)

    slow, ended = Slow(far.root), []

    def bring() -> None:
        with pytest.raises(Stopped):
            place.bring(slow, "data/a.csv")
        ended.append(len(slow.read))

    thread = threading.Thread(target=bring)
    thread.start()
    begun.wait()
    place.stop()
    go_on.set()
    thread.join()
    assert ended == [1]
    assert not [name for _, _, names in os.walk(place._cache) for name in names if not name.endswith(".lock")]
