from __future__ import annotations

import errno
import hashlib
import io
import multiprocessing
import os
import shutil
import socket
import stat
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.errors import InvalidRequest, NotFound, UsageError
from orchestrator.storage import bundle
from orchestrator.storage.layout import bundle_key
from orchestrator.storage.local import LocalStore
from orchestrator.storage.tree import NEVER


@pytest.fixture
def code(tmp_path: Path) -> Path:
    return make(tmp_path / "code", {"train.py": "print()", "pkg/__init__.py": "", "pkg/data.csv": "1,2"})


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def make(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def paths(found: bundle.Bundle) -> list[str]:
    return [file.path for file in found.files]


# -- what belongs to the code


def test_a_scan_tells_each_file_with_its_size_and_digest(code: Path) -> None:
    (code / "train.py").chmod(0o755)
    found = bundle.scan(code)
    assert found.files == (
        bundle.File("pkg/__init__.py", 0, False, hashlib.sha256(b"").hexdigest()),
        bundle.File("pkg/data.csv", 3, False, hashlib.sha256(b"1,2").hexdigest()),
        bundle.File("train.py", 7, True, hashlib.sha256(b"print()").hexdigest()),
    )
    assert found.size == 10
    assert found.warnings == ()


def test_version_control_environments_and_caches_are_never_part_of_the_code(code: Path) -> None:
    make(code, {
        ".git/config": "", "sub/.git": "gitdir: x", "env/pyvenv.cfg": "", "env/lib/x.py": "",
        "conda/conda-meta/history": "", "conda/bin/python": "", "__pycache__/train.pyc": "",
        "pkg/__pycache__/x.pyc": "", ".pytest_cache/x": "", ".mypy_cache/x": "", ".ruff_cache/x": "",
        "node_modules/x/index.js": "", ".ipynb_checkpoints/a.ipynb": "", ".orchestrate/state": "",
    })  # fmt: skip
    assert paths(bundle.scan(code)) == ["pkg/__init__.py", "pkg/data.csv", "train.py"]


def test_our_own_state_is_no_code_wherever_it_lies(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(code, {"state/store/runs/1/manifest.json": "{}"})
    monkeypatch.setenv("ORCHESTRATE_HOME", str(code / "state"))
    assert paths(bundle.scan(code)) == ["pkg/__init__.py", "pkg/data.csv", "train.py"]


def test_a_link_inside_the_code_becomes_what_it_points_to(code: Path) -> None:
    (code / "alias.py").symlink_to("train.py")
    (code / "absolute.py").symlink_to(code / "train.py")
    (code / "copy").symlink_to("pkg")
    found = bundle.scan(code)
    assert "alias.py" in paths(found)
    assert "absolute.py" in paths(found)
    assert {"copy/__init__.py", "copy/data.csv"} <= set(paths(found))
    digests = {file.path: file.sha256 for file in found.files}
    assert digests["alias.py"] == digests["absolute.py"] == digests["train.py"]


def test_links_that_leave_the_code_are_refused_and_named(code: Path, tmp_path: Path) -> None:
    make(tmp_path, {"outside/secret": "x", "code-other/y": ""})
    (code / "pkg" / "secret").symlink_to(tmp_path / "outside" / "secret")
    (code / "up").symlink_to("../outside")
    (code / "sibling").symlink_to("../code-other")
    with pytest.raises(UsageError) as caught:
        bundle.scan(code)
    for named in ("pkg/secret ->", "up -> ../outside", "sibling -> ../code-other"):
        assert named in caught.value.message


def test_a_link_that_leaves_the_code_is_fine_where_it_is_ignored(code: Path, tmp_path: Path) -> None:
    make(tmp_path, {"outside/x": "", "venv/pyvenv.cfg": ""})
    (code / "data").symlink_to("../outside")
    (code / ".venv").symlink_to("../venv")
    make(code, {".orchestrateignore": "data/\n"})
    assert "data" not in paths(bundle.scan(code))


def test_a_link_to_a_folder_that_holds_it_is_refused(code: Path) -> None:
    (code / "pkg" / "loop").symlink_to("..")
    with pytest.raises(UsageError, match="loop"):
        bundle.scan(code)


def test_what_is_no_file_is_left_out_with_a_warning(code: Path) -> None:
    os.mkfifo(code / "pipe")
    (code / "dangling").symlink_to("nothing")
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.getcwd()
        os.chdir(code)
        try:
            listening.bind("socket")
        finally:
            os.chdir(here)
        found = bundle.scan(code)
    assert paths(found) == ["pkg/__init__.py", "pkg/data.csv", "train.py"]
    assert [next(n for n in ("dangling", "pipe", "socket") if n in text) for text in found.warnings] == [
        "dangling", "pipe", "socket",
    ]  # fmt: skip


def test_a_name_that_is_not_utf_8_is_refused(code: Path) -> None:
    Path(os.fsdecode(os.fsencode(code) + b"/bad\xff.py")).write_text("")
    with pytest.raises(UsageError, match="UTF-8"):
        bundle.scan(code)


def test_large_code_warns_and_names_the_largest_files(code: Path) -> None:
    with (code / "weights.bin").open("wb") as file:
        file.truncate(3_000_000)
    (text,) = bundle.scan(code, warn_above=2_000_000).warnings
    assert "weights.bin (3.0 MB)" in text
    assert ".orchestrateignore" in text
    assert bundle.scan(code, warn_above=3_100_000).warnings == ()


def test_code_without_any_file_warns(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "holds no files" in bundle.scan(tmp_path / "empty").warnings[0]


@pytest.mark.parametrize("name", ["missing", "train.py"])
def test_a_code_folder_that_is_none_is_a_clear_error(code: Path, name: str) -> None:
    with pytest.raises(UsageError) as caught:
        bundle.scan(code / name)
    assert name in caught.value.message
    assert "workload.code" in caught.value.remedy


def test_a_file_that_cannot_be_read_is_a_clear_error(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:  # root may read every file, so no mode bits bring this about
        raise PermissionError(errno.EACCES, "")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UsageError, match=r"pkg/__init__\.py"):
        bundle.scan(code)


# -- the digest


def test_the_digest_depends_on_names_contents_and_the_right_to_run_and_on_nothing_else(
    code: Path, tmp_path: Path
) -> None:
    before = bundle.scan(code).digest
    copy = Path(shutil.copytree(code, tmp_path / "elsewhere", copy_function=shutil.copyfile))
    os.utime(copy / "train.py", (1, 1))
    (copy / "pkg" / "data.csv").chmod(0o600)
    (copy / "empty folder").mkdir()
    assert bundle.scan(copy).digest == before
    changes: list[Callable[[Path], object]] = [
        lambda path: path.write_text("print(1)"),
        lambda path: path.rename(path.with_name("other.py")),
        lambda path: path.chmod(0o755),
        lambda path: path.unlink(),
    ]
    digests = {before}
    for change in changes:
        changed = Path(shutil.copytree(code, tmp_path / f"changed{len(digests)}"))
        change(changed / "train.py")
        digests.add(bundle.scan(changed).digest)
    assert len(digests) == 1 + len(changes)


def test_the_digest_is_that_of_the_stored_bytes(code: Path, store: LocalStore) -> None:
    found = bundle.scan(code)
    assert bundle.upload(store, found).key == bundle_key(found.digest)
    assert hashlib.sha256(store.get(found.key)).hexdigest() == found.digest


def test_any_tar_program_can_read_a_bundle(code: Path, store: LocalStore) -> None:
    make(code, {"deep/" * 40 + "ünï 日本.py": "deep"})
    found = bundle.scan(code)
    bundle.upload(store, found)
    with tarfile.open(store.path(found.key)) as archive:
        assert archive.getnames() == paths(found)
        assert {(member.mtime, member.uid, member.uname) for member in archive} == {(0, 0, "")}


# -- the upload


def test_the_same_code_is_sent_once(code: Path, store: LocalStore) -> None:
    first = bundle.upload(store, bundle.scan(code))
    assert first.bytes_sent == store.path(first.key).stat().st_size
    assert bundle.upload(store, bundle.scan(code)) == bundle.Uploaded(first.key, 0)


def test_large_code_is_sent_as_it_is_read(
    code: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bundle, "_IN_MEMORY", 1000)
    found = bundle.scan(code)
    sent = bundle.upload(store, found)
    assert hashlib.sha256(store.get(sent.key)).hexdigest() == found.digest
    assert sent.bytes_sent == len(store.get(sent.key))


@pytest.mark.parametrize("new", ["print(2)", "print", "PRINT()"])
def test_code_that_changed_since_the_scan_is_not_sent(code: Path, store: LocalStore, new: str) -> None:
    found = bundle.scan(code)
    (code / "train.py").write_text(new)
    with pytest.raises(UsageError, match=r"train\.py changed"):
        bundle.upload(store, found)
    assert list(store.list("")) == []


# -- unpacking


def test_what_was_packed_is_what_is_unpacked(code: Path, store: LocalStore, tmp_path: Path) -> None:
    (code / "train.py").chmod(0o755)
    found = bundle.scan(code)
    bundle.upload(store, found)
    folder = bundle.unpack(store, found.digest, tmp_path / "cache")
    assert folder == tmp_path / "cache" / found.digest
    assert (folder / "train.py").read_text() == "print()"
    assert stat.S_IMODE((folder / "train.py").stat().st_mode) == 0o555
    assert stat.S_IMODE((folder / "pkg" / "data.csv").stat().st_mode) == 0o444
    assert bundle.index(folder) == {
        "pkg/__init__.py": (0, bundle.SEALED_NS),
        "pkg/data.csv": (3, bundle.SEALED_NS),
        "train.py": (7, bundle.SEALED_NS),
    }
    assert bundle.verify(folder)


MEANINGFUL = {".", "..", ".gitignore", ".orchestrateignore", "pyvenv.cfg", "conda-meta", *NEVER}
NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=70).filter(
    lambda name: name not in MEANINGFUL and len(name.encode()) < 250
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.lists(NAMES, min_size=1, max_size=3).map("/".join), st.binary(max_size=2000), max_size=6))
def test_any_tree_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> None:
    root = tmp_path_factory.mktemp("any")
    kept: dict[str, bytes] = {}
    for name, content in files.items():
        ancestors = {name[:i] for i, char in enumerate(name) if char == "/"}
        if not ancestors & set(kept) and not any(other.startswith(name + "/") for other in kept):
            kept[name] = content
    (root / "code").mkdir()
    for name, content in kept.items():
        path = root / "code" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    store = LocalStore(root / "store")
    found = bundle.scan(root / "code")
    bundle.upload(store, found)
    folder = bundle.unpack(store, found.digest, root / "cache")
    assert {name: (folder / name).read_bytes() for name in bundle.index(folder)} == kept
    shutil.rmtree(root)


def test_a_folder_that_is_there_is_used_without_the_store(code: Path, store: LocalStore, tmp_path: Path) -> None:
    found = bundle.scan(code)
    bundle.upload(store, found)
    folder = bundle.unpack(store, found.digest, tmp_path / "cache")
    store.delete(found.key)
    assert bundle.unpack(store, found.digest, tmp_path / "cache") == folder


@pytest.mark.parametrize("harm", ["write", "append", "delete", "add", "no listing"])
def test_a_folder_that_was_written_to_is_made_anew(code: Path, store: LocalStore, tmp_path: Path, harm: str) -> None:
    found = bundle.scan(code)
    bundle.upload(store, found)
    folder = bundle.unpack(store, found.digest, tmp_path / "cache")
    victim = folder / "train.py"
    os.link(victim, tmp_path / "held by a trial")
    victim.chmod(0o644)
    if harm == "write":
        victim.write_text("PRINT()")
    elif harm == "append":
        with victim.open("a") as file:
            file.write("#")
    elif harm == "delete":
        victim.unlink()
    elif harm == "add":
        (folder / "extra").write_text("")
    else:
        victim.write_text("PRINT()")
        (tmp_path / "cache" / f"{found.digest}.files").unlink()
    assert not bundle.verify(folder)
    assert bundle.unpack(store, found.digest, tmp_path / "cache") == folder
    assert bundle.verify(folder)
    assert victim.read_text() == "print()"
    assert sorted(os.listdir(tmp_path / "cache")) == [found.digest, f"{found.digest}.files"]


def test_a_bundle_that_is_missing_is_not_found(store: LocalStore, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        bundle.unpack(store, "0" * 64, tmp_path / "cache")
    assert os.listdir(tmp_path / "cache") == []


def test_a_bundle_whose_bytes_are_not_its_digest_s_is_refused(code: Path, store: LocalStore, tmp_path: Path) -> None:
    found = bundle.scan(code)
    bundle.upload(store, found)
    data = store.get(found.key)
    (code / "train.py").write_text("print(2)")
    other = bundle.scan(code)
    bundle.upload(store, other)
    for wrong in (
        data[:-1024], data[:700], data[:512], b"", b"no tar at all" * 100, data + b"x", store.get(other.key),
        data.replace(b"print()", b"PRINT()"),
    ):  # fmt: skip
        store.put(found.key, wrong)
        with pytest.raises(InvalidRequest):
            bundle.unpack(store, found.digest, tmp_path / "cache")
        assert os.listdir(tmp_path / "cache") == []


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", content: bytes = b"evil") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = link
    info.size = len(content) if kind == tarfile.REGTYPE else 0
    return info


@pytest.mark.parametrize(
    "members",
    [
        [member("../evil")],
        [member("a/../../evil")],
        [member("/tmp/orchestrator-evil")],
        [member("a//evil")],
        [member("link", tarfile.SYMTYPE, "/"), member("link/evil")],
        [member("link", tarfile.SYMTYPE, "..")],
        [member("hard", tarfile.LNKTYPE, "../../victim")],
        [member("folder", tarfile.DIRTYPE)],
        [member("device", tarfile.CHRTYPE)],
        [member("block", tarfile.BLKTYPE)],
        [member("pipe", tarfile.FIFOTYPE)],
        [member("same"), member("same")],
        [member("a"), member("a/evil")],
        [member("a/b"), member("a")],
        [member("..")],
    ],
    ids=lambda members: members[-1].name + members[0].type.decode(),
)
def test_a_bundle_never_writes_outside_its_folder_nor_anything_but_files(
    members: list[tarfile.TarInfo], store: LocalStore, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("unharmed")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for info in members:
            archive.addfile(info, io.BytesIO(b"evil") if info.isreg() else None)
    digest = hashlib.sha256(packed.getvalue()).hexdigest()
    store.put(bundle_key(digest), packed.getvalue())
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    with pytest.raises(InvalidRequest):
        bundle.unpack(store, digest, tmp_path / "cache")
    after = sorted(str(path) for path in tmp_path.rglob("*") if path != tmp_path / "cache")
    assert after == before
    assert victim.read_text() == "unharmed"
    assert not Path("/tmp/orchestrator-evil").exists()


def _unpack(root: Path, digest: str, start: multiprocessing.synchronize.Barrier) -> None:
    start.wait()
    folder = bundle.unpack(LocalStore(root / "store"), digest, root / "cache")
    assert bundle.verify(folder)


def test_several_processes_can_unpack_the_same_code_at_once(code: Path, store: LocalStore, tmp_path: Path) -> None:
    make(code, {f"many/{n}": str(n) for n in range(200)})
    found = bundle.scan(code)
    bundle.upload(store, found)
    context = multiprocessing.get_context("fork")
    start = context.Barrier(4)
    workers = [context.Process(target=_unpack, args=(tmp_path, found.digest, start)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert sorted(os.listdir(tmp_path / "cache")) == [found.digest, f"{found.digest}.files"]


def test_what_dead_unpackers_left_is_removed_when_it_is_old(code: Path, store: LocalStore, tmp_path: Path) -> None:
    found = bundle.scan(code)
    bundle.upload(store, found)
    cache = tmp_path / "cache"
    make(cache, {".~old/x": "", ".~new/x": ""})
    os.utime(cache / ".~old", (0, 0))
    bundle.unpack(store, found.digest, cache)
    assert not (cache / ".~old").exists()
    assert (cache / ".~new").exists()


def test_a_bundle_that_lies_about_its_files_is_not_sent(code: Path, store: LocalStore) -> None:
    found = bundle.scan(code)
    lying = replace(found, files=(replace(found.files[0], sha256="0" * 64), *found.files[1:]))
    with pytest.raises(UsageError):
        bundle.upload(store, lying)
