"""``orchestrate gc`` over what runs made by hand have left."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from orchestrator.engine.lock import hold
from tests.unit.cli.conftest import HandMade, Output

Make = Callable[..., HandMade]
Orchestrate = Callable[..., Output]


def work(run: HandMade) -> Path:
    folder = run.home.store / "runs" / run.run / "trials" / "000000" / "1" / "work"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "file").write_text("x")
    (folder / "link").symlink_to("/etc")
    (folder / "deep").chmod(0o500)
    (folder.parent / "stdout.txt").write_text("kept")
    return folder


def half_written(run: HandMade, name: str, age: float) -> Path:
    path = run.home.store / "blobs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("half")
    stamp = path.stat().st_mtime - age
    os.utime(path, (stamp, stamp))
    return path


def test_what_dead_runs_left_goes_and_nothing_else(make_run: Make, orchestrate: Orchestrate) -> None:
    dead, ended, live = (make_run(f"{name}-260101-000000-aaaa") for name in ("dead", "ended", "live"))
    ended.end()
    spare = dead.home.store / "runs" / dead.run / "slot-0"
    spare.mkdir(parents=True)
    of_dead, of_ended, of_live = work(dead), work(ended), work(live)
    old, new = half_written(dead, ".~old", 2 * 86_400), half_written(dead, ".~new", 60)
    whole = half_written(dead, "whole", 2 * 86_400)
    with hold(live.home.lock(live.run), live.run):
        found = [json.loads(line) for line in orchestrate("gc", "--dry-run", "--json").out.splitlines()]
        assert {(one["kind"], one["name"], one["action"]) for one in found} == {
            ("working folder", str(of_dead), "found"),
            ("working folder", str(of_ended), "found"),
            ("working folder", str(spare), "found"),
            ("half-written file", str(old), "found"),
        }
        assert of_dead.exists()
        assert old.exists()
        done = orchestrate("gc")
        assert (done.code, len(done.out.splitlines())) == (0, 4)
    assert not of_dead.exists()
    assert not of_ended.exists()
    assert not spare.exists()
    assert not old.exists()
    assert of_live.exists()
    assert new.exists()
    assert whole.exists()
    assert (of_dead.parent / "stdout.txt").read_text() == "kept"
    assert Path("/etc/passwd").exists()


def test_with_nothing_to_do_it_says_so_and_makes_nothing(orchestrate: Orchestrate, tmp_path: Path) -> None:
    answer = orchestrate("gc")
    assert (answer.code, answer.out, answer.err) == (0, "", "Nothing was left behind.\n")
    assert not (tmp_path / "home").exists()
