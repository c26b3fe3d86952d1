"""Our signatures against those of the SDK."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from urllib.parse import parse_qs

import pytest
from azure.storage.blob import UserDelegationKey
from azure.storage.blob._shared_access_signature import BlobSharedAccessSignature

from orchestrator.providers.azure.sas import SKEW, VERSION, Delegation, Signer

KEY = base64.b64encode(b"k" * 64).decode()
START, EXPIRY = 1_800_000_000.0, 1_800_100_000.0
BEGIN = datetime.fromtimestamp(START - SKEW, UTC)
END = datetime.fromtimestamp(EXPIRY, UTC)
NAMES = ["runs/r/a.txt", "runs/r/with space & ünïcode+%/=.txt"]


def sdk() -> BlobSharedAccessSignature:
    made = BlobSharedAccessSignature("account", KEY)
    made.x_ms_version = VERSION
    return made


def ours(*, https: bool = True) -> Signer:
    return Signer("account", KEY, start=START, expiry=EXPIRY, https=https)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("permissions", ["r", "cw", "rcwd", "a"])
def test_a_blob_s_token_is_the_sdk_s(name: str, permissions: str) -> None:
    theirs = sdk().generate_blob("box", name, permission=permissions, expiry=END, start=BEGIN, protocol="https")
    assert parse_qs(ours().blob("box", name, permissions)) == parse_qs(theirs)


def test_a_container_s_token_is_the_sdk_s() -> None:
    theirs = sdk().generate_container("box", permission="cw", expiry=END, start=BEGIN)
    assert parse_qs(ours(https=False).container("box", "cw")) == parse_qs(theirs)


def test_a_folder_s_token_is_the_sdk_s() -> None:
    theirs = sdk().generate_blob(
        "box", "runs/r/trials", permission="cw", expiry=END, start=BEGIN, protocol="https", is_directory=True
    )
    assert parse_qs(ours().folder("box", "runs/r/trials", "cw")) == parse_qs(theirs)


def test_a_delegated_token_names_the_delegation_and_differs_from_the_account_s() -> None:
    key = UserDelegationKey()
    key.signed_oid, key.signed_tid, key.signed_service, key.signed_version = "o", "t", "b", VERSION
    key.signed_start, key.signed_expiry, key.value = "2027-01-15T00:00:00Z", "2027-01-16T00:00:00Z", KEY
    delegation = Delegation("o", "t", key.signed_start, key.signed_expiry, "b", VERSION)
    token = parse_qs(Signer("account", KEY, start=START, expiry=EXPIRY, delegation=delegation).blob("box", "n", "r"))
    assert (token["skoid"], token["sktid"], token["skv"]) == (["o"], ["t"], [VERSION])
    assert token["sig"] != parse_qs(ours().blob("box", "n", "r"))["sig"]


def test_different_blobs_and_permissions_have_different_signatures() -> None:
    signer = ours()
    tokens = {signer.blob("box", name, p) for name in ("a", "b") for p in ("r", "cw")}
    assert len(tokens) == 4
