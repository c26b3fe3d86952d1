"""Calls to a provider or a store that fail in passing are made again, with growing waits or as long as it asks for.

This is for blips.  What lasts longer comes back to the driver, which goes on with the rest of the run and comes back
to the call later, so that nothing blocks a Ctrl-C for long.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from orchestrator.engine.clock import Clock
from orchestrator.errors import ProviderError, Throttled

if TYPE_CHECKING:
    from tenacity import RetryCallState

T = TypeVar("T")

ATTEMPTS = 4
FIRST_WAIT = 0.25  # seconds; doubled each time
LONGEST_WAIT = 10.0


def _pause(error: BaseException | None, attempt: int) -> float:
    """Seconds before the next call, after so many."""
    if isinstance(error, Throttled) and error.retry_after is not None:
        return min(error.retry_after, LONGEST_WAIT)
    return min(FIRST_WAIT * 2.0 ** (attempt - 1), LONGEST_WAIT)


def _wait(state: RetryCallState) -> float:
    return _pause(state.outcome.exception() if state.outcome else None, state.attempt_number)


def retrying(call: Callable[[], T], clock: Clock) -> T:
    """``call()``; a retryable ProviderError is tried again a few times and then raised."""
    try:
        return call()
    except ProviderError as error:
        if not error.retryable:
            raise
        first = error
    # Loaded only now: a run in which nothing fails does not pay for it.
    from tenacity import Retrying, retry_if_exception, stop_after_attempt

    clock.sleep(_pause(first, 1))
    return Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=_wait,
        retry=retry_if_exception(lambda error: isinstance(error, ProviderError) and error.retryable),
        sleep=clock.sleep,
        reraise=True,
    )(call)
