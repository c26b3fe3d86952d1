"""Spoilt specs, from a seed: real ones with a few things changed, as text or as data."""

from __future__ import annotations

import copy
import random
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]

DESIGN = r"""
name: glyphs
workload:
  code: ../workloads/glyphs           # uploaded once, by content
  command: python train.py --lr {lr} --hidden {hidden} --epochs {epochs}
  image: orchestrator/tensorflow:2.21 # used wherever containers run
  inputs:  [{from: ./data, to: data}]
  outputs: [model/, "*.png"]
  metrics: {val_accuracy: 'val_acc=(\S+)'}   # optional: read from stdout; `report()` needs no pattern
  isolation: process                  # or docker, on the local provider
  env: {TF_CPP_MIN_LOG_LEVEL: "2"}
  secrets: [WANDB_API_KEY]            # names; values come from the environment or a vault
parameters:
  lr:     {loguniform: [1e-4, 1e-1]}
  hidden: {choice: [64, 128, 256]}
  epochs: 5
search: {algorithm: random, trials: 40, seed: 7, metric: val_accuracy, goal: maximize}
resources: {gpu: T4, gpus: 1, cpus: 4, memory: 16GiB}
pool:   {max_nodes: 10, spot: true, lease: 6h, idle_timeout: 5m}
limits: {parallel: 10, retries: 2, timeout: 1h, max_cost: 25, max_failures: 20%}
provider: local
"""

EVERYTHING = r"""
name: everything
workload: &work
  command: |
    set -e; x="$(basename {data})"
    python train.py --lr {lr} "$x" '{"a": 1}' --out {run}/{trial} # done
  env: {MODE: "{mode}", N: 3, DEBUG: on}
  inputs: [{from: "s3://bucket/{mode}", to: data}, {from: ., to: code}]
  outputs: ["{mode}/*.bin", "**/log"]
  metrics: {loss: 'step (?P<step>\d+) loss (?P<value>\S+)'}
  checkpoint: state
parameters:
  lr: {range: [0.1, 0.5, 0.1]}
  mode: [fast, slow]
  data: {fixed: /a b/c}
  depth: {integer: [1, 4]}
  width: {linspace: [0, 1, 5]}
  noise: {normal: [0, 1]}
  drop: {uniform: [0, 0.5]}
search: {trials: 5}
limits:
  retries: {preempted: 3, exit_code: 1}
  grace: 0
storage: file:///tmp/store
matrix:
  - name: one
    workload: {image: python}
  - parameters: {lr: 0.3}
    limits: {timeout: 5m, grace: null}
  - workload:
      command: [echo, "{lr}", "{mode}", 5]
"""


def originals() -> list[str]:
    """Real specs to start from."""
    templates = sorted((ROOT / "job_templates").glob("*.yaml"))
    starter = ROOT / "orchestrator/spec/starter/sweep.yaml"
    return [DESIGN, EVERYTHING, *(path.read_text() for path in (starter, *templates))]


_WORDS = [
    *[
        "name",
        "workload",
        "command",
        "parameters",
        "search",
        "trials",
        "limits",
        "timeout",
        "parallel",
        "matrix",
        "lr",
        "choice",
        "range",
    ],
    *[
        "uniform",
        "loguniform",
        "when",
        "tied",
        "derived",
        "max_cost",
        "env",
        "secrets",
        "inputs",
        "from",
        "to",
        "retries",
    ],
]
_TEXTS = [
    *(
        "",
        " ",
        "x",
        "{",
        "}",
        "{x}",
        "{{x}}",
        "{lr",
        "'{lr}'",
        "$(",
        "`",
        '"',
        "'",
        "\\",
        "#",
        "- a",
        "a: b",
        "*",
        "&a",
    ),
    *("yes", "no", "null", "~", "1e-4", "-1", "0", "1e999", ".nan", "-.inf", "0x1F", "0o7", "010", "1_000", "12:30"),
    *(
        "9" * 400,
        "a" * 3000,
        "é\u2028\u0085",
        "\u202e",
        "𝔘",
        "../..",
        "/etc",
        "~",
        "s3://u:p@h/x",
        "20%",
        "1h",
        "16GiB",
        "5x",
    ),
    *("(", "(a)", "(?P<x>a)", "(?P<value>a)(b", "[", "*" * 50, "<<", "!!python/object:os.system x", "---", "\t", "%"),
]
_SCALARS: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**63, -(2**70), 10**310, 0.5, -0.0, 1e308, float("nan"), float("inf"), 1e-320),
    *_TEXTS,
]


def junk(draw: random.Random, depth: int = 0) -> Any:
    """Any value that YAML can hold."""
    kind = draw.randrange(12)
    if kind == 0 and depth < 4:
        return [junk(draw, depth + 1) for _ in range(draw.randrange(4))]
    if kind == 1 and depth < 4:
        return {draw.choice([*_WORDS, *_TEXTS[:12]]): junk(draw, depth + 1) for _ in range(draw.randrange(4))}
    return draw.choice(_SCALARS)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _places(child, (*path, key))
    elif isinstance(value, list):
        for place, child in enumerate(value):
            yield from _places(child, (*path, place))


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def _misspelt(word: str, draw: random.Random) -> str:
    place = draw.randrange(len(word)) if word else 0
    change = draw.randrange(4)
    letter = draw.choice(string.ascii_letters + "_- ")
    middle = {0: "", 1: letter, 2: word[place : place + 1] * 2, 3: letter + word[place : place + 1]}[change]
    return word[:place] + middle + word[place + 1 :]


def spoilt_data(data: Any, draw: random.Random) -> Any:
    """A copy of the data with one to three things changed."""
    data = copy.deepcopy(data)
    for _ in range(draw.choice([1, 1, 2, 3])):
        path = draw.choice([path for path in _places(data) if path])
        parent, step = _at(data, path[:-1]), path[-1]
        change = draw.randrange(7)
        if change == 0:
            del parent[step]
        elif change == 1 and isinstance(parent, dict):
            parent[_misspelt(str(step), draw)] = parent.pop(step)
        elif change == 2 and isinstance(parent[step], str):
            parent[step] = _misspelt(parent[step], draw)
        elif change == 3 and isinstance(parent, dict):
            parent[draw.choice(_WORDS)] = junk(draw)
        elif change == 4:
            other = draw.choice(list(_places(data)))
            parent[step] = copy.deepcopy(_at(data, other)) if len(other) > 1 else junk(draw)
        elif change == 5:
            parent[step] = [parent[step]] if draw.random() < 0.5 else {draw.choice(_WORDS): parent[step]}
        else:
            parent[step] = junk(draw)
        if not data:
            break
    return data


def dumped(data: Any, draw: random.Random) -> str:
    """The data as YAML, in block or flow style."""
    flow = draw.choice([None, True, False])
    return yaml.safe_dump(data, default_flow_style=flow, allow_unicode=draw.random() < 0.5, sort_keys=False)


def spoilt_text(text: str, draw: random.Random) -> str:
    """The text with one to four characters, pieces or lines changed."""
    for _ in range(draw.choice([1, 1, 2, 4])):
        start = draw.randrange(len(text) + 1)
        end = min(len(text), start + draw.choice([1, 1, 2, 5, 20, 80]))
        lines = text.split("\n")
        line = draw.randrange(len(lines))
        change = draw.randrange(9)
        if change == 0:
            text = text[:start] + text[end:]
        elif change == 1:
            text = text[:start] + draw.choice(_TEXTS) + text[start:]
        elif change == 2:
            text = text[:start] + draw.choice(string.printable + "\x00\x85\u2028\ufeff\ud800é") + text[end:]
        elif change == 3:
            text = text[:start] + text[start:end] * 2 + text[end:]
        elif change == 4:
            text = "\n".join(lines[:line] + lines[line + 1 :])
        elif change == 5:
            text = "\n".join([*lines[: line + 1], *lines[line:]])
        elif change == 6:
            text = "\n".join([*lines[:line], draw.choice([" ", "\t", "  ", "- "]) + lines[line], *lines[line + 1 :]])
        elif change == 7:
            text = "\n".join([*lines[:line], lines[line].lstrip(), *lines[line + 1 :]])
        else:
            other = draw.randrange(len(lines))
            lines[line], lines[other] = lines[other], lines[line]
            text = "\n".join(lines)
    return text
