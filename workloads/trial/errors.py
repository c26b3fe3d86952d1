"""Bad data or bad settings end a program with one sentence instead of a traceback."""

import sys
from collections.abc import Callable


class BadInput(Exception):
    """What the user gave cannot be used: the message says what is wrong, where, and what to do."""


def run_program(main: Callable[[], None]) -> None:
    """Run `main`; on `BadInput` print its sentence to stderr and exit with code 2 (never worth a retry)."""
    try:
        main()
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
