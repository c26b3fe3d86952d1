"""The files of a trial, brought here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.errors import InvalidRequest, NotFound
from orchestrator.results.fetch import fetch, folder_of
from orchestrator.results.leaderboard import Trial
from orchestrator.storage.base import ObjectInfo
from orchestrator.storage.layout import RunKeys
from orchestrator.storage.local import LocalStore

TRIAL = Trial(3, "succeeded", {}, attempts=2, run="r")


class CountingStore(LocalStore):
    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.fetched: list[str] = []

    def fetch(self, key: str, target: Path) -> None:
        self.fetched.append(key)
        super().fetch(key, target)


@pytest.fixture
def store(tmp_path: Path) -> CountingStore:
    made = CountingStore(tmp_path / "store")
    keys = RunKeys("r")
    made.put(f"{keys.outputs(3, 2)}/model/weights", b"\x00\xff" * 1000)
    made.put(keys.log(3, 2, "stdout"), b"well\n")
    made.put(keys.log(3, 1, "stdout"), b"of the attempt before\n")
    made.put(keys.log(30, 2, "stdout"), b"of another trial\n")
    return made


def test_all_files_of_the_last_attempt_come_and_no_others(store: CountingStore, tmp_path: Path) -> None:
    files = fetch(store, TRIAL, tmp_path / "here")
    folder = folder_of(tmp_path / "here", "r", 3)
    assert {str(path.relative_to(folder)): path.read_bytes() for path in files} == {
        "outputs/model/weights": b"\x00\xff" * 1000,
        "stdout.txt": b"well\n",
    }
    assert sorted(files) == sorted(path for path in (tmp_path / "here").rglob("*") if path.is_file())


def test_what_is_here_is_not_fetched_again_and_what_is_not_whole_is(store: CountingStore, tmp_path: Path) -> None:
    files = fetch(store, TRIAL, tmp_path)
    store.fetched.clear()
    fetch(store, TRIAL, tmp_path)
    assert store.fetched == []
    log = next(path for path in files if path.name == "stdout.txt")
    log.write_bytes(b"we")
    fetch(store, TRIAL, tmp_path)
    assert log.read_bytes() == b"well\n"
    assert len(store.fetched) == 1


def test_a_trial_that_left_nothing_is_an_error(store: CountingStore, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="Trial 4 of r has left nothing"):
        fetch(store, Trial(4, "failed", {}, run="r"), tmp_path)


def test_a_listing_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    class LyingStore(LocalStore):
        def list(self, prefix: str) -> Iterator[ObjectInfo]:
            yield ObjectInfo(f"{prefix}/../../../../evil", 4, 0.0)

    with pytest.raises(InvalidRequest):
        fetch(LyingStore(tmp_path / "store"), TRIAL, tmp_path / "a" / "b")
    assert not list(tmp_path.rglob("evil"))
