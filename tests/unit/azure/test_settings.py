"""Where the account is: from the environment, else from the profile file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.errors import AuthenticationFailed, UsageError
from orchestrator.providers.azure import settings
from orchestrator.storage.blob import BlobStore
from orchestrator.storage.layout import Home
from orchestrator.storage.open import open_store
from orchestrator.storage.profile import profile_file

ENDPOINT = "https://mine.westeurope.batch.azure.com"


def home(tmp_path: Path, profile: str | None = None, mode: int = 0o600) -> Home:
    made = Home(tmp_path)
    if profile is not None:
        profile_file(made).write_text(profile)
        profile_file(made).chmod(mode)
    return made


def test_a_missing_endpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(AuthenticationFailed, match=r"AZURE_BATCH_ENDPOINT is not set.*portal"):
        settings.load(home(tmp_path), {})


def test_the_endpoint_tells_the_account_and_no_key_means_entra_id(tmp_path: Path) -> None:
    known = settings.load(home(tmp_path), {"AZURE_BATCH_ENDPOINT": "mine.westeurope.batch.azure.com/"})
    assert (known.endpoint, known.account, known.key) == (ENDPOINT, "mine", None)
    assert (known.local, known.poll_seconds) == (False, settings.POLL)


def test_an_emulator_is_asked_more_often(tmp_path: Path) -> None:
    known = settings.load(
        home(tmp_path),
        {"AZURE_BATCH_ENDPOINT": "http://127.0.0.1:1", "AZURE_BATCH_ACCOUNT": "a", "AZURE_BATCH_KEY": "k"},
    )
    assert (known.local, known.poll_seconds) == (True, settings.LOCAL_POLL)


def test_a_key_without_its_account_is_an_error_where_the_endpoint_does_not_tell(tmp_path: Path) -> None:
    with pytest.raises(AuthenticationFailed, match="AZURE_BATCH_ACCOUNT is not"):
        settings.load(home(tmp_path), {"AZURE_BATCH_ENDPOINT": "http://127.0.0.1:1", "AZURE_BATCH_KEY": "k"})


def test_credentials_never_go_over_an_open_line(tmp_path: Path) -> None:
    with pytest.raises(AuthenticationFailed, match="https only"):
        settings.load(home(tmp_path), {"AZURE_BATCH_ENDPOINT": "http://mine.westeurope.batch.azure.com"})


def test_the_profile_file_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    made = home(tmp_path, f'[azure]\nbatch_endpoint = "{ENDPOINT}"\nbatch_key = "file"\n')
    assert settings.load(made, {}).key == "file"
    assert settings.load(made, {"AZURE_BATCH_KEY": "environment"}).key == "environment"


def test_the_profile_file_names_the_storage_account_and_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)
    lines = f'[azure]\nbatch_endpoint = "{ENDPOINT}"\nstorage_account = "mine"\nstorage_key = "a2V5"\n'
    made = home(tmp_path, lines)
    url = settings.store_url(settings.load(made))
    assert url == "az://mine/orchestrate"
    store = open_store(url, made)
    assert isinstance(store, BlobStore)
    assert store.account.credential == "a2V5"


def test_what_the_file_says_of_one_account_is_not_taken_for_another(tmp_path: Path) -> None:
    lines = f'[azure]\nbatch_endpoint = "{ENDPOINT}"\nbatch_key = "k"\n'
    lines += 'storage_account = "mine"\nstorage_url = "az://mine/x"\n'
    made = home(tmp_path, lines)
    other = settings.load(
        made, {"AZURE_BATCH_ENDPOINT": "https://other.westeurope.batch.azure.com", "AZURE_STORAGE_ACCOUNT": "other"}
    )
    assert (other.account, other.key, other.storage) == ("other", None, "az://other/orchestrate")


def test_a_variable_that_is_set_to_nothing_hides_what_the_file_says(tmp_path: Path) -> None:
    made = home(tmp_path, f'[azure]\nbatch_endpoint = "{ENDPOINT}"\nbatch_key = "k"\n')
    assert settings.load(made, {"AZURE_BATCH_KEY": ""}).key is None


def test_a_key_is_never_shown(tmp_path: Path) -> None:
    made = home(tmp_path, f'[azure]\nbatch_endpoint = "{ENDPOINT}"\nbatch_key = "s3cret"\n')
    assert "s3cret" not in repr(settings.load(made, {}))


@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [
        ("[azure", 0o600, "no TOML"),
        ("azure = 3", 0o600, r"\[azure\]"),
        ("[azure]\nbatch_key = 3", 0o600, "texts alone"),
        ('[azure]\nbatch_key = "k"', 0o644, "chmod 600"),
        ('[azure]\nstorage_connection_string = "k"', 0o644, "chmod 600"),
    ],
)
def test_a_wrong_profile_file_is_told_with_its_path(tmp_path: Path, text: str, mode: int, says: str) -> None:
    with pytest.raises(UsageError, match=says) as error:
        settings.load(home(tmp_path, text, mode), {})
    assert "profiles.toml" in str(error.value)
