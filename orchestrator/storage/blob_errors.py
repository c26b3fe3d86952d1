"""What Azure Storage says when it refuses, in our words: one table of its error codes.

Codes: "Common REST API error codes" and "Blob Storage error codes" of the service's reference.
"""

from __future__ import annotations

from orchestrator.errors import (
    AuthenticationFailed,
    InvalidRequest,
    NotFound,
    ProviderError,
    QuotaExceeded,
    Throttled,
    Unavailable,
)

_KINDS: dict[str, type[ProviderError]] = {
    **dict.fromkeys(("BlobNotFound", "ContainerNotFound", "ResourceNotFound"), NotFound),
    **dict.fromkeys(
        (
            "AccountIsDisabled", "AuthenticationFailed", "AuthorizationFailure", "AuthorizationPermissionMismatch",
            "AuthorizationProtocolMismatch", "AuthorizationResourceTypeMismatch", "AuthorizationServiceMismatch",
            "AuthorizationSourceIPMismatch", "InsufficientAccountPermissions", "InvalidAuthenticationInfo",
            "KeyBasedAuthenticationNotPermitted", "NoAuthenticationInformation", "PublicAccessNotPermitted",
            "UnauthorizedBlobOverwrite",
        ),
        AuthenticationFailed,
    ),
    **dict.fromkeys(("ServerBusy", "SnapshotOperationRateExceeded", "TooManyRequests"), Throttled),
    **dict.fromkeys(
        ("ConditionNotMet", "ContainerBeingDeleted", "InternalError", "Md5Mismatch", "OperationTimedOut"), Unavailable
    ),
}  # fmt: skip

_BY_STATUS: dict[int, type[ProviderError]] = {
    401: AuthenticationFailed,
    403: AuthenticationFailed,
    404: NotFound,
    408: Unavailable,
    412: Unavailable,
    429: Throttled,
    507: QuotaExceeded,
}

_MAY_NOT = ("AuthorizationPermissionMismatch", "InsufficientAccountPermissions", "UnauthorizedBlobOverwrite")

SIGN_IN = (
    "Set AZURE_STORAGE_KEY or AZURE_STORAGE_CONNECTION_STRING, or sign in with az login, or set AZURE_CLIENT_ID, "
    "AZURE_TENANT_ID and AZURE_CLIENT_SECRET."
)


def code_of(error: object) -> str:
    """The code that the SDK puts onto the errors that it raises for answers of the service, as plain text."""
    code = getattr(error, "error_code", None) or ""
    return str(getattr(code, "value", code))


def explain(code: str, status: int, message: str, where: str, retry_after: str = "") -> ProviderError:
    """Our error for an answer with this ``x-ms-error-code``; ``where`` is what was asked for."""
    kind = _KINDS.get(code) or _BY_STATUS.get(status) or (Unavailable if status >= 500 else InvalidRequest)
    first = message.partition("\n")[0].rstrip(" .")
    said = f"Azure Storage answered {code or status} for {where}" + (f": {first}." if first else ".")
    if kind is Throttled:
        return Throttled(said, retry_after=float(retry_after) if retry_after.isdigit() else None)
    return kind(said, remedy=_remedy(kind, code))


def _remedy(kind: type[ProviderError], code: str) -> str:
    if code == "ContainerNotFound":
        return "Create the container or correct the store's URL."
    if kind is not AuthenticationFailed:
        return ""
    if code in _MAY_NOT:
        return "Give this identity the roles Storage Blob Data Contributor and Storage Blob Delegator on the account."
    if code in ("AuthorizationFailure", "AuthorizationSourceIPMismatch"):
        return f"Allow this machine's network in the account's firewall, or check the credentials. {SIGN_IN}"
    if code == "KeyBasedAuthenticationNotPermitted":
        return "This account allows no keys: unset AZURE_STORAGE_KEY and sign in with az login."
    return SIGN_IN
