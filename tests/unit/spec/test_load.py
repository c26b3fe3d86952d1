from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestrator.spec import Loaded, SpecError, from_dict, load, parse
from orchestrator.spec.load import LONGEST
from tests.unit.spec.mutations import DESIGN, EVERYTHING, originals

HEAD = "name: a\nworkload:\n  command: python t.py {lr}\nparameters: {lr: [1, 2]}\n"


def mistakes(text: str, overrides: list[str] | None = None) -> list[str]:
    """The errors of a text, which must have some."""
    with pytest.raises(SpecError) as caught:
        parse(text, "s.yaml", overrides or [])
    assert caught.value.problems
    return [str(one) for one in caught.value.problems if one.severity == "error"]


def doubts(text: str) -> list[str]:
    return [str(one) for one in parse(text, "s.yaml").warnings]


def test_the_spec_of_the_design_is_read_as_it_stands() -> None:
    loaded = parse(DESIGN, "s.yaml")
    spec = loaded.spec
    assert loaded.warnings == ()
    assert loaded.specs == (spec,)
    assert loaded.source == DESIGN
    assert (spec.name, spec.algorithm, spec.search.trials) == ("glyphs", "random", 40)
    assert spec.parameters["lr"].model_dump(exclude_unset=True) == {"loguniform": (1e-4, 1e-1)}
    assert (spec.resources.memory, spec.limits.timeout, spec.limits.max_failures) == (16 * 2**30, 3600.0, "20%")
    assert (spec.pool.lease, spec.limits.retries.exit_code) == (6 * 3600.0, 2)
    assert spec.workload.inputs[0].from_ == "./data"


@pytest.mark.parametrize("text", originals())
def test_every_real_spec_is_read(text: str) -> None:
    assert isinstance(parse(text, "s.yaml"), Loaded)


def test_all_mistakes_are_found_at_once_in_the_order_of_the_text() -> None:
    text = """\
name: gly phs
workload:
  command: python t.py --lr '{lr}' {hiden}
  isolation: proces
  timeout: 1h
parameters:
  lr: {loguniformm: [1, 2]}
  hidden: []
search: {goal: max, trials: 0}
limit: {parallel: 2}
limits: {parallel: x, timeout: 5:00}
"""
    assert mistakes(text) == [
        "s.yaml:1:7: name: 'gly phs' is no name: only letters, digits, '-' and '_' are allowed, a letter or digit "
        "first; write gly-phs",
        "s.yaml:3:12: workload.command: unknown placeholder {hiden}; did you mean 'hidden'?",
        "s.yaml:3:12: workload.command: {lr} stands inside single quotes; drop the quotes: the value is quoted for you",
        "s.yaml:4:14: workload.isolation: must be process or docker, not the text 'proces'; did you mean 'process'?",
        "s.yaml:5:3: workload: unknown key 'timeout'; it belongs under 'limits'",
        "s.yaml:7:8: parameters.lr: unknown kind of parameter 'loguniformm'; did you mean 'loguniform'?",
        "s.yaml:8:3: parameters.hidden.choice: needs at least one value",
        "s.yaml:9:16: search.goal: must be maximize or minimize, not the text 'max'",
        "s.yaml:9:29: search.trials: must be at least 1, not 0",
        "s.yaml:10:1: unknown key 'limit'; did you mean 'limits'?",
        "s.yaml:11:20: limits.parallel: needs a number, not the text 'x'",
        "s.yaml:11:32: limits.timeout: needs a duration, not the text '5:00'; write it like 90, 30s, 5m, 1h30m or 2d",
    ]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("wrokload: {}", ":5:1: unknown key 'wrokload'; did you mean 'workload'?"),
        ("max_cost: 5", ":5:1: unknown key 'max_cost'; it belongs under 'limits'"),
        ("search: {max_costs: 5}", ":5:10: search: unknown key 'max_costs'; did you mean 'max_cost' under limits?"),
        ("limits: {provider: x}", "it belongs on the top level"),
        ("limits: {zzzzzz: x}", "the keys here are parallel, retries"),
        ("limits: 5", ":5:9: limits: needs a mapping, not the number 5"),
        ("limits: [a]", ":5:1: limits: needs a mapping, not a list"),
        ("limits: {retries: {exitcode: 1}}", "did you mean 'exit_code'?"),
        ("limits: {retries: -1}", "whole number from 0"),
        ("limits: {retries: lots}", "needs a number"),
        ("limits: {exit_codes: {0: stop}}", "0 is no exit code of a program: those are 1 to 119"),
        ("limits: {exit_codes: {120: stop}}", "120 is no exit code of a program"),
        ("limits: {exit_codes: {2.5: stop}}", "2.5 is no exit code of a program"),
        ("limits: {exit_codes: {3: halt}}", "must be stop or fail"),
        ("limits: {exit_codes: [3]}", "needs a mapping"),
        ("limits: {max_failures: 0.2}", "write 20%"),
        ("limits: {max_failures: 120%}", "more than 100%"),
        ("limits: {max_cost: 0}", "must be above 0"),
        ("limits: {timeout: 0}", "longer than nothing"),
        ("resources: {memory: 16G}", "write GiB or GB"),
        ("resources: {memory: 16}", "is only 16 bytes"),
        ("resources: {gpus: 1.5}", "share of one GPU"),
        ("resources: {gpu: T4, gpus: 0}", "resources.gpus: is 0 although"),
        ("resources: {cpus: true}", "needs a number, not true"),
        ("resources: {strict: 1}", "needs true or false"),
        ("pool: {spot: maybe}", "needs true or false"),
        ("provider: 'a b'", "is no name"),
        ("storage: ./store", "is no URL"),
        ("search: {algorithm: radnom}", "did you mean 'random'?"),
        ("search: {algorithm: random}", ":5:1: search.trials: is missing: random search has no end"),
        ("search: {seed: -1}", "at least 0"),
        ("matrix: []", ":5:1: matrix: is empty"),
        ("matrix: {a: 1}", "matrix: needs a list"),
        ("matrix: [5]", "matrix.0: needs a mapping"),
        ("matrix: [{matrix: []}]", "cannot stand inside"),
        ("matrix: [{name: a}, {name: a}]", ":5:28: name: is the name of entry 1 too"),
        ("matrix: [{name: " + "x" * 39 + "}]", "name: has 41 characters"),
        ("name: b", ":5:1: name: is given twice, first on line 1"),
    ],
)
def test_a_mistake_says_where_it_is_and_what_is_right(lines: str, says: str) -> None:
    assert any(says in one for one in mistakes(HEAD + lines + "\n")), mistakes(HEAD + lines + "\n")


@pytest.mark.parametrize(
    ("workload", "says"),
    [
        ("{}", "workload: has nothing to run"),
        ("", "workload: is missing; add workload: {command: python train.py}"),
        ("{command: a, notebook: b}", "workload.notebook: cannot stand beside 'command'"),
        ("{command: ''}", "needs a text that is not empty"),
        ("{command: []}", "needs a program to start"),
        ("{command: [a, {}]}", "workload.command: needs a text, not a mapping"),
        ("{command: {a}}", "needs a text or a list of words, not a mapping; put the command in quotes"),
        ("{command: 'a {b}'}", "unknown placeholder {b}; write \\{b} if the braces are meant as they stand"),
        ("{command: [a, '{b}']}", "workload.command.1: unknown placeholder {b}"),
        ('{command: "echo \'x"}', "is not closed"),
        ("{command: a, env: {A: '{b}'}}", "workload.env.A: unknown placeholder {b}"),
        ("{command: a, env: {A: }}", "needs a text, not nothing; write '' for an empty one"),
        ("{command: a, env: {A-B: x}}", "'A-B' is no name"),
        ("{command: a, env: {PARAM_x: x}}", "is taken"),
        ("{command: a, inputs: [{from: '{b}', to: c}]}", "workload.inputs.0.from: unknown placeholder {b}"),
        ("{command: a, inputs: [data]}", "workload.inputs.0: needs a mapping"),
        ("{command: a, inputs: [{from: a}]}", "workload.inputs.0.to: is missing; add to: data"),
        ("{command: a, inputs: [{from: a, to: /etc}]}", "is not relative"),
        ("{command: a, inputs: [{from: a, to: x}, {from: b, to: ./x}]}", "is the place of input 1 too"),
        ("{command: a, outputs: x}", "needs a list, not the text 'x'; write [x]"),
        ("{command: a, outputs: [a/../../b]}", "leaves the trial's working directory"),
        ("{command: a, outputs: ['..\\b']}", "leaves the trial's working directory"),
        ("{command: a, checkpoint: ../x}", "leaves the trial's working directory"),
        ("{command: a, metrics: {a: '('}}", "is no regular expression"),
        ("{command: a, metrics: {a: 'x'}}", "needs one group"),
        ("{command: a, metrics: {a: '(x)(y)'}}", "needs one group"),
        ("{command: a, metrics: {a: '(?P<v>x)'}}", "needs one group"),
        ("{command: a, metrics: {a: '(?P<value>x)(?P<time>y)'}}", "has a group named 'time'"),
        ("{command: a, isolation: docker}", "workload.isolation: needs an image"),
        ("{command: a, secrets: [A], env: {A: x}}", "'A' is also in workload.env"),
        ("{command: a, secrets: [A, A]}", "'A' is named twice"),
        ("{command: a, secrets: [ORCHESTRATE_X]}", "is taken"),
    ],
)
def test_a_mistake_in_the_workload_says_what_is_right(workload: str, says: str) -> None:
    found = mistakes(f"name: a\nworkload: {workload}\n")
    assert any(says in one for one in found), found


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ("{run: 1}", "{run} is set by the run itself"),
        ("{learning-rate: 1}", "write learning_rate"),
        ("{1: 2}", "'1' is no name"),
        ("[a]", "parameters: needs a mapping"),
        ("{a: }", "parameters.a: has no value; write null"),
        ("{a: {uniform: [1, 0]}}", "parameters.a.uniform: has its bounds reversed"),
        ("{a: {uniform: [0, 1], stp: 1}}", "parameters.a: unknown key 'stp'"),
        ("{a: {uniform: [0, 1]}}", "search.trials: is missing: a can take endlessly many values"),
        ("{a: [1, .nan]}", "finite"),
    ],
)
def test_a_mistake_in_the_parameters_says_what_is_right(parameters: str, says: str) -> None:
    found = mistakes(f"name: a\nworkload: {{command: x}}\nparameters: {parameters}\n")
    assert any(says in one for one in found), found


def test_a_grid_cannot_list_a_distribution() -> None:
    found = mistakes(HEAD + "search: {algorithm: grid}\n", ["parameters.lr={uniform: [0, 1]}"])
    assert found == [
        "--set parameters.lr={uniform: [0, 1]}: parameters.lr: is a distribution, which a grid cannot list; "
        "use choice, range, linspace or integer, or search.algorithm: random"
    ]


def test_one_mistake_does_not_hide_another_of_the_same_kind() -> None:
    found = mistakes("name: a\nworkload: {command: 'x {a} {b}', env: {A: '{c}'}, outputs: ['{d}', /e]}\n")
    assert len(found) == 5


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (HEAD.replace("[1, 2]", "[yes, x]"), "4:19: warning: parameters.lr.0: yes is read as true; put it in quotes"),
        (HEAD.replace("[1, 2]", "[010, 2]"), "010 is read as the number 10"),
        (HEAD.replace("[1, 2]", "[None, 2]"), "None is read as the text 'None'; write null"),
        (HEAD.replace("[1, 2]", "[1, 2, 1]"), "parameters.lr: lists 1 twice"),
        (HEAD.replace("{lr: ", "{unused: 1, lr: "), "4:14: warning: parameters.unused: nothing names {unused}"),
        (HEAD.replace("{lr}", "$lr"), "write {lr} or $PARAM_lr"),
        (HEAD.replace("{lr}", "${lr}"), "write {lr} or $PARAM_lr"),
        (HEAD + "pool: {on_demand_fallback: true}", "does nothing without spot"),
        (HEAD + "pool: {spot_without_checkpoint: true}", "does nothing without spot"),
        (
            HEAD.replace("parameters", "  metrics: {val_acc: '(x)'}\nparameters") + "search: {metric: val_ac}",
            "did you mean 'val_acc'?",
        ),
        (
            HEAD.replace("parameters", "  env: {MY_API_KEY: abc}\nparameters"),
            "workload.env.MY_API_KEY: looks like a secret",
        ),
    ],
)
def test_what_is_doubtful_is_a_warning_and_the_spec_is_read(text: str, says: str) -> None:
    found = doubts(text)
    assert len(found) == 1
    assert says in found[0]


@pytest.mark.parametrize("provider", ["aws", "azure"])
def test_rented_spot_machines_without_a_checkpoint_are_refused_unless_that_is_said(provider: str) -> None:
    spot = HEAD + "pool: {max_nodes: 2, spot: true}\n"
    (found,) = mistakes(spot, [f"provider={provider}"])
    assert found.startswith("s.yaml:5:22: pool.spot: takes machines away at any time")
    assert found.endswith("workload.checkpoint, or add spot_without_checkpoint: true")
    said = ["workload.checkpoint=ckpt"], ["pool.spot_without_checkpoint=true"], ["provider=local"], ["pool.spot=false"]
    for way in said:
        assert parse(spot, "s.yaml", [f"provider={provider}", *way]).warnings == ()
    (found,) = mistakes(spot + f"matrix: [{{}}, {{provider: {provider}}}]")
    assert "pool.spot" in found


def test_packages_are_installed_here_and_come_with_the_image_elsewhere() -> None:
    named = HEAD.replace("parameters", "  requirements: r.txt\nparameters")
    assert parse(named, "s.yaml").warnings == ()
    (found,) = mistakes(named + "provider: azure")
    assert "workload.requirements: is installed on this machine only; on azure the packages come with an image" in found
    assert parse(named, "s.yaml", ["provider=azure", "workload.image=mine:1"]).warnings == ()
    for key in ("build_constraints", "python"):
        (found,) = mistakes(HEAD.replace("parameters", f"  {key}: x\nparameters"))
        assert f"workload.{key}: means nothing without requirements" in found


@pytest.mark.parametrize("use", ["$PARAM_lr", "${PARAM_lr}", '"$ORCHESTRATE_PARAMS"'])
def test_a_parameter_that_is_read_from_the_environment_is_no_doubt(use: str) -> None:
    assert doubts(HEAD.replace("python t.py {lr}", f"'python t.py {use}'")) == []


def test_an_empty_section_means_its_defaults() -> None:
    spec = parse(HEAD + "limits:\n  # parallel: 4\npool: ~\nsearch: {trials: null}\n").spec
    assert spec.limits.parallel is None
    assert spec.search.trials is None
    assert spec == parse(HEAD).spec


def test_texts_that_look_like_numbers_stay_as_written_where_only_a_text_is_meant() -> None:
    text = "name: 2024\nworkload: {command: [echo, 1.10, 0x1F], env: {A: 1.10, B: on, C: 010, D: 12:30, E: 1e5}}"
    spec = parse(text).spec
    assert spec.name == "2024"
    assert spec.workload.command == ["echo", "1.10", "0x1F"]
    assert spec.workload.env == {"A": "1.10", "B": "on", "C": "010", "D": "12:30", "E": "1e5"}


# -- overrides


def test_overrides_are_laid_over_the_file() -> None:
    overrides = [
        "limits.parallel=4",
        "parameters.lr={choice: [5]}",
        "parameters.new=[a, b]",
        "search.metric=loss",
        "workload.command=python u.py {lr} {new}",
        "pool.lease=",
    ]
    spec = parse(HEAD + "pool: {lease: 1h}\n", "s.yaml", overrides).spec
    assert (spec.limits.parallel, spec.search.metric, spec.pool.lease) == (4, "loss", 86400.0)
    assert spec.parameters["lr"].value_at(0) == 5
    assert spec.parameters["new"].size == 2
    assert parse(HEAD, "s.yaml", ["parameters.lr.0=7"]).spec.parameters["lr"].value_at(0) == 7
    assert parse(HEAD, "s.yaml", ["workload.env.A=1.10"]).spec.workload.env == {"A": "1.10"}


def test_an_override_leaves_what_aliases_share_alone() -> None:
    text = HEAD.replace("[1, 2]", "&v [1, 2], b: *v").replace("{lr}", "{lr} {b}")
    spec = parse(text, "s.yaml", ["parameters.lr.0=7"]).spec
    assert spec.parameters["lr"].value_at(0) == 7
    assert spec.parameters["b"].value_at(0) == 1


def test_an_override_holds_for_every_entry_of_the_matrix() -> None:
    text = HEAD + "matrix:\n- {name: x, limits: {parallel: 2, timeout: 5}}\n- {name: y}\n"
    specs = parse(text, "s.yaml", ["limits.parallel=9", "matrix.1.name=z"]).specs
    assert [(one.name, one.limits.parallel, one.limits.timeout) for one in specs] == [("a-x", 9, 5.0), ("a-z", 9, None)]


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("limits.parallel=x", "--set limits.parallel=x: limits.parallel: needs a number, not the text 'x'"),
        ("limit.parallel=1", "--set limit.parallel=1: unknown key 'limit'; did you mean 'limits'?"),
        ("limits.paralel=1", "--set limits.paralel=1: limits: unknown key 'paralel'; did you mean 'parallel'?"),
        ("limits", "--set limits: is no override; write --set limits.parallel=4"),
        ("=5", "is no override"),
        ("a..b=5", "is no override"),
        ("limits.parallel=[1", "limits.parallel: is no valid YAML"),
        ("parameters.lr.5=1", "parameters.lr: is a list and has the entries 0 to 1; '5' is none of them"),
        ("parameters.lr.x=1", "'x' is none of them"),
        ("name.x=1", "name: is the text 'a', which has no 'x'"),
        ("workload.command=echo '{lr}'", "{lr} stands inside single quotes"),
        ("workload.command=echo {", "workload.command"),
    ],
)
def test_a_mistake_in_an_override_names_the_override(override: str, says: str) -> None:
    if override == "workload.command=echo {":
        assert parse(HEAD, "s.yaml", [override]).spec.workload.command == "echo {"
        return
    found = mistakes(HEAD, [override])
    assert len(found) == 1
    assert found[0].startswith("--set ")
    assert says in found[0]


# -- matrix


def test_a_mistake_in_an_entry_of_the_matrix_is_pointed_at_there() -> None:
    text = HEAD + "matrix:\n  - workload: {comand: x}\n  - limits: {timeout: x}\n    parameters: {b: 1}\n"
    assert mistakes(text) == [
        "s.yaml:6:16: workload: unknown key 'comand'; did you mean 'command'?",
        "s.yaml:7:23: limits.timeout: needs a duration, not the text 'x'; write it like 90, 30s, 5m, 1h30m or 2d",
    ]


def test_a_mistake_outside_the_matrix_is_said_once() -> None:
    text = HEAD + "limits: {timeout: x}\nmatrix: [{name: p}, {name: q}, {name: r}]\n"
    assert len(mistakes(text)) == 1


def test_what_runs_may_be_said_by_the_entries_alone() -> None:
    text = "name: a\nmatrix:\n- workload: {command: x}\n- workload: {command: [y]}\n"
    assert [one.workload.command for one in parse(text).specs] == ["x", ["y"]]
    assert mistakes(text + "- name: z\n") == [
        "s.yaml:5:3: workload: is missing; add workload: {command: python train.py}"
    ]


# -- files


def test_a_file_is_read_and_its_paths_are_relative_to_it(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "data").write_text("x")
    (tmp_path / "code" / "n.ipynb").write_text("{}")
    text = (
        "name: a\nworkload: {notebook: n.ipynb, code: code, inputs: [{from: data, to: d}, {from: 's3://b/c', to: e}]}"
    )
    (tmp_path / "s.yaml").write_text("\ufeff" + text)
    loaded = load(tmp_path / "s.yaml")
    assert loaded.base == tmp_path
    assert loaded.resolve("code") == tmp_path / "code"
    assert loaded.resolve("~/x") == Path.home() / "x"
    assert loaded.spec.workload.notebook == "n.ipynb"


def test_files_that_a_spec_names_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "coed").mkdir()
    (tmp_path / "file").write_text("")
    path = tmp_path / "s.yaml"
    path.write_text(
        "name: a\nworkload:\n  command: x\n  code: code\n  requirements: r.txt\n"
        "  inputs: [{from: data, to: d}, {from: '{trial}', to: e}, {from: 'fiel/{trial}', to: f}]\n"
    )
    with pytest.raises(SpecError) as caught:
        load(path)
    said = [str(one).removeprefix(f"{path}:") for one in caught.value.problems]
    assert said == [
        "4:9: workload.code: 'code' does not exist; did you mean 'coed'?",
        "5:17: workload.requirements: 'r.txt' does not exist; paths are relative to the spec's file",
        "6:19: workload.inputs.0.from: 'data' does not exist; paths are relative to the spec's file",
        "6:66: workload.inputs.2.from: 'fiel' does not exist; did you mean 'file'?",
    ]
    with pytest.raises(SpecError, match="is no folder"):
        load(path, ["workload.code=file"])


def test_a_file_that_cannot_be_read_is_one_clear_problem(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text("")
    (tmp_path / "binary").write_bytes(b"name: a\n\x7fELF\xff\xfe\x00")
    (tmp_path / "utf16.yaml").write_bytes("name: a".encode("utf-16"))
    (tmp_path / "nul.yaml").write_bytes(b"name: a\0b\n")
    (tmp_path / "huge").write_bytes(b"#" * 5_000_000)
    cases = {
        "swep.yaml": "does not exist; did you mean 'sweep.yaml'?",
        ".": "is a folder; did you mean",
        "sweep.yaml": "has no spec in it: it is empty",
        "binary": ":2:5: is not UTF-8 text",
        "utf16.yaml": ":1:1: is not UTF-8 text",
        "nul.yaml": ":1:8: holds a control character",
        "huge": "is larger than",
        "a\0b": "cannot be read",
        "x" * 5000: "cannot be read",
        "sweep.yaml/x": "cannot be read",
    }
    for name, says in cases.items():
        with pytest.raises(SpecError) as caught:
            load(os.path.join(tmp_path, name))
        assert len(caught.value.problems) == 1
        assert says in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "~", "- a\n", "text", "5", "[]"])
def test_what_is_no_mapping_is_one_clear_problem(text: str) -> None:
    found = mistakes(text)
    assert len(found) == 1
    assert found[0].startswith("s.yaml:1:")


# -- secrets


def test_no_message_shows_what_may_be_a_secret() -> None:
    value = "hunter2hunter2"
    text = (
        f"name: a\nworkload:\n  command: x\n  env: {{MY_TOKEN: {value}, OTHER: [{value}], bad-name: {value}}}\n"
        f"  secrets: ['A={value}', {{A: {value}}}, MY_TOKEN]\n"
        f"  inputs: [{{from: 'https://h/x?sig={value}', to: y}}]\n"
        f"storage: s3://user:{value}@host/x\n"
    )
    with pytest.raises(SpecError) as caught:
        parse(text, "s.yaml", [f"workload.env.B=[{value}]", f"workload.secrets.0=A={value}"])
    assert len(caught.value.problems) >= 5
    assert value not in str(caught.value)


# -- Python


def test_python_data_is_read_like_a_file() -> None:
    np = pytest.importorskip("numpy")
    data: dict[str, Any] = {
        "name": "a",
        "workload": {"command": ("python", "t.py", "{lr}", "{n}", "{k}"), "env": {"A": True, "B": 1.5}},
        "parameters": {"lr": np.logspace(-2, -1, 2), "n": range(1, 5), "k": np.int64(3)},
        "limits": {"timeout": timedelta(minutes=5)},
        "resources": {"cpus": np.float32(0.5)},
    }
    spec = from_dict(data).spec
    assert spec.workload.command == ["python", "t.py", "{lr}", "{n}", "{k}"]
    assert spec.workload.env == {"A": "true", "B": "1.5"}
    assert [spec.parameters["n"].value_at(i) for i in range(4)] == [1, 2, 3, 4]
    assert spec.parameters["lr"].size == 2
    assert spec.parameters["k"].value_at(0) == 3
    assert (spec.limits.timeout, spec.resources.cpus) == (300.0, 0.5)


def test_mistakes_in_python_data_name_the_call_and_the_key() -> None:
    with pytest.raises(SpecError) as caught:
        from_dict({"name": "a", "workload": {"comand": "x"}}, label="Sweep(...)")
    assert [str(one) for one in caught.value.problems] == [
        "Sweep(...): workload: unknown key 'comand'; did you mean 'command'?",
        "Sweep(...): workload: has nothing to run; add command: python train.py",
    ]


def test_python_values_that_no_spec_can_hold_are_refused() -> None:
    itself: dict[str, Any] = {"name": "a"}
    itself["workload"] = itself
    for data in (itself, {1: 2}, {"name": object()}, {"name": {1, 2}}, {"parameters": {"a": [lambda: 1]}}):
        with pytest.raises(SpecError) as caught:
            from_dict(data)
        assert len(caught.value.problems) == 1


def test_python_data_is_relative_to_the_folder_that_is_given(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    data = {"name": "a", "workload": {"command": "x", "code": Path("code")}}
    assert from_dict(data, base=tmp_path).base == tmp_path
    with pytest.raises(SpecError, match="does not exist"):
        from_dict(data, base=tmp_path / "code")


# -- form


def test_a_problem_is_one_short_line_whatever_it_quotes() -> None:
    long = "x\ny" * 5000
    with pytest.raises(SpecError) as caught:
        from_dict({"name": long, long: 1, "workload": {"command": long, "isolation": long}, "parameters": {long: 1}})
    for problem in caught.value.problems:
        assert "\n" not in str(problem)
        assert len(str(problem)) < 3 * LONGEST


def test_everything_in_one_spec_expands_to_three_sweeps() -> None:
    specs = parse(EVERYTHING, "s.yaml").specs
    assert [one.name for one in specs] == ["everything-one", "everything-2", "everything-3"]
    assert specs[1].limits.grace == 10.0
    assert specs[0].limits.grace == 0.0
    assert specs[2].workload.command == ["echo", "{lr}", "{mode}", "5"]
