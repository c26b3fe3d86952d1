"""AWS: Batch runs the tasks as array jobs, S3 keeps the files.  boto3 is imported when it is first used.

settings, client    where we are and with which network and roles; calls, their errors, their rate and repetition
request, boot       what is sent, made without any call: bodies, and the first words of a task's container
network, pool       what is found in the account; environment, queue and definition, made and taken down
ledger, site        what the machines have cost; what a run's tasks find in the store
submit, cancel      array jobs, each once; tasks stopped
progress, feed      what has changed, by a constant number of calls
states, logs, owned the service's words in ours; what tasks print; everything of ours in the account
compute             the contract, put together from these
"""

from __future__ import annotations

from orchestrator.providers.aws import settings
from orchestrator.providers.aws.compute import AwsCompute
from orchestrator.providers.base import Compute
from orchestrator.storage.layout import Home

__all__ = ["AwsCompute", "connect", "default_store"]


def connect(home: Home, run: str) -> Compute:
    """A connection for this run.  What is missing to make it is said by the first call that needs it."""
    return AwsCompute(home)


def default_store(home: Home) -> str:
    """Where runs are kept whose spec names no storage.  Raises InvalidRequest naming the variable that is missing."""
    return settings.load(home).store_url()
