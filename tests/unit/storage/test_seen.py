"""Whether files are as they were."""

from __future__ import annotations

import os
from pathlib import Path

from orchestrator.storage.seen import seen


def test_a_folder_is_the_same_until_a_name_a_size_or_a_time_differs(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "in").mkdir(parents=True)
    (data / "a.txt").write_text("one")
    (data / "in" / "b.txt").write_text("two")
    before = seen(data)
    assert before is not None
    assert (before["files"], before["bytes"]) == (2, 6)
    assert seen(data) == before
    os.utime(data / "in" / "b.txt", ns=(1, 1))
    touched = seen(data)
    assert touched != before
    (data / "a.txt").rename(data / "c.txt")
    assert seen(data) not in (before, touched)
    (data / "d.txt").write_text("")
    found = seen(data)
    assert found is not None
    assert found["files"] == 3


def test_what_is_not_there_or_empty_is_not_seen_and_one_file_is(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "one").write_text("x")
    assert seen(tmp_path / "nothing") is None
    assert seen(tmp_path / "empty") is None
    found = seen(tmp_path / "one")
    assert found is not None
    assert (found["files"], found["bytes"]) == (1, 1)
