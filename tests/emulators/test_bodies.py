"""The request bodies that the emulator takes are those that the SDK sends."""

from __future__ import annotations

import datetime
import inspect
import typing
from enum import Enum
from typing import Any

import pytest
from azure.batch.models import _enums as every_enum  # Some are not exported.
from azure.batch.models import _models as every_model

from orchestrator.emulators.azure_batch import bodies
from orchestrator.emulators.azure_batch.errors import BatchFault

from .sdk_contract import fields

SCALARS = {str: "str", int: "int", bool: "bool", datetime.datetime: "time", datetime.timedelta: "duration"}


def spelled(kind: Any) -> str:
    """A type of the SDK in the spelling of the tables."""
    arguments = [each for each in typing.get_args(kind) if each is not type(None)]
    if typing.get_origin(kind) is typing.Union:
        enums = [each for each in arguments if inspect.isclass(each) and issubclass(each, Enum)]
        return enums[0].__name__ if enums else spelled(arguments[0])
    if typing.get_origin(kind) is list:
        return f"[{spelled(arguments[0])}]"
    if typing.get_origin(kind) is dict:
        return f"{{{spelled(arguments[1])}}}"
    return SCALARS.get(kind) or kind.__name__


def writable(model: Any) -> dict[str, tuple[str, bool]]:
    fields(model)
    read_only = {field._rest_name for field in model._attr_to_rest_field.values() if field._visibility == ["read"]}
    return {
        name: (spelled(kind), required) for name, (kind, required, _) in fields(model).items() if name not in read_only
    }


@pytest.mark.parametrize("model", sorted(bodies.models()))
def test_each_request_model_has_the_fields_of_the_sdk_and_no_others(model: str) -> None:
    ours = {name: (field.kind, field.required) for name, field in bodies.models()[model].items()}
    assert ours == writable(getattr(every_model, model))


@pytest.mark.parametrize("name", sorted(bodies.enums()))
def test_each_enumeration_has_the_values_of_the_sdk_and_no_others(name: str) -> None:
    assert set(bodies.enums()[name].values()) == {member.value for member in getattr(every_enum, name)}


def test_every_type_that_a_table_names_has_a_table() -> None:
    known = set(bodies.models()) | set(bodies.enums()) | set(SCALARS.values())
    named = {field.kind.strip("[]{}") for table in bodies.models().values() for field in table.values()}
    assert named <= known


def test_a_nested_unknown_property_is_named_with_its_path() -> None:
    with pytest.raises(BatchFault) as caught:
        bodies.validated("BatchJobCreateOptions", {"id": "a", "poolInfo": {"poolID": "p"}})
    assert caught.value.code == "UnsupportedProperty"
    assert caught.value.values["PropertyName"] == "poolInfo.poolID"


def test_a_missing_required_property_is_named() -> None:
    with pytest.raises(BatchFault) as caught:
        bodies.validated("BatchTaskCreateOptions", {"id": "a"})
    assert (caught.value.code, caught.value.values["PropertyName"]) == ("MissingRequiredProperty", "commandLine")


@pytest.mark.parametrize(
    ("content", "path"),
    [
        ({"id": 1, "commandLine": "x"}, "id"),
        ({"id": "a", "commandLine": "x", "requiredSlots": True}, "requiredSlots"),
        (
            {"id": "a", "commandLine": "x", "constraints": {"maxWallClockTime": "1 hour"}},
            "constraints.maxWallClockTime",
        ),
        ({"id": "a", "commandLine": "x", "resourceFiles": [{"httpUrl": 1}]}, "resourceFiles[0].httpUrl"),
        (
            {"id": "a", "commandLine": "x", "userIdentity": {"autoUser": {"scope": "node"}}},
            "userIdentity.autoUser.scope",
        ),
    ],
)
def test_a_value_of_the_wrong_type_is_named_with_its_path(content: dict[str, Any], path: str) -> None:
    with pytest.raises(BatchFault) as caught:
        bodies.validated("BatchTaskCreateOptions", content)
    assert caught.value.values["PropertyName"] == path


def test_nulls_count_as_absent_and_enumerations_come_in_their_own_spelling() -> None:
    checked = bodies.validated(
        "BatchPoolResizeOptions", {"targetDedicatedNodes": None, "nodeDeallocationOption": "TaskCompletion"}
    )
    assert checked == {"nodeDeallocationOption": "taskcompletion"}
