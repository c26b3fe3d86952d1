"""How the driver, the supervisor and the slots talk: one socket, one JSON object a message.

The driver holds one end, all others share the other one.  The kernel hands each message to exactly one reader, so an
idle slot takes the next task without anyone in between, and a slot's message arrives whole.

To a slot: a task, or ``{"file": PATH}`` of one that is too long.  To the driver::

    {"running": NAME, "at": UNIX}                      only of a task that is not over at once
    {"metrics": NAME, "values": [[METRIC, VALUE, STEP, UNIX], ...]}
    {"ended": NAME, "result": RESULT}                  without result: it is too long, read result.json
    {"failed": NAME, "reason": SENTENCE, "at": UNIX}   no result.json could be written (``cause``: why, if not
                                                       the infrastructure)
    {"lost": NAME, "reason": SENTENCE, "at": UNIX}     its slot has died (NAME may be empty)

To the supervisor's standard input, a line each: its configuration, then ``{"cancel": [NAME...]}``.  The end of that
input is the end of the driver.
"""

from __future__ import annotations

LONGEST = 64 << 10
"""Bytes of one message.  A Unix socket takes 212,992 by default, with what it needs for itself."""

BUFFER = 1 << 20
"""Bytes that are asked for to hold messages that wait; the kernel may grant less."""
