"""Working directories are made from one unpacked bundle, which no trial can spoil for the others."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from orchestrator.providers.base import Cause
from orchestrator.providers.local.tree import COPIED_BELOW, SharedCode
from orchestrator.storage import bundle
from orchestrator.storage.layout import Home
from orchestrator.storage.local import LocalStore
from tests.unit.local.conftest import Pool, name_of

LARGE = COPIED_BELOW + 1


@pytest.fixture
def code(home: Home, tmp_path: Path) -> Path:
    """An unpacked bundle with a script, a small file in a folder and a large one."""
    source = tmp_path / "source"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "deep" / "er" / "small.txt").write_text("small")
    (source / "run.sh").write_text("#!/bin/sh\nls\n")
    (source / "run.sh").chmod(0o755)
    (source / "large.bin").write_bytes(b"l" * LARGE)
    store = LocalStore(home.store)
    scanned = bundle.scan(source)
    bundle.upload(store, scanned)
    return bundle.unpack(store, scanned.digest, home.code)


def can_clone(code: Path, tmp_path: Path) -> bool:
    work = tmp_path / "cloned"
    work.mkdir()
    shared = SharedCode(str(code), "unused")
    shared.fill(str(work))
    return shared._clones


def test_a_trial_works_on_the_code_bundle(pool: Pool, code: Path) -> None:
    pool.start("./run.sh; cat deep/er/small.txt; wc -c < large.bin", code={"digest": code.name})
    assert pool.one()["cause"] is None
    assert pool.text("stdout.txt") == f"deep\nlarge.bin\nrun.sh\nsmall{LARGE}\n"


def test_each_trial_finds_the_code_as_it_was_whatever_others_did_to_theirs(pool: Pool, code: Path) -> None:
    pool.start(
        "cat deep/er/small.txt; head -c 1 large.bin; echo spoilt > deep/er/small.txt; rm -r run.sh large.bin;"
        " echo other > large.bin; chmod -R 000 deep",
        code={"digest": code.name},
        slots=1,
    )
    pool.submit(0, 1, 2)
    pool.until_ended(3)
    assert [pool.text("stdout.txt", trial) for trial in range(3)] == ["smalll"] * 3
    assert bundle.verify(code)


def test_large_files_are_not_copied(code: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    shared = SharedCode(str(code), "unused")
    shared.fill(str(work))
    original, linked = (code / "large.bin").stat(), (work / "large.bin").stat()
    assert shared._clones or original.st_ino == linked.st_ino
    assert (code / "deep/er/small.txt").stat().st_ino != (work / "deep/er/small.txt").stat().st_ino
    assert os.access(work / "run.sh", os.X_OK)
    assert os.access(work / "deep/er/small.txt", os.W_OK)


def test_a_trial_that_writes_to_a_shared_file_is_found_out_and_the_file_restored(
    pool: Pool, code: Path, tmp_path: Path
) -> None:
    if can_clone(code, tmp_path):
        pytest.skip("this filesystem clones files, so nothing is shared")
    pool.start(
        "chmod u+w large.bin; printf X | dd of=large.bin conv=notrunc status=none; head -c 1 large.bin",
        code={"digest": code.name},
        outputs=[["*.bin"]],
    )
    result = pool.one()
    assert result["cause"] == Cause.INFRASTRUCTURE
    assert "'large.bin'" in result["reason"]
    assert bundle.verify(code)
    assert bundle.unpack(LocalStore(pool.home.store), code.name, pool.home.code) == code

    # From now on each trial has its own copy, so that the same command can do as it likes.
    pool.submit(0, 0, 0, first=1)
    ended = pool.until_ended(4)
    assert [pool.how(trial).cause for trial in (1, 2, 3)] == [None] * 3
    assert ended[name_of(3)].result["outputs"] == ["large.bin"]  # type: ignore[index]
    assert bundle.verify(code)


def test_a_kept_output_is_never_a_link_to_the_shared_code(pool: Pool, code: Path) -> None:
    pool.start("true", code={"digest": code.name}, outputs=[["*.bin"]])
    pool.one()
    kept = pool.folder() / "outputs" / "large.bin"
    assert kept.stat().st_nlink == 1
    assert kept.stat().st_ino != (code / "large.bin").stat().st_ino


def test_code_that_is_missing_is_said_to_be(pool: Pool) -> None:
    pool.start("true", code={"digest": "0" * 64})
    result = pool.one()
    assert result["cause"] == Cause.INFRASTRUCTURE
    assert "0" * 64 in result["reason"]


def test_programs_find_report_without_orchestrator_and_the_real_one_where_it_is(pool: Pool, tmp_path: Path) -> None:
    script = (
        "import sys; assert not any('site-packages' in p for p in sys.path) or {x}\n"
        "import orchestrator; from orchestrator import report\n"
        "report(step=1, loss=float('nan')); print(orchestrator.__file__)"
    )
    pool.start([sys.executable, "-S", "-c", script])
    result = pool.one(0)
    assert result["cause"] is None, result
    assert result["metrics"] == {"loss": {"last": "nan", "min": "nan", "max": "nan", "step": 1.0, "count": 1}}
    assert "shim" in pool.text("stdout.txt")

    installed = Pool(pool.home, "run-2").start([sys.executable, "-c", script])
    try:
        result = installed.one(1)
        assert result["cause"] is None, result
        assert "shim" not in installed.text("stdout.txt")
        assert result["metrics"]["loss"]["count"] == 1
    finally:
        installed.compute.close()
