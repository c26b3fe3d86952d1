from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from orchestrator.errors import InvalidRequest, NotFound, Unavailable, UsageError
from orchestrator.storage import inputs
from orchestrator.storage.base import ObjectStore
from orchestrator.storage.hashes import HashCache
from orchestrator.storage.layout import blob_key
from orchestrator.storage.local import LocalStore


class Elsewhere:
    """A store whose files are not on this machine, as a cloud's; it counts and can be made to fail."""

    def __init__(self, root: Path) -> None:
        self._inner = LocalStore(root)
        self.puts: list[str] = []
        self.asked: list[str] = []
        self.fail_after: int | None = None

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def exists(self, key: str) -> bool:
        self.asked.append(key)
        return self._inner.exists(key)

    def put(self, key: str, data: bytes | Path) -> None:
        if self.fail_after is not None and len(self.puts) >= self.fail_after:
            raise Unavailable("The store went away.")
        self._inner.put(key, data)
        self.puts.append(key)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Elsewhere:
    return Elsewhere(tmp_path / "elsewhere")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    (root / "sub").mkdir(parents=True)
    (root / "a.csv").write_text("1,2")
    (root / "sub" / "b.csv").write_text("3,4")
    (root / "sub" / "same.csv").write_text("1,2")
    (root / "tool.sh").write_text("#!/bin/sh\n")
    (root / "tool.sh").chmod(0o755)
    return root


def tree(root: Path) -> dict[str, tuple[str, bool]]:
    return {
        str(path.relative_to(root)): (path.read_text(), os.access(path, os.X_OK))
        for path in root.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("kind", ["local", "elsewhere"])
def test_a_folder_comes_back_as_it_was(
    data: Path, store: LocalStore, elsewhere: ObjectStore, tmp_path: Path, kind: str
) -> None:
    chosen = store if kind == "local" else elsewhere
    stored = inputs.upload(chosen, data)
    inputs.materialise(chosen, inputs.load(chosen, stored.key), tmp_path / "trial" / "data")
    assert {name: content for name, (content, _) in tree(tmp_path / "trial" / "data").items()} == {
        name: content for name, (content, _) in tree(data).items()
    }
    assert (tmp_path / "trial" / "data" / "tool.sh").stat().st_mode & 0o100
    assert not (tmp_path / "trial" / "data" / "a.csv").stat().st_mode & 0o111


@pytest.mark.parametrize("kind", ["local", "elsewhere"])
def test_a_single_file_is_put_under_the_name_that_was_asked_for(
    data: Path, store: LocalStore, elsewhere: ObjectStore, tmp_path: Path, kind: str
) -> None:
    chosen = store if kind == "local" else elsewhere
    stored = inputs.upload(chosen, data / "a.csv")
    inputs.materialise(chosen, inputs.load(chosen, stored.key), tmp_path / "trial" / "renamed.csv")
    assert (tmp_path / "trial" / "renamed.csv").read_text() == "1,2"


def test_the_manifest_is_plain_json(data: Path, store: LocalStore) -> None:
    stored = inputs.upload(store, data)
    document = json.loads(store.get(stored.key))
    assert document["version"] == 1
    assert [(file["path"], file["size"], file["mode"]) for file in document["files"]] == [
        ("a.csv", 3, 0o644),
        ("sub/b.csv", 3, 0o644),
        ("sub/same.csv", 3, 0o644),
        ("tool.sh", 10, 0o755),
    ]
    for file in document["files"]:
        content = store.get(blob_key(file["sha256"]))
        assert hashlib.sha256(content).hexdigest() == file["sha256"]
        assert content == (data / file["path"]).read_bytes()


def test_equal_files_are_sent_once_and_a_second_upload_sends_nothing(data: Path, elsewhere: Elsewhere) -> None:
    first = inputs.upload(elsewhere, data)
    assert len(elsewhere.puts) == 3 + 1
    assert first.bytes_sent == 3 + 3 + 10 + len(first.manifest.to_json())
    elsewhere.puts.clear()
    again = inputs.upload(elsewhere, data)
    assert (again.key, again.bytes_sent) == (first.key, 0)
    assert elsewhere.puts == []


def test_a_changed_file_is_sent_alone(data: Path, elsewhere: Elsewhere) -> None:
    inputs.upload(elsewhere, data)
    elsewhere.puts.clear()
    (data / "a.csv").write_text("9,9,9")
    second = inputs.upload(elsewhere, data)
    assert elsewhere.puts == [blob_key(hashlib.sha256(b"9,9,9").hexdigest()), second.key]


def test_an_interrupted_upload_goes_on_where_it_was(tmp_path: Path, elsewhere: Elsewhere) -> None:
    root = tmp_path / "many"
    root.mkdir()
    for n in range(50):
        (root / str(n)).write_text(f"content {n}")
    elsewhere.fail_after = 20
    with pytest.raises(Unavailable):
        inputs.upload(elsewhere, root, threads=4)
    arrived = set(elsewhere.puts)
    assert 20 <= len(arrived) < 50
    elsewhere.fail_after = None
    elsewhere.puts.clear()
    stored = inputs.upload(elsewhere, root, threads=4)
    assert not arrived & set(elsewhere.puts)
    assert len(arrived) + len(elsewhere.puts) == 51
    inputs.materialise(elsewhere, stored.manifest, tmp_path / "back")
    assert tree(tmp_path / "back") == tree(root)


@pytest.mark.parametrize("others", [0, 100, 3000])
def test_what_is_there_is_found_without_asking_for_each_file(tmp_path: Path, elsewhere: Elsewhere, others: int) -> None:
    for number in range(others):
        elsewhere.put(blob_key(hashlib.sha256(f"other {number}".encode()).hexdigest()), b"")
    root = tmp_path / "many"
    root.mkdir()
    for number in range(50):
        (root / str(number)).write_text(f"content {number}")
    half = [blob_key(hashlib.sha256(f"content {number}".encode()).hexdigest()) for number in range(0, 50, 2)]
    for key in half:
        elsewhere.put(key, b"")
    elsewhere.puts.clear()
    inputs.upload(elsewhere, root)
    assert len(elsewhere.puts) == 25 + 1
    assert not set(elsewhere.puts) & set(half)
    # Only where there are far more objects than a listing would be worth are the last ones asked for.
    asked = len(elsewhere.asked)
    assert asked == 0 if others < 2500 else 0 < asked < 25


def test_a_file_that_changes_while_it_is_sent_is_not_kept(data: Path, elsewhere: Elsewhere) -> None:
    victim = data / "sub" / "b.csv"
    real = elsewhere.put

    def put(key: str, content: bytes | Path) -> None:
        if content == victim:
            victim.write_text("changed")
        real(key, content)

    elsewhere.put = put  # type: ignore[method-assign]
    with pytest.raises(UsageError, match=r"b\.csv changed"):
        inputs.upload(elsewhere, data)
    assert not elsewhere.exists(blob_key(hashlib.sha256(b"3,4").hexdigest()))


def test_from_a_local_store_files_are_linked_not_copied(data: Path, store: LocalStore, tmp_path: Path) -> None:
    stored = inputs.upload(store, data)
    for trial in ("1", "2"):
        inputs.materialise(store, stored.manifest, tmp_path / trial)
    first, second = (tmp_path / trial / "sub" / "b.csv" for trial in ("1", "2"))
    assert first.samefile(second)
    assert not first.stat().st_mode & 0o222
    assert not first.samefile(data / "sub" / "b.csv")


def test_materialising_again_over_the_old_files_is_fine(data: Path, store: LocalStore, tmp_path: Path) -> None:
    stored = inputs.upload(store, data)
    inputs.materialise(store, stored.manifest, tmp_path / "trial")
    inputs.materialise(store, stored.manifest, tmp_path / "trial")
    assert (tmp_path / "trial" / "a.csv").read_text() == "1,2"


def test_an_input_that_a_program_wrote_to_is_found_out_and_stored_anew(
    data: Path, store: LocalStore, tmp_path: Path
) -> None:
    stored = inputs.upload(store, data / "sub" / "b.csv")
    inputs.materialise(store, stored.manifest, tmp_path / "1.csv")
    (tmp_path / "1.csv").chmod(0o644)
    (tmp_path / "1.csv").write_text("X,Y")
    with pytest.raises(InvalidRequest):
        inputs.materialise(store, stored.manifest, tmp_path / "2.csv")
    again = inputs.upload(store, data / "sub" / "b.csv")
    assert again.bytes_sent > 0
    inputs.materialise(store, again.manifest, tmp_path / "2.csv")
    assert (tmp_path / "2.csv").read_text() == "3,4"


def test_bytes_that_are_not_those_of_the_digest_are_refused(data: Path, elsewhere: Elsewhere, tmp_path: Path) -> None:
    stored = inputs.upload(elsewhere, data / "a.csv")
    elsewhere.put(blob_key(stored.manifest.files[0].sha256), b"9,9")
    with pytest.raises(InvalidRequest):
        inputs.materialise(elsewhere, stored.manifest, tmp_path / "a.csv")
    assert not (tmp_path / "a.csv").exists()


def test_a_missing_blob_is_not_found(data: Path, store: LocalStore, tmp_path: Path) -> None:
    stored = inputs.upload(store, data)
    store.delete(blob_key(stored.manifest.files[0].sha256))
    with pytest.raises(NotFound):
        inputs.materialise(store, stored.manifest, tmp_path / "trial")


def test_links_are_followed_wherever_they_lead(data: Path, store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "c.csv").write_text("5,6")
    (data / "linked").symlink_to(tmp_path / "outside")
    stored = inputs.upload(store, data)
    assert "linked/c.csv" in [file.path for file in stored.manifest.files]
    (data / "linked" / "loop").symlink_to(data)
    with pytest.raises(UsageError, match="loop"):
        inputs.upload(store, data)


def test_an_empty_folder_comes_back_empty(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    stored = inputs.upload(store, tmp_path / "none")
    inputs.materialise(store, inputs.load(store, stored.key), tmp_path / "trial" / "none")
    assert list((tmp_path / "trial" / "none").iterdir()) == []


@pytest.mark.parametrize("kind", ["missing", "pipe", "dangling"])
def test_an_input_that_is_no_file_is_a_clear_error(store: LocalStore, data: Path, kind: str) -> None:
    if kind == "pipe":
        os.mkfifo(data / kind)
    elif kind == "dangling":
        (data / kind).symlink_to("nowhere")
    with pytest.raises(UsageError, match=kind):
        inputs.upload(store, data / kind if kind == "missing" else data)


@pytest.mark.parametrize("path", ["../evil", "/evil", "a/../../evil", "", "a//b"])
def test_a_manifest_never_leads_outside_its_folder(store: LocalStore, path: str) -> None:
    files = [{"path": path, "sha256": "0" * 64, "size": 0, "mode": 420}]
    store.put("m", json.dumps({"version": 1, "files": files}).encode())
    with pytest.raises(InvalidRequest):
        inputs.load(store, "m")


@pytest.mark.parametrize(
    "document",
    [b"", b"[]", b"{}", b'{"version": 2, "files": []}', b'{"version": 1, "files": [{"path": "a"}]}',
     b'{"version": 1, "files": [{"path": "a", "sha256": "../../x", "size": 1, "mode": 420}]}'],
)  # fmt: skip
def test_an_object_that_is_no_manifest_is_refused(store: LocalStore, document: bytes) -> None:
    store.put("m", document)
    with pytest.raises(InvalidRequest):
        inputs.load(store, "m")


# -- the memory of digests


def test_a_file_that_did_not_change_is_not_read_again(
    data: Path, store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.storage.hashes._SETTLED_NS", -(10**12))
    cache = HashCache(tmp_path / "home" / "hashes.db")
    first = inputs.upload(store, data, hashes=cache)

    def unexpected(path: Path) -> str:
        raise AssertionError(f"{path} was read again")

    with monkeypatch.context() as patch:
        patch.setattr(inputs, "sha256", unexpected)
        assert inputs.upload(store, data, hashes=cache).key == first.key
    (data / "a.csv").write_text("2,1")
    changed = inputs.upload(store, data, hashes=cache)
    assert changed.key != first.key
    assert changed.key == inputs.upload(store, data).key


def test_a_file_that_changed_just_now_is_not_remembered(data: Path, tmp_path: Path) -> None:
    cache = HashCache(tmp_path / "hashes.db")
    path = data / "a.csv"
    cache.remember({path: (path.stat(), "0" * 64)})
    assert cache.known([(path, path.stat())]) == {}


def test_a_damaged_memory_is_forgotten(data: Path, store: LocalStore, tmp_path: Path) -> None:
    path = tmp_path / "hashes.db"
    path.write_bytes(b"not a database" * 1000)
    stored = inputs.upload(store, data, hashes=HashCache(path))
    assert stored.key == inputs.upload(store, data).key
