"""Where the account is: from the environment, else from the profile file."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import AuthenticationFailed, UsageError
from orchestrator.providers.azure import settings
from orchestrator.storage.layout import Home

ENDPOINT = "https://mine.westeurope.batch.azure.com"


def home(tmp_path: Path, profile: str | None = None, mode: int = 0o600) -> Home:
    made = Home(tmp_path)
    if profile is not None:
        settings.profile_file(made).write_text(profile)
        settings.profile_file(made).chmod(mode)
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
    ],
)
def test_a_wrong_profile_file_is_told_with_its_path(tmp_path: Path, text: str, mode: int, says: str) -> None:
    with pytest.raises(UsageError, match=says) as error:
        settings.load(home(tmp_path, text, mode), {})
    assert "profiles.toml" in str(error.value)
