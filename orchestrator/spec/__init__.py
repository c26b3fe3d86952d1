"""From ``sweep.yaml`` or a Python mapping to a typed spec, with errors that point at the line."""

from orchestrator.spec.load import Loaded, from_dict, load, parse
from orchestrator.spec.model import (
    Input,
    Limits,
    Pool,
    Resources,
    Retries,
    Search,
    Spec,
    Workload,
)
from orchestrator.spec.parameters import (
    KINDS,
    Choice,
    Fixed,
    Integer,
    Kind,
    Linspace,
    LogUniform,
    Normal,
    Parameter,
    Range,
    Uniform,
)
from orchestrator.spec.problems import Problem, SpecError
from orchestrator.spec.variants import expand

__all__ = [
    "KINDS",
    "Choice",
    "Fixed",
    "Input",
    "Integer",
    "Kind",
    "Limits",
    "Linspace",
    "Loaded",
    "LogUniform",
    "Normal",
    "Parameter",
    "Pool",
    "Problem",
    "Range",
    "Resources",
    "Retries",
    "Search",
    "Spec",
    "SpecError",
    "Uniform",
    "Workload",
    "expand",
    "from_dict",
    "load",
    "parse",
]
