"""Verification of SharedKey signatures (HMAC-SHA256 over the canonical request).

Source: "Authenticate with Shared Key" of the service's REST reference. The SDKs differ in two small points, and
the service takes both: a length of zero is signed as `0` or as nothing, and query parameters are named as sent or
in lower case.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Mapping
from itertools import product
from urllib.parse import parse_qsl

from .errors import BatchFault
from .timefmt import MINUTE, parse_http_date

# A request may be at most this old; the real time counts, however far the emulator's was moved.
MAX_SKEW = 15 * MINUTE

_SIGNED_HEADERS = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)


def check_signature(
    account: str, key: str, method: str, raw_path: str, raw_query: str, headers: Mapping[str, str]
) -> None:
    """Let a correctly signed, fresh request pass.

    Args:
        headers: names in lower case.

    Raises:
        BatchFault: with the string that should have been signed, as the service tells it.
    """
    authorization = headers.get("authorization")
    if authorization is None:
        raise BatchFault("Unauthenticated", headers={"WWW-Authenticate": "SharedKey"})
    scheme, _, credential = authorization.partition(" ")
    if scheme.lower() != "sharedkey":
        raise BatchFault("Unauthenticated", f"The emulator takes SharedKey, not {scheme!r}.")
    given_account, _, signature = credential.strip().partition(":")
    if not signature:
        raise BatchFault("InvalidAuthenticationInfo", "expected SharedKey ACCOUNT:SIGNATURE")
    if given_account != account:
        raise BatchFault("AuthenticationFailed", f"There is no account {given_account!r} here.")
    _check_freshness(headers)
    candidates = _strings_to_sign(account, method, raw_path, raw_query, headers)
    secret = _decode_key(key)
    for text in candidates:
        digest = hmac.new(secret, text.encode(), hashlib.sha256).digest()
        if hmac.compare_digest(base64.b64encode(digest), signature.encode()):
            return
    raise BatchFault(
        "AuthenticationFailed",
        values={
            "AuthenticationErrorDetail": "The MAC signature found in the HTTP request is not the same as any "
            f"computed signature. Server used following string to sign: {candidates[0]!r}."
        },
    )


def _decode_key(key: str) -> bytes:
    try:
        return base64.b64decode(key, validate=True)
    except binascii.Error as problem:
        raise ValueError("the account key must be base64") from problem


def _check_freshness(headers: Mapping[str, str]) -> None:
    date = headers.get("ocp-date") or headers.get("date")
    if date is None:
        raise BatchFault("MissingRequiredHeader", values={"HeaderName": "ocp-date"})
    try:
        sent = parse_http_date(date)
    except (ValueError, TypeError) as problem:
        raise BatchFault("InvalidHeaderValue", values={"HeaderName": "ocp-date", "HeaderValue": date}) from problem
    if abs(time.time_ns() // 1000 - sent) > MAX_SKEW:
        raise BatchFault(
            "AuthenticationFailed",
            values={"AuthenticationErrorDetail": "The date header in the request is incorrect or too old."},
        )


def _strings_to_sign(account: str, method: str, raw_path: str, raw_query: str, headers: Mapping[str, str]) -> list[str]:
    query: dict[str, str] = {}
    for name, value in parse_qsl(raw_query):
        query.setdefault(name, value)
    texts = []
    zero_lengths = ("", "0") if method in ("GET", "HEAD") else ("0", "")
    for lower_names, zero_length in product((False, True), zero_lengths):
        signed = [method]
        for name in _SIGNED_HEADERS:
            value = headers.get(name, "")
            if name == "content-length" and value in ("", "0"):
                value = zero_length
            signed.append(value)
        signed += [f"{name}:{value}" for name, value in sorted(headers.items()) if name.startswith("ocp-") and value]
        resource = f"/{account}{raw_path}"
        named = {name.lower() if lower_names else name: value for name, value in query.items()}
        resource += "".join(f"\n{name}:{value}" for name, value in sorted(named.items()) if value)
        texts.append("\n".join(signed) + "\n" + resource)
    return texts
