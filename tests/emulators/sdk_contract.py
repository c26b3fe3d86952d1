"""What the installed Azure Batch SDK expects of the service, read out of the SDK itself.

The SDK is generated from the service's specification. So its request builders name every path and method, its
operations every status, response header and model, and its models every field. Nothing of this is written down here.
"""

from __future__ import annotations

import datetime
import functools
import inspect
import re
import textwrap
import typing
from dataclasses import dataclass
from enum import Enum
from typing import Any

import azure.batch._operations._operations as generated
from azure.batch import BatchClient, models
from azure.batch._utils.model_base import Model

# Present in every entity that the service sends, of no model.
PROTOCOL_FIELDS = frozenset({"odata.metadata"})

# Marked as required in the specification, and yet secrets, which the service takes and never gives back.
SECRET_FIELDS = frozenset(
    {
        ("UserAccount", "password"),
        ("AzureFileShareConfiguration", "accountKey"),
        ("CifsMountConfiguration", "password"),
    }
)


@dataclass(frozen=True)
class Operation:
    """One operation as the SDK has it."""

    name: str
    method: str
    path: re.Pattern[str]
    template: str
    statuses: frozenset[int]
    headers: frozenset[str]
    model: type[Model] | None
    is_list: bool


@functools.cache
def operations() -> tuple[Operation, ...]:
    """Every operation of the SDK, by its public name (`delete_pool` for `begin_delete_pool`)."""
    found = []
    for builder_name, builder in inspect.getmembers(generated, inspect.isfunction):
        matched = re.fullmatch(r"build_batch_(\w+?)(_internal)?_request", builder_name)
        if not matched:
            continue
        source = inspect.getsource(builder)
        template = re.search(r'_url = "(.*?)"', source)
        method = re.search(r'HttpRequest\(method="(\w+)"', source)
        assert template is not None
        assert method is not None
        name = matched[1]
        generated_name = f"_{name}_internal" if matched[2] else name
        implementation = getattr(generated._BatchClientOperationsMixin, generated_name)
        body = inspect.getsource(implementation)
        statuses = re.search(r"status_code not in \[([\d, ]+)\]", body)
        assert statuses is not None
        model, is_list = _response_model(body)
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template[1]))
        found.append(
            Operation(
                name=name,
                method=method[1],
                path=re.compile(pattern),
                template=template[1],
                statuses=frozenset(int(status) for status in statuses[1].split(",")),
                headers=frozenset(re.findall(r'response_headers\["(.*?)"\]', body)) - {"client-request-id"},
                model=model,
                is_list=is_list,
            )
        )
    return tuple(found)


def _response_model(body: str) -> tuple[type[Model] | None, bool]:
    for name in re.findall(r"_deserialize\(\s*(list\[_models\.\w+\]|_models\.\w+),", body):
        if "BatchError" in name:
            continue
        matched = re.fullmatch(r"(list\[)?_models\.(\w+)\]?", name)
        assert matched is not None
        return getattr(models, matched[2]), matched[1] is not None
    return None, False


def operation_of(method: str, path: str) -> Operation:
    for operation in operations():
        if operation.method == method and operation.path.fullmatch(path):
            return operation
    raise AssertionError(f"the SDK has no operation for {method} {path}")


@functools.cache
def fields(model: type[Model]) -> dict[str, tuple[Any, bool, bool]]:
    """Each field of a model by its name on the wire: its type, whether it is required, whether it is text there."""
    model()  # The SDK fills its table of fields when the first instance is made.
    hints = typing.get_type_hints(model, localns={"_models": models, "datetime": datetime})
    table = {}
    for name, field in model._attr_to_rest_field.items():
        kind = hints[name]
        optional = type(None) in typing.get_args(kind)
        table[field._rest_name] = (kind, not optional, field._format == "str")
    return table


def differences(value: Any, kind: Any, path: str = "", *, partial: bool = False) -> list[str]:
    """Where a JSON value and the type that the SDK reads it as disagree, in both directions.

    Args:
        partial: only some fields were asked for ($select), so none is missing at the top.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Union:
        return _union_differences(value, [each for each in arguments if each is not type(None)], path)
    if origin is list:
        if not isinstance(value, list):
            return [f"{path}: {value!r} is no list"]
        return [
            problem
            for index, item in enumerate(value)
            for problem in differences(item, arguments[0], f"{path}[{index}]")
        ]
    if origin is dict:
        return [] if isinstance(value, dict) else [f"{path}: {value!r} is no object"]
    if inspect.isclass(kind) and issubclass(kind, Model):
        return _model_differences(value, kind, path, partial)
    return _scalar_differences(value, kind, path)


def _union_differences(value: Any, kinds: list[Any], path: str) -> list[str]:
    enums = [kind for kind in kinds if inspect.isclass(kind) and issubclass(kind, Enum)]
    if enums:
        known = {member.value for member in enums[0]}
        return [] if value in known else [f"{path}: {value!r} is none of {sorted(known)}"]
    return differences(value, kinds[0], path)


def _model_differences(value: Any, model: type[Model], path: str, partial: bool) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path}: {value!r} is no object"]
    known = fields(model)
    found = [
        f"{path}.{name}: {model.__name__} has no such field" for name in value.keys() - known.keys() - PROTOCOL_FIELDS
    ]
    for name, (kind, required, as_text) in known.items():
        if name not in value:
            if required and not partial and (model.__name__, name) not in SECRET_FIELDS:
                found.append(f"{path}.{name}: is required in {model.__name__} and missing")
        elif value[name] is None:
            found.append(f"{path}.{name}: is null, where the service leaves it out")
        elif as_text:
            if not isinstance(value[name], str):
                found.append(f"{path}.{name}: {value[name]!r} must be a number as text")
        else:
            found += differences(value[name], kind, f"{path}.{name}")
    return found


def _scalar_differences(value: Any, kind: Any, path: str) -> list[str]:
    if kind is datetime.datetime:
        ok = isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", value)
    elif kind is datetime.timedelta:
        ok = isinstance(value, str) and re.fullmatch(r"-?P(?=.)[\dYMWDTHS.]*", value)
    elif kind is float:
        ok = isinstance(value, int | float) and not isinstance(value, bool)
    elif kind is int:
        ok = isinstance(value, int) and not isinstance(value, bool)
    else:
        ok = isinstance(value, kind)
    return [] if ok else [f"{path}: {value!r} is no {kind.__name__}"]


def begin_or_plain(client: BatchClient, name: str) -> Any:
    """The public method for an operation."""
    return getattr(client, f"begin_{name}", None) or getattr(client, name)


def source_of(function: Any) -> str:
    return textwrap.dedent(inspect.getsource(function))
