"""Tasks that failed, as EventBridge tells them through a queue of SQS that the account's runs share.

Where the account has such a queue (`orchestrate doctor --provider aws --fix` makes it), a container that died without
a word is known at the next look, and Batch itself is asked for its counts but once a minute.  What belongs to another
run is left where it is; it comes to whoever waits for it a few seconds later, and else is forgotten after a day.
"""

from __future__ import annotations

import json
from typing import Any

from orchestrator.errors import ProviderError
from orchestrator.providers.aws import request
from orchestrator.providers.aws.client import Aws

# Messages of one call (limit of the service), and calls of one look.
AT_ONCE, LOOKS = 10, 10


class Alarms:
    """What has failed of one run.  ``url`` is that of the queue."""

    def __init__(self, aws: Aws, url: str, run: str) -> None:
        self._aws, self._url = aws, url
        self._queue = f":job-queue/{request.name(run)}"

    def heard(self) -> list[dict[str, Any]]:
        """Jobs and children of arrays that have failed since the last time, each as DescribeJobs would tell it.

        Nothing where the queue cannot be read: what it tells is found out without it too.
        """
        found: list[dict[str, Any]] = []
        try:
            for _ in range(LOOKS):
                asked: dict[str, Any] = {"QueueUrl": self._url, "MaxNumberOfMessages": AT_ONCE, "WaitTimeSeconds": 0}
                messages = self._aws.call("sqs", "receive_message", **asked).get("Messages") or []
                ours = [(message, detail) for message in messages if (detail := self._ours(message)) is not None]
                found += [detail for _, detail in ours]
                if ours:
                    read = [
                        {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                        for number, (message, _) in enumerate(ours)
                    ]
                    self._aws.call("sqs", "delete_message_batch", QueueUrl=self._url, Entries=read)
                if len(messages) < AT_ONCE:
                    break
        except ProviderError:
            return found
        return found

    def _ours(self, message: dict[str, Any]) -> dict[str, Any] | None:
        try:
            detail: dict[str, Any] = json.loads(message["Body"])["detail"]
            return detail if str(detail.get("jobQueue", "")).endswith(self._queue) else None
        except (ValueError, KeyError, TypeError, AttributeError):
            return None  # somebody else has put it there
