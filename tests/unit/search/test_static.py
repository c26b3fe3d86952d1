"""The static sweeps beside grid and random: zip, sub-grids, lists, files, evenly spread points, a user's own."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import qmc

from orchestrator.errors import UsageError
from orchestrator.search import make_search
from orchestrator.search.make import ALGORITHMS
from orchestrator.spec import search_options

from .spaces import points, quick, sweep


def test_every_algorithm_that_a_spec_can_name_has_a_search() -> None:
    assert set(ALGORITHMS) == set(search_options.ALGORITHMS)


def test_a_zip_takes_the_values_side_by_side_and_keeps_single_ones() -> None:
    space = {"a": [1, 2, 3], "b": {"range": [0.0, 0.3, 0.1]}, "c": "same", "seed": {"repeat": 2}}
    search = make_search(sweep(space, algorithm="zip"))
    assert search.size == 6
    assert [tuple(point.values()) for point in points(search)] == [
        (a, b, "same", s) for a, b in ((1, 0.0), (2, 0.1), (3, 0.2)) for s in (0, 1)
    ]


def test_a_zip_of_unequal_lengths_says_which() -> None:
    with pytest.raises(UsageError, match="a has 2 and b has 3"):
        make_search(sweep({"a": [1, 2], "b": [1, 2, 3]}, algorithm="zip"))


def test_sub_grids_follow_one_another_and_share_the_rest() -> None:
    grids = [{"optimizer": "sgd", "momentum": [0.0, 0.9]}, {"optimizer": "adam", "beta": [0.9, 0.99]}]
    space = {"optimizer": "none", "momentum": None, "beta": None, "lr": [0.1, 0.2]}
    search = make_search(sweep(space, grids=grids))
    assert search.size == 8
    assert [tuple(point.values()) for point in points(search)] == [
        ("sgd", 0.0, None, 0.1),
        ("sgd", 0.0, None, 0.2),
        ("sgd", 0.9, None, 0.1),
        ("sgd", 0.9, None, 0.2),
        ("adam", None, 0.9, 0.1),
        ("adam", None, 0.9, 0.2),
        ("adam", None, 0.99, 0.1),
        ("adam", None, 0.99, 0.2),
    ]


def test_a_product_of_zips_is_a_grid_of_tied_parameters() -> None:
    space = {
        "model": ["s", "l"],
        "batch": {"choice": [64, 8], "tied": "model"},
        "lr": [0.1, 0.01],
        "warmup": {"choice": [5, 50], "tied": "lr"},
    }
    assert [tuple(point.values()) for point in points(make_search(sweep(space)))] == [
        ("s", 64, 0.1, 5),
        ("s", 64, 0.01, 50),
        ("l", 8, 0.1, 5),
        ("l", 8, 0.01, 50),
    ]


def test_a_list_gives_its_points_in_order_with_the_parameters_beside_them() -> None:
    listed = [{"lr": 0.1, "name": "a"}, {"name": "b", "lr": 0.2}]
    search = make_search(sweep({"epochs": 5, "fold": [0, 1]}, algorithm="list", points=listed))
    assert search.size == 4
    assert list(points(search)) == [
        {"lr": lr, "name": name, "epochs": 5, "fold": fold} for lr, name in ((0.1, "a"), (0.2, "b")) for fold in (0, 1)
    ]


def test_a_csv_file_gives_numbers_flags_nulls_and_texts(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text(
        'lr, batch,tag,flag\n1e-3,32,007,true\n.5,-4,"a, ""b""",false\n\n2,,null,nan\n', encoding="utf-8"
    )
    search = make_search(sweep({}, algorithm="list", file="points.csv"), tmp_path)
    assert search.size == 3
    assert [list(point.values()) for point in points(search)] == [
        [0.001, 32, "007", True],
        [0.5, -4, 'a, "b"', False],
        [2, None, None, "nan"],
    ]
    assert list(search.ask(0) or {}) == ["lr", "batch", "tag", "flag"]


def test_a_json_lines_file_gives_its_values_as_they_are(tmp_path: Path) -> None:
    rows = [{"sizes": [1, 2], "x": None, "s": "1"}, {"x": {"a": 1.5}, "s": "2", "sizes": []}]
    (tmp_path / "points.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    search = make_search(sweep({}, algorithm="list", file="points.jsonl", constraints=["s != '3'"]), tmp_path)
    assert list(points(search)) == rows
    assert search.ask(0) == rows[0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.csv", "", "no header"),
        ("p.csv", "a,b\n", "no rows"),
        ("p.csv", "a,b\n1,2\n1\n", r"p\.csv:3 has 1 cells, the header 2"),
        ("p.csv", "a,a\n1,2\n", "two columns 'a'"),
        ("p.csv", "a,b c\n1,2\n", "column 'b c'"),
        ("p.csv", 'a\n"x\n', r"is no CSV"),
        ("p.csv", "lr\n1\n", "column for lr"),
        ("p.csv", b"a\n\xff\xfe\n", "not UTF-8"),
        ("p.jsonl", '{"a": 1}\n[1]\n', r"p\.jsonl:2 holds a list"),
        ("p.jsonl", '{"a": 1}\n{"b": 1}\n', "row 2"),
        ("p.jsonl", '{"a": 1}\n{"a": }\n', r"p\.jsonl:2 is no JSON"),
        ("p.jsonl", '{"a": 1}\n{"a": NaN}\n', "finite"),
        ("other.csv", "", "p.csv"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_with_its_row(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    raw = content if isinstance(content, bytes) else content.encode()
    (tmp_path / name).write_bytes(raw)
    wanted = "p.csv" if name == "other.csv" else name
    with pytest.raises(UsageError, match=message):
        make_search(sweep({"lr": 1}, algorithm="list", file=wanted), tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path in ("b/2.png", "b/1.png", "b.png", "a.png", "b/c/3.png", "b/notes.txt", ".git/x.png", "é ü.png"):
        place = tmp_path / "data" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("")
    os.symlink(tmp_path / "data", tmp_path / "data" / "b" / "loop")
    return tmp_path


def test_one_trial_a_file_in_the_order_of_an_object_store(folder: Path) -> None:
    search = make_search(sweep({"size": [1, 2]}, algorithm="files", folder="./data", match="*.png"), folder)
    found = list(points(search))
    paths = ["a.png", "b.png", "b/1.png", "b/2.png", "b/c/3.png", "é ü.png"]
    assert [point["path"] for point in found[::2]] == paths
    assert search.size == 12
    assert found[8] == {
        "url": (folder / "data/b/c/3.png").as_uri(),
        "path": "b/c/3.png",
        "name": "3.png",
        "stem": "3",
        "size": 1,
    }
    assert found[10]["url"] == (folder / "data/é ü.png").as_uri()


def test_a_folder_of_an_object_store_is_listed_by_whoever_knows_it() -> None:
    begun = []

    def listing(url: str) -> Iterator[str]:
        begun.append(url)
        return iter(["a.png", "b/c.png", "b/d.txt"])

    spec = sweep({}, algorithm="files", folder="s3://bucket/images/", match="*.png")
    search = make_search(spec, listing=listing)
    assert search.size is None
    assert [point["url"] for point in points(search)] == ["s3://bucket/images/a.png", "s3://bucket/images/b/c.png"]
    assert set(begun) == {"s3://bucket/images/"}
    with pytest.raises(UsageError, match="cannot be listed"):
        make_search(spec)


@pytest.mark.parametrize(("name", "message"), [("nothing", "is no folder"), ("data", "no file .* matches")])
def test_a_folder_without_files_is_refused(folder: Path, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_search(sweep({}, algorithm="files", folder=name, match="*.gif"), folder)


SPREAD = ["sobol", "halton", "latin_hypercube"]


@pytest.mark.parametrize("algorithm", SPREAD)
def test_evenly_spread_points_leave_smaller_gaps_than_random_ones(algorithm: str) -> None:
    space = {"x": {"uniform": [0, 1]}, "y": {"uniform": [0, 1]}}

    def unevenness(name: str) -> float:
        found = points(make_search(sweep(space, algorithm=name, trials=256, seed=3)))
        return float(qmc.discrepancy(np.array([list(point.values()) for point in found])))

    assert unevenness(algorithm) < unevenness("random") / 4


@pytest.mark.parametrize("algorithm", SPREAD)
def test_evenly_spread_points_reach_every_kind_and_can_be_asked_in_any_order(algorithm: str) -> None:
    space = {
        "lr": {"loguniform": [1e-4, 1e-1]},
        "layers": {"integer": [1, 4]},
        "act": {"choice": ["relu", "tanh"], "weights": [3, 1]},
        "noise": {"normal": [0, 1]},
        "share": {"beta": [2, 2]},
        "depth": {"derived": "2 ** layers"},
        "fixed": 1,
    }
    spec = sweep(space, algorithm=algorithm, trials=64, seed=5)
    found = list(points(make_search(spec)))
    assert len(found) == 64
    assert sum(point["act"] == "relu" for point in found) in range(46, 51)
    assert {point["layers"] for point in found} == {1, 2, 3, 4}
    again = make_search(spec)
    assert [again.ask(trial) for trial in (40, 7, 63, 0)] == [found[trial] for trial in (40, 7, 63, 0)]
    other = make_search(sweep(space, algorithm=algorithm, trials=64, seed=6))
    assert other.ask(0) != found[0]


# What scipy and we have made of seed 7 since the first release.
SOBOL = [(0.21662583318538964, 0), (0.6605686657130718, 6), (0.8193777895066887, 4), (0.3112404039129615, 8)]


def test_a_sobol_sequence_is_the_one_that_it_always_was() -> None:
    space = {"x": {"uniform": [0, 1]}, "n": {"integer": [0, 9]}}
    found = points(make_search(sweep(space, algorithm="sobol", trials=4, seed=7)))
    assert [tuple(point.values()) for point in found] == SOBOL


OWN = """
def counted(count=3, start=0):
    for number in range(count):
        yield {"n": start + number}

def seeded(spec, seed):
    return [{"n": seed, "width": len(spec.parameters)}]

def broken():
    yield {"n": 1}
    raise RuntimeError("no more")

def uneven():
    return [{"n": 1}, {"m": 1}]

def strange():
    return [{"n": object()}]

def not_points():
    return 5

class Halves:
    def __init__(self):
        self.low, self.high, self.asked = 0.0, 1.0, 0
    def ask(self, trial):
        self.asked += 1
        return None if self.asked > 4 else {"x": (self.low + self.high) / 2}
    def tell(self, told):
        if told.value > 0: self.low = told.params["x"]
        else: self.high = told.params["x"]
"""


@pytest.fixture
def own(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Path, str]]:
    import sys

    name = f"own_search_{abs(hash(request.node.name)) % 10**9}"
    (tmp_path / f"{name}.py").write_text(OWN)
    yield tmp_path, name
    sys.modules.pop(name, None)


def test_a_function_of_one_s_own_gives_the_points(own: tuple[Path, str]) -> None:
    base, module = own
    search = make_search(
        sweep({"fold": [0, 1]}, algorithm=f"{module}:counted", options={"start": 5}, constraints=["n != 6"]), base
    )
    assert [tuple(point.values()) for point in points(search)] == [(5, 0), (5, 1), (7, 0), (7, 1)]
    assert not search.adaptive
    seeded = make_search(sweep({"a": 1}, algorithm=f"{module}:seeded", seed=9), base)
    assert list(points(seeded)) == [{"n": 9, "width": 1, "a": 1}]


def test_a_sampler_of_one_s_own_learns_and_goes_on_after_a_resume(own: tuple[Path, str]) -> None:
    from orchestrator.search import Told

    base, module = own
    spec = sweep({"x": {"uniform": [0, 1]}, "twice": {"derived": "2 * x"}}, algorithm=f"{module}:Halves")
    search = make_search(spec, base)
    assert search.adaptive
    asked = []
    for trial in range(4):
        point = search.ask(trial)
        assert point is not None
        asked.append(point)
        search.tell(Told(trial, point, "succeeded", 0.3 - point["x"], {}))
    assert [point["x"] for point in asked] == [0.5, 0.25, 0.375, 0.3125]
    assert asked[1]["twice"] == 0.5
    assert search.ask(4) is None
    resumed = make_search(spec, base)
    for trial in range(2):
        resumed.replay(trial, asked[trial])
        resumed.tell(Told(trial, asked[trial], "succeeded", 0.3 - asked[trial]["x"], {}))
    assert resumed.ask(2) == asked[2]


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        ("missing", {}, "has no function 'missing'"),
        ("counted", {"cuont": 1}, "cannot be called"),
        ("uneven", {}, "names of the first"),
        ("strange", {}, "cannot be a object"),
        ("not_points", {}, "returned the number 5"),
        ("broken", {}, "failed: RuntimeError: no more"),
    ],
)
def test_a_mistake_in_one_s_own_function_is_one_clear_error(
    own: tuple[Path, str], function: str, options: dict[str, Any], message: str
) -> None:
    base, module = own
    with pytest.raises(UsageError, match=message):
        list(points(make_search(sweep({}, algorithm=f"{module}:{function}", options=options), base)))


def test_a_module_that_does_not_exist_is_said_to_be_looked_for_beside_the_spec(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no module 'nowhere'\. Put its file beside the spec"):
        make_search(sweep({}, algorithm="nowhere:function"), tmp_path)


def test_the_module_beside_the_spec_counts_whatever_else_has_its_name(tmp_path: Path) -> None:
    import sys

    before = sys.modules["random"]
    for folder, value in (("one", 1), ("two", 2)):
        (tmp_path / folder).mkdir()
        for module in ("random", "own_points_twice"):
            (tmp_path / folder / f"{module}.py").write_text(f"def points(): return [{{'n': {value}}}]")
            search = make_search(sweep({}, algorithm=f"{module}:points"), tmp_path / folder)
            assert list(points(search)) == [{"n": value}]
    assert sys.modules["random"] is before
    del sys.modules["own_points_twice"]


@quick
@given(st.sampled_from(["grid", "random", "zip", "sobol", "halton", "latin_hypercube"]), st.data())
def test_asking_again_in_another_life_gives_the_same_points(algorithm: str, data: st.DataObject) -> None:
    space = {
        "a": [1, 2, 3],
        "b": {"choice": ["x", "y", "z"]},
        "c": {"linspace": [0, 1, 3], "when": {"a": [1, 2]}},
        "r": {"repeat": 2},
    }
    spec = sweep(space, algorithm=algorithm, trials=12, seed=data.draw(st.integers(0, 99)))
    known = list(points(make_search(spec)))
    resumed = make_search(spec)
    begin = data.draw(st.integers(0, len(known)))
    for trial in range(begin):
        resumed.replay(trial, known[trial])
    assert [resumed.ask(trial) for trial in range(begin, len(known))] == known[begin:]
