"""What follows from an ending, by the order and the defaults of the reference."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.emulators.azure_batch.exitconditions import Ending, consequence
from orchestrator.emulators.azure_batch.failures import ended_by_user, exit_code_failure

FAILED_UPLOAD = {"category": "usererror", "code": "FileUploadMiscError", "message": ""}

SUCCESS = Ending(0)
FAILURE = Ending(5, exit_code_failure())
NO_START = Ending(failure=FAILED_UPLOAD, pre_processing=True)
NO_UPLOAD = Ending(0, FAILED_UPLOAD, upload_failed=True)
FAILURE_AND_NO_UPLOAD = Ending(5, exit_code_failure(), upload_failed=True)
ENDED = Ending(failure=ended_by_user())


def code(number: int, **options: str) -> dict[str, Any]:
    return {"exitCodes": [{"code": number, "exitOptions": options}]}


def span(start: int, end: int, **options: str) -> dict[str, Any]:
    return {"exitCodeRanges": [{"start": start, "end": end, "exitOptions": options}]}


DISABLE: dict[str, str] = {"jobAction": "disable", "dependencyAction": "satisfy"}
EVERY_FAILURE = {"default": DISABLE}


@pytest.mark.parametrize("ending", [FAILURE, NO_START, NO_UPLOAD, FAILURE_AND_NO_UPLOAD, ENDED])
def test_a_failure_ends_the_job_and_blocks_where_nothing_is_given(ending: Ending) -> None:
    for conditions in (None, {}, {"default": {}}, code(6, **DISABLE), span(6, 9, **DISABLE)):
        follows = consequence(conditions, ending)
        assert (follows.job_action, follows.satisfies) == ("terminate", False)


def test_a_success_does_nothing_and_satisfies_where_nothing_is_given_for_code_zero() -> None:
    for conditions in (None, {}, {"default": {"jobAction": "disable", "dependencyAction": "block"}}, code(0)):
        follows = consequence(conditions, SUCCESS)
        assert (follows.job_action, follows.satisfies) == ("none", True)


@pytest.mark.parametrize("ending", [FAILURE, NO_START, NO_UPLOAD, FAILURE_AND_NO_UPLOAD, ENDED])
def test_default_is_for_every_failure_that_has_no_condition_of_its_own(ending: Ending) -> None:
    follows = consequence(EVERY_FAILURE, ending)
    assert (follows.job_action, follows.satisfies) == ("disable", True)


@pytest.mark.parametrize(
    ("ending", "conditions"),
    [
        (SUCCESS, code(0, jobAction="none", dependencyAction="block")),
        (FAILURE, code(5, jobAction="none", dependencyAction="block")),
        (FAILURE, span(5, 7, jobAction="none", dependencyAction="block")),
        (FAILURE, span(5, 7, **DISABLE) | code(5, jobAction="none", dependencyAction="block")),
        (NO_START, {"preProcessingError": {"jobAction": "none", "dependencyAction": "block"}}),
        (NO_UPLOAD, {"fileUploadError": {"jobAction": "none", "dependencyAction": "block"}}),
        (NO_UPLOAD, {"fileUploadError": DISABLE} | code(0, jobAction="none", dependencyAction="block")),
        (FAILURE_AND_NO_UPLOAD, {"fileUploadError": DISABLE} | code(5, jobAction="none", dependencyAction="block")),
        (FAILURE_AND_NO_UPLOAD, {"fileUploadError": {"jobAction": "none", "dependencyAction": "block"}}),
    ],
)
def test_the_narrowest_condition_is_the_one_that_counts(ending: Ending, conditions: dict[str, Any]) -> None:
    follows = consequence({**EVERY_FAILURE, **conditions}, ending)
    assert (follows.job_action, follows.satisfies) == ("none", False)


@pytest.mark.parametrize(
    ("ending", "conditions", "job_action", "satisfies"),
    [
        (FAILURE, code(5, dependencyAction="satisfy"), "terminate", True),
        (FAILURE, code(5, jobAction="none"), "none", False),
        (NO_START, {"preProcessingError": {}}, "terminate", False),
        (SUCCESS, code(0, jobAction="terminate"), "terminate", True),
        (NO_UPLOAD, code(0, dependencyAction="block"), "none", False),
    ],
)
def test_what_a_condition_leaves_out_is_not_taken_from_default(
    ending: Ending, conditions: dict[str, Any], job_action: str, satisfies: bool
) -> None:
    follows = consequence({**EVERY_FAILURE, **conditions}, ending)
    assert (follows.job_action, follows.satisfies) == (job_action, satisfies)
