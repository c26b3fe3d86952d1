"""The local provider, as every other, proves itself by the conformance suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.providers.local import connect
from orchestrator.storage import bundle
from orchestrator.storage.layout import Home
from orchestrator.storage.local import LocalStore
from orchestrator.testing.conformance import Bench, ProviderSuite


class TestLocal(ProviderSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def bench(cls, tmp_path_factory: pytest.TempPathFactory) -> Bench:
        home = Home(Path(tmp_path_factory.mktemp("home")))
        store = LocalStore(home.store)
        return Bench(lambda run: connect(home, run), store, lambda digest: bundle.unpack(store, digest, home.code))
