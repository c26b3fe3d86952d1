"""Emulators as pytest fixtures, for the tests of your own sweeps.

In your `conftest.py`:

    pytest_plugins = ["orchestrator.testing.fixtures"]

and then a test asks for `azure_batch_emulator`, `azurite` or `moto_server`. Each is started once a session, when the
first test asks for it, and ends with the session, however that ends. What is not installed skips the test with the
command that installs it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrator.emulators.azure_batch import AzureBatchEmulator
from orchestrator.emulators.azurite import Azurite
from orchestrator.emulators.azurite import find_azurite as _find_azurite
from orchestrator.emulators.childserver import ServerFailed
from orchestrator.emulators.moto import MotoServer
from orchestrator.emulators.moto import find_moto as _find_moto


@pytest.fixture(scope="session")
def azure_batch_emulator_options() -> dict[str, object]:
    """Arguments of the `AzureBatchEmulator`; override this fixture to change them."""
    return {"boot_seconds": 0.1}


@pytest.fixture(scope="session")
def azure_batch_session(azure_batch_emulator_options: dict[str, object]) -> Iterator[AzureBatchEmulator]:
    """One emulator for all tests of the session. Ask for `azure_batch_emulator` rather than for this."""
    with AzureBatchEmulator(**azure_batch_emulator_options) as emulator:  # type: ignore[arg-type]
        yield emulator


@pytest.fixture
def azure_batch_emulator(azure_batch_session: AzureBatchEmulator) -> Iterator[AzureBatchEmulator]:
    """The session's Azure Batch emulator; the faults that a test ordered are taken back after it."""
    yield azure_batch_session
    azure_batch_session.control.clear_faults()
    azure_batch_session.control.allow_allocation()
    azure_batch_session.control.reset_calls()


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """Azurite's Blob service."""
    try:
        _find_azurite()
    except ServerFailed as missing:
        pytest.skip(str(missing))
    with Azurite() as server:
        yield server


@pytest.fixture(scope="session")
def _moto_session() -> Iterator[MotoServer]:
    try:
        _find_moto()
    except ServerFailed as missing:
        pytest.skip(str(missing))
    with MotoServer() as server:
        yield server


@pytest.fixture
def moto_server(_moto_session: MotoServer) -> Iterator[MotoServer]:
    """The session's moto_server, emptied after each test."""
    yield _moto_session
    _moto_session.reset()
