"""The errors that this library raises on purpose.

Each one is a sentence for the user: what was wrong, where, and (``remedy``) what to do about it.  ``exit_code`` is
what the command line ends with.  Providers and stores raise only the subclasses of :class:`ProviderError`, which say
by their type what went wrong and by ``retryable`` whether the same call may succeed later; no caller ever looks at
the text.
"""

from __future__ import annotations


def sentence(text: str) -> str:
    """The text with an end, which a provider's own words may lack, so that another sentence can follow."""
    text = text.rstrip()
    return text if not text or text[-1] in ".:;!?" else f"{text}."


class OrchestrateError(Exception):
    """Base of all our errors."""

    exit_code = 3

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{sentence(self.message)} {self.remedy}" if self.remedy else self.message


class UsageError(OrchestrateError):
    """The input is wrong; nothing was started."""

    exit_code = 2


class RunNotFound(UsageError):
    """No run has this id or prefix."""


class RunBusy(UsageError):
    """Another live driver holds this run."""


class MachineError(OrchestrateError):
    """This machine failed us: a full disk, a folder that cannot be written, a process that cannot start."""


class ProviderError(OrchestrateError):
    """A provider or an object store refused or failed."""

    retryable = False


class NotFound(ProviderError):
    """The named thing does not exist (any more)."""


class QuotaExceeded(ProviderError):
    """A lasting limit of the account; asking again will not help."""


class NoCapacity(ProviderError):
    """The provider has no such machine at the moment; asking again may help."""

    retryable = True


class Throttled(ProviderError):
    """Too many calls; ``retry_after`` is the wait in seconds that the provider asked for, if it did."""

    retryable = True

    def __init__(self, message: str, *, remedy: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after = retry_after


class AuthenticationFailed(ProviderError):
    """Credentials are missing, wrong or not allowed to do this."""


class InvalidRequest(ProviderError):
    """The provider will never accept this request as it is."""


class Unavailable(ProviderError):
    """The provider did not answer or failed inside; whether the call took effect is unknown."""

    retryable = True
