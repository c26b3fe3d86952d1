"""What S3 says when it refuses, in our words: one table of its codes, and the IAM action behind each call.

Codes: the "Error responses" page of the S3 API reference; actions: "Actions defined by Amazon S3" in the service
authorization reference.  Answers to HEAD have no body, so there the code is the HTTP status.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
    **dict.fromkeys(("NoSuchKey", "NoSuchBucket", "NoSuchUpload", "NoSuchVersion", "404"), NotFound),
    **dict.fromkeys(
        (
            "AccessDenied", "AccountProblem", "AllAccessDisabled", "AuthorizationHeaderMalformed",
            "ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidClientTokenId",
            "InvalidSecurity", "InvalidToken", "MissingAuthenticationToken", "MissingSecurityHeader",
            "NotSignedUp", "RequestExpired", "RequestTimeTooSkewed", "SignatureDoesNotMatch",
            "TokenRefreshRequired", "UnauthorizedAccess", "UnrecognizedClientException", "401", "403",
        ),
        AuthenticationFailed,
    ),
    **dict.fromkeys(
        (
            "BandwidthLimitExceeded", "RequestLimitExceeded", "RequestThrottled", "RequestThrottledException",
            "SlowDown", "Throttling", "ThrottlingException", "ThrottledException", "TooManyRequests",
            "TooManyRequestsException", "429",
        ),
        Throttled,
    ),
    **dict.fromkeys(
        (
            "BadDigest", "ConditionalRequestConflict", "IncompleteBody", "InternalError", "OperationAborted",
            "PreconditionFailed", "PriorRequestNotComplete", "RequestTimeout", "RequestTimeoutException",
            "ServiceUnavailable",
        ),
        Unavailable,
    ),
    **dict.fromkeys(("QuotaExceeded", "TooManyBuckets", "XMinioAdminBucketQuotaExceeded", "XMinioStorageFull"),
                    QuotaExceeded),
}  # fmt: skip

_ACTIONS = {
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "CompleteMultipartUpload": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "DeleteObject": "s3:DeleteObject",
    "DeleteObjects": "s3:DeleteObject",
    "GetObject": "s3:GetObject",
    "HeadBucket": "s3:ListBucket",
    "HeadObject": "s3:GetObject",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "ListObjectsV2": "s3:ListBucket",
    "ListParts": "s3:ListMultipartUploadParts",
    "PutObject": "s3:PutObject",
    "UploadPart": "s3:PutObject",
}


def explain(operation: str, response: Mapping[str, Any], where: str) -> ProviderError:
    """Our error for the answer that botocore's ClientError carries; ``where`` is the object's URL."""
    error = response.get("Error", {})
    metadata = response.get("ResponseMetadata", {})
    code = str(error.get("Code", ""))
    status = int(metadata.get("HTTPStatusCode", 0))
    said = f"S3 answered {operation} of {where} with {code}: {error.get('Message', '')}".rstrip(": ") + "."
    kind = _KINDS.get(code) or _by_status(status)
    if kind is Throttled:
        after = str(metadata.get("HTTPHeaders", {}).get("retry-after", ""))
        return Throttled(said, retry_after=float(after) if after.isdigit() else None)
    return kind(said, remedy=_remedy(kind, code, operation))


def _by_status(status: int) -> type[ProviderError]:
    return _KINDS.get(str(status)) or (Unavailable if status >= 500 else InvalidRequest)


def _remedy(kind: type[ProviderError], code: str, operation: str) -> str:
    if code == "NoSuchBucket":
        return "Create the bucket or correct the store's URL."
    if kind is not AuthenticationFailed:
        return ""
    if code in ("AccessDenied", "403", "AllAccessDisabled", "UnauthorizedAccess"):
        action = _ACTIONS.get(operation, f"s3:{operation}")
        also = " and s3:ListBucket" if operation in ("HeadObject", "GetObject") else ""
        return f"Allow {action}{also} on it to these credentials."
    if code in ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"):
        return "The credentials have expired: sign in again (aws sso login) or set new ones."
    if code == "RequestTimeTooSkewed":
        return "Set this machine's clock."
    return "Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or AWS_PROFILE."
