"""The typed spec: what ``sweep.yaml`` says, after every spelling has been read.

Sizes are bytes, durations seconds, prices US$.  The models are frozen.  What the user set is
``model_dump(mode="json", exclude_unset=True)``, and it reads back as the same spec.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from orchestrator.spec.parameters import Parameter, Stages
from orchestrator.spec.problems import describe, shortened, wrong
from orchestrator.spec.quantities import (
    Duration,
    DurationOrZero,
    Flag,
    Size,
    Text,
    choice_of,
    number,
    number_within,
    printable,
    text,
    whole_within,
)
from orchestrator.spec.search_options import SearchOptions, algorithm_name

LONGEST_NAME = 40
IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]*"
BUILTIN_NAMES = ("run", "trial", "attempt")
# Variables that the runner sets for every trial.
RESERVED_VARIABLES = ("ORCHESTRATE_", "PARAM_")
# From 120 on they are the runner's, the shell's (126, 127) and those of programs that a signal ended (128 + number).
LAST_OWN_EXIT_CODE = 119

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*", re.ASCII)
_IDENTIFIER = re.compile(IDENTIFIER, re.ASCII)
_METRIC = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*", re.ASCII)
_GPU = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,39}", re.ASCII)
_PERCENT = re.compile(r"\s*(\d{1,3}(?:\.\d{1,6})?)\s*%\s*", re.ASCII)
_SIGNATURE = re.compile(r"[?&](?:sig|signature|token|password|x-amz-signature|x-amz-security-token)=", re.I)
_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s][^\s]*|file:///[^\s]*", re.ASCII)


def slug(value: Any) -> str:
    """A name that can stand in file names, URLs and cloud resources."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    name = text(value)
    if len(name) > LONGEST_NAME:
        raise wrong(f"has {len(name)} characters; at most {LONGEST_NAME} are allowed")
    if _NAME.fullmatch(name) is None:
        proposal = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-_")
        raise wrong(
            f"'{shortened(name)}' is no name: only letters, digits, '-' and '_' are allowed, a letter or digit first",
            f"write {shortened(proposal)}" if proposal else "",
        )
    return name


def identifier(value: Any) -> str:
    """A name that can stand in a placeholder and in a variable's name."""
    name = text(value)
    if _IDENTIFIER.fullmatch(name) is None:
        proposal = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_")
        raise wrong(
            f"'{shortened(name)}' is no name: only letters, digits and '_' are allowed, no digit first",
            f"write {shortened(proposal)}" if _IDENTIFIER.fullmatch(proposal) else "",
        )
    return name


def _parameter_name(value: Any) -> str:
    name = identifier(value)
    if name in BUILTIN_NAMES:
        raise wrong(f"'{name}' is taken: {{{name}}} is set by the run itself", f"call it {name}_name")
    return name


def _variable(value: Any) -> str:
    name = identifier(value)
    if name.startswith(RESERVED_VARIABLES):
        raise wrong(f"'{name}' is taken: the runner sets the variables that start with ORCHESTRATE_ and PARAM_")
    return name


def _secret_name(value: Any) -> str:
    # Not shown: it may be a value where only a name belongs.
    if not isinstance(value, str) or _IDENTIFIER.fullmatch(value) is None:
        raise wrong("is no name of a variable", "give names only; the values are taken from the environment")
    return _variable(value)


def _variable_text(value: Any) -> str:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        number(value)
        return str(value)
    hint = "write '' for an empty one" if value is None else "put it in quotes"
    raise wrong(f"needs a text, not {describe(value)}", hint)


def _metric_name(value: Any) -> str:
    name = text(value)
    if len(name) > 200 or _METRIC.fullmatch(name) is None:
        raise wrong(f"{describe(name)} is no name of a metric: letters, digits and . _ / - are allowed, a letter first")
    return name


def _metric_pattern(value: Any) -> str:
    pattern = text(value)
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise wrong(f"is no regular expression: {error}") from None
    named = set(compiled.groupindex)
    if "value" not in named and (compiled.groups != 1 or named):
        raise wrong(
            f"needs one group that holds the value, not {compiled.groups}",
            r"write it like 'loss=(\S+)' or 'step (?P<step>\d+) loss (?P<value>\S+)'",
        )
    if named - {"value", "step"}:
        raise wrong(f"has a group named '{min(named - {'value', 'step'})}'", "the names are 'value' and 'step'")
    return pattern


def inside(value: Any) -> str:
    """A relative path or pattern that stays inside the trial's working directory."""
    path = text(value)
    if path.startswith(("/", "~")) or re.match(r"[A-Za-z]:[\\/]", path):
        raise wrong(f"{describe(path)} is not relative", "it is a path below the trial's working directory")
    if ".." in PurePosixPath(path.replace("\\", "/")).parts:
        raise wrong(f"{describe(path)} leaves the trial's working directory by '..'")
    return path


def _command(value: Any) -> str | list[str]:
    if isinstance(value, list | tuple):
        if not value:
            raise wrong("needs a program to start, not an empty list")
        words = [_word(item, place) for place, item in enumerate(value)]
        if not words[0].strip():
            raise wrong("needs a program to start", at=[0])
        return words
    if isinstance(value, dict):
        raise wrong("needs a text or a list of words, not a mapping", "put the command in quotes")
    return text(value)


def _word(value: Any, place: int) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise wrong(f"needs a text, not {describe(value)}", "put it in quotes", at=[place])
    if "\0" in value:
        raise wrong("holds a NUL character, which no command can carry", at=[place])
    return printable(value)


def _gpu(value: Any) -> str:
    name = text(value)
    if _GPU.fullmatch(name) is None:
        raise wrong(f"{describe(name)} is no name of a GPU", "write it like T4, A100 or H100")
    return name


def _share_of_gpus(value: Any) -> float:
    count = number(value)
    if count < 0:
        raise wrong("is below zero")
    if count > 1 and count != math.floor(count):
        raise wrong(f"must be a whole number above 1, not {count:g}", "only a share of one GPU may be asked for: 0.5")
    if count > 64:
        raise wrong("is more GPUs than any machine has")
    return count


def _failures(value: Any) -> int | str:
    hint = "write a number of trials, or a share such as 20%"
    if isinstance(value, str):
        percent = _PERCENT.fullmatch(value)
        if percent is None:
            raise wrong(f"needs a number or a percentage, not {describe(value)}", hint)
        if float(percent[1]) > 100:
            raise wrong("is more than 100%")
        return f"{percent[1]}%"
    count = number(value)
    if count < 0:
        raise wrong("is below zero", hint)
    if count != math.floor(count):
        raise wrong(
            f"needs a whole number or a percentage, not {count:g}",
            f"write {count:.0%}" if count < 1 else hint,
        )
    return int(count)


def _store_url(value: Any) -> str:
    url = text(value)
    if _URL.fullmatch(url) is None:
        raise wrong(f"{describe(url)} is no URL", "write it like s3://bucket/folder or file:///absolute/folder")
    if "?" in url:
        raise wrong("may hold no password and no signature", "give credentials by the environment")
    return _without_credentials(url)


def _without_credentials(value: Any) -> str:
    """A path or URL that may be written down and shown."""
    url = text(value)
    authority = url.partition("://")[2].partition("/")[0]
    if ":" in authority.rpartition("@")[0] or _SIGNATURE.search(url):
        # Not shown: what is wrong with it is that it holds a secret.
        raise wrong("may hold no password and no signature", "give credentials by the environment")
    return url


def _retries(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return value
    count = _retry_count(value)
    return {"exit_code": count, "timeout": count, "infrastructure": count}


def _retry_count(value: Any) -> int:
    count = number(value)
    if count != math.floor(count) or not 0 <= count <= 10_000:
        raise wrong(f"needs a whole number from 0 to 10,000, not {count:g}")
    return int(count)


def _checked(check: Callable[[Any], Any], **schema: Any) -> Any:
    return (BeforeValidator(check), WithJsonSchema(schema))


Slug = Annotated[
    str,
    BeforeValidator(slug),
    WithJsonSchema({"type": "string", "pattern": f"^{_NAME.pattern}$", "maxLength": LONGEST_NAME}),
]
RelativePath = Annotated[str, BeforeValidator(inside)]
Variable = Annotated[str, BeforeValidator(_variable)]
SecretName = Annotated[str, BeforeValidator(_secret_name)]
ParameterName = Annotated[str, BeforeValidator(_parameter_name)]
RetryCount = Annotated[int, BeforeValidator(_retry_count)]


class Model(BaseModel):
    """Frozen; unknown keys are errors; aliases (``from``) are used for reading and writing."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )


class Input(Model):
    """Data that every trial finds in its working directory."""

    from_: Annotated[str, BeforeValidator(_without_credentials)] = Field(
        alias="from",
        description="A file or folder, relative to the spec's file; `s3://bucket/key`, an object or all that lie below "
        "a folder; `az://account/container/path`; or `https://...`, one file. May hold placeholders, but not in the "
        "name of a bucket or container. Which provider takes which: [Inputs](inputs.md).",
        examples=["./data", "s3://bucket/data"],
    )
    to: RelativePath = Field(
        description="Where the trial finds it: a path in its working directory. May hold placeholders.",
        examples=["data"],
    )


class Workload(Model):
    """What one trial runs.  Exactly one of `command` and `notebook`."""

    code: Text | None = Field(
        None,
        description="Folder of the program, relative to the spec's file; uploaded once, by content. "
        "Left out: the command needs no files.",
        examples=["../workloads/glyphs"],
    )
    command: Annotated[str | list[str], BeforeValidator(_command)] | None = Field(
        None,
        description="The command of a trial. A text is run by the shell (`/bin/sh`), with each placeholder's "
        "value "
        "quoted as one word; a list of words is started without a shell.",
        examples=["python train.py --lr {lr}", ["python", "train.py", "--lr", "{lr}"]],
    )
    notebook: RelativePath | None = Field(
        None,
        description="A Jupyter notebook in `code` that is run in place of a command: the cell tagged `parameters` is "
        "followed by the trial's, and the executed notebook is an output, also where a cell fails. Needs papermill and "
        "ipykernel, here or in `requirements`.",
        examples=["train.ipynb"],
    )
    image: Text | None = Field(
        None,
        description="Container image, used wherever containers run.",
        examples=["orchestrator/tensorflow:2.21"],
    )
    inputs: list[Input] = Field([], description="Data that every trial finds in its working directory.")
    outputs: list[RelativePath] = Field(
        [],
        description="Files and folders to keep, as patterns below the working directory (`*`, `**`, `?`); "
        "kept from "
        "failed trials too. May hold placeholders.",
        examples=[["model/", "*.png"]],
    )
    metrics: dict[Annotated[str, BeforeValidator(_metric_name)], Annotated[str, BeforeValidator(_metric_pattern)]] = (
        Field(
            {},
            description="Metrics to read from the program's output: a name and a regular expression with one "
            "group "
            "that holds the value, or groups named `value` and `step`. `report()` needs none.",
            examples=[{"val_accuracy": r"val_acc=(\S+)"}],
        )
    )
    isolation: Annotated[Literal["process", "docker"], choice_of(("process", "docker"))] = Field(
        "process",
        description="How the local provider runs a trial: as a process, or in a container of `image`.",
    )
    network: Flag = Field(
        False, description="Whether a container of the local provider has a network. Clouds' containers have one."
    )
    pack: Annotated[int, whole_within(1, 1_000_000)] = Field(
        1,
        description="How many trials share a container of the local provider, one after the other, so that its start "
        "is paid once. One that failed is its container's last.",
    )
    user: Text | None = Field(
        None,
        description="As whom a container of the local provider runs: `UID:GID`, or a name that the image knows. "
        "Left out: not as root.",
        examples=["1000:1000", "root"],
    )
    env: dict[Variable, Annotated[str, BeforeValidator(_variable_text)]] = Field(
        {},
        description="Environment variables. Numbers, true and false become text as written. May hold "
        "placeholders. "
        "Never put a secret here: see `secrets`.",
        examples=[{"TF_CPP_MIN_LOG_LEVEL": "2"}],
    )
    secrets: list[SecretName] = Field(
        [],
        description="Names of environment variables whose values are taken from the environment of the "
        "command line when the run starts and are never written down; what a program prints of one, if it has 4 "
        "characters or more, stands as *** in its logs.",
        examples=[["WANDB_API_KEY"]],
    )
    checkpoint: RelativePath | None = Field(
        None,
        description="Folder in the working directory that is carried from attempt to attempt, so that a "
        "trial goes "
        "on where its machine was taken away.",
        examples=["checkpoints"],
    )
    requirements: Text | None = Field(
        None,
        description="File of Python packages (pip's format), relative to the spec's file, that the trials need "
        "installed. On this machine they get a virtual environment of their own, made once for each content of the "
        "file; where containers run, the packages are the image's.",
        examples=["requirements.txt"],
    )
    build_constraints: Text | None = Field(
        None,
        description="File of versions (pip's format) that packages without a wheel are built with: what pip's "
        "`--build-constraint` takes. Needs `requirements`.",
        examples=["build-constraints.txt"],
    )
    python: Text | None = Field(
        None,
        description="Interpreter that the environment of `requirements` is made with, where the packages need an older "
        "one: a name on the `PATH`, or a path. Default: that of orchestrate.",
        examples=["python3.9"],
    )


class Search(SearchOptions):
    """Which points of the space become trials, and which value ranks them."""

    algorithm: Annotated[str, BeforeValidator(algorithm_name)] | None = Field(
        None,
        description="`grid` (every combination), `zip` (all parameters side by side), `list` (`points` or `file`), "
        "`files` (one trial a file of `folder`), `random`; evenly spread: `sobol`, `halton`, `latin_hypercube`; "
        "learning from results: `tpe`, `gp`, `cmaes`, `nsga2`; population-based training: `pbt`; or a function of your "
        "own as `module:function`. "
        "Default: grid if every parameter is finite, else random.",
        examples=["grid", "random", "tpe"],
    )
    trials: Annotated[int, whole_within(1, 10**12)] | None = Field(
        None,
        description="How many trials. `random` needs it; `grid` takes its first ones, or all where it is left out.",
        examples=[40],
    )
    seed: Annotated[int, whole_within(0, 2**63 - 1)] = Field(
        0, description="The same seed gives the same trials on any machine."
    )
    metric: Annotated[str, BeforeValidator(_metric_name)] | None = Field(
        None, description="The metric that ranks the trials.", examples=["val_accuracy"]
    )
    goal: Annotated[Literal["maximize", "minimize"], choice_of(("maximize", "minimize"))] = Field(
        "maximize", description="Whether a larger or a smaller metric is better."
    )


class Resources(Model):
    """What one trial needs of its machine."""

    gpu: Annotated[str, BeforeValidator(_gpu)] | None = Field(
        None, description="Kind of GPU. Left out: none, or any where `gpus` is set.", examples=["T4", "A100"]
    )
    gpus: Annotated[float, BeforeValidator(_share_of_gpus)] = Field(
        default_factory=lambda given: 1.0 if given.get("gpu") else 0.0,
        description="GPUs a trial: a share of one below 1, whole numbers above. Default: 1 if `gpu` is set, else 0.",
        examples=[1, 0.5],
    )
    cpus: Annotated[float, number_within(0, 4096, above=True)] = Field(
        1.0, description="CPU cores a trial; a share of one is allowed."
    )
    nodes: Annotated[int, whole_within(1, 1000)] = Field(
        1,
        description="Machines that one trial takes together, on a provider that can: all else here is said of each. "
        "The trial's command runs on the first; the addresses of all stand in its environment as `ORCHESTRATE_NODES`, "
        "with commas between them, the first one's first.",
    )
    memory: Size | None = Field(
        None,
        description="Main memory a trial, in bytes or with a unit; a trial that passes it is stopped. "
        "Left out: no limit.",
    )
    disk: Size | None = Field(None, description="Disk space a trial, in bytes or with a unit. Left out: no limit.")
    shm: Size | None = Field(
        None,
        description="Shared memory (`/dev/shm`) of a trial's container, in bytes or with a unit. "
        "Left out: the engine's default.",
    )
    strict: Flag = Field(
        False,
        description="Refuse to run where this cannot be had. Otherwise a GPU that this machine lacks is a "
        "warning "
        "and a CPU slot, on the local provider.",
    )


class Pool(Model):
    """The machines that a run rents."""

    max_nodes: Annotated[int, whole_within(1, 100_000)] | None = Field(
        None, description="Most machines at once. Left out: as many as `limits.parallel` needs."
    )
    spot: Flag = Field(False, description="Rent cheap machines that may be taken away at any time.")
    on_demand_fallback: Flag = Field(
        False, description="With `spot`: rent at the full price where no spot machine can be had."
    )
    spot_without_checkpoint: Flag = Field(
        False,
        description="With `spot`: accept that a trial whose machine is taken away begins again from nothing, since "
        "`workload.checkpoint` is not set. Without this such a sweep is refused where machines are rented.",
    )
    lease: Duration = Field(
        86400.0,
        description="Time after which the machines are gone, whoever is still alive; in seconds or with a unit.",
        examples=["6h"],
    )
    idle_timeout: Duration = Field(
        300.0,
        description="Time without work after which a machine is given back; in seconds or with a unit.",
        examples=["5m"],
    )
    vm_size: Text | None = Field(
        None,
        description="The provider's own name of a machine type. Left out: the cheapest that has the `resources`.",
        examples=["g4dn.xlarge", "Standard_NC4as_T4_v3"],
    )
    price: Annotated[float, number_within(0, 10**6)] | None = Field(
        None,
        description="Price of one machine, in US$ an hour. Left out: the catalogue's; 0 on this machine.",
        examples=[0.526],
    )
    region: Text | None = Field(
        None,
        description="The provider's own name of a region. Left out: the account's default.",
        examples=["eu-central-1", "westeurope"],
    )


class Retries(Model):
    """More attempts a trial, by the cause of the failure.  A command that cannot be started gets none."""

    preempted: RetryCount = Field(10, description="The machine was taken away.")
    no_capacity: RetryCount = Field(100, description="No machine could be had in time.")
    infrastructure: RetryCount = Field(3, description="Node, network, storage or image failed, not the program.")
    exit_code: RetryCount = Field(0, description="The program ended with a code other than 0, or by a signal.")
    timeout: RetryCount = Field(0, description="The attempt was stopped at `timeout`.")


def _exit_code(value: Any) -> int:
    """An exit code that a program can have for itself: those above are the runner's, the shell's and the signals'."""
    code = number(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    if not 1 <= code <= LAST_OWN_EXIT_CODE or code != math.floor(code):
        raise wrong(f"{shortened(value)} is no exit code of a program: those are 1 to {LAST_OWN_EXIT_CODE}")
    return int(code)


class Limits(Model):
    """What a run may take."""

    parallel: Annotated[int, whole_within(1, 1_000_000)] | None = Field(
        None, description="Most trials at once. Left out: as many as the machines hold."
    )
    retries: Annotated[Retries, BeforeValidator(_retries)] = Field(
        default_factory=Retries,
        description="More attempts a trial. One number is for `exit_code`, `timeout` and `infrastructure`; "
        "or a "
        "mapping by cause.",
        examples=[2, {"exit_code": 1, "preempted": 20}],
    )
    timeout: Duration | None = Field(
        None,
        description="Longest time of one attempt, in seconds or with a unit. Left out: no limit.",
        examples=["1h"],
    )
    run_timeout: Duration | None = Field(
        None,
        description="Longest time of the whole run, in seconds or with a unit; then it is cancelled. "
        "Left out: no limit.",
        examples=["12h"],
    )
    max_cost: Annotated[float, number_within(0, 10**9, above=True)] | None = Field(
        None, description="US$ after which the run is stopped. Left out: no limit.", examples=[25]
    )
    max_failures: (
        Annotated[
            int | str,
            BeforeValidator(_failures),
            WithJsonSchema(
                {
                    "anyOf": [
                        {"type": "integer", "minimum": 0},
                        {"type": "string", "pattern": r"^\s*[0-9]{1,3}(\.[0-9]+)?\s*%\s*$"},
                    ]
                }
            ),
        ]
        | None
    ) = Field(
        None,
        description="More failed trials than this stop the run: a number, or a share of all trials. "
        "Left out: it goes on to the end.",
        examples=["20%", 5],
    )
    exit_codes: dict[
        Annotated[int, BeforeValidator(_exit_code)], Annotated[Literal["stop", "fail"], choice_of(("stop", "fail"))]
    ] = Field(
        {},
        description="What follows where the program ends with one of these codes (1 to "
        f"{LAST_OWN_EXIT_CODE}). `fail`: its trial is not tried again, whatever `retries` allows. `stop`: the whole "
        "run is stopped at once, because no other trial would do better; Azure Batch does so by itself, also where "
        "nobody of us is alive.",
        examples=[{2: "fail", 3: "stop"}],
    )
    grace: DurationOrZero = Field(
        10.0,
        description="Time between SIGTERM and SIGKILL for a trial that is stopped, in seconds or with a unit.",
    )

    def failures_allowed(self, trials: int) -> int | None:
        """How many of ``trials`` trials may fail without stopping the run; None: all.  Rounded down."""
        if isinstance(self.max_failures, str):
            # In whole numbers: 7 % of 100 is 7, whatever a double makes of 0.07.
            share, _, digits = self.max_failures.removesuffix("%").partition(".")
            return int(share + digits) * trials // int(100 * 10 ** len(digits))
        return self.max_failures


class Spec(Model):
    """One sweep."""

    name: Slug = Field(description="Name of the sweep: letters, digits, '-' and '_'.", examples=["glyphs"])
    workload: Workload = Field(description="What one trial runs.")
    parameters: dict[ParameterName, Parameter] = Field(
        {},
        description="The search space. A value alone is fixed, a list is a choice, a mapping with one key is any kind.",
        examples=[{"lr": {"loguniform": [1e-4, 1e-1]}, "hidden": [64, 128, 256], "epochs": 5}],
    )
    search: Search = Field(
        default_factory=Search, description="Which points become trials, and which value ranks them."
    )
    resources: Resources = Field(default_factory=Resources, description="What one trial needs of its machine.")
    pool: Pool = Field(default_factory=Pool, description="The machines that a run rents.")
    limits: Limits = Field(default_factory=Limits, description="What a run may take.")
    provider: Slug = Field(
        "local", description="Where it runs: `local`, or a cloud.", examples=["local", "aws", "azure"]
    )
    storage: Annotated[str, BeforeValidator(_store_url)] | None = Field(
        None,
        description="URL of the object store for code, logs and outputs. Left out: the provider's default.",
        examples=["s3://bucket/folder", "file:///srv/sweeps"],
    )
    matrix: list[dict[str, Any]] | None = Field(
        None,
        description="Variants of this sweep: each entry is a partial spec that is laid over the rest, key by "
        "key. "
        "Parameters and lists are replaced as a whole. An entry's `name` is added to the sweep's.",
        examples=[[{"name": "torch", "workload": {"image": "orchestrator/pytorch:2.13"}}]],
    )

    @property
    def points(self) -> int | None:
        """How many combinations the parameters have; None when one of them is a distribution."""
        total = 1
        for parameter in self.parameters.values():
            if not parameter.axis:
                continue
            if parameter.size is None:
                return None
            total *= parameter.size
        return total

    @property
    def stages(self) -> int:
        """How many trials each point has that come one after the other: 1 where they do not."""
        return next((kind.size for kind in self.parameters.values() if isinstance(kind, Stages)), 1)

    @property
    def algorithm(self) -> str:
        """``search.algorithm``, decided."""
        return self.search.algorithm or ("random" if self.points is None else "grid")
