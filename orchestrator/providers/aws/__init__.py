"""AWS: Batch runs the tasks as array jobs, S3 keeps the files.  boto3 is imported when it is first used.

settings, client    where we are and with which network and roles; calls, their errors, their rate and repetition
request, boot       what is sent, made without any call: bodies, and the first words of a task's container
preview             the same as a plan shows it
network, pool       what is found in the account; environment, queue and definition, made and taken down
prices, ledger      what spot machines cost now; what all machines have cost
site                what a run's tasks find in the store
submit, cancel      array jobs, each once; tasks stopped
progress            what has changed, by a constant number of calls: what runners tell (feed), what events tell (alarms)
states, logs, owned the service's words in ours; what tasks print; everything of ours in the account
permissions         what IAM must allow, and to whom
doctor, account     whether an account is fit for runs, and what is made in it once for all of them
compute             the contract, put together from these
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from orchestrator.errors import AuthenticationFailed, MachineError
from orchestrator.providers.aws import settings
from orchestrator.providers.aws.client import Aws
from orchestrator.providers.aws.compute import AwsCompute
from orchestrator.providers.base import Compute
from orchestrator.providers.checks import Check
from orchestrator.storage.layout import Home
from orchestrator.storage.profile import profile_file

__all__ = ["AwsCompute", "checks", "connect", "default_store", "fix", "policy", "regions"]


def connect(home: Home, run: str, region: str | None = None) -> Compute:
    """A connection for this run.  What is missing to make it is said by the first call that needs it.

    ``region``: None for the one that the run's pool was made in, or else the present one.
    """
    return AwsCompute(home, region=region or _kept_region(home.region(run)))


def regions(home: Home) -> set[str]:
    """Those that the runs of this machine were in, and the present one."""
    kept = {region for path in home.runs.glob("*/region") if (region := _kept_region(path)) is not None}
    try:
        with closing(Aws()) as aws:
            return kept | {aws.region}
    except AuthenticationFailed:  # there is no present one
        if kept:
            return kept
        raise


def _kept_region(path: Path) -> str | None:
    try:
        return path.read_text("utf-8").strip() or None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise MachineError(f"{path} cannot be read: {error.strerror}.") from error


def default_store(home: Home) -> str:
    """Where runs are kept whose spec names no storage.  Raises InvalidRequest naming the variable that is missing."""
    return settings.load(home).store_url()


def checks(home: Home) -> Iterator[Check]:
    """Whether the account is fit for runs."""
    from orchestrator.providers.aws import doctor

    with closing(Aws()) as aws:
        yield from doctor.checks(aws, settings.load(home))


def fix(home: Home) -> Iterator[Check]:
    """Find or make what all runs of the account share; of a real one, what was made is written into the profile."""
    from orchestrator.providers.aws import account

    with closing(Aws()) as aws:
        yield from account.fix(aws, settings.load(home), profile_file(home))


def policy(home: Home) -> dict[str, Any]:
    """The least that IAM must allow to the credentials that drive runs."""
    from orchestrator.providers.aws import account

    with closing(Aws()) as aws:
        number = str(aws.call("sts", "get_caller_identity")["Account"])
        return account.user_policy(settings.load(home), aws.region, number)
