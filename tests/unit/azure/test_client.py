"""Calls that fail, in our words; calls that fail in passing, made again.  Against the emulator over real HTTP."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from orchestrator.emulators.azure_batch import AzureBatchEmulator, Control
from orchestrator.errors import AuthenticationFailed, InvalidRequest, NotFound, ProviderError, Throttled, Unavailable
from orchestrator.providers.azure import client
from orchestrator.providers.azure.client import Batch, code_of
from orchestrator.providers.azure.settings import Settings


@pytest.fixture
def settings(emulator: AzureBatchEmulator) -> Settings:
    return Settings(emulator.endpoint, emulator.account, emulator.key)


class Slept(list[float]):
    """Remembers what was slept, and sleeps not."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def slept() -> Slept:
    return Slept()


@pytest.fixture
def batch(settings: Settings, slept: Slept) -> Batch:
    return Batch(settings, sleep=slept, seed=1)


def test_what_does_not_exist_is_not_found_and_has_its_code(batch: Batch) -> None:
    with pytest.raises(NotFound, match="PoolNotFound") as error:
        batch.call(batch.sdk.get_pool, "nobody")
    assert code_of(error.value) == "PoolNotFound"
    assert not error.value.retryable


def test_a_wrong_key_says_which_variable_to_check(settings: Settings) -> None:
    wrong = Batch(replace(settings, key="d3Jvbmc="))
    with pytest.raises(AuthenticationFailed, match="AZURE_BATCH_KEY") as error:
        wrong.call(wrong.sdk.get_pool, "p")
    assert "string to sign" not in str(error.value), "what was signed is of no use to whoever has a wrong key"


def test_a_key_that_is_none_says_so(settings: Settings) -> None:
    wrong = Batch(replace(settings, key="not base64!"))
    with pytest.raises(AuthenticationFailed, match="no base64"):
        wrong.call(wrong.sdk.get_pool, "p")


def test_who_is_not_signed_in_is_told_how_in_one_sentence(tmp_path: Path) -> None:
    """From the command line, with no way to Azure at all: what would be asked on the way is closed."""
    home = {"ORCHESTRATE_HOME": str(tmp_path), "AZURE_BATCH_ENDPOINT": "https://x.westeurope.batch.azure.com"}
    nobody = {"IDENTITY_ENDPOINT": "http://127.0.0.1:9", "IDENTITY_HEADER": "x", "HOME": str(tmp_path), "PATH": ""}
    program = [sys.executable, "-m", "orchestrator", "gc", "--provider", "azure"]
    done = subprocess.run(program, env={**home, **nobody}, capture_output=True, text=True)
    assert done.returncode == 3
    (told,) = done.stderr.splitlines()
    assert "Nobody is signed in to Azure" in told
    assert "az login" in told


def test_an_endpoint_that_nobody_has_ever_answered_at_says_which_variable_to_check(
    settings: Settings, slept: Slept
) -> None:
    nobody = Batch(replace(settings, endpoint="http://127.0.0.1:9"), sleep=slept)
    with pytest.raises(
        AuthenticationFailed, match=r"did not answer.*AZURE_BATCH_ENDPOINT, which is http://127.0.0.1:9"
    ):
        nobody.call(nobody.sdk.get_pool, "p")
    assert len(slept) == client.TRIES_OF_FIRST - 1


def test_a_service_that_has_answered_and_is_gone_may_come_back(slept: Slept) -> None:
    with AzureBatchEmulator() as own:
        batch = Batch(Settings(own.endpoint, own.account, own.key), sleep=slept)
        list(batch.pages(batch.sdk.list_pools()))
    with pytest.raises(Unavailable, match="did not answer") as error:
        list(batch.pages(batch.sdk.list_pools()))
    assert error.value.retryable
    assert len(slept) == client.TRIES - 1


def test_a_wrong_body_is_refused_for_good_with_the_property(batch: Batch, slept: Slept) -> None:
    from azure.batch.models import BatchPoolCreateOptions

    with pytest.raises(InvalidRequest, match="vmSize"):
        batch.call(batch.sdk.create_pool, BatchPoolCreateOptions({"id": "p", "vmSize": "nonsense"}))
    assert slept == []


def test_a_call_that_fails_in_passing_is_made_again_with_growing_waits(
    batch: Batch, control: Control, slept: Slept
) -> None:
    control.error(operations=["list_pools"], times=3)
    assert list(batch.pages(batch.sdk.list_pools())) is not None
    assert len(slept) == 3
    assert all(later > earlier / 3 for earlier, later in pairwise(slept))


def test_a_throttled_call_waits_as_long_as_it_is_told(batch: Batch, control: Control, slept: Slept) -> None:
    control.throttle(operations=["list_pools"], times=2, retry_after=3.0)
    list(batch.pages(batch.sdk.list_pools()))
    assert slept == [3.0, 3.0]


def test_a_long_wait_is_handed_to_the_caller(batch: Batch, control: Control, slept: Slept) -> None:
    control.throttle(operations=["list_pools"], times=1, retry_after=120.0)
    with pytest.raises(Throttled) as error:
        list(batch.pages(batch.sdk.list_pools()))
    assert (error.value.retry_after, error.value.retryable, slept) == (120.0, True, [])


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_connection_that_breaks_is_tried_again(batch: Batch, control: Control, when: str) -> None:
    control.drop(operations=["list_pools"], times=2, when=when)
    assert list(batch.pages(batch.sdk.list_pools())) is not None


def test_what_never_works_is_given_up_and_may_be_tried_later(batch: Batch, control: Control) -> None:
    control.error(operations=["list_pools"])
    with pytest.raises(Unavailable) as error:
        list(batch.pages(batch.sdk.list_pools()))
    assert error.value.retryable


def test_a_page_that_failed_is_asked_for_again_and_no_other(batch: Batch, control: Control, tmp_path: Path) -> None:
    control.error(operations=["list_supported_images"], times=1, skip=1)
    pages = list(batch.pages(batch.sdk.list_supported_images(max_results=5)))
    agents = [(image.node_agent_sku_id, image.image_reference.sku) for page in pages for image in page]
    assert len(pages) > 1
    assert len(agents) == len(set(agents))


def test_errors_of_every_status_have_a_kind() -> None:
    kinds = {status: client._by_status(status) for status in (400, 401, 403, 404, 408, 409, 412, 429, 500, 503, 0)}
    assert all(issubclass(kind, ProviderError) for kind in kinds.values())
    assert kinds[409] is InvalidRequest
    assert kinds[503] is Throttled
    assert kinds[0] is kinds[500] is Unavailable
